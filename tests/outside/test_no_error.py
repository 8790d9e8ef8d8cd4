# SPDX-License-Identifier: BSD-3-Clause
"""Nodes that join, leave in good order or are forgotten cost no client an error, whatever it is and whoever it asks."""

import signal
import threading

import redis
from redis.cluster import ClusterNode, RedisCluster

from conftest import until
from members import form, node, wait_whole  # noqa: F401 (node is a fixture)
from test_failover import has_copies

KEYS = 200


class Client(threading.Thread):
    """Writes and reads back, a few keys at once and one by one, and remembers what it was refused."""

    def __init__(self, number, connect):
        super().__init__(daemon=True)
        self.number, self.connect = number, connect
        self.over = threading.Event()
        self.turns = 0
        self.errors = []
        self.start()

    def turn(self, client, n):
        names = [f"e{self.number}:{(n * 7 + k) % KEYS}" for k in range(5)]
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.set(name, n)
            pipe.get(name)
        wrong = [r for r in pipe.execute(raise_on_error=False)[1::2] if r != str(n)]
        tag = f"{{e{self.number}:{n % KEYS}}}"
        assert client.set(f"{tag}a", n) and client.incr(f"{tag}b") > 0
        got = client.mget([f"{tag}a", f"{tag}c"])
        if got != [str(n), None]:
            wrong.append(got)
        self.errors += wrong

    def run(self):
        client = None
        while not self.over.is_set():
            try:
                client = client or self.connect()
                self.turn(client, self.turns)
            except Exception as e:  # whatever it is, the test tells of it
                self.errors.append(f"turn {self.turns}: {e!r}")
            self.turns += 1
        client.close()


class Plain(Client):
    """Of one node, with one connection: knows no cluster, and asks for keys of many slots in one command."""

    def turn(self, client, n):
        super().turn(client, n)
        many = {f"m{self.number}:{(n + k) % KEYS}": str(n) for k in range(8)}
        assert client.mset(many)
        if client.mget(list(many)) != list(many.values()):
            self.errors.append(f"MGET of {list(many)} is not what MSET wrote")


def plain(number, n):
    return Plain(number, lambda: redis.Redis(port=n.port, decode_responses=True, socket_timeout=60,
                                             single_connection_client=True))


def knowing(number, nodes):
    """Follows MOVED, and asks nobody again after any other error: one attempt is the first."""
    return Client(number, lambda: RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", n.port) for n in nodes],
                                               decode_responses=True, socket_timeout=60,
                                               cluster_error_retry_attempts=1))


def go_on(clients):
    assert all(c.is_alive() for c in clients)
    goal = [c.turns + 20 for c in clients]
    until(lambda: all(c.turns >= g for c, g in zip(clients, goal)), 120)


def end(clients):
    for c in clients:
        c.over.set()
    for c in clients:
        c.join(120)
    assert {c.number: c.errors[:5] for c in clients if c.errors} == {}


def is_spread(nodes):
    """Nobody is on the way to anybody, and each leads its share."""
    waiting = [n.call("CLUSTER", "REBALANCE", "STATUS") for n in nodes]
    return all(dict(zip(w[::2], w[1::2]))["slots-waiting-with-keys"] == 0 for w in waiting) and has_copies(nodes, 2)


def test_members_join_and_leave(node):  # noqa: F811
    """a fourth and a fifth join, one stops in good order and comes back, one is forgotten: no client sees an error"""
    args = ("--replication-factor", "2")
    nodes = form(node, 3, *args)
    until(lambda: has_copies(nodes, 2), 60)
    clients = [plain(i, n) for i, n in enumerate(nodes)] + [knowing(7, nodes), knowing(8, nodes[:1])]
    go_on(clients)
    for _ in range(2):
        nodes.append(node().launch(*args, join=nodes[:1]))
        wait_whole(nodes, 120)
        until(lambda: is_spread(nodes), 120)
        clients.append(plain(len(nodes), nodes[-1]))
        go_on(clients)
    end(clients)

    rest = nodes[:3]
    clients = [plain(i, n) for i, n in enumerate(rest)]
    go_on(clients)
    gone = nodes[3]
    gone.process.send_signal(signal.SIGTERM)
    assert gone.process.wait(60) == 0
    go_on(clients)
    gone.restart(join=rest)
    wait_whole(nodes, 120)
    until(lambda: is_spread(nodes), 120)
    go_on(clients)
    left = nodes.pop()
    assert nodes[0].call("CLUSTER", "FORGET", left.id()) in ("OK", True)
    wait_whole(nodes, 120)
    go_on(clients)
    end(clients)
