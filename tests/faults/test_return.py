# SPDX-License-Identifier: BSD-3-Clause
"""Members that come back with less than they had, or elsewhere."""

import re
import shutil

from callers import Callers
from conftest import until
from lab import PATIENCE, SLOTS, keys_in
from watch import choose, slots_of, wait_down


def test_wiped(make_lab):
    """whose disk was wiped comes back as a new member; the old one is DOWN until CLUSTER FORGET, then its slots begin anew"""
    lab = make_lab()
    victim = choose(lab, "follower")
    others = lab.others(victim)
    old, had = victim.id, slots_of(victim)
    lost = keys_in(had, 1)[0]
    assert victim.ask("SET", lost, "before") == "OK"
    callers = Callers(lab)
    until(lambda: callers.count("acknowledged") > 300, PATIENCE)
    victim.kill()
    wait_down(others, lost)
    shutil.rmtree(victim.dir)
    victim.dir.mkdir()
    victim.start(join=others[0])

    until(lambda: all(len(n.members()) == 4 for n in lab.nodes), PATIENCE, "it does not become a new member")
    assert victim.id != old
    for node in others:
        assert "fail" in node.members()[old][0]
    wait_down(others, lost)
    callers.give_up(had)
    assert others[0].ask("CLUSTER", "FORGET", old, timeout=60) == "OK"
    lab.wait_whole()
    for node in lab.nodes:
        assert old not in node.members()
        assert node.ask("GET", lost) is None
    for node in lab.nodes:
        given_up = re.findall(r"map \d+: (\d+) slots get a primary, without their data", node.log)
        assert sum(map(int, given_up)) == len(had)
    assert set().union(*(slots_of(n) for n in lab.nodes)) == set(range(SLOTS))
    assert lab.nodes[0].ask("SET", lost, "after") == "OK"
    callers.stop()
    callers.check(lab.nodes)


def test_all_elsewhere(make_lab):
    """a cluster all of whose addresses changed while it was down finds together by the nodes' ids"""
    lab = make_lab()
    ids = [n.id for n in lab.nodes]
    before = [n.address for n in lab.nodes]
    callers = Callers(lab)
    until(lambda: callers.count("acknowledged") > 300, PATIENCE)
    for node in lab.nodes:
        node.kill()
    for node in lab.nodes:
        node.net.new_address()
    first, *rest = lab.nodes
    first.join = None
    first.start()
    for node in rest:
        node.start(join=first)
    lab.wait_whole()
    for node in lab.nodes:
        members = node.members()
        assert sorted(members) == sorted(ids)
        assert {address for _, address, _ in members.values()} == {n.address for n in lab.nodes}
        assert not {address for _, address, _ in members.values()} & set(before)
    callers.stop()
    callers.check(lab.nodes)
