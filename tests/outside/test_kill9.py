# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 under load: what was acknowledged is there, by the clients' own journals.

Each client is a process with keys of its own, one connection and a journal, a file: how many requests were
sent, and how many were answered, noted after the reply. Its requests follow from (client, generation, n)
alone. So after a restart its keys must look exactly as after the first m of them, for one m that is no less
than what was acknowledged and no more than what was sent: nothing missing, nothing half done (a MULTI is one
request), nothing in another order.

A handful of kills by default; KILLS=50 is the whole."""

import multiprocessing
import os
import random
import socket
import struct
import time

import pytest

from conftest import request, until

KILLS = int(os.environ.get("KILLS", "3"))
CLIENTS = 4
FILLERS = 20_000
FILLER = "filler:" + "-" * 100
BIG_BYTES = 3_000_000
DEPTHS = [1, 1, 1, 2, 7, 40, 200]

processes = multiprocessing.get_context("fork")


class Model:
    """What a client's keys hold after its first requests."""

    def __init__(self, client):
        self.client = client
        self.keys = {}

    def key(self, name):
        return f"c{self.client}:{name}"

    def names(self):
        names = [self.key(f"k{i}") for i in range(60)]
        return names + [self.key(n) for n in ("list", "count", "big", "one", "two")]

    def do(self, generation, n):
        """Request n of a generation is done: its bytes and the reply that is due."""
        rng = random.Random(hash((self.client, generation, n)))
        kind = rng.random()
        tag = b"%d.%d;" % (generation, n)
        k = self.key(f"k{rng.randrange(60)}")
        if kind < 0.4:
            return self.set(k, tag + b"x" * rng.randrange(400))
        if kind < 0.65:
            return self.append(self.key("list"), tag)
        if kind < 0.85:
            return self.increment(self.key("count"))
        if kind < 0.9:
            had = self.keys.pop(k, None) is not None
            return request("DEL", k), b":%d\r\n" % had
        if kind < 0.995:
            return self.transaction(tag)
        return self.set(self.key("big"), tag * (rng.randrange(BIG_BYTES) // len(tag)))

    def set(self, key, value):
        self.keys[key] = value
        return request("SET", key, value), b"+OK\r\n"

    def append(self, key, value):
        if len(self.keys.get(key, b"")) > 20_000:
            return self.set(key, value)
        self.keys[key] = self.keys.get(key, b"") + value
        return request("APPEND", key, value), b":%d\r\n" % len(self.keys[key])

    def increment(self, key):
        self.keys[key] = b"%d" % (int(self.keys.get(key, b"0")) + 1)
        return request("INCR", key), b":%s\r\n" % self.keys[key]

    def transaction(self, tag):
        parts = [self.set(self.key("one"), tag), self.increment(self.key("count")),
                 self.set(self.key("two"), tag)]
        sent = request("MULTI") + b"".join(p[0] for p in parts) + request("EXEC")
        return sent, b"+OK\r\n" + b"+QUEUED\r\n" * 3 + b"*3\r\n" + b"".join(p[1] for p in parts)


class Journal:
    """Two numbers in a file, written with pwrite: they are there however their writer ends."""

    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.pwrite(self.fd, bytes(16), 0)

    def sent(self, n):
        os.pwrite(self.fd, struct.pack("<q", n), 0)

    def acknowledged(self, n):
        os.pwrite(self.fd, struct.pack("<q", n), 8)

    def wrong(self, text):
        os.pwrite(self.fd, text.encode()[:2000], 16)

    def read(self):
        data = open(self.path, "rb").read()
        sent, acknowledged = struct.unpack("<qq", data[:16])
        return sent, acknowledged, data[16:].decode(errors="replace")


class Reader:
    def __init__(self, sock):
        self.sock, self.rest = sock, b""

    def expect(self, reply):
        """False: the connection ended. A reply that is another one is told."""
        while len(self.rest) < len(reply):
            if not reply.startswith(self.rest):
                break
            piece = self.sock.recv(1 << 18)
            if not piece:
                return False
            self.rest += piece
        if not self.rest.startswith(reply):
            raise ValueError(f"{self.rest[:300]!r} instead of {reply[:300]!r}")
        self.rest = self.rest[len(reply):]
        return True


def client_main(port, model, generation, journal):
    """A client's life, until its connection breaks."""
    rng = random.Random(os.getpid())
    n = 0
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = Reader(s)
            while True:
                depth = rng.choice(DEPTHS)
                batch = [model.do(generation, n + i) for i in range(depth)]
                journal.sent(n + depth)
                s.sendall(b"".join(b[0] for b in batch))
                for _, reply in batch:
                    if not reader.expect(reply):
                        return
                    n += 1
                    journal.acknowledged(n)
    except ConnectionError:
        pass
    except Exception as e:
        journal.wrong(f"after {n} replies: {type(e).__name__} {e}")


class Load:
    """The clients of one server, through all its deaths."""

    def __init__(self, server):
        self.server = server
        self.models = [Model(i) for i in range(CLIENTS)]
        self.generation = 0
        self.journals = []
        self.children = []
        self.acknowledged = self.uncertain_kept = 0

    def begin(self):
        self.generation += 1
        self.journals = [Journal(self.server.dir / f"journal.{i}") for i in range(CLIENTS)]
        self.children = [processes.Process(target=client_main, daemon=True,
                                           args=(self.server.port, m, self.generation, j))
                         for m, j in zip(self.models, self.journals)]
        for c in self.children:
            c.start()

    def under_way(self):
        """Each client had replies, so many that the kill has something to lose."""
        return all(j.read()[1] > 50 for j in self.journals)

    def ended(self):
        for c in self.children:
            c.join(120)
            assert c.exitcode == 0, "a client did not end with its server"
        for j in self.journals:
            os.close(j.fd)

    def check(self, where):
        """Every client's keys are those after m requests, acknowledged <= m <= sent."""
        with self.server.client(decode_responses=False) as c:
            for model, journal in zip(self.models, self.journals):
                self.check_one(c, model, journal, where)

    def check_one(self, c, model, journal, where):
        sent, acknowledged, wrong = journal.read()
        assert wrong == "", f"{where}: client {model.client}: {wrong}"
        names = model.names()
        have = {k: v for k, v in zip(names, c.mget(names)) if v is not None}
        for m in range(sent + 1):
            if m > 0:
                model.do(self.generation, m - 1)
            if m >= acknowledged and model.keys == have:
                self.acknowledged += acknowledged
                self.uncertain_kept += m - acknowledged
                return
            if m == acknowledged:
                due = dict(model.keys)
        missing = [(k, due.get(k, b"")[:60], have.get(k, b"")[:60])
                   for k in names if due.get(k) != have.get(k)]
        raise AssertionError(f"{where}: client {model.client} sent {sent}, had replies to {acknowledged}, and "
                             f"finds no state between: {missing[:8]}")


def rewrites(server):
    """How many rewrites were begun, and how many came to their end."""
    log = server.log
    return log.count("The log is being rewritten"), log.count("The log is rewritten")


def start(server, rng, policy):
    """Starts it; now and then it is killed while it starts."""
    options = ("--appendfsync", policy, "--auto-aof-rewrite-percentage", "0")
    if rng.random() < 0.2:
        server.launch(*options)
        time.sleep(rng.uniform(0, 0.06))
        server.kill()
    server.start(*options)


def fill(server):
    with server.client() as c:
        for begin in range(0, FILLERS, 5000):
            c.mset({f"f{i}": f"{FILLER}{i}" for i in range(begin, begin + 5000)})


def check_fillers(server, where):
    with server.client() as c:
        for begin in range(0, FILLERS, 5000):
            got = c.mget([f"f{i}" for i in range(begin, begin + 5000)])
            assert got == [f"{FILLER}{i}" for i in range(begin, begin + 5000)], where


@pytest.mark.parametrize("policy", ["everysec", "always", "no"])
def test_kill9(server, policy):
    """kills -9 under load from several clients lose nothing that was acknowledged"""
    rng = random.Random(policy)
    load = Load(server)
    for kill in range(KILLS):
        start(server, rng, policy)
        if kill > 0:
            load.check(f"after kill {kill}")
        load.begin()
        until(load.under_way)
        time.sleep(rng.uniform(0, 0.3))
        server.kill()
        load.ended()
    start(server, rng, policy)
    load.check(f"after kill {KILLS}")
    print(f"{policy}: {KILLS} kills, {load.acknowledged} acknowledged requests, none missing; "
          f"{load.uncertain_kept} without a reply are there")
    assert load.acknowledged > KILLS * 100


@pytest.mark.parametrize("policy", ["everysec", "always", "no"])
def test_kill9_in_a_rewrite(server, policy):
    """kills -9 while the log is rewritten under load lose nothing that was acknowledged"""
    rng = random.Random(policy)
    load = Load(server)
    inside = 0
    start(server, rng, policy)
    fill(server)
    for kill in range(KILLS):
        load.begin()
        until(load.under_way)
        begun, finished = rewrites(server)
        with server.client() as c:
            c.bgrewriteaof()
        time.sleep(rng.uniform(0, 0.15))
        server.kill()
        inside += rewrites(server)[0] - begun > rewrites(server)[1] - finished
        load.ended()
        start(server, rng, policy)
        load.check(f"after kill {kill + 1}")
        check_fillers(server, f"after kill {kill + 1}")
    print(f"{policy}: {KILLS} kills, {inside} inside a rewrite, {load.acknowledged} acknowledged requests, "
          "none missing")
    assert load.acknowledged > KILLS * 20


def test_the_journals_notice(server):
    """a log that lost its last records is noticed by the journals"""
    load = Load(server)
    server.start("--appendfsync", "always")
    load.begin()
    until(load.under_way)
    server.kill()
    load.ended()
    increment = next((server.dir / "appendonlydir").glob("*.incr.aof"))
    data = increment.read_bytes()
    third = [i for i in range(len(data)) if data.startswith(b"\n#V ", i)][len(load.models)]
    os.truncate(increment, third + 1)
    server.start()
    with pytest.raises(AssertionError, match="finds no state between"):
        load.check("after the cut")


def test_kill9_after_the_log_was_off(server):
    """after CONFIG SET appendonly no and yes again everything is in the log, also what came meanwhile"""
    c = server.start("--appendfsync", "everysec").client()
    c.mset({f"before{i}": i for i in range(5000)})
    c.config_set("appendonly", "no")
    until(lambda: c.info("persistence")["aof_enabled"] == 0)
    c.mset({f"between{i}": i for i in range(5000)})
    c.delete("before0")
    c.config_set("appendonly", "yes")
    until(lambda: c.info("persistence")["aof_enabled"] == 1 and
          c.info("persistence")["aof_rewrite_in_progress"] == 0)
    c.mset({f"after{i}": i for i in range(5000)})
    c.delete("between0")
    server.kill()
    c = server.start().client()
    assert c.dbsize() == 15_000 - 2
    assert c.mget("before1", "between1", "after4999", "before0", "between0") == ["1", "1", "4999", None, None]
