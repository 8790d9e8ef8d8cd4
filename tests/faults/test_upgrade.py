# SPDX-License-Identifier: BSD-3-Clause
"""Another version is installed node by node, and taken back, while clients ask. VONG_BEFORE is the other version's
vong-server; it speaks the same version of the messages between nodes."""

import os

import pytest

from callers import Callers, now
from conftest import VONG, until
from lab import PATIENCE
from troubles import end_well

BEFORE = os.environ.get("VONG_BEFORE")
pytestmark = [pytest.mark.long, pytest.mark.skipif(BEFORE is None, reason="VONG_BEFORE names no other vong-server")]


@pytest.mark.parametrize("was, is_then", [(BEFORE, VONG), (VONG, BEFORE)], ids=["forward", "back"])
def test_node_by_node(make_lab, was, is_then, record_property):
    """each node is stopped and started as the other version: every history is explained (19, 23, 27)"""
    lab = make_lab(copies=2, program=was)
    callers = Callers(lab)
    for node in lab.nodes:
        acknowledged = callers.count("acknowledged")
        until(lambda: callers.count("acknowledged") > acknowledged + 300, PATIENCE)
        end_well(node)
        node.program = is_then
        node.start()
        lab.wait_whole()
        since = now()
        until(lambda: callers.all_answered_since(since), PATIENCE, f"callers are not answered after {node}")
    callers.stop()
    callers.check(lab.nodes)
    record_property("asked", callers.summary())
