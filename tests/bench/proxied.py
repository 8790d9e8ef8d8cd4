# SPDX-License-Identifier: BSD-3-Clause
"""vong-proxy beside twemproxy, each before three vong-servers of its own: what the proxy alone costs."""

import contextlib
import os
import socket
import statistics
import sys
import threading
import time

import bed
from bed import Server, driven, fill, fresh, free_port, vong
from figures import alternate, nothing, ratio_row
from together import cluster, end, served_tags

NODES, KEYS, BIG_KEYS = 3, 100000, 2000
LONG_BYTES = 16 * 1024 * 1024

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


def fetch(port, key, anew, stop):
    """One client that gets the long value, over and over; anew: over a new connection each time."""
    ask, into = b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key), bytearray(1 << 20)
    s = socket.create_connection(("127.0.0.1", port), 60)
    with contextlib.ExitStack() as at_end:
        at_end.callback(lambda: s.close())
        while not stop.is_set():
            if anew:
                s.close()
                s = socket.create_connection(("127.0.0.1", port), 60)
            s.sendall(ask)
            left = len(b"$%d\r\n" % LONG_BYTES) + LONG_BYTES + 2
            while left > 0:
                got = s.recv_into(into, min(left, len(into)))
                if got == 0:
                    sys.exit("the proxy closed the connection of who gets long values")
                left -= got


def p99(proxy, *others):
    """Of four clients' GETs, while these run."""
    stop = threading.Event()
    threads = [threading.Thread(target=f, args=(*args, stop)) for f, *args in others]
    for t in threads:
        t.start()
    got = driven(proxy, command="get", pipeline=1, clients=4, keys=KEYS, seconds=max(2, bed.SECONDS))["p99"]
    stop.set()
    for t in threads:
        t.join()
    return got


def stand(node, stop):
    """It serves nobody for a second."""
    if not stop.wait(0.3):
        node.must("DEBUG", "SLEEP", "1")


def beside(name, proxy, key, owner):
    """What others' long values, and a command that takes its node a second, cost those who get short ones."""
    with socket.create_connection(("127.0.0.1", proxy.port), 60) as s:
        s.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(key), key, LONG_BYTES) + bytes(LONG_BYTES) + b"\r\n")
        if s.recv(100) != b"+OK\r\n":
            sys.exit("%s does not take a value of 16 MB" % name)
    node = owner()
    loads = {"alone": [], "16 MB values": [(fetch, proxy.port, key, False)],
             "16 MB values over new connections": [(fetch, proxy.port, key, True)],
             "a second's command": [(stand, node)],
             "16 MB values and a second's command": [(fetch, proxy.port, key, False), (stand, node)]}
    got = {load: [] for load in loads}
    for _ in range(min(3, bed.ROUNDS)):
        for load, others in loads.items():
            got[load].append(p99(proxy, *others))
    for load in list(loads)[1:]:
        ratio_row("%s: p99 us of GET beside %s, against alone" % (name, load), got[load], got["alone"], "%.0f",
                  at_most=2.0 if proxy.name == "vong-proxy" else None)


def both_sides(*settings):
    """vong-proxy and its nodes, twemproxy and its servers: all servers of a side share the first processor with its proxy."""
    if bed.NUTCRACKER is None:
        sys.exit("nutcracker is missing: deps/install --bench")
    nodes = cluster("behind", NODES, 1, "--appendonly", "no", *settings)
    alone = [vong(fresh("alone-%d" % i), "--appendonly", "no", *settings).start() for i in range(NODES)]
    ours, theirs = our_proxy(nodes), twemproxy(alone)
    for s in (ours, theirs):
        fill(s, KEYS)
    return ours, theirs, nodes, alone


def group_beside():
    """Not in a real-time class: there, who moves megabytes lets nobody else onto its processor before it has to wait."""
    realtime, bed.REALTIME = bed.REALTIME, False
    ours, theirs, nodes, alone = both_sides("--enable-debug-command", "yes")
    key = b"{%s}long" % served_tags(nodes[0])[0].encode()
    beside("proxy", ours, key, lambda: nodes[0])
    beside("twemproxy", theirs, key, lambda: [s for s in alone if s.ask("EXISTS", key.decode()) == ":1"][0])
    end(nodes + alone + [ours, theirs])
    bed.REALTIME = realtime


def group_proxy():
    """What is told of CPU is the proxy's alone."""
    ours, theirs, nodes, alone = both_sides()
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
