# SPDX-License-Identifier: BSD-3-Clause
"""Who cannot store the controllers' log ends, and says why; the others go on (28)."""

import pytest

from conftest import BUILD, until
from lab import PATIENCE, keys_in
from watch import choose, slots_of, wait_down
from writers import Writers

BAD_DISK = BUILD / "tests/outside/lib/bad_disk.so"


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


def preload(node):
    (node.dir / "rules").write_text("")
    node.env = {"LD_PRELOAD": str(BAD_DISK), "BAD_DISK": str(node.dir / "rules")}


def spoil(victim):
    (victim.dir / "rules").write_text("sync 5 0 raft/\n")


def mend(victim):
    (victim.dir / "rules").write_text("")


DISKS = {"full": (small, fill, empty, "No space left on device"), "failing": (preload, spoil, mend, "Input/output error")}


@pytest.mark.parametrize("which, how", [("leader", "failing"), ("follower", "full"),
                                        pytest.param("leader", "full", marks=pytest.mark.long),
                                        pytest.param("follower", "failing", marks=pytest.mark.long)])
def test_controllers_log(make_lab, which, how):
    """a node that cannot store the controllers' log ends with the cause and a code; its disk mended, it is back (28)"""
    prepare, begin, end, cause = DISKS[how]
    lab = make_lab(prepare=prepare)
    victim = choose(lab, which)
    others = lab.others(victim)
    lost = keys_in(slots_of(victim), 1)[0]
    writers = Writers(lab)
    until(lambda: writers.count("acknowledged") > 300, PATIENCE)
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
    writers.stop()
    writers.check(lab.nodes)
