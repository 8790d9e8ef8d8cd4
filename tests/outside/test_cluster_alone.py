# SPDX-License-Identifier: BSD-3-Clause
"""A server that is in no cluster says so, as Redis does."""

import pytest

from conftest import request

ALONE = b"-ERR This instance has cluster support disabled\r\n"
NODE = "a" * 40


@pytest.mark.parametrize("words", [
    "readonly", "readwrite", "asking",
    "cluster addslots 1", "cluster addslotsrange 1 2", "cluster bumpepoch",
    "cluster count-failure-reports " + NODE, "cluster countkeysinslot 1", "cluster delslots 1",
    "cluster delslotsrange 1 2", "cluster failover", "cluster flushslots", "cluster forget " + NODE,
    "cluster getkeysinslot 1 10", "cluster help", "cluster info", "cluster keyslot a", "cluster links",
    "cluster meet 127.0.0.1 7000", "cluster myid", "cluster myshardid", "cluster nodes", "cluster rebalance",
    "cluster replicas " + NODE, "cluster replicate " + NODE, "cluster reset", "cluster ring", "cluster saveconfig",
    "cluster scrub",
    "cluster set-config-epoch 1", "cluster setslot 1 stable", "cluster settings get", "cluster shards",
    "cluster slaves " + NODE, "cluster slots",
])
def test_alone(running, wire, words):
    """whatever is asked of the cluster is refused, and the connection goes on"""
    w = wire(running)
    w.send(request(*words.split(" ")))
    w.expect(ALONE)
    w.send(request("PING"))
    w.expect(b"+PONG\r\n")


def test_forms(running, wire):
    """what is no such command, or has too few arguments, is told first"""
    w = wire(running)
    for words, answer in (("cluster nosuch", b"-ERR unknown subcommand 'nosuch'. Try CLUSTER HELP.\r\n"),
                          ("cluster", b"-ERR wrong number of arguments for 'cluster' command\r\n"),
                          ("cluster meet", b"-ERR wrong number of arguments for 'cluster|meet' command\r\n")):
        w.send(request(*words.split(" ")))
        w.expect(answer)
