# SPDX-License-Identifier: BSD-3-Clause
"""Everything that crosses threads, at once: for a server built with --enable-tsan or --enable-sanitize
(VONG_SERVER=... names it), and no less a test of any other. A sanitizer's complaint ends the server or
changes its exit code."""

import os
import random
import signal
import threading
import time

import pytest
import redis

from conftest import VONG, request, until
from members import Node, wait_whole

SECONDS = float(os.environ.get("THREADS_SECONDS", "4"))
VALUES = [5, 5, 100, 1000, 20_000]


class Client(threading.Thread):
    transactions = 0.3

    def __init__(self, server, n):
        super().__init__(daemon=True)
        self.server, self.rng, self.n = server, random.Random(n), n
        self.done = 0
        self.stop = threading.Event()
        self.error = None

    def one(self, p):
        k = f"{self.n}:{self.rng.randrange(2000)}"
        kind = self.rng.random()
        if kind < 0.5:
            p.set(k, "x" * self.rng.choice(VALUES))
        elif kind < 0.6:
            p.append(k, "y" * 1000)
        elif kind < 0.7:
            p.delete(k)
        elif kind < 0.71:
            p.set(k, "z" * 2_000_000)
        elif kind < 0.75:
            p.set(k, "soon", px=50)
        else:
            p.get(k)

    def run(self):
        try:
            c = self.server.client()
            while not self.stop.is_set():
                p = c.pipeline(transaction=self.rng.random() < self.transactions)
                for _ in range(self.rng.choice([1, 20, 100])):
                    self.one(p)
                p.execute()
                self.done += 1
        except redis.RedisError as e:
            self.error = e


def rewritten(c):
    until(lambda: c.info("persistence")["aof_rewrite_in_progress"] == 0 and
          c.info("persistence")["rdb_bgsave_in_progress"] == 0, 120)


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_all_at_once(server, policy):
    """load, rewrites, backups, flushes, switches of the log and SHUTDOWN at once"""
    server.start("--appendfsync", policy, "--auto-aof-rewrite-percentage", "0")
    clients = [Client(server, n) for n in range(4)]
    for t in clients:
        t.start()
    c = server.client()
    end = time.monotonic() + SECONDS
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        for act in (c.bgrewriteaof, c.bgsave, c.flushall, c.bgrewriteaof,
                    lambda: c.config_set("appendfsync", "no"), lambda: c.config_set("appendfsync", policy),
                    lambda: c.config_set("appendonly", "no"), lambda: c.config_set("appendonly", "yes")):
            before = sum(t.done for t in clients)
            act()
            until(lambda: sum(t.done for t in clients) >= before + 4, 120, "the clients stand still")
            rewritten(c)
        rounds += 1
    keys = c.dbsize()
    with server.socket() as s:
        s.sendall(request("SHUTDOWN"))
        s.recv(10)
    assert server.process.wait(60) == 0, server.log[-3000:]
    for t in clients:
        t.join(60)
        assert isinstance(t.error, redis.ConnectionError), t.error
    assert keys > 0
    server.start()
    assert server.client().dbsize() > 0
    assert server.stop() == 0


def test_planes(tmpdir_short):
    """the two planes of three nodes at once: clients at each, forwarding, words, the log file, stops"""
    nodes = []
    try:
        for i in range(3):
            (tmpdir_short / f"n{i}").mkdir()
            # a sanitizer's process is slow: nobody is to be suspected for it
            nodes.append(Node(tmpdir_short / f"n{i}", VONG, 8000))
            nodes[i].launch("--cluster-secret", "s", "--logfile", str(tmpdir_short / f"n{i}" / "own"),
                            join=nodes[:1] if i > 0 else [])
        until(lambda: all(n.info().get("cluster_size") == "3" for n in nodes), 120, "no cluster of three")
        clients = [Client(n, i) for i, n in enumerate(nodes)]
        for t in clients:
            t.transactions = 0  # its keys are in many slots
            t.start()
        end = time.monotonic() + SECONDS
        width = 10
        while time.monotonic() < end:
            for n in nodes:
                width += 1
                n.call("CONFIG", "SET", "loglevel", "verbose")
                n.process.send_signal(signal.SIGHUP)
                n.call("CLUSTER", "SETTINGS", "SET", "cluster-scatter-width", width)
                n.call("CONFIG", "SET", "loglevel", "notice")
        for t in clients:
            t.stop.set()
        for t in clients:
            t.join(60)
            assert t.error is None and t.done > 0, t.error
        for n in nodes:
            assert n.stop() == 0, n.log[-3000:]
        for n in nodes:
            n.launch("--cluster-secret", "s", join=[])
        wait_whole(nodes, 120)
        for n in reversed(nodes):
            assert n.stop() == 0, n.log[-3000:]
    finally:
        for n in nodes:
            if n.process is not None:
                n.kill()
