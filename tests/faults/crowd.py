# SPDX-License-Identifier: BSD-3-Clause
"""Many plain clients of one address. Each has keys of its own in two slots, writes values that carry its number and
their place in its sequence, reads them back, and counts. Every reply is checked: it can only be this client's, and only
this command's. Nothing but a write may be answered UNCERTAIN, and nothing may be refused."""

import collections
import heapq
import random
import selectors
import socket
import threading
import time

from conftest import request

TURNS = 400  # a second, of all together: more of them is a load that takes leases away on a machine of two cores


class Wrong(Exception):
    pass


class Key:
    """may: the values that it may have, None is none."""

    def __init__(self, name):
        self.name = name
        self.may = {None}


class One:
    """A client: what it is owed is (check, what was asked), in order."""

    def __init__(self, number, sock):
        self.number = number
        self.keys = [Key(f"{{c{number}{s}}}") for s in "xy"]
        self.low = self.high = 0  # what its counter may be
        self.turn = self.uncertain = self.acknowledged = 0
        self.owed = collections.deque()
        self.unread = b""
        self.sock = sock
        self.asked_at = self.answered_at = 0.0

    def ask(self):
        """Two slots by turns: the order of their replies is the client's, not the nodes'."""
        self.turn += 1
        out = []

        def add(check, *words):
            out.append(request(*words))
            self.owed.append((check, words))
        for key in self.keys:
            value = f"{self.number}:{self.turn}:{key.name}".encode()
            add(self.was_set(key, value), "SET", key.name, value)
        add(self.counted, "INCR", self.keys[0].name + "n")
        for key in self.keys:
            add(self.was_read(key), "GET", key.name)
        mark = f"{self.number}:{self.turn}".encode()
        add(lambda reply: reply == mark, "ECHO", mark)
        self.asked_at = time.monotonic()
        data = b"".join(out)
        if self.sock.send(data) != len(data):
            raise Wrong(f"client {self.number}: {len(data)} bytes find no room")

    def is_uncertain(self, reply):
        gone = isinstance(reply, str) and reply.startswith("-UNCERTAIN ")
        self.uncertain += gone
        return gone

    def was_set(self, key, value):
        def check(reply):
            if self.is_uncertain(reply):
                key.may.add(value)
                return True
            self.acknowledged += 1
            key.may = {value}
            return reply == "+OK"
        return check

    def was_read(self, key):
        def check(reply):
            good = reply in key.may
            key.may = {reply}
            return good
        return check

    def counted(self, reply):
        if self.is_uncertain(reply):
            self.high += 1
            return True
        good = isinstance(reply, int) and self.low < reply <= self.high + 1
        self.low = self.high = reply
        self.acknowledged += 1
        return good

    def read(self):
        """All that is there; True: it is owed nothing more."""
        got = self.sock.recv(65536)
        if not got:
            raise Wrong(f"client {self.number}: its connection was closed")
        self.unread += got
        at = 0
        while (end := self.unread.find(b"\r\n", at)) >= 0:
            line, after = self.unread[at:end], end + 2
            reply = int(line[1:]) if line[:1] == b":" else line.decode()
            if line[:1] == b"$":
                n = int(line[1:])
                if n >= 0 and len(self.unread) < after + n + 2:
                    break
                reply = self.unread[after:after + n] if n >= 0 else None
                after += n + 2 if n >= 0 else 0
            at = after
            if not self.owed:
                raise Wrong(f"client {self.number}: nothing was asked, and this came: {reply!r}")
            check, words = self.owed.popleft()
            if not check(reply):
                raise Wrong(f"client {self.number}, turn {self.turn}: {words} was answered {reply!r}")
        self.unread = self.unread[at:]
        return not self.owed


class Crowd(threading.Thread):
    """All of them, in one thread."""

    def __init__(self, address, n, seed=1):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.think = n / TURNS  # seconds between the answers of a turn and the next one, on average
        self.all = [One(i, socket.create_connection(address, 60)) for i in range(n)]
        self.over = threading.Event()
        self.wrong = None
        self.worst = 0.0  # seconds for an answer of a whole turn
        self.start()

    def run(self):
        try:
            self.serve()
        except Exception as e:  # told by the test that owns it
            self.wrong = repr(e)

    def serve(self):
        ready = selectors.DefaultSelector()
        for one in self.all:
            one.sock.setblocking(False)
            ready.register(one.sock, selectors.EVENT_READ, one)
        due = [(time.monotonic() + self.random.random() * self.think, one.number) for one in self.all]
        heapq.heapify(due)
        waiting = 0
        while waiting > 0 or not self.over.is_set():
            while due and due[0][0] <= time.monotonic() and not self.over.is_set():
                self.all[heapq.heappop(due)[1]].ask()
                waiting += 1
            for key, _ in ready.select(0.01):
                one = key.data
                if one.read():
                    one.answered_at = time.monotonic()
                    self.worst = max(self.worst, one.answered_at - one.asked_at)
                    heapq.heappush(due, (one.answered_at + self.random.random() * 2 * self.think, one.number))
                    waiting -= 1
        ready.close()

    def assert_right(self):
        assert self.wrong is None, self.wrong
        assert self.is_alive() or self.over.is_set()

    def all_asked_and_answered_since(self, moment):
        self.assert_right()
        return all(one.asked_at > moment and one.answered_at > one.asked_at for one in self.all)

    def stop(self):
        self.over.set()
        self.join(120)
        assert not self.is_alive(), "some are not answered"
        self.assert_right()

    def close(self):
        self.over.set()
        for one in self.all:
            one.sock.close()

    def count(self, what):
        return sum(getattr(one, what) for one in self.all)

    def summary(self):
        return (f"{len(self.all)} clients, {self.count('turn')} turns, {self.count('acknowledged')} writes acknowledged, "
                f"{self.count('uncertain')} uncertain, longest turn {self.worst * 1000:.0f} ms")
