# SPDX-License-Identifier: BSD-3-Clause
"""Clusters form, go on after restarts, find those that moved, and refuse who does not belong."""

import re
import shutil
import socket
import time

import pytest
import redis

from conftest import Server, Wire, free_port, until
from members import cli, form, node, wait_whole, write_and_read  # noqa: F401: node is a fixture


# ------------------------------------------------------------------------------ forming


def test_three_by_join(node):
    """three nodes form a cluster by cluster-join, and each serves every key"""
    nodes = form(node, 3)
    shares = [slots for _, _, slots in nodes[2].members().values()]
    assert sum(shares) == 16384 and max(shares) - min(shares) < 16384 // 50, shares
    write_and_read(nodes, "join")
    assert nodes[0].client().info("server")["redis_mode"] == "cluster"
    assert nodes[0].client().info("cluster")["cluster_enabled"] == 1


def test_three_by_meet(node):
    """three that are clusters of one each become one by CLUSTER MEET"""
    nodes = [node().start() for _ in range(3)]
    until(lambda: all(n.info().get("cluster_state") == "ok" for n in nodes), 60)
    for n in nodes[1:]:
        assert nodes[0].call("CLUSTER", "MEET", "127.0.0.1", n.port, n.cluster_port) == "OK"
        until(lambda: int(n.info().get("cluster_known_nodes", 0)) > 1, 60, "it did not join")
    wait_whole(nodes)
    write_and_read(nodes, "meet")


def test_meet_of_two_with_keys(node):
    """two clusters that both hold keys do not become one, and both go on"""
    a, b = node().start(), node().start()
    until(lambda: all(n.info().get("cluster_state") == "ok" for n in (a, b)), 60)
    for n in (a, b):
        n.call("SET", "k", n.port)
    with pytest.raises(redis.ResponseError, match="hold"):
        a.call("CLUSTER", "MEET", "127.0.0.1", b.port, b.cluster_port)
    assert [n.call("GET", "k") for n in (a, b)] == [str(a.port), str(b.port)]


def test_a_seed_that_comes_late(node):
    """a node whose seed is not there yet says so, founds nothing, and joins once it is"""
    first, late = node(), node()
    late.launch(join=[first])
    until(lambda: "not yet joined" in late.log, 60)
    with pytest.raises(redis.ResponseError, match="CLUSTERDOWN"):
        late.call("GET", "k")
    first.start()
    wait_whole([first, late])


def test_a_node_with_keys_does_not_join(node):
    """a node that holds keys does not join, says why, and still has them when it is started alone"""
    first, late = node().start(), node()
    Server.launch(late)  # alone
    late.wait_ready()
    late.call("SET", "k", "v")
    late.stop()
    late.launch(join=[first])
    until(lambda: "it holds keys" in late.log, 60)
    with pytest.raises(redis.ResponseError, match="it holds keys"):
        late.call("GET", "k")
    late.stop()
    late.start()
    until(lambda: late.info().get("cluster_state") == "ok", 60)
    assert late.call("GET", "k") == "v"
    assert first.info()["cluster_known_nodes"] == "1"


def test_ten_in_ten_seconds(node):
    """ten processes are one cluster within ten seconds"""
    nodes = [node() for _ in range(10)]
    nodes[0].start()
    began = time.monotonic()
    for n in nodes[1:]:
        n.launch(join=[nodes[0]])
    wait_whole(nodes, 10)
    print("ten in", time.monotonic() - began)
    write_and_read(nodes[::4], "ten")


def test_an_arbiter(node):
    """a node of weight 0 is a member without slots"""
    a, b = form(node, 2)
    c = node().launch("--cluster-weight", "0", join=[a])
    until(lambda: c.info().get("cluster_state") == "ok" and c.info()["cluster_known_nodes"] == "3", 60)
    assert c.members()[c.id()][2] == 0
    c.call("SET", "k", "v")
    assert b.call("GET", "k") == "v"


# ------------------------------------------------------------------------------ starts


def test_each_starts_again(node):
    """each node stops and starts again, its keys are there, nobody joined twice"""
    nodes = form(node, 3)
    write_and_read(nodes, "before")
    for n in nodes:
        assert n.stop() == 0, n.log[-3000:]
        n.restart()
        wait_whole(nodes)
    write_and_read(nodes, "after")
    for n in nodes:
        assert cli(n, "MGET", *[f"before:0:{k}" for k in range(8)]).split() == [f"v{k}" for k in range(8)]


