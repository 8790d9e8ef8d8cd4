# SPDX-License-Identifier: BSD-3-Clause
"""Starts of members: what a node does while it loads, and what it is when something of it was lost."""

import shutil

import pytest
import redis

from conftest import until
from members import form, node, wait_whole, write_and_read  # noqa: F401: node is a fixture

SLOW = ("--key-load-delay", 1000 * 1000)  # a second for each command: for ever, until CONFIG SET says otherwise
KEYS = 300


def fill(n):
    for k in range(KEYS):
        assert n.call("SET", f"k{k}", f"v{k}")


def holds_all(n):
    return all(n.call("GET", f"k{k}") == f"v{k}" for k in range(KEYS))


def key_of(n):
    """A key that n holds: it is among what it will load."""
    keys = [f"k{k}" for k in range(KEYS)]
    return next(k for k in keys if n.call("CLUSTER", "COUNTKEYSINSLOT", n.call("CLUSTER", "KEYSLOT", k)) > 0)


def flags(of, seen_by):
    return seen_by.members()[of][1]


def ids(n):
    """What nodes.conf says: word -> value."""
    lines = (n.dir / "nodes.conf").read_text().splitlines()
    return {w[0]: w[1] for w in (line.split() for line in lines) if len(w) == 2}


def test_a_voter_loads(node):  # noqa: F811
    """a node that loads votes, is live and has its lease; once it has loaded it serves"""
    a, b, slow = nodes = form(node, 3)
    fill(a)
    key, me = key_of(slow), slow.id()
    slow.kill()
    slow.launch(*SLOW)
    until(lambda: "started anew" in a.log, 60, "its new run is not known")
    assert slow.call("INFO", "persistence")["loading"] == 1
    with pytest.raises(redis.BusyLoadingError):
        slow.call("GET", key)
    with pytest.raises(redis.RedisError, match="TRYAGAIN|CLUSTERDOWN"):
        a.call("GET", key)
    # of three voters one is killed: that it is DOWN is decided with the vote of the one that loads
    gone = b.id()
    b.kill()
    until(lambda: "fail" in flags(gone, a) and "fail?" not in flags(gone, a), 60, "the two that are left decide nothing")
    assert "fail" not in flags(me, a) and a.info()["cluster_state"] == "ok"
    b.launch()
    assert slow.call("INFO", "persistence")["loading"] == 1
    slow.call("CONFIG", "SET", "key-load-delay", 0)
    wait_whole(nodes)
    assert holds_all(a) and holds_all(slow)
    assert f"node {me[:8]} (127.0.0.1:{slow.port}) is SUSPECT" not in a.log + b.log


def test_a_loading_node_stops(node):  # noqa: F811
    """a node that is told to stop while it loads does, and starts again"""
    nodes = form(node, 3)
    fill(nodes[0])
    nodes[2].kill()
    nodes[2].launch(*SLOW)
    until(lambda: "started anew" in nodes[0].log, 60)
    assert nodes[2].stop() == 0
    nodes[2].launch()
    wait_whole(nodes)
    assert holds_all(nodes[1])


def test_its_data_is_lost(node):  # noqa: F811
    """who lost its appendonlydir is another copy, the same voter, and is not elected before it has its data again"""
    nodes = form(node, 3)
    fill(nodes[0])
    before = ids(nodes[1])
    assert nodes[1].stop() == 0
    (nodes[1].dir / "appendonlydir").rename(nodes[1].dir / "kept")
    nodes[1].launch()
    until(lambda: any("came back without their data" in n.log for n in nodes), 60)
    after = ids(nodes[1])
    assert after["data"] != before["data"]
    assert (after["voter"], after["node"]) == (before["voter"], before["node"])
    assert nodes[1].stop() == 0  # another start, its third, makes it no better
    nodes[1].launch()
    until(lambda: any("came back without their data" in n.log.partition("incarnation 3")[2] for n in nodes), 60)
    assert nodes[0].info()["cluster_slots_ok"] != "16384"
    assert nodes[1].stop() == 0
    shutil.rmtree(nodes[1].dir / "appendonlydir")
    (nodes[1].dir / "kept").rename(nodes[1].dir / "appendonlydir")
    nodes[1].launch()
    wait_whole(nodes)
    assert holds_all(nodes[2])


def test_its_controllers_log_is_lost(node):  # noqa: F811
    """who lost the controllers' log is another voter, the same copy, and votes again"""
    nodes = form(node, 3)
    fill(nodes[0])
    before = ids(nodes[1])
    assert nodes[1].stop() == 0
    shutil.rmtree(nodes[1].dir / "raft")
    nodes[1].launch()
    wait_whole(nodes)
    after = ids(nodes[1])
    assert after["voter"] != before["voter"]
    assert (after["data"], after["node"]) == (before["data"], before["node"])
    assert holds_all(nodes[2])
    # it votes: with another killed there is a majority still
    until(lambda: {n.info().get("cluster_controller_voters") for n in nodes} == {"3"}, 60)
    until(lambda: any("the controller is to have 3 voters" in n.log.rpartition("started anew")[2] for n in nodes), 60)
    gone = nodes[2].id()
    nodes[2].kill()
    until(lambda: "fail" in flags(gone, nodes[0]) and "fail?" not in flags(gone, nodes[0]), 60)
    nodes[2].launch()
    wait_whole(nodes)
