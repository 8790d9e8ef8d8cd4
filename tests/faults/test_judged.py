# SPDX-License-Identifier: BSD-3-Clause
"""What callers wrote down is judged, and wrong histories are found wrong."""

from types import SimpleNamespace

from callers import Callers, Group, Op


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
