# SPDX-License-Identifier: BSD-3-Clause
"""Of each slot two nodes have a copy: whatever befalls one, the others serve all slots soon, nothing that was
acknowledged is missing, nothing old is read."""

import time

import pytest

from callers import Callers
from conftest import until
from lab import PATIENCE, keys_in
from troubles import TROUBLES
from watch import NO_CONTACT, choose, slots_of

CASES = [("leader", "killed"), ("follower", "cut off"), ("leader", "unheard"), ("follower", "stopped")]
MORE = [(which, how) for which in ("leader", "follower") for how in TROUBLES if (which, how) not in CASES]


@pytest.mark.parametrize("which, how", CASES + [pytest.param(*c, marks=pytest.mark.long) for c in MORE])
def test_the_others_take_over(make_lab, which, how, record_property):
    """one of three is lost: the others serve its slots, with all that was acknowledged; it comes back in sync (7, 21, 23)"""
    lab = make_lab(copies=2)
    victim = choose(lab, which)
    others = lab.others(victim)
    begin, end = TROUBLES[how]
    key = keys_in(slots_of(victim), 1)[0]
    callers = Callers(lab)
    until(lambda: callers.count("acknowledged") > 300, PATIENCE)
    began = time.monotonic()
    begin(victim, others)
    until(lambda: others[0].ask("SET", key, "after") == "OK", PATIENCE, "nobody takes over")
    record_property("milliseconds", f"{(time.monotonic() - began) * 1000:.0f} until a slot of its was written again")
    until(lambda: all(n.info().get("cluster_slots_ok") == "16384" for n in others), PATIENCE)
    acknowledged = callers.count("acknowledged")
    until(lambda: callers.count("acknowledged") > acknowledged + 20, PATIENCE)  # who asks the lost one waits for it
    if how in ("cut off", "deaf", "unheard"):
        assert victim.ask("GET", key) == NO_CONTACT
    end(victim)
    lab.wait_whole()
    for node in lab.nodes:
        assert node.ask("GET", key) == "after"
    acknowledged = callers.count("acknowledged")
    until(lambda: callers.count("acknowledged") > acknowledged + 300, PATIENCE)
    callers.stop()
    callers.check(lab.nodes)
