# SPDX-License-Identifier: BSD-3-Clause
"""The figures of a cluster that serves undisturbed: what copies cost, against Redis' and etcd's."""

import binascii
import os
import statistics
import sys
import time
import urllib.request

import bed
from bed import Server, driven, fill, free_port, fresh, redis, vong
from figures import PLOT, alternate, nothing, ratio_row, row


class Through:
    """A cluster, driven at one of its nodes, or (with slots_at) at all of them: what it costs is what all of them take."""

    def __init__(self, name, node, nodes, slots_at=None):
        self.name, self.port, self.info, self.nodes = name, node.port, nodes[0].info, nodes
        self.slots_at = slots_at

    def cpu_seconds(self):
        return sum(n.cpu_seconds() for n in self.nodes)


def ranges(node):
    """What INFO replication tells of each run of its slots: (from-to, copies in sync, copies)."""
    told = []
    for line in node.ask("INFO", "replication").splitlines():
        if line.startswith("range"):
            f = dict(part.split("=") for part in line.split(":", 1)[1].split(","))
            told.append((f["slots"], int(f["in_sync"]), int(f["copies"])))
    return told


def slots_in(told):
    return sum(int(r.split("-")[-1]) - int(r.split("-")[0]) + 1 for r in told)


def is_whole(nodes, size, copies):
    """All serve, each its share, each slot with so many copies in sync."""
    for n in nodes:
        told = dict(line.split(":", 1) for line in n.ask("CLUSTER", "INFO").splitlines() if ":" in line)
        if (told.get("cluster_state"), told.get("cluster_slots_ok"), told.get("cluster_size")) != (
                "ok", "16384", str(size)):
            return False
        status = n.ask("CLUSTER", "REBALANCE", "STATUS")
        waits = dict(zip(status[::2], status[1::2]))
        if (waits["slots-being-handed-over"], waits["slots-waiting-with-keys"]) != (":0", ":0"):
            return False
        if slots_in(r[0] for r in ranges(n)) < 0.9 * 16384 / size:
            return False
    told = [r for n in nodes for r in ranges(n)]
    return slots_in(r[0] for r in told) == 16384 and all(r[1] == r[2] == copies for r in told)


def wait_settled(nodes, copies, limit=120):
    """Until it is whole, and nothing has moved for a second."""
    until, since, before = time.monotonic() + limit, time.monotonic(), None
    while before is None or time.monotonic() < since + 1:
        now = slots_at(nodes) if is_whole(nodes, len(nodes), copies) else None
        if now is None or now != before:
            since, before = time.monotonic(), now
        if time.monotonic() > until:
            sys.exit("the cluster does not form: %s" % nodes[-1].ask("CLUSTER", "INFO"))
        time.sleep(0.05)


def member(name, nodes, *settings):
    """One more node, which joins the first of them, if there is one."""
    inner = free_port()
    join = ["--cluster-join", "127.0.0.1:%d@%d" % (nodes[0].port, nodes[0].inner)] if nodes else []
    node = vong(fresh(name), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port", str(inner),
                "--auto-aof-rewrite-percentage", "0", *settings, *join)
    node.inner = inner
    return node.start(wait=not nodes)


def cluster(name, size, copies, *settings):
    """So many nodes, the first of which founded it, with so many copies of each slot."""
    nodes = []
    for i in range(size):
        nodes.append(member("%s-%d" % (name, i), nodes, "--replication-factor", str(copies), *settings))
    for n in nodes:
        n.wait_ready()
    wait_settled(nodes, copies)
    return nodes


def slots_at(nodes):
    """Who serves what, as the driver's --slots wants it."""
    told = []
    for n in nodes:
        mine = [line for line in n.ask("CLUSTER", "NODES").splitlines() if "myself" in line][0].split()[8:]
        told += ["%s-%s:%d" % (r.split("-")[0], r.split("-")[-1], n.port) for r in mine if "[" not in r]
    return ",".join(told)


def end(nodes):
    for n in nodes:
        n.kill()


def served_tags(node):
    """The hash tags of two letters whose slots this node serves."""
    mine = [r.split(":")[0].split("-") for r in slots_at([node]).split(",") if r]
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return [a + b for a in letters for b in letters if any(
        int(low) <= binascii.crc_hqx((a + b).encode(), 0) % 16384 <= int(high) for low, high in mine)]


