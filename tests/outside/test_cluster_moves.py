# SPDX-License-Identifier: BSD-3-Clause
"""Members that are reached elsewhere, all of a sudden: others hear of it, and tell clients."""

import socket

import pytest
import redis

from conftest import free_port, until
from members import cli, form, node, wait_whole, write_and_read  # noqa: F401: node is a fixture


def pair_of_ports():
    """A port whose port + 10000 is free as well."""
    while True:
        port = free_port(20000, 22000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        return port


def seen(n, by):
    """Where n is, as `by` tells."""
    return by.members()[n.id()][0].split(",")[0]


def key_of(n):
    """A key of one of n's slots: n alone answers it to a connection that knows clusters."""
    with n.client() as c:
        c.execute_command("READONLY")
        for k in range(10000):
            try:
                c.get(f"k{k}")
                return f"k{k}"
            except redis.ResponseError:
                continue
    raise AssertionError("it serves nothing")


def moved(key, at):
    """Where a connection that knows clusters is sent for it."""
    with redis.Redis(port=at.port, decode_responses=True, socket_timeout=60, single_connection_client=True) as c:
        c.execute_command("READONLY")
        try:
            c.get(key)
        except redis.ResponseError as e:
            return str(e)
    return ""


def test_another_port(node):  # noqa: F811
    """CONFIG SET port is told to the others: CLUSTER NODES and MOVED show it, and nobody is lost"""
    nodes = form(node, 3)
    n, others = nodes[1], [nodes[0], nodes[2]]
    key, new = key_of(n), free_port()
    assert n.client().config_set("port", new)
    n.port = new
    for o in others:
        until(lambda: seen(n, o) == f"127.0.0.1:{new}@{n.cluster_port}", 60)
        until(lambda: f"127.0.0.1:{new}" in moved(key, o), 60)
    wait_whole(nodes)
    write_and_read(nodes, "after")


def test_the_cluster_port_goes_with_it(node):  # noqa: F811
    """without cluster-port it is port + 10000 after CONFIG SET port, too: who starts anew finds it there"""
    ports = [pair_of_ports() for _ in range(3)]
    nodes = [node() for _ in ports]
    for n, port in zip(nodes, ports):
        n.port, n.cluster_port = port, port + 10000
        n.launch("--cluster-port", 0, join=nodes[:1] if n is not nodes[0] else [])
    wait_whole(nodes)
    n = nodes[1]
    new = pair_of_ports()
    assert n.client().config_set("port", new)
    old, n.port, n.cluster_port = n.cluster_port, new, new + 10000
    until(lambda: seen(n, nodes[0]) == f"127.0.0.1:{new}@{new + 10000}", 60)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old), timeout=30)
    nodes[2].stop()
    nodes[2].launch("--cluster-port", 0)
    wait_whole(nodes)
    write_and_read(nodes, "after")


def test_another_address(node):  # noqa: F811
    """CONFIG SET bind moves both ports, and the first address of it is told to the others"""
    nodes = form(node, 3)
    n = nodes[1]
    assert n.client().config_set("bind", "127.0.0.2 127.0.0.1")
    for o in (nodes[0], nodes[2]):
        until(lambda: seen(n, o) == f"127.0.0.2:{n.port}@{n.cluster_port}", 60)
    nodes[0].stop()
    nodes[0].launch()
    wait_whole(nodes)
    with redis.Redis(host="127.0.0.2", port=n.port, socket_timeout=60) as c:
        assert c.ping()
    write_and_read(nodes, "after")


def test_what_is_announced(node):  # noqa: F811
    """CONFIG SET of cluster-announce-* is told to the others, and taken back; what is no address is refused"""
    nodes = form(node, 3)
    n, o = nodes[1], nodes[2]
    key = key_of(n)
    c = n.client()
    assert c.config_set("cluster-announce-ip", "192.0.2.7")
    until(lambda: seen(n, o) == f"192.0.2.7:{n.port}@{n.cluster_port}", 60)
    assert c.execute_command("CONFIG", "SET", "cluster-announce-port", 6001, "cluster-announce-bus-port", 6002)
    until(lambda: seen(n, o) == "192.0.2.7:6001@6002", 60)
    until(lambda: "192.0.2.7:6001" in moved(key, o), 60)
    with pytest.raises(redis.ResponseError, match="cluster-announce-ip"):
        c.config_set("cluster-announce-ip", "somewhere")
    with pytest.raises(redis.ResponseError, match="port"):
        c.config_set("port", 0)
    assert c.config_get("cluster-announce-ip")["cluster-announce-ip"] == "192.0.2.7"
    assert "is no address" in n.log and "needs a 'port'" in n.log
    c.execute_command("CONFIG", "SET", "cluster-announce-ip", "", "cluster-announce-port", 0, "cluster-announce-bus-port", 0)
    until(lambda: seen(n, o) == f"127.0.0.1:{n.port}@{n.cluster_port}", 60)
    wait_whole(nodes)
    assert cli(nodes[0], "SET", key, "v") == "OK"


def votes(n):
    """It keeps a log of the controllers."""
    log = n.dir / "raft"
    return log.is_dir() and any(f.stat().st_size > 0 for f in log.iterdir())


def test_one_alone_is_where_it_was(node):  # noqa: F811
    """all but one that has no vote come back at other ports, knowing it alone: it tells each of the others"""
    nodes = form(node, 4)
    until(lambda: sum(votes(n) for n in nodes) == 3, 60, "there are three voters, as four nodes have")
    old = next(n for n in nodes if not votes(n))
    write_and_read(nodes, "before")
    for n in nodes:
        n.kill()
        if n is not old:
            n.new_ports()
    for n in nodes:
        n.launch(join=[] if n is old else [old])
    wait_whole(nodes)
    write_and_read(nodes, "after")
