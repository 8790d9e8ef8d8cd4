# SPDX-License-Identifier: BSD-3-Clause
"""vong-proxy beside twemproxy, each before three vong-servers of its own: what the proxy alone costs."""

import os
import statistics
import sys

import bed
from bed import Server, driven, fill, fresh, free_port, vong
from figures import alternate, nothing, ratio_row
from together import cluster, end

NODES, KEYS, BIG_KEYS = 3, 100000, 2000

NUTCRACKER = """\
bench:
  listen: 127.0.0.1:%d
  redis: true
  hash: fnv1a_64
  distribution: ketama
  auto_eject_hosts: false
  backlog: 1024
  servers:
%s"""


def our_proxy(nodes):
    """Of one thread, as twemproxy has."""
    where = fresh("proxy")
    at = ",".join("127.0.0.1:%d@%d" % (n.port, n.inner) for n in nodes)
    return Server("vong-proxy", [bed.VONG_PROXY, "--port", "PORT", "--bind", "127.0.0.1", "--dir", where, "--cluster", at], where).start()


def twemproxy(servers):
    where = fresh("nutcracker")
    conf = os.path.join(where, "nutcracker.yml")
    s = Server("twemproxy", [bed.NUTCRACKER, "-c", conf, "-a", "127.0.0.1", "-s", str(free_port())], where)
    with open(conf, "w") as to:
        to.write(NUTCRACKER % (s.port, "".join("   - 127.0.0.1:%d:1\n" % n.port for n in servers)))
    return s.start()


def workload(command, pipeline, clients, value):
    big = value > 1000
    return {"command": command, "pipeline": pipeline, "clients": clients, "value": value, "keys": BIG_KEYS if big else KEYS}


def compare(ours, theirs, goal, **load):
    r = alternate({s.name: (s, nothing) for s in (ours, theirs)}, bed.ROUNDS, bed.SECONDS, **load)
    a, b = r[ours.name], r[theirs.name]
    what = "proxy: %s %d B, %d client%s, pipeline %d" % (load["command"].upper(), load["value"], load["clients"],
                                                        "s" if load["clients"] > 1 else "", load["pipeline"])
    ratio_row(what + ": CPU us/op", a["cpu"], b["cpu"], "%.2f", at_most=goal)
    ratio_row(what + ": ops/s", a["rate"], b["rate"], "%.0f")


def added_latency(ours, theirs, direct_at):
    """One client that waits for each reply, through the proxy, less what it waits at a server without."""
    load = workload("get", 1, 1, 64)
    r = alternate({**{s.name: (s, nothing) for s in (ours, theirs)}, "direct": (direct_at, nothing)}, bed.ROUNDS, bed.SECONDS, **load)
    direct = statistics.median(r["direct"]["p50"])
    ratio_row("proxy: one client, latency added to a GET, us", [v - direct for v in r[ours.name]["p50"]],
              [v - direct for v in r[theirs.name]["p50"]], "%.1f", at_most=1.0)


def group_proxy():
    """All servers of a side share the first processor with its proxy; what is told of CPU is the proxy's alone."""
    if bed.NUTCRACKER is None:
        sys.exit("nutcracker is missing: Debian's package of that name is twemproxy")
    nodes = cluster("behind", NODES, 1, "--appendonly", "no")
    alone = [vong(fresh("alone-%d" % i), "--appendonly", "no").start() for i in range(NODES)]
    ours, theirs = our_proxy(nodes), twemproxy(alone)
    for s in (ours, theirs):
        fill(s, KEYS)
    for command in "get", "set":
        for pipeline, goal in (1, 0.9), (16, 0.33), (64, None):
            compare(ours, theirs, goal, **workload(command, pipeline, 50, 64))
    for clients in 1, 1000:
        compare(ours, theirs, None, **workload("get", 16, clients, 64))
    for pipeline in 1, 16:
        for s in (ours, theirs):
            driven(s, keys=BIG_KEYS, value=16384, pipeline=4, clients=8, fill=True)
        compare(ours, theirs, None, **workload("get", pipeline, 50, 16384))
        compare(ours, theirs, None, **workload("set", pipeline, 50, 16384))
    added_latency(ours, theirs, alone[0])
    end(nodes + alone + [ours, theirs])