def group_forward():
    """The same keys, all the first node's, asked of it and of the second: a plain client's are forwarded."""
    nodes = cluster("forward", 2, 1, "--appendonly", "no")
    tags = ",".join(served_tags(nodes[0])[:256])
    at, through = Through("vong, direct", nodes[0], nodes), Through("vong, forwarded", nodes[1], nodes)
    driven(at, keys=100000, tags=tags, pipeline=64, clients=16, fill=True)
    for pipeline, goal in (1, 2.2), (16, 1.8):
        r = alternate({s.name: (s, nothing) for s in (through, at)}, bed.ROUNDS, bed.SECONDS, command="set",
                      pipeline=pipeline, keys=100000, tags=tags)
        ratio_row("SET forwarded, pipeline %d: CPU us/op, both nodes" % pipeline, r[through.name]["cpu"],
                  r[at.name]["cpu"], "%.2f", at_most=goal)
    end(nodes)


def redis_pair():
    """A primary and a replica that has all of it."""
    pair = [redis(fresh("pair-0"), "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0").start()]
    pair.append(redis(fresh("pair-1"), "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0",
                      "--replicaof", "127.0.0.1 %d" % pair[0].port).start())
    until = time.monotonic() + 60
    while pair[1].info("master_link_status") != "up":
        if time.monotonic() > until:
            sys.exit("the replica does not follow")
        time.sleep(0.05)
    return pair


def caught_up(pair):
    """What was written asynchronously is no burden of the next round."""
    until = time.monotonic() + 60
    while pair[1].info("slave_repl_offset") != pair[0].info("master_repl_offset"):
        if time.monotonic() > until:
            sys.exit("the replica does not catch up")
        time.sleep(0.01)


def fill_backlogs(driven_at, nodes, keys):
    """A backlog's memory is the system's until it was written to once: what is measured is what comes after that."""
    until = time.monotonic() + 300
    while any(int(n.info("repl_backlog_histlen")) < 0.9 * int(n.info("repl_backlog_size")) for n in nodes):
        if time.monotonic() > until:
            sys.exit("the backlogs do not fill")
        driven(driven_at, command="set", keys=keys, pipeline=64, clients=16, seconds=1)


def group_held():
    """What copies cost in memory beside the keys: a link, and the backlog, before and after it has been filled once."""
    nodes = cluster("held", 3, 2, "--appendfsync", "everysec")
    ours = Through("vong, 2 copies", nodes[0], nodes, slots_at(nodes))
    fill(ours, 1000)
    links = sum(len(n.ask("CLUSTER", "LINKS")) for n in nodes)
    idle = sum(int(n.info("mem_cluster_links")) for n in nodes) / 1e3
    row("KB of a link between nodes, idle, at one of its ends", "%.0f" % (idle / links), "-", "-", "-", None)
    before = [n.memory() / 1e6 for n in nodes]
    fill_backlogs(ours, nodes, 1000)
    after = [n.memory() / 1e6 for n in nodes]
    size = int(nodes[0].info("mem_replication_backlog")) / 1e6
    row("MB of memory that a full backlog of %.0f MB adds to a node" % size,
        "%.1f" % statistics.median(a - b for a, b in zip(after, before)), "-", "-", "-", None)
    end(nodes)


def group_strong():
    """Three nodes, two copies of each slot, replies once both hold it; Redis: one primary, one replica."""
    nodes, pair = cluster("strong", 3, 2, "--appendfsync", "everysec"), redis_pair()
    at = slots_at(nodes)
    ours, forwarded = Through("vong, 2 copies", nodes[0], nodes, at), Through("vong, forwarded", nodes[0], nodes)
    theirs, before = Through("redis", pair[0], pair), lambda: caught_up(pair)
    for s in ours, theirs:
        fill(s, 100000)
    fill_backlogs(ours, nodes, 100000)
    for pipeline in 1, 16:
        r = alternate({"vong, 2 copies": (ours, nothing), "redis, asynchronous": (theirs, before),
                       "redis, WAIT 1": (theirs, before, {"wait": 1}), "vong, 2 copies, forwarded": (forwarded, nothing)},
                      bed.ROUNDS, bed.SECONDS, command="set", pipeline=pipeline, keys=100000)
        rate, name = {k: v["rate"] for k, v in r.items()}, "strong SET, pipeline %d: SET/s, against " % pipeline
        ratio_row(name + "asynchronous", rate["vong, 2 copies"], rate["redis, asynchronous"], "%.0f",
                  at_least=0.9 if pipeline == 1 else None)
        ratio_row(name + "WAIT 1", rate["vong, 2 copies"], rate["redis, WAIT 1"], "%.0f",
                  at_least=1.5 if pipeline == 1 else 2.0)
        ratio_row("strong SET through any node, pipeline %d: SET/s, against WAIT 1" % pipeline,
                  rate["vong, 2 copies, forwarded"], rate["redis, WAIT 1"], "%.0f")
        r = alternate({"vong, 2 copies": (ours, nothing), "redis, primary": (theirs, nothing)}, bed.ROUNDS, bed.SECONDS,
                      command="get", pipeline=pipeline, keys=100000)
        ratio_row("linearizable GET, pipeline %d: GET/s, against a primary's" % pipeline, r["vong, 2 copies"]["rate"],
                  r["redis, primary"]["rate"], "%.0f")
    end(nodes + pair)


