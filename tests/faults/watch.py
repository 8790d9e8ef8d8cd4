# SPDX-License-Identifier: BSD-3-Clause
"""What is seen of a cluster from outside: who serves what, and since when not."""

import threading
import time

from conftest import until
from lab import PATIENCE, Error

NOT_SERVED = "CLUSTERDOWN Hash slot not served"
NO_CONTACT = "CLUSTERDOWN The cluster is down: this node has lost contact with it"


def slots_of(node):
    return node.members()[node.id][2]


def is_refused(reply, why):
    return isinstance(reply, Error) and reply.startswith(why)


def choose(lab, which):
    leader = until(lab.leader, PATIENCE)
    return leader if which == "leader" else lab.others(leader)[0]


class Watch(threading.Thread):
    """Reads a key at one node again and again; when each answer was asked for and came, and what it was."""

    def __init__(self, node, key):
        super().__init__(daemon=True)
        self.node, self.key = node, key
        self.over = threading.Event()
        self.answers = []
        self.start()

    def run(self):
        while not self.over.wait(0.002):
            asked = time.monotonic()
            reply = self.node.ask("GET", self.key, timeout=30)
            if reply is not None:
                self.answers.append((asked, time.monotonic(), reply))

    def stop(self):
        self.over.set()
        self.join(60)
        assert not self.is_alive()

    def served(self, after, before):
        """What was asked for in this time and was answered with a value."""
        return [reply for asked, _, reply in self.answers if after < asked < before and not isinstance(reply, Error)]


def asker(node):
    """A connection that is told where to go (MOVED), so that no answer waits for another node."""
    c = node.client(timeout=30)
    assert c.call("READONLY") == "OK"
    return c


def wait_down(survivors, key):
    """Until each of them has refused the key as one of a member that is DOWN; when the first and the last did."""
    at = []
    for node in survivors:
        c = asker(node)
        until(lambda: is_refused(c.call("GET", key), NOT_SERVED), PATIENCE, f"{node} never says DOWN")
        at.append(time.monotonic())
        c.close()
    return at[0], at[-1]
