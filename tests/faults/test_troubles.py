# SPDX-License-Identifier: BSD-3-Clause
"""One trouble after the other befalls a cluster that keeps copies, while callers ask through all nodes: some order
explains all that they were ever answered."""

import time

import pytest

from callers import Callers, now
from conftest import until
from lab import PATIENCE, SLOTS
from troubles import MORE_TROUBLES, TROUBLES

ALL = {**TROUBLES, **MORE_TROUBLES}


def go_on(lab, callers, after):
    lab.wait_whole()
    since = now()
    until(lambda: callers.all_answered_since(since), PATIENCE, f"callers are not answered after {after}")


@pytest.mark.parametrize("copies", [3, pytest.param(2, marks=pytest.mark.long)])
def test_one_after_the_other(make_lab, copies, record_property):
    """kills, cuts, loss, stops, jumps of a clock, slow, full and failing disks, one member after the other: every history is explained (5, 7, 21, 28)"""
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
