# SPDX-License-Identifier: BSD-3-Clause
"""What commands promise, also across the loss of a primary and the handing over of its slots: transactions, expiry,
flushes, scans, long pipelines."""

import threading
import time

import pytest
import redis

from conftest import Wire, request, until
from interplay import come_back, keys_of, lose, settled, wait_equal
from members import node, wait_whole  # noqa: F401: node is a fixture
from test_failover import end, go_on, has_copies, writing

# What a client may ask again: nothing was run.
AGAIN = ("CLUSTERDOWN ", "TRYAGAIN ", "NOREPLICAS ", "LOADING ", "MOVED ")
HOW = pytest.mark.parametrize("how", ["killed", "ended"])


def open_client(n):
    """One connection, which tells replies as they are."""
    c = redis.Redis(port=n.port, decode_responses=True, socket_timeout=60, single_connection_client=True)
    c.response_callbacks.clear()
    return c


# -------------------------------------------------------------------- transactions


@HOW
def test_watch(node, how):  # noqa: F811
    """a transaction whose watched key's primary is lost is nil, whether it changed there or not; the next one runs (10)"""
    nodes = settled(node)
    victim = nodes[2]
    changed, same = keys_of(victim, 2)
    through = []
    for key in (changed, same):
        assert nodes[1].call("SET", key, "before")
        c = open_client(nodes[0])
        assert c.execute_command("WATCH", key) == "OK" and c.execute_command("GET", key) == "before"
        through.append((c, key))
    lose(victim, nodes[:2], how)
    assert nodes[1].call("SET", changed, "changed")
    for c, key in through:
        assert c.execute_command("MULTI") == "OK" and c.execute_command("SET", key, "mine") == "QUEUED"
        assert c.execute_command("EXEC") is None
    assert nodes[1].call("GET", changed) == "changed" and nodes[1].call("GET", same) == "before"
    for c, key in through:
        c.execute_command("WATCH", key)
        c.execute_command("MULTI")
        c.execute_command("SET", key, "mine")
        assert c.execute_command("EXEC") == ["OK"]
        c.close()
    come_back(victim, nodes, 2)
    assert [nodes[0].call("GET", key) for key in (changed, same)] == ["mine", "mine"]
    wait_equal(nodes, 2)


class Pairs(threading.Thread):
    """Writes one number under two keys and counts, in one transaction; and reads all three in one."""

    def __init__(self, number, through):
        super().__init__(daemon=True)
        self.tag, self.through = f"{{pair{number}}}", through
        self.over = threading.Event()
        self.torn, self.strange = [], []
        self.acked = self.may_be = self.ran = self.perhaps = 0
        self.start()

    def run(self):
        c = redis.Redis(port=self.through.port, decode_responses=True, socket_timeout=60)
        n = 0
        while not self.over.is_set():
            n += 1
            pipe = c.pipeline(transaction=True).set(self.tag + "a", n).set(self.tag + "b", n).incr(self.tag + "c")
            try:
                pipe.execute()
                self.acked = self.may_be = n
                self.ran += 1
            except redis.RedisError as e:
                if "UNCERTAIN" in str(e):
                    self.may_be = n
                    self.perhaps += 1
                elif not any(word in str(e) for word in (*AGAIN, "EXECABORT")):
                    self.strange.append(str(e))
            try:
                a, b, count = c.pipeline(transaction=True).get(self.tag + "a").get(self.tag + "b").get(self.tag + "c").execute()
                if a != b or not self.ran <= int(count or 0) <= self.ran + self.perhaps or int(a or 0) < self.acked:
                    self.torn.append((a, b, count, self.acked, self.ran, self.perhaps))
            except redis.RedisError as e:
                if not any(word in str(e) for word in (*AGAIN, "EXECABORT", "UNCERTAIN")):
                    self.strange.append(str(e))
        c.close()


@pytest.mark.parametrize("copies", [2, 3])
def test_exec_is_whole(node, copies):  # noqa: F811
    """transactions run whole or not at all, and once, through a kill, a stop in order and a join (8, 9, 26)"""
    nodes = settled(node, copies=copies)
    pairs = [Pairs(i, nodes[i % 2]) for i in range(12)]

    def go_on():
        goals = [p.ran + 20 for p in pairs]
        until(lambda: all(p.ran >= g for p, g in zip(pairs, goals)), 120, "transactions do not run")
    go_on()
    lose(nodes[2], nodes[:2], "killed")
    go_on()
    come_back(nodes[2], nodes, copies)
    go_on()
    lose(nodes[2], nodes[:2], "ended")
    go_on()
    come_back(nodes[2], nodes, copies)
    nodes.append(node(1000).launch(join=nodes[:1]))
    wait_whole(nodes, 120)
    until(lambda: has_copies(nodes, copies), 120)
    go_on()
    for p in pairs:
        p.over.set()
    for p in pairs:
        p.join(120)
        assert p.torn == [] and p.strange == []
        a, b, count = nodes[1].call("MGET", *(p.tag + letter for letter in "abc"))
        assert a == b and p.acked <= int(a) <= p.may_be and p.ran <= int(count) <= p.ran + p.perhaps
    wait_equal(nodes, copies)


# --------------------------------------------------------------------------- expiry


def expiries(n, keys):
    """When each ends, as n's own copy has it."""
    c = open_client(n)
    c.execute_command("READONLY")
    told = [c.execute_command("PEXPIRETIME", key) for key in keys]
    c.close()
    return told