def test_all_start_again(node):
    """all nodes are killed at once, and start again as the cluster they were"""
    nodes = form(node, 3)
    write_and_read(nodes, "before")
    for n in nodes:
        n.kill()
    for n in nodes:
        n.launch()
    wait_whole(nodes)
    assert cli(nodes[1], "MGET", *[f"before:0:{k}" for k in range(8)]).split() == [f"v{k}" for k in range(8)]


def test_one_with_other_ports(node):
    """a node that comes back at other ports finds the others, and they it"""
    nodes = form(node, 3)
    write_and_read(nodes, "before")
    for n in nodes:
        n.stop()
        n.new_ports()
        n.restart(join=[])
        wait_whole(nodes)
        assert n.members()[n.id()][0].startswith(f"127.0.0.1:{n.port}@{n.cluster_port}")
    write_and_read(nodes, "after")


def test_all_with_other_ports(node):
    """all nodes come back at other ports; cluster-join brings them together"""
    nodes = form(node, 3)
    write_and_read(nodes, "before")
    for n in nodes:
        n.stop()
        n.new_ports()
    for n in nodes:
        n.launch(join=[other for other in nodes if other is not n])
    wait_whole(nodes)
    assert cli(nodes[2], "MGET", *[f"before:0:{k}" for k in range(8)]).split() == [f"v{k}" for k in range(8)]


# ------------------------------------------------------------------------------ refusals


def test_a_wrong_secret(node):
    """who has another secret does not join, and both logs say why"""
    first = node().start("--cluster-secret", "the right one")
    for secret in (["--cluster-secret", "another"], []):
        n = node().launch(*secret, join=[first])
        until(lambda: "refused by" in n.log and "secret" in n.log, 60, "its log says nothing")
        assert n.process.poll() is None
        with pytest.raises(redis.ResponseError, match="CLUSTERDOWN"):
            n.call("GET", "k")
        n.stop()
    assert "refused 127.0.0.1:" in first.log and "secret" in first.log
    assert "the right one" not in first.log
    assert first.info()["cluster_known_nodes"] == "1"


def test_another_cluster(node):
    """a member of another cluster at an old address is refused, and both logs say why"""
    a, b = form(node, 2, "--loglevel", "verbose")
    b.stop()
    stranger = node()
    stranger.port, stranger.cluster_port = b.port, b.cluster_port
    stranger.start()
    until(lambda: "different clusters" in a.log and "different clusters" in stranger.log, 60)
    assert a.info()["cluster_known_nodes"] == "2"


def frame(*fields):
    out = b"*%d\r\n" % len(fields)
    for f in fields:
        f = f if isinstance(f, bytes) else str(f).encode()
        out += b"$%d\r\n%s\r\n" % (len(f), f)
    return out


def test_an_unknown_version(node):
    """a handshake of a version that is not spoken is refused by name, and logged"""
    n = node().start()
    until(lambda: n.info().get("cluster_state") == "ok", 60)
    with socket.create_connection(("127.0.0.1", n.cluster_port), timeout=30) as s:
        s.sendall(frame("VONG.HELLO", 9, "", "0" * 40, 1, "control", "0" * 64, "what nobody knows yet"))
        said = Wire(s).to_end()
    assert b"VONG.REFUSED" in said and b"version" in said, said
    until(lambda: "version" in n.log, 60)


def test_a_later_version(node):
    """two versions that refuse one another, again and again, say so once each"""
    n = node()
    with socket.create_server(("127.0.0.1", 0)) as later:
        later.settimeout(60)
        n.launch("--loglevel", "verbose", join=[f"127.0.0.1:1@{later.getsockname()[1]}"])
        for _ in range(3):
            with later.accept()[0] as dialed:
                dialed.sendall(frame("VONG.REFUSED", "version", "version 3 is not spoken here, but 9"))
                Wire(dialed).to_end()
            with socket.create_connection(("127.0.0.1", n.cluster_port), timeout=30) as s:
                s.sendall(frame("VONG.HELLO", 9, "", "0" * 40, 1, "control", "0" * 64))
                assert b"VONG.REFUSED" in Wire(s).to_end()
    for what in "refused by 127.0.0.1:", "refused 127.0.0.1:":
        until(lambda: n.log.count(what) >= 3, 60)
        said = [line for line in n.log.splitlines() if what in line]
        assert [" # " in line for line in said] == [True, False, False], said


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"*1\r\n$4\r\nPING\r\n"], ids=["http", "ping"])
def test_garbage(node, garbage):
    """what is no handshake is refused with a reason, and the node goes on"""
    n = node().start()
    until(lambda: n.info().get("cluster_state") == "ok", 60)
    with socket.create_connection(("127.0.0.1", n.cluster_port), timeout=30) as s:
        s.sendall(garbage)
        assert b"VONG.REFUSED" in Wire(s).to_end()
    assert n.call("SET", "k", "v")


