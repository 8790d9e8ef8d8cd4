# SPDX-License-Identifier: BSD-3-Clause
"""Everything that crosses threads, at once: for a server built with --enable-tsan or --enable-sanitize
(VONG_SERVER=... names it), and no less a test of any other. A sanitizer's complaint ends the server or
changes its exit code."""

import os
import random
import threading
import time

import pytest
import redis

from conftest import request, until

SECONDS = float(os.environ.get("THREADS_SECONDS", "4"))
VALUES = [5, 5, 100, 1000, 20_000]


class Client(threading.Thread):
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
                p = c.pipeline(transaction=self.rng.random() < 0.3)
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
