# SPDX-License-Identifier: BSD-3-Clause
"""One trouble after the other befalls a cluster that keeps copies, while callers ask through all nodes: some order
explains all that they were ever answered."""

import time

import pytest

from callers import Callers, now
from conftest import until
from lab import PATIENCE, SLOTS, keys_in
from troubles import MORE_TROUBLES, TROUBLES
from watch import slots_of

ALL = {**TROUBLES, **MORE_TROUBLES}


def go_on(lab, callers, after):
    lab.wait_whole()
    since = now()
    until(lambda: callers.all_answered_since(since), PATIENCE, f"callers are not answered after {after}")


@pytest.mark.parametrize("copies", [3, pytest.param(2, marks=pytest.mark.long)])
def test_one_after_the_other(make_lab, copies, record_property):
    """kills, cuts, loss, delay, overtaking, stops, jumps of clocks, slow, full and failing disks, one member after the other: every history is explained (5, 7, 21, 28)"""
    lab = make_lab(timeout_ms=1000, copies=copies, is_bad=True)
    callers = Callers(lab)
    for i, (name, (begin, end)) in enumerate(ALL.items()):
        victim = lab.nodes[i % len(lab.nodes)]
        begin(victim, lab.others(victim))
        time.sleep(1.2)  # longer than it takes to call a member DOWN
        end(victim)
        go_on(lab, callers, f"{victim} {name}")
    callers.stop()
    callers.check(lab.nodes)
    record_property("asked", callers.summary())


@pytest.mark.parametrize("sync", ["always", pytest.param("everysec", marks=pytest.mark.long)])
def test_power_cut(make_lab, sync, record_property):
    """all lose their power at once: under always nothing is missing that was acknowledged, under everysec what was last done (22)"""
    lab = make_lab(timeout_ms=1000, copies=2, sync=sync, is_bad=True)
    callers = Callers(lab)
    for _ in range(2):
        acknowledged = callers.count("acknowledged")
        until(lambda: callers.count("acknowledged") > acknowledged + 300, PATIENCE)
        lab.power_cut()
        if sync == "everysec":
            callers.give_up(range(SLOTS), now() - 4 * 1000 * 1000)
        for node in lab.nodes:
            node.launch()
        go_on(lab, callers, "a power cut")
    callers.stop()
    callers.check(lab.nodes)
    record_property("asked", callers.summary())


def test_members_come_and_go(make_lab, record_property):
    """one joins, one is forgotten, and one that is dead for good: every history is explained, by those that stay (26, 27)"""
    lab = make_lab(timeout_ms=1000, copies=2)
    callers = Callers(lab)
    for _ in range(2):
        lab.add().start(join=lab.nodes[0])
        go_on(lab, callers, "a join")
    for dies in (False, True):
        victim = lab.nodes[1]
        if dies:
            victim.kill()
        lab.forget(victim, lab.nodes[0])
        lab.wait_forgotten(victim)
        go_on(lab, callers, f"{victim} is forgotten")
    callers.stop()
    callers.check(lab.nodes)
    record_property("asked", callers.summary())


def test_slow_disk_of_a_replica(make_lab, record_property):
    """under always a replica whose disk is too slow is out, and those who write elsewhere wait no longer; it comes back in sync (14)"""
    lab = make_lab(timeout_ms=1500, copies=2, sync="always", is_bad=True)
    victim, *others = lab.nodes
    callers = Callers(lab)
    until(lambda: callers.count("acknowledged") > 300, PATIENCE)
    elsewhere = keys_in(slots_of(others[0]) | slots_of(others[1]), 100)
    victim.disk("sync 0 3000 appendonlydir")
    until(lambda: not others[0].has_copies(2), PATIENCE, "it stays in sync")
    for key in elsewhere:
        assert others[0].ask("SET", key, "written", timeout=PATIENCE) == "OK"
    assert not others[0].has_copies(2)
    victim.disk()
    go_on(lab, callers, "a slow disk")
    callers.stop()
    callers.check(lab.nodes)
    record_property("asked", callers.summary())
