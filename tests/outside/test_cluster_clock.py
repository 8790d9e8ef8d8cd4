# SPDX-License-Identifier: BSD-3-Clause
"""Wall clocks that jump: a machine that was paused must not go on serving by an old lease (replication 7)."""

import os
import signal

import pytest
import redis

from conftest import BUILD, until
from members import node, wait_whole, write_and_read  # noqa: F401: node is a fixture

JUMPED = "the wall clock has jumped"

pytestmark = pytest.mark.skipif(os.environ.get("SANITIZED"), reason="no library is loaded before the sanitizer's")


class Clock:
    """The wall clock of one node."""

    def __init__(self, n):
        self.file = n.dir / "clock"
        self.env = {"LD_PRELOAD": str(BUILD / "tests/outside/lib/bad_clock.so"), "BAD_CLOCK": str(self.file)}
        self.ahead(0)

    def ahead(self, ms):
        aside = self.file.with_suffix(".tmp")
        aside.write_text(str(ms))
        aside.rename(self.file)


def form_with_clock(node, timeout_ms):  # noqa: F811
    """Three nodes, and the clock of the last."""
    nodes = [node(timeout_ms).start()]
    nodes.append(node(timeout_ms).launch(join=nodes[:1]))
    late = node(timeout_ms)
    clock = Clock(late)
    nodes.append(late.launch(join=nodes[:1], env=clock.env))
    wait_whole(nodes)
    return nodes, clock


def own_key(n):
    """A key of n's own slots: a READONLY connection is not forwarded."""
    c = redis.Redis(port=n.port, decode_responses=True, socket_timeout=5)
    c.execute_command("READONLY")
    for k in range(10000):
        try:
            c.set(f"k{k}", "v")
            return c, f"k{k}"
        except redis.ResponseError:
            continue
    raise AssertionError("it serves nothing")


def refused(c, key):
    """Not served: told so, or kept waiting for a lease."""
    try:
        c.get(key)
    except redis.TimeoutError:
        return True
    except redis.ResponseError as e:
        assert "CLUSTERDOWN" in str(e), e
        return True
    return False


def talked(n, messages):
    """Waits until n has said so many more messages."""
    def said():
        return int(n.info()["cluster_stats_messages_sent"])
    before = said()
    until(lambda: said() > before + messages)


def test_a_jump_voids_the_lease(node):  # noqa: F811
    """a node whose wall clock jumps serves nothing before voters answer it anew, though its lease would last (7)"""
    nodes, clock = form_with_clock(node, 60000)
    c, key = own_key(nodes[2])
    for other in nodes[:2]:
        other.process.send_signal(signal.SIGSTOP)
    assert c.get(key) == "v", "a lease of half of 60 s lasts on"
    clock.ahead(5000)
    until(lambda: refused(c, key), 20, "it goes on serving by a lease from before the jump")
    assert JUMPED in nodes[2].log
    for other in nodes[:2]:
        other.process.send_signal(signal.SIGCONT)
    until(lambda: not refused(c, key), 120)
    wait_whole(nodes, 180)


def test_jumps_of_a_live_node(node):  # noqa: F811
    """each jump, forth or back, is told once, small steps are not, and the node serves on (7)"""
    nodes, clock = form_with_clock(node, 3000)
    ahead = 0
    for step in (60, -50, 60):  # each below 100 ms, as a clock is put right by small steps
        ahead += step
        clock.ahead(ahead)
        talked(nodes[2], 60)
    assert nodes[2].log.count(JUMPED) == 0
    for n, step in enumerate((400, -5000, 86400 * 1000, -86400 * 1000), 1):
        ahead += step
        clock.ahead(ahead)
        until(lambda: nodes[2].log.count(JUMPED) >= n, 60, f"nothing is said of {step} ms")
        talked(nodes[2], 60)
        assert nodes[2].log.count(JUMPED) == n
        wait_whole(nodes, 120)
    write_and_read(nodes, "after")
