# SPDX-License-Identifier: BSD-3-Clause
"""What tests of clusters that keep copies have in common: who is primary of a key, losing it in several ways, and
whether all copies are equal."""

import binascii
import signal

import redis

from conftest import until
from members import is_whole
from test_failover import has_copies, with_copies


def slot_of(key):
    return binascii.crc_hqx(key.encode(), 0) % 16384


def settled(node, count=3, **kw):
    """A cluster whose slots are all where they are wanted."""
    return settle(with_copies(node, count, **kw))


def settle(nodes):
    def rests(n):
        told = n.call("CLUSTER", "REBALANCE", "STATUS")
        told = dict(zip(told[::2], told[1::2]))
        return told["slots-being-handed-over"] == told["slots-waiting-with-keys"] == 0
    until(lambda: is_shared(nodes) and all(rests(n) for n in nodes), 180, "slots still move")
    return nodes


def is_shared(nodes):
    """Each serves its share, but for a tenth."""
    shares = [slots for _, _, slots in nodes[0].members().values()]
    return max(shares) - min(shares) <= 16384 // len(nodes) // 10


def keys_of(owner, n, prefix="key"):
    """So many keys of owner's slots."""
    ranges = [(first, last) for first, last, primary, *_ in owner.call("CLUSTER", "SLOTS") if primary[1] == owner.port]
    found = []
    i = 0
    while len(found) < n:
        key = f"{prefix}{i}"
        i += 1
        if any(first <= slot_of(key) <= last for first, last in ranges):
            found.append(key)
    return found


def lose(victim, others, how):
    """kill -9, or SIGTERM, behind which it hands over; the others serve all slots then."""
    if how == "killed":
        victim.kill()
    else:
        victim.process.send_signal(signal.SIGTERM)
        assert victim.process.wait(60) == 0
        victim.close_clients()

    def is_replaced(n):
        ranges = n.call("CLUSTER", "SLOTS")
        return sum(r[1] - r[0] + 1 for r in ranges) == 16384 and all(r[2][1] != victim.port for r in ranges)
    until(lambda: all(is_replaced(n) for n in others), 120, "the others do not serve its slots")


def come_back(victim, nodes, copies):
    victim.restart()
    until(lambda: is_whole(nodes) and has_copies(nodes, copies), 120, "it is not in sync again")


def digests(nodes, keys):
    """key -> what each node has of it; a node without it has none."""
    told = {}
    for n in nodes:
        for i in range(0, len(keys), 1000):
            some = keys[i:i + 1000]
            for key, digest in zip(some, n.call("DEBUG", "DIGEST-VALUE", *some)):
                if digest.strip("0"):
                    told.setdefault(key, []).append(digest)
    return told


def wait_equal(nodes, copies, deleted=()):
    """Each key comes to have so many copies, which are equal; of those that are deleted there is none."""
    def is_equal():
        told = digests(nodes, [key for n in nodes for key in n.call("KEYS", "*")])
        return (has_copies(nodes, copies) and all(len(d) == copies and len(set(d)) == 1 for d in told.values()) and
                not digests(nodes, deleted))
    until(is_equal, 120, "copies are not equal")
