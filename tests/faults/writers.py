# SPDX-License-Identifier: BSD-3-Clause
"""Clients that write and read through every node while there is trouble, and what they may find.

Each key has one writer, which does one thing at a time; each value is written once and names writer and
sequence. So a key is right if every read finds the last value that was acknowledged, or one whose fate is
unknown (UNCERTAIN, or the connection broke after it was sent); and what a read found, or a later
acknowledged write replaced, does not come back. A write that was refused is never found."""

import random
import threading
import time

from lab import Error, slot_of

REFUSALS = ("CLUSTERDOWN ", "TRYAGAIN ", "LOADING ", "NOREPLICAS ", "MISCONF ")  # nothing was run
KEYS = 60  # of each writer


class Key:
    def __init__(self, name):
        self.name = name
        self.value = None      # acknowledged, or found
        self.unknown = set()   # may be found, now or later
        self.refused = 0

    def found(self, value):
        """None, or what is wrong."""
        if value == self.value:
            return None
        if value in self.unknown:
            self.unknown.discard(value)
            self.value = value
            return None
        return f"{self.name} is {value!r}, not {self.value!r} nor one of {sorted(map(str, self.unknown))}"


class Writer(threading.Thread):
    def __init__(self, lab, number, seed):
        super().__init__(daemon=True)
        self.lab, self.number = lab, number
        self.random = random.Random(seed * 1000 + number)
        self.keys = [Key(f"w{number}:{i}") for i in range(KEYS)]
        self.home = lab.nodes[number % len(lab.nodes)]
        self.clients = {}
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.wrong = []
        self.sequence = self.acknowledged = self.refused = self.uncertain = self.reads = 0
        self.served = {}  # slot -> when something last succeeded there

    def run(self):
        try:
            while not self.over.is_set() and not self.wrong:
                with self.lock:
                    self.once()
                self.over.wait(0.001)
        except Exception as e:  # told by the test that owns it
            self.wrong.append(f"writer {self.number} ended: {e!r}")
        for c in self.clients.values():
            c.close()

    def once(self):
        key = self.random.choice(self.keys)
        if self.random.random() < 0.6:
            self.write(key, self.home)
        else:
            self.read(key, self.random.choice(self.lab.nodes))

    def call(self, node, *words):
        """The reply; None: nothing was sent; OSError: who knows."""
        if node not in self.clients:
            try:
                self.clients[node] = node.client(timeout=2)
            except OSError:
                self.over.wait(0.02)
                return None
        try:
            return self.clients[node].call(*words)
        except (OSError, EOFError) as e:
            self.clients.pop(node).close()
            raise OSError(*e.args) from e

    def write(self, key, node):
        self.sequence += 1
        value = f"{self.number}:{self.sequence}"
        try:
            reply = self.call(node, "SET", key.name, value)
        except OSError:
            reply = Error("UNCERTAIN the connection broke")
        if reply == "OK":
            key.value = value
            self.acknowledged += 1
            self.served[slot_of(key.name)] = time.monotonic()
        elif reply is None or reply.startswith(REFUSALS):
            self.refused += 1
        elif reply.startswith("UNCERTAIN "):
            key.unknown.add(value)
            self.uncertain += 1
        else:
            self.wrong.append(f"SET {key.name} through {node}: {reply}")

    def read(self, key, node):
        try:
            reply = self.call(node, "GET", key.name)
        except OSError:
            return
        if isinstance(reply, Error):
            if not reply.startswith(REFUSALS):
                self.wrong.append(f"GET {key.name} through {node}: {reply}")
            return
        if reply is None and node not in self.clients:
            return
        self.reads += 1
        wrong = key.found(reply)
        if wrong:
            self.wrong.append(f"through {node}: {wrong}")


class Writers:
    """One writer for each node, and more."""

    def __init__(self, lab, n=None, seed=1):
        self.lab, self.seed = lab, seed
        self.all = [Writer(lab, i, seed) for i in range(n or len(lab.nodes))]
        for w in self.all:
            w.start()

    def count(self, what):
        return sum(getattr(w, what) for w in self.all)

    def wrong(self):
        return [e for w in self.all for e in w.wrong]

    def give_up(self, slots):
        """What lay in these slots is gone for good: they may be found empty."""
        for w in self.all:
            with w.lock:
                for k in w.keys:
                    if slot_of(k.name) in slots:
                        k.unknown.add(None)

    def stop(self):
        for w in self.all:
            w.over.set()
        for w in self.all:
            w.join(60)
            assert not w.is_alive()
        assert self.wrong() == [], f"seed {self.seed}"

    def check(self, nodes):
        """After stop(): every key, through every node, is what it may be."""
        for node in nodes:
            c = node.client()
            for w in self.all:
                for k in w.keys:
                    reply = c.call("GET", k.name)
                    assert not isinstance(reply, Error), f"GET {k.name} through {node}: {reply}"
                    wrong = k.found(reply)
                    assert wrong is None, f"through {node}: {wrong} (seed {self.seed})"
            c.close()

    def summary(self):
        return (f"{self.count('acknowledged')} writes acknowledged, {self.count('refused')} refused, "
                f"{self.count('uncertain')} uncertain, {self.count('reads')} reads")