def etcd_url(port):
    return "http://127.0.0.1:%d" % port


class Etcd(Server):
    def wait_ready(self, limit=60):
        """Until it knows a leader."""
        until = time.monotonic() + limit
        while self.metric("etcd_server_has_leader") != "1":
            if self.process.poll() is not None or time.monotonic() > until:
                sys.exit("etcd does not answer, see %s/output" % self.directory)
            time.sleep(0.05)

    def metric(self, name):
        try:
            with urllib.request.urlopen(etcd_url(self.port) + "/metrics", timeout=5) as f:
                for line in f.read().decode().splitlines():
                    if line.startswith(name + " "):
                        return line.split()[1]
        except OSError:
            pass  # not yet
        return None


def etcd_cluster(size):
    """Its leader first: whom a client asks that wants it fast."""
    peers = ["m%d=%s" % (i, etcd_url(free_port())) for i in range(size)]
    nodes = []
    for p in peers:
        name, peer = p.split("=")
        where = fresh("etcd-" + name)
        nodes.append(Etcd("etcd", [
            bed.ETCD, "--name", name, "--data-dir", os.path.join(where, "data"), "--listen-client-urls",
            "http://127.0.0.1:PORT", "--advertise-client-urls", "http://127.0.0.1:PORT",
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", ",".join(peers),
            "--logger", "zap", "--log-level", "error"], where).start(wait=False))
    for n in nodes:
        n.wait_ready()
    return sorted(nodes, key=lambda n: n.metric("etcd_server_is_leader") != "1")


def group_etcd():
    """Three copies, a majority of which has synced a write before it is answered, on both sides."""
    if bed.ETCD is None:
        print("etcd is not installed: its rows are left out", flush=True)
        return
    nodes = cluster("etcd-vong", 3, 3, "--appendfsync", "always", "--write-quorum", "majority")
    peers = etcd_cluster(3)
    ours, theirs = Through("vong, always, 2 of 3", nodes[0], nodes, slots_at(nodes)), Through("etcd", peers[0], peers)
    for s in ours, theirs:
        driven(s, keys=10000, clients=50, fill=True)
    for command, figure in ("set", "strong SET, always on every copy: SET/s"), ("get", "linearizable GET: GET/s"):
        r = alternate({ours.name: (ours, nothing), "etcd": (theirs, nothing)}, bed.ROUNDS, bed.SECONDS,
                      command=command, keys=10000)
        ratio_row(figure + ", against etcd", r[ours.name]["rate"], r["etcd"]["rate"], "%.0f", at_least=8)
        ratio_row(figure.split(":")[0] + ": CPU us/op, against etcd", r[ours.name]["cpu"], r["etcd"]["cpu"], "%.1f")
    end(nodes + peers)


def group_quorum():
    """Five copies: how long a SET takes by how many of them must hold it; one client, then fifty."""
    nodes = cluster("quorum", 5, 5, "--appendfsync", "everysec")
    ours = Through("vong", nodes[0], nodes, slots_at(nodes))
    fill(ours, 100000)
    for clients in 1, 50:
        middle, high = {w: [] for w in range(1, 6)}, {w: [] for w in range(1, 6)}
        for _ in range(bed.ROUNDS):
            for w in middle:
                nodes[0].must("CLUSTER", "SETTINGS", "SET", "write-quorum", str(w))
                until = time.monotonic() + 30
                while any(n.ask("CONFIG", "GET", "write-quorum")[1] != str(w) for n in nodes):
                    if time.monotonic() > until:
                        sys.exit("write-quorum %d is not known everywhere" % w)
                    time.sleep(0.02)
                got = driven(ours, seconds=bed.SECONDS, command="set", keys=100000, clients=clients, pipeline=1)
                middle[w].append(got["p50"])
                high[w].append(got["p99"])
        panel = PLOT["quorum"]["%d client%s" % (clients, "s" if clients > 1 else "")] = {}
        for name, values in ("p50", middle), ("p99", high):
            told = panel[name] = {w: statistics.median(v) for w, v in values.items()}
            row("SET, 5 copies, %d client%s: %s in us at W = 1 ... 5" % (clients, "s" if clients > 1 else "", name),
                " ".join("%.0f" % v for v in told.values()), "-", "%.2f" % (told[5] / told[1]), "-", None)
    end(nodes)
