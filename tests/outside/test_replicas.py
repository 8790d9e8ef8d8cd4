# SPDX-License-Identifier: BSD-3-Clause
"""Slots with two copies, as clients see them: three real nodes, replication-factor 2."""

import re
import subprocess

import pytest
import redis
from redis.cluster import ClusterNode, RedisCluster

from conftest import until
from members import form, node  # noqa: F401

KEYS = 300


def ranges(n):
    """Of each range of slots whose primary is n: what INFO replication says, as redis-py reads it."""
    found = n.call("INFO", "replication")
    return [found[k] for k in found if re.fullmatch(r"range\d+", k)]


def slots_of(told):
    first, last = str(told["slots"]).split("-")
    return int(last) - int(first) + 1


def is_copied(nodes):
    told = [r for n in nodes for r in ranges(n)]
    return sum(map(slots_of, told)) == 16384 and all(r["in_sync"] == r["copies"] == 2 and r["lag_records"] == 0 for r in told)


def gets(n):
    """How many GETs n has answered."""
    return n.call("INFO", "commandstats").get("cmdstat_get", {"calls": 0})["calls"]


@pytest.fixture
def copied(node):  # noqa: F811
    nodes = form(node, 3, "--replication-factor", "2")
    until(lambda: is_copied(nodes), 120, "not every slot has two copies in sync")
    until(lambda: all(len(r) == 4 for n in nodes for r in n.call("CLUSTER", "SLOTS")), 120, "not everybody knows it")
    until(lambda: all("wait" not in n.call("CLUSTER", "RING").splitlines()[0] for n in nodes), 120, "slots still move")
    return nodes


def cluster(nodes, **kw):
    return RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", n.port) for n in nodes], decode_responses=True, **kw)


def test_reads_at_replicas(copied):
    """redis-py's RedisCluster reads from replicas; nodes count what they are primary of"""
    c = cluster(copied, read_from_replicas=True)
    for i in range(KEYS):
        assert c.set(f"k{i}", i)
    before = [gets(n) for n in copied]
    for _ in range(4):
        for i in range(KEYS):
            assert c.get(f"k{i}") == str(i)
    asked = [gets(n) - b for n, b in zip(copied, before)]
    assert sum(asked) == 4 * KEYS  # none was asked twice: nobody was sent elsewhere
    sizes = [n.call("DBSIZE") for n in copied]
    assert sum(sizes) == KEYS and asked != [4 * s for s in sizes]  # more nodes than the primaries read
    assert sum(len(n.call("KEYS", "*")) for n in copied) == KEYS
    copied[0].call("FLUSHALL")
    assert [n.call("DBSIZE") for n in copied] == [0, *sizes[1:]]
    c.close()


def test_readonly_by_hand(copied):
    """after READONLY a key is read where its copy is, by redis-cli as well, and elsewhere it is MOVED"""
    a = copied[0]
    a.call("SET", "k", "v")
    at = {}
    for n in copied:
        r = redis.Redis(port=n.port, decode_responses=True, socket_timeout=60)
        r.execute_command("READONLY")
        try:
            at[n] = r.get("k")
        except redis.ResponseError as e:
            assert str(e).startswith("MOVED ")
        r.close()
    assert sorted(at.values()) == ["v", "v"]  # the primary and the copy
    for n in at:
        out = subprocess.run(["redis-cli", "-p", str(n.port)], input="READONLY\nGET k\nREADWRITE\nWAIT 1 60000\n",
                             capture_output=True, text=True, timeout=120, check=True).stdout.split()
        assert out[:2] == ["OK", "v"] and out[2] == "OK" and out[3] == "1"


def test_wait(copied):
    """WAIT and WAITAOF count the copy, also of writes that were forwarded"""
    r = redis.Redis(port=copied[0].port, decode_responses=True, socket_timeout=60)
    for i in range(50):
        r.set(f"w{i}", i)
    assert r.wait(1, 60000) == 1
    assert r.execute_command("WAITAOF", 1, 1, 60000) == [1, 1]
    assert r.execute_command("CLIENT", "QUORUM", 2) == "OK"
    assert r.set("w", "x")
    r.execute_command("CLIENT", "QUORUM", 3)
    with pytest.raises(redis.RedisError, match="Not enough good replicas"):
        r.set("w", "y")
    assert r.execute_command("CLIENT", "QUORUM", "cluster") == "OK"
    assert r.get("w") == "x"
    r.close()


def health(n):
    """id -> what CLUSTER SHARDS at n says of it, in all ranges."""
    r = redis.Redis(port=n.port, decode_responses=True, socket_timeout=60)
    r.response_callbacks.clear()
    try:
        told = {}
        for shard in r.execute_command("CLUSTER", "SHARDS"):
            for fields in dict(zip(shard[::2], shard[1::2]))["nodes"]:
                fields = dict(zip(fields[::2], fields[1::2]))
                told.setdefault(fields["id"], set()).add((fields["role"], fields["health"]))
        return told
    finally:
        r.close()


