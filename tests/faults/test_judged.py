# SPDX-License-Identifier: BSD-3-Clause
"""What callers wrote down is judged, and wrong histories are found wrong; so are wrong replies to a crowd."""

import socket
from types import SimpleNamespace

import pytest

from callers import Callers, Group, Op
from crowd import One, Wrong


def recorded(*ops):
    """One group's; of each op when it was called and answered, and its parts."""
    group = Group("g")
    last = None
    for call, answer, *parts in ops:
        last = Op([list(p) for p in parts], last)
        last.call, last.answer = call, answer
        group.ops.append(last)
    return group


def judged(group, quiet):
    return Callers.judge(SimpleNamespace(groups=lambda: [group]), quiet)


WRITTEN = [(1, 2, ("set", "a", 5, None)), (3, 4, ("set", "a", 6, None), ("append", "d", 7, 1))]


def test_right():
    """a history that some order explains is good, whatever was uncertain in it"""
    after = [(5, None, ("del", "a", None, None)), (6, 7, ("get", "a", None, 6)), (8, 9, ("get", "a", None, 0)),
             (8, 9, ("get", "d", None, [7]))]
    assert judged(recorded(*WRITTEN, *after), 10) == ([], 0)


def test_stale():
    """a read that comes too late is told as stale, with the ops behind which it fits nowhere"""
    wrong, undecided = judged(recorded(*WRITTEN, (5, 6, ("get", "a", None, 5)), (12, 13, ("get", "a", None, 6))), 10)
    assert len(wrong) == 1 and undecided == 0
    assert wrong[0].startswith("stale: g ") and "    5-6 after 2 get a 5\n" in wrong[0]


def test_lost():
    """a write that was acknowledged and is missing in the end is told as lost"""
    wrong, _ = judged(recorded(*WRITTEN, (12, 13, ("get", "d", None, []))), 10)
    assert len(wrong) == 1 and wrong[0].startswith("lost: g ")


RIGHT = ["+OK", "+OK", ":1", "$3:1:{c3x}", "$3:1:{c3y}", "$3:1"]
UNSURE = "-UNCERTAIN whether"


def swapped(i, k):
    to = list(RIGHT)
    to[i], to[k] = to[k], to[i]
    return to


def instead(i, reply):
    return RIGHT[:i] + [reply] + RIGHT[i + 1:]


def answered(replies):
    """Of a crowd's client 3 the first turn."""
    server, client = socket.socketpair()
    with server, client:
        one = One(3, client)
        one.ask()
        server.sendall(b"".join(f"${len(r) - 1}\r\n{r[1:]}\r\n".encode() if r[0] == "$" else f"{r}\r\n".encode() for r in replies))
        while not one.read():
            pass


@pytest.mark.parametrize("replies", [RIGHT, instead(0, UNSURE), instead(2, UNSURE)])
def test_right_replies(replies):
    """a client of a crowd takes its own replies, and UNCERTAIN for a write"""
    answered(replies)


@pytest.mark.parametrize("replies", [
    swapped(0, 2), swapped(3, 4), swapped(4, 5), instead(3, "$4:1:{c4x}"), instead(3, "$3:0:{c3x}"), instead(2, ":2"), instead(2, ":0"),
    instead(3, UNSURE), instead(5, UNSURE), instead(0, "-CLUSTERDOWN The cluster is down"), [*RIGHT, "+OK"]])
def test_wrong_replies(replies):
    """a reply to another client or command, an old one, one too many, a refusal, UNCERTAIN of a read: each is noticed"""
    with pytest.raises(Wrong):
        answered(replies)
