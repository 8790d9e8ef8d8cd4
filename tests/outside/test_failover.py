# SPDX-License-Identifier: BSD-3-Clause
"""Clusters that keep copies: what clients were told is kept, whoever dies, stops or joins."""

import signal
import threading

import pytest
import redis

from conftest import until
from members import form, is_whole, node, wait_whole  # noqa: F401 (node is a fixture)

KEYS = 40


class Writer(threading.Thread):
    """Writes rising numbers through one node, which lives, and remembers what may stand under each key."""

    def __init__(self, number, through):
        super().__init__(daemon=True)
        self.number, self.through = number, through
        self.over = threading.Event()
        self.acked = 0
        self.may_be = {}   # key -> values, one of which is there: the newest that was acked, or later ones of unknown fate
        self.refused = []  # what else was answered

    def run(self):
        client = redis.Redis(port=self.through.port, socket_timeout=60, decode_responses=True)
        n = 0
        while not self.over.is_set():
            n += 1
            key, value = f"w{self.number}:{n % KEYS}", str(n)
            try:
                client.set(key, value)
                self.may_be[key] = {value}
                self.acked += 1
            except redis.RedisError as e:
                if "UNCERTAIN" in str(e):
                    self.may_be.setdefault(key, {None}).add(value)
                else:
                    self.refused.append(str(e))
        client.close()

    def missing(self, through):
        found = []
        for key, values in self.may_be.items():
            got = through.call("GET", key)
            if got not in values:
                found.append((key, got, values))
        return found


def writing(nodes):
    writers = [Writer(i, nodes[i % len(nodes)]) for i in range(4)]
    for w in writers:
        w.start()
    until(lambda: all(w.acked > 100 for w in writers), 60)
    return writers


def go_on(writers):
    """Each has had something acknowledged since now, as often as it takes to have been through all its keys."""
    goal = [w.acked + 2 * KEYS for w in writers]
    until(lambda: all(w.acked >= g for w, g in zip(writers, goal)), 120)


def end(writers, through):
    for w in writers:
        w.over.set()
    for w in writers:
        w.join(120)
    assert [m for w in writers for m in w.missing(through)] == []


def has_copies(nodes, n):
    """Each slot has so many that are in sync, as every node sees it."""
    for m in nodes:
        try:
            ranges = m.call("CLUSTER", "SLOTS")
        except redis.RedisError:
            return False
        if sum(r[1] - r[0] + 1 for r in ranges) != 16384 or any(len(r) < 2 + n for r in ranges):
            return False
    return True


def with_copies(node, n=3, copies=2, timeout_ms=1000):
    nodes = form(node, n, timeout_ms=timeout_ms)
    assert nodes[0].call("CLUSTER", "SETTINGS", "SET", "replication-factor", copies) == "OK"
    until(lambda: has_copies(nodes, copies), 60)
    return nodes


def test_a_dead_primary_loses_nothing(node):
    """Two nodes' clients see a pause; what was acknowledged is there, and the dead one comes back in sync."""
    nodes = with_copies(node)
    writers = writing(nodes[1:])
    nodes[0].kill()
    until(lambda: all(n.info().get("cluster_slots_ok") == "16384" for n in nodes[1:]), 120)
    go_on(writers)
    nodes[0].restart()
    until(lambda: is_whole(nodes) and has_copies(nodes, 2), 120)
    go_on(writers)
    end(writers, nodes[0])
    assert {r for w in writers for r in w.refused} == set()


def test_one_after_the_other_dies(node):
    nodes = with_copies(node)
    writers = writing(nodes[2:])
    for victim in nodes[:2]:
        victim.kill()
        until(lambda: nodes[2].info().get("cluster_slots_ok") == "16384", 120)
        go_on(writers)
        victim.restart()
        until(lambda: is_whole(nodes) and has_copies(nodes, 2), 120)
    end(writers, nodes[1])
    assert {r for w in writers for r in w.refused} == set()


def test_a_stop_hands_over(node):
    """SIGTERM is no failure: nobody waits for a lease to run out."""
    nodes = with_copies(node)
    writers = writing(nodes[1:])
    nodes[0].process.send_signal(signal.SIGTERM)
    assert nodes[0].process.wait(60) == 0
    assert nodes[1].info()["cluster_slots_ok"] == "16384"
    go_on(writers)
    nodes[0].restart()
    until(lambda: is_whole(nodes) and has_copies(nodes, 2), 120)
    end(writers, nodes[0])
    assert {r for w in writers for r in w.refused} == set()


def settling(n, *before):
    """What of CLUSTER SETTINGS is not settled yet, as of right after another command."""
    client = redis.Redis(port=n.port, socket_timeout=60, decode_responses=True)
    words = client.pipeline(transaction=False).execute_command(*(before or ("PING",))) \
        .execute_command("CLUSTER", "SETTINGS", "GET").execute()[-1]
    client.close()
    return dict(zip(words[::2], words[1::2]))["settling"]


@pytest.mark.parametrize("before, then", [("majority", "all"), ("all", "majority")])
def test_who_is_elected_settles(node, before, then):
    """write-quorum is changed as a primary hangs: who is elected asks again who holds its records, and it is settled"""
    nodes = with_copies(node, 3, 3, timeout_ms=3000)
    assert nodes[0].call("CLUSTER", "SETTINGS", "SET", "write-quorum", before) == "OK"
    until(lambda: all(settling(n) == "no" for n in nodes), 120, "it is not settled")
    writers = writing(nodes[:2])
    nodes[2].process.send_signal(signal.SIGSTOP)
    told = settling(nodes[0], "CLUSTER", "SETTINGS", "SET", "write-quorum", then)
    assert "write-quorum and replication-factor: " in told  # in its slots nobody can tell
    until(lambda: all(n.info().get("cluster_slots_ok") == "16384" for n in nodes[:2]), 120)
    until(lambda: all(settling(n) == "no" for n in nodes[:2]), 120, "it is not settled by who was elected")
    go_on(writers)
    nodes[2].kill()
    nodes[2].restart()
    until(lambda: is_whole(nodes) and has_copies(nodes, 3), 120)
    end(writers, nodes[2])


def test_slots_with_keys_move(node):
    """To nodes that join, one copy of each slot; and away from one that is forgotten. No client sees an error."""
    nodes = [node(1000).start()]
    client = redis.Redis(port=nodes[0].port, decode_responses=True)
    with client.pipeline(transaction=False) as pipe:
        for i in range(20000):
            pipe.set(f"k{i}", f"v{i}")
        pipe.execute()
    writers = writing(nodes)
    for _ in range(2):
        nodes.append(node(1000).launch(join=[nodes[0]]))
    wait_whole(nodes, 90)
    go_on(writers)
    end(writers, nodes[2])
    assert {r for w in writers for r in w.refused} == set()
    until(lambda: sum(n.call("DBSIZE") for n in nodes) == 20000 + 4 * KEYS, 60)
    for i in range(0, 20000, 97):
        assert nodes[i % 3].call("GET", f"k{i}") == f"v{i}"
    assert nodes[0].call("CLUSTER", "FORGET", nodes[1].id()) == "OK"
    until(lambda: nodes[0].info().get("cluster_known_nodes") == "2", 90)
    assert sum(n.call("DBSIZE") for n in (nodes[0], nodes[2])) == 20000 + 4 * KEYS
    for i in range(0, 20000, 97):
        assert nodes[0].call("GET", f"k{i}") == f"v{i}"
