# SPDX-License-Identifier: BSD-3-Clause
"""maxmemory in a cluster that keeps copies: only a slot's primary evicts, for itself and for the nodes that have copies.
Alone, and values of all kinds: test_memory.py."""

import itertools
import threading

import redis

from conftest import request, until
from interplay import come_back, keys_of, lose, settle, wait_equal
from members import form, is_whole, node  # noqa: F401: node is a fixture
from test_failover import has_copies

VALUE = b"v" * 8000
ROOM = 24_000_000  # for keys and copies, beside what a node has without any; who leads comes to need some of it
OOM = b"-OOM "
AT_ONCE = 50


def figure(n, name):
    return int(n.call("INFO", "memory", "stats")[name])


def used(n):
    """What counts against maxmemory."""
    return figure(n, "used_memory") - figure(n, "mem_not_counted_for_evict")


def limited(node, policy):  # noqa: F811
    """Three nodes, two copies, room for so much at each; and what their limit is."""
    args = ["--repl-backlog-size", "1mb", "--replication-factor", 2, "--maxmemory-policy", policy]
    nodes = settle(form(node, 3, *args, timeout_ms=1000))
    until(lambda: has_copies(nodes, 2), 120)
    limit = max(used(n) for n in nodes) + ROOM
    for n in nodes:
        n.args += ["--maxmemory", limit]
        assert n.call("CONFIG", "SET", "maxmemory", limit) == "OK"
    return nodes, limit


class Filler(threading.Thread):
    """Pipelines of SETs of ever new keys through one node, which lives; and what was answered but OK."""

    def __init__(self, number, through, *options):
        super().__init__(daemon=True)
        self.number, self.through, self.options = number, through, options
        self.over = threading.Event()
        self.written, self.answers = 0, {}
        self.start()

    def run(self):
        with self.through.socket(timeout=120) as s:
            lines = s.makefile("rb")
            for n in range(0, 10**9, AT_ONCE):
                if self.over.is_set():
                    return
                s.sendall(b"".join(request("SET", f"fill:{self.number}:{i}", VALUE, *self.options) for i in range(n, n + AT_ONCE)))
                for _ in range(AT_ONCE):
                    line = lines.readline()
                    if line != b"+OK\r\n":
                        self.answers[line] = self.answers.get(line, 0) + 1
                self.written += AT_ONCE


def fill(nodes, fillers):
    """Each writes three times what there is room for in all of the cluster."""
    goals = [f.written + 3 * ROOM * len(nodes) // 2 // len(VALUE) // len(fillers) for f in fillers]
    most = 0

    def is_done():
        nonlocal most
        most = max([most] + [used(n) for n in nodes])
        return all(f.written >= goal for f, goal in zip(fillers, goals))
    until(is_done, 300, "writers do not get on")
    return most


def end(fillers):
    for f in fillers:
        f.over.set()
    for f in fillers:
        f.join(120)


def wait_within(nodes, limit):
    until(lambda: all(used(n) <= limit + ROOM // 20 for n in nodes), 120, "more than maxmemory is used")


def test_evicted_by_primaries(node):  # noqa: F811
    """writers at full rate are told no error: what copies take is evicted by their primaries, everywhere about alike (R13)"""
    nodes, limit = limited(node, "allkeys-lru")
    fillers = [Filler(i, nodes[i % 3]) for i in range(3)]
    most = fill(nodes, fillers)
    end(fillers)
    assert [f.answers for f in fillers] == [{}, {}, {}]
    assert most <= limit + ROOM // 2
    wait_within(nodes, limit)
    assert all(n.call("DBSIZE") * len(VALUE) > ROOM // 8 for n in nodes)  # each has a part of what it has room for
    wait_equal(nodes, 2)


def test_evicted_when_a_primary_is_lost(node):  # noqa: F811
    """while a node is lost, by kill -9 and by SIGTERM, and comes back, no writer is told OOM, and all keep to maxmemory"""
    nodes, limit = limited(node, "allkeys-lru")
    fillers = [Filler(i, nodes[i % 2]) for i in range(2)]
    fill(nodes, fillers)
    for how in ("killed", "ended"):
        lose(nodes[2], nodes[:2], how)
        fill(nodes[:2], fillers)
        come_back(nodes[2], nodes, 2)
        fill(nodes, fillers)
    end(fillers)
    assert not [a for f in fillers for a in f.answers if a.startswith(OOM)]
    wait_within(nodes, limit)
    wait_equal(nodes, 2)


def test_evicted_while_slots_move(node):  # noqa: F811
    """slots are handed over to a node that joins while their keys are evicted and expire: none comes back, none is lost (8, 26)"""
    nodes, limit = limited(node, "volatile-lru")
    clients = [n.client() for n in nodes]
    stay = {f"stay:{i}": str(i) for i in range(500)}
    for key, value in stay.items():
        clients[0].set(key, value)
    fillers = [Filler(i, nodes[i], "EX", 1_000_000) for i in range(2)]
    until(lambda: all(figure(n, "evicted_keys") > 0 for n in nodes), 300, "nothing is evicted")
    new = node(1000).launch(*nodes[0].args, join=[nodes[0]])
    soon = [f"soon:{i}" for i in range(1000)]
    for i, key in enumerate(soon):  # it takes the slots in the meantime
        clients[i % 3].set(key, VALUE, px=500 + 10 * (i % 500))
    nodes.append(new)
    until(lambda: is_whole(nodes), 300, "it is not in")
    settle(nodes)
    until(lambda: figure(new, "evicted_keys") > 0, 300, "nothing is evicted where slots came to")
    end(fillers)
    assert not [a for f in fillers for a in f.answers if a.startswith(OOM)]
    until(lambda: not [k for k in soon if clients[1].get(k) is not None], 120, "what expired is there")
    assert {key: clients[1].get(key) for key in stay} == stay
    wait_within(nodes, limit)
    wait_equal(nodes, 2, soon)


def is_set(client, key):
    """Or refused for want of memory."""
    try:
        return client.set(key, VALUE)
    except redis.ResponseError as e:
        assert "command not allowed when used memory > 'maxmemory'" in str(e)
        return False


def test_refused_where_nothing_may_go(node):  # noqa: F811
    """under noeviction what needs memory is refused, wherever it is full; reads and DEL run, and make room (R13)"""
    nodes, limit = limited(node, "noeviction")
    keys = keys_of(nodes[0], 2 * ROOM // len(VALUE))
    client = nodes[0].client()
    kept = list(itertools.takewhile(lambda key: is_set(client, key), keys))
    assert len(kept) < len(keys) and all(used(n) <= limit + ROOM // 4 for n in nodes)
    assert nodes[1].call("STRLEN", kept[0]) == len(VALUE)
    for key in kept[:len(kept) // 2]:
        assert client.delete(key) == 1
    until(lambda: is_set(client, kept[0]), 60)
    wait_equal(nodes, 2)
