# SPDX-License-Identifier: BSD-3-Clause
"""Who cannot store the controllers' log, or its own, ends, and says why; the others go on (28)."""

import time

import pytest

from callers import Callers
from conftest import until
from lab import PATIENCE, Node, keys_in
from watch import choose, slots_of, wait_down


def small(node):
    node.small_disk("raft", "256k")


def fill(victim):
    """Full of something else."""
    with open(victim.dir / "raft" / "ballast", "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"b" * 4096)
        except OSError:
            pass


def empty(victim):
    (victim.dir / "raft" / "ballast").unlink()


def nothing(node):
    pass


def spoil(victim):
    victim.disk("sync 5 0 raft/")


DISKS = {"full": (small, fill, empty, "No space left on device"), "failing": (nothing, spoil, Node.disk, "Input/output error")}


@pytest.mark.parametrize("which, how", [("leader", "failing"), ("follower", "full"),
                                        pytest.param("leader", "full", marks=pytest.mark.long),
                                        pytest.param("follower", "failing", marks=pytest.mark.long)])
def test_controllers_log(make_lab, which, how):
    """a node that cannot store the controllers' log ends with the cause and a code; its disk mended, it is back (28)"""
    prepare, begin, end, cause = DISKS[how]
    lab = make_lab(prepare=prepare, is_bad=how == "failing")
    victim = choose(lab, which)
    others = lab.others(victim)
    lost = keys_in(slots_of(victim), 1)[0]
    callers = Callers(lab)
    until(lambda: callers.count("acknowledged") > 300, PATIENCE)
    begin(victim)

    def ended():
        """Each setting is an entry of the log."""
        for width in (7, 8):
            others[0].ask("CLUSTER", "SETTINGS", "SET", "cluster-scatter-width", width, timeout=1)
        return victim.process.poll() is not None
    until(ended, PATIENCE, "it does not end")
    assert victim.process.returncode == 1
    last = [line for line in victim.log.splitlines() if "this node can keep no promise to the others any more, and ends" in line]
    assert len(last) == 1 and cause in last[0], last
    wait_down(others, lost)
    end(victim)
    victim.start()
    lab.wait_whole()
    callers.stop()
    callers.check(lab.nodes)


@pytest.mark.parametrize("call", ["sync", pytest.param("write", marks=pytest.mark.long)])
def test_nodes_log(make_lab, call, record_property):
    """with copies, a node whose log fails hands its slots over from memory and ends with the cause; nothing is lost (28)"""
    lab = make_lab(copies=2, is_bad=True)
    victim = choose(lab, "leader")
    others = lab.others(victim)
    key = keys_in(slots_of(victim), 1)[0]
    callers = Callers(lab)
    until(lambda: callers.count("acknowledged") > 300, PATIENCE)
    began = time.monotonic()
    victim.disk(f"{call} 5 0 appendonlydir/")
    until(lambda: victim.process.poll() is not None, PATIENCE, "it does not end")
    record_property("milliseconds", f"{(time.monotonic() - began) * 1000:.0f} from the fault until it had ended")
    assert victim.process.returncode == 1
    told = victim.log
    assert "the disk failed, and no slot is served here any more: this node ends" in told
    assert "errno 5" in told and "follows no slots any more: " in "".join(n.log for n in others)
    until(lambda: others[0].ask("SET", key, "after") == "OK", PATIENCE, "nobody serves its slots")
    victim.disk()
    victim.start()
    lab.wait_whole()
    assert victim.ask("GET", key) == "after"
    callers.stop()
    callers.check(lab.nodes)


def test_no_room_for_a_nodes_log(make_lab):
    """with copies, a node whose disk is full has its slots served elsewhere; with room again it takes part again (28)"""
    lab = make_lab(copies=2, is_bad=True)
    victim = choose(lab, "follower")
    others = lab.others(victim)
    key = keys_in(slots_of(victim), 1)[0]
    callers = Callers(lab)
    until(lambda: callers.count("acknowledged") > 300, PATIENCE)
    victim.disk("write 28 0 appendonlydir/")
    until(lambda: others[0].members()[victim.id][2] == set(), PATIENCE, "it keeps its slots")
    until(lambda: victim.ask("SET", key, "after") == "OK", PATIENCE, "nobody serves its slots")
    assert victim.process.poll() is None
    victim.disk()
    lab.wait_whole()
    assert slots_of(victim)
    assert victim.ask("GET", key) == "after"
    callers.stop()
    callers.check(lab.nodes)