def test_a_lost_copy_is_told(copied):
    """a node that is killed is told as failed, its copies as not in sync, its keys are served; back, as in sync again"""
    a, b, c = copied
    lost = c.id()
    for i in range(KEYS):
        a.call("SET", f"k{i}", i)

    def served():
        try:
            return all(a.call("GET", f"k{i}") == str(i) for i in range(KEYS))
        except redis.ResponseError:
            return False

    assert health(a)[lost] == {("master", "online"), ("replica", "online")}
    c.kill()
    until(lambda: {h for _, h in health(a).get(lost, set())} == {"fail"}, 120, "it is not told as failed")
    until(lambda: any(r["in_sync"] == 1 for n in (a, b) for r in ranges(n)), 120, "its copies are told as in sync")
    for slot in a.call("CLUSTER", "SLOTS"):
        assert lost not in [str(part[2]) for part in slot[3:] if isinstance(part, list)]
    until(served, 120, "what was acknowledged is not served")
    c.restart()
    until(lambda: is_copied(copied), 240, "it has not come back")
    assert health(a)[lost] >= {("replica", "online")}


def test_a_lost_copy_that_has_to_stay(copied):
    """with min-replicas-to-write a slot whose copy is lost is read on; writes to it are refused before they run (5, 14)"""
    a, b, c = copied
    keys = [f"k{i}" for i in range(KEYS)]
    for k in keys:
        a.call("SET", k, "v")
    assert a.call("CONFIG", "SET", "min-replicas-to-write", "1") == "OK"
    until(lambda: b.call("CONFIG", "GET", "min-replicas-to-write")[-1] == "1", 60)
    c.kill()

    def answers(*command):
        found = set()
        for k in keys:
            try:
                found.add(str(a.call(*[k if w == "KEY" else w for w in command])))
            except redis.ResponseError as e:
                found.add(str(e).split()[0])
        return found

    until(lambda: answers("GET", "KEY") == {"v"}, 120, "what was acknowledged is not read")
    assert answers("SET", "KEY", "v") == {"True", "NOREPLICAS"}
    assert answers("GET", "KEY") == {"v"}
    c.restart()
    until(lambda: answers("SET", "KEY", "w") == {"True"}, 240, "it has not come back")
    assert answers("GET", "KEY") == {"w"}


def test_redis_cli_cluster(copied):
    """redis-cli --cluster info and check find every slot covered and nothing to mend"""
    at = f"127.0.0.1:{copied[1].port}"
    copied[0].call("SET", "k", "v")
    for what in ("info", "check"):
        run = subprocess.run(["redis-cli", "--cluster", what, at], capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stdout + run.stderr
        assert "[OK] 1 keys in 3 masters" in run.stdout
    assert "[OK] All 16384 slots covered" in run.stdout


MIB = 1024 * 1024
TOO_GREAT = "over max-record"


def refused(n, *words):
    with pytest.raises(redis.ResponseError, match=TOO_GREAT):
        n.call(*words)


def test_max_record(copied):
    """512 MB are refused before anything runs, whoever is asked; what is just below max-record is taken and copied (24)"""
    below = b"v" * (64 * MIB - 1000)
    great = b"v" * (512 * MIB)
    for n in copied:
        refused(n, "SET", "big", great)
        assert n.call("EXISTS", "big") == 0
        refused(n, "MSET", "a", 1, "b", below, "{b}c", below)  # nor what is of other slots
        assert n.call("EXISTS", "a", "b") == 0
    del great
    assert copied[0].call("SET", "big", below)
    for n in copied:
        assert n.call("STRLEN", "big") == len(below)
    c = cluster(copied).get_node_from_key("big").redis_connection
    p = c.pipeline(transaction=True)
    p.set("big", "half").append("big", below[:63 * MIB]).append("big", below[:2 * MIB])
    with pytest.raises(redis.ResponseError, match="^Transaction discarded because of: .*" + TOO_GREAT):
        p.execute()
    assert c.strlen("big") == len(below)
    assert c.append("big", below[:10 * MIB]) == len(below) + 10 * MIB  # the record counts, not the value
    until(lambda: is_copied(copied), 120, "not every slot has two copies in sync")
    for n in copied:
        assert n.call("CONFIG", "SET", "max-record", "1mb")
        refused(n, "SET", "big", below[:MIB])
        assert n.call("SET", "big", below[:MIB - 1000])
    with pytest.raises(redis.ResponseError, match="must be between"):
        copied[0].call("CONFIG", "SET", "max-record", "65mb")


def test_great_value_is_copied(node):  # noqa: F811
    """a value that was made in parts, greater than any record may be, is copied with its slot (24)"""
    nodes = form(node, 3)
    part = b"v" * (30 * MIB)
    for _ in range(4):
        assert nodes[0].call("APPEND", "big", part)
    assert nodes[0].call("CLUSTER", "SETTINGS", "SET", "replication-factor", 2)
    until(lambda: is_copied(nodes), 120, "not every slot has two copies in sync")
