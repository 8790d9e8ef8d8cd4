# SPDX-License-Identifier: BSD-3-Clause
"""The way back when the majority of a cluster's voters is lost for ever."""

import subprocess

import redis

from conftest import until
from members import form, node  # noqa: F401 (node is a fixture)
from test_failover import has_copies

KEYS = 200


def tool(n, mode):
    """vong-server's mode in a node's directory."""
    return subprocess.run([n.program, mode, "--dir", str(n.dir), "--port", str(n.port), "--cluster-enabled", "yes"],
                          capture_output=True, text=True, timeout=60)


def reads_all(n):
    try:
        return [n.call("GET", f"k{i}") for i in range(KEYS)] == [f"v{i}" for i in range(KEYS)]
    except redis.RedisError:
        return False


def test_begun_anew(node):
    """a cluster whose majority of voters is lost for ever goes on with the one that is left, and with all keys (replication 18)"""
    nodes = form(node, 5, "--cluster-voters", "3", "--replication-factor", "3", timeout_ms=1500)
    until(lambda: has_copies(nodes, 3), 60)
    until(lambda: nodes[0].info().get("cluster_controller_voters") == "3")
    until(lambda: sum(any((n.dir / "raft").glob("log.*")) for n in nodes) == 3)
    voters = [n for n in nodes if any((n.dir / "raft").glob("log.*"))]
    others = [n for n in nodes if n not in voters]
    for i in range(KEYS):
        assert nodes[i % 5].call("SET", f"k{i}", f"v{i}")
    assert "a vong-server runs" in tool(voters[0], "--recover-controller").stderr
    lost, left = voters[:2], voters[2]
    gone = lost[1].id()
    until(lambda: has_copies(nodes, 3), 60)
    for n in lost:
        n.process.kill()  # both at once: none of what they hold is theirs alone
    for n in lost:
        n.kill()
    until(lambda: others[0].info().get("cluster_state") == "fail")
    left.stop()  # in good order, so what it reports counts as its own (replication 22)

    told = tool(left, "--controller-log")
    assert told.returncode == 0 and "5 members" in told.stdout and "(this directory's)" in told.stdout
    done = tool(left, "--recover-controller")
    assert done.returncode == 0 and "the only voter" in done.stdout, done.stderr
    again = tool(left, "--recover-controller")
    assert again.returncode == 1 and "the only voter there is" in again.stderr

    left.restart()
    alive = [left, *others]
    until(lambda: all(reads_all(n) for n in alive), 120)
    assert "taken over whole" in others[0].log
    lost[0].restart()  # it was thought to be lost, and knows of the former group only
    until(lambda: "was begun anew by an operator" in lost[0].log)
    left.call("CLUSTER", "FORGET", gone)
    alive.append(lost[0])
    until(lambda: all(n.info().get("cluster_known_nodes") == "4" for n in alive))
    until(lambda: left.info().get("cluster_controller_voters") == "3")
    until(lambda: all(reads_all(n) for n in alive))
    for i, n in enumerate(alive):
        assert n.call("SET", f"new{i}", "x")