@HOW
def test_expiry(node, how):  # noqa: F811
    """what expires does so once and for all, at its moment, whoever is primary by then; what lives on keeps its moment (8)"""
    nodes = settled(node, copies=3)
    first = int(time.time() * 1000)
    soon, late = [f"soon{i}" for i in range(200)], [f"late{i}" for i in range(100)]
    ends = {key: first + 9000 + 5 * i for i, key in enumerate(soon)} | {key: first + 3600000 + i for i, key in enumerate(late)}
    c = nodes[0].client()
    with c.pipeline(transaction=False) as pipe:
        for key, moment in ends.items():
            pipe.execute_command("SET", key, key, "PXAT", moment)
        pipe.execute()
    lose(nodes[2], nodes[:2], how)
    until(lambda: has_copies(nodes[:2], 2), 60, "those that are left are not in sync, and only such copies are read")
    for n in nodes[:2]:
        assert expiries(n, late) == [ends[key] for key in late]
    come_back(nodes[2], nodes, 3)
    assert expiries(nodes[2], late) == [ends[key] for key in late]
    until(lambda: sum(n.call("DBSIZE") for n in nodes) == len(late), 60, "they do not expire")
    assert time.time() * 1000 >= max(ends[key] for key in soon)
    wait_equal(nodes, 3, deleted=soon)
    lose(nodes[1], [nodes[0], nodes[2]], "killed")
    come_back(nodes[1], nodes, 3)
    assert [nodes[0].call("EXISTS", *soon), nodes[0].call("EXISTS", *late)] == [0, len(late)]
    assert sum(n.call("DBSIZE") for n in nodes) == len(late)
    wait_equal(nodes, 3, deleted=soon)


# --------------------------------------------------------------------------- flushes


def test_flush(node):  # noqa: F811
    """what was there at an acknowledged FLUSHALL never comes back; what was acknowledged after it stays (8)"""
    nodes = settled(node, copies=3)
    old = [f"old{i}" for i in range(3000)]
    nodes[0].call("MSET", *(word for key in old for word in (key, "v")))
    writers = writing(nodes[:2])
    for n in nodes:
        assert n.call("FLUSHALL")
    lose(nodes[2], nodes[:2], "killed")
    assert nodes[0].call("EXISTS", *old) == 0
    go_on(writers)
    come_back(nodes[2], nodes, 3)
    go_on(writers)
    end(writers, nodes[2])
    wait_equal(nodes, 3, deleted=old)


# ----------------------------------------------------------------------------- scans


def scan(c, cursor, found, calls):
    """So many calls, or until the end; 0: it is the end."""
    for _ in range(calls):
        cursor, keys = c.scan(cursor, count=20)
        found.update(keys)
        if cursor == 0:
            break
    return cursor


@HOW
def test_scan(node, how):  # noqa: F811
    """a SCAN of a node returns all that was there in its slots all the time, though it is given more while it goes on (26)"""
    nodes = settled(node)
    keys = {f"k{i}" for i in range(6000)}
    nodes[0].call("MSET", *(word for key in keys for word in (key, "v")))
    its = {n: set(n.call("KEYS", "k*")) for n in nodes}
    assert set().union(*its.values()) == keys
    begun = []
    for n in nodes[:2]:
        found = set()
        begun.append((n, found, scan(n.client(), 0, found, 30)))
        assert len(found) < len(its[n]) - 100
    lose(nodes[2], nodes[:2], how)
    for n, found, cursor in begun:
        while cursor != 0:
            cursor = scan(n.client(), cursor, found, 1000)
        assert its[n] <= found <= keys
    anew = set()
    for n in nodes[:2]:
        assert scan(n.client(), 0, anew, 10000) == 0
    assert anew == keys
    come_back(nodes[2], nodes, 2)
    until(lambda: sum(n.call("DBSIZE") for n in nodes) == len(keys), 60)
    wait_equal(nodes, 2)


# ------------------------------------------------------------------------- pipelines


def read_all(w, n):
    """So many replies: an integer, or an error's text."""
    replies = []
    for _ in range(n):
        line = w.line().decode()
        assert line[0] in ":-", line
        replies.append(int(line[1:]) if line[0] == ":" else line[1:])
    return replies


@HOW
@pytest.mark.parametrize("copies", [2, 3])
def test_pipeline(node, copies, how, record_property):  # noqa: F811
    """each of 10,000 commands that are under way when a primary is lost is answered, in order: done, UNCERTAIN, or to be asked again (9, 10)"""
    nodes = settled(node, copies=copies, timeout_ms=1000 if how == "killed" else 3000)
    n = 10000
    w = Wire(nodes[0].socket())
    asked = b"".join(request("INCRBY", f"p{i}", i) for i in range(1, n + 1)) + request("PING")
    sender = threading.Thread(target=w.send, args=(asked,), daemon=True)
    sender.start()
    replies = read_all(w, n // 5)
    lose(nodes[2], nodes[:2], how)
    replies += read_all(w, n - len(replies))
    assert w.line() == b"+PONG"
    w.close()
    sender.join(60)
    values = []
    for i in range(0, n, 1000):
        values += nodes[1].call("MGET", *(f"p{k}" for k in range(i + 1, i + 1001)))
    errors = [reply.split()[0] for reply in replies if isinstance(reply, str)]
    record_property("errors", {e: errors.count(e) for e in set(errors)})
    assert how == "killed" or set(errors) <= {"TRYAGAIN"}  # 26: who waited 100 ms for the handover
    for i, (reply, value) in enumerate(zip(replies, values), 1):
        if isinstance(reply, int):
            assert reply == i and value == str(i), (i, reply, value)
        elif reply.startswith("UNCERTAIN "):
            assert value in (None, str(i)), (i, reply, value)
        else:
            assert reply.startswith(AGAIN) and value is None, (i, reply, value)
    come_back(nodes[2], nodes, copies)
    wait_equal(nodes, copies)