def test_a_copied_directory(node):
    """of a member and a process on a copy of its directory one serves, and the other says why it does not"""
    a, b = form(node, 2)
    copy = node()
    for name in ("nodes.conf", "raft"):
        source = b.dir / name
        if source.is_dir():
            shutil.copytree(source, copy.dir / name)
        elif source.exists():
            shutil.copy(source, copy.dir / name)
    copy.start(join=[a])
    out = until(lambda: [n for n in (b, copy) if "data directory was copied" in n.log], 60)
    assert len(out) == 1
    until(lambda: out[0].info().get("cluster_state") == "fail", 60)
    with pytest.raises(redis.ResponseError, match="CLUSTERDOWN"):
        out[0].call("GET", "k")
    assert a.info()["cluster_known_nodes"] == "2"


@pytest.mark.parametrize("args, says", [
    (["--port", "HIGH", "--cluster-port", "0"], "cluster-port"),
    (["--cluster-join", "nowhere"], "cluster-join"),
    (["--cluster-zone", "a,b"], "cluster-zone"),
    (["--cluster-voters", "2"], "cluster-voters"),
    (["--cluster-node-timeout", "5"], "cluster-node-timeout"),
    (["--cluster-announce-ip", "somewhere"], "cluster-announce-ip"),
    (["--write-quorum", "most"], "write-quorum"),
    (["--cluster-config-file", "../nodes.conf"], "cluster-config-file"),
])
def test_refused_at_the_start(node, args, says):
    """a directive that makes no sense in a cluster is refused at the start, with its name"""
    high = str(free_port(61000, 65000))
    n = node().launch(*[high if a == "HIGH" else a for a in args])
    assert n.process.wait(60) == 1
    assert says in n.log


def test_settings_of_the_founder(node):
    """replication-factor, write-quorum and min-replicas-to-write of a founder are its cluster's"""
    n = node().start("--replication-factor", "2", "--write-quorum", "majority", "--min-replicas-to-write", "1")
    until(lambda: n.info().get("cluster_state") == "ok", 60)
    words = n.call("CLUSTER", "SETTINGS", "GET")
    got = dict(zip(words[::2], words[1::2]))
    assert (got["replication-factor"], got["write-quorum"], got["min-replicas-to-write"]) == ("2", "majority", "1")

    def refused(*words):
        try:
            n.call(*words)
        except redis.ResponseError as e:
            return str(e)
        return None

    assert refused("SET", "k", "v") == "NOREPLICAS Not enough good replicas to write."
    assert refused("GET", "k") == "NOREPLICAS Not enough good replicas to read."
    n.call("CLUSTER", "SETTINGS", "SET", "write-quorum", "1")
    n.call("CLUSTER", "SETTINGS", "SET", "min-replicas-to-write", "0")
    until(lambda: refused("SET", "k", "v") is None, 60)
    assert n.call("GET", "k") == "v"


def test_a_damaged_node_file(node):
    """a damaged nodes.conf stops the start and says what to do"""
    n = node().start()
    until(lambda: n.info().get("cluster_state") == "ok", 60)
    n.stop()
    file = n.dir / "nodes.conf"
    file.write_bytes(file.read_bytes().replace(b"incarnation 1", b"incarnation 7"))
    n.launch()
    assert n.process.wait(60) == 1
    assert "nodes.conf does not say who this node is" in n.log


# ------------------------------------------------------------------------------ a data plane that hangs


def sleeper_keeps(node, timeout_ms, seconds):
    """A node's data plane stands still: has it kept its lease, its slots and its epoch?"""
    nodes = form(node, 3, timeout_ms=timeout_ms)
    n = nodes[2]
    me = n.id()[:8]
    n.call("DEBUG", "SLEEP", seconds)  # it answers, then it sleeps
    n.call("PING")
    logs = "".join(other.log for other in nodes[:2])
    wait_whole(nodes, 120)
    return not re.search(f"node {me} .* is SUSPECT", logs)


def test_a_short_sleep(node):
    """a data plane that stands still for less than cluster-node-timeout keeps its slots"""
    assert sleeper_keeps(node, 15000, 10)


def test_a_long_sleep(node):
    """a data plane that stands still for longer loses its lease, and comes back"""
    assert not sleeper_keeps(node, 1000, 10)
