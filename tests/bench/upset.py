# SPDX-License-Identifier: BSD-3-Clause
"""The figures of a cluster in trouble or on the move: how long a slot is not served, what is lost, what a return and a
join cost."""

import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

import bed
from bed import drive, fill, free_port, fresh, redis, reply_of
from figures import row
from together import Through, cluster, end, is_whole, member, served_tags, slots_at, wait_settled

BATCH = 20       # SETs that a writer sends at one time
PATIENCE = 0.15  # seconds until a writer asks another node


class Writer(threading.Thread):
    """Writes new keys of one node's slots, a batch at a time, and goes where they are served when they are not. It notes what
    was acknowledged, and when."""

    def __init__(self, nodes, tags, number):
        super().__init__(daemon=True)
        self.doors, self.tags, self.number = [(n.host, n.port) for n in nodes], tags, number
        self.door, self.file, self.over = self.doors[0], None, threading.Event()
        self.acknowledged, self.times = [], []
        self.sequence = self.refused = self.uncertain = 0

    def run(self):
        while not self.over.is_set():
            keys = ["{%s}%d:%d" % (self.tags[(self.sequence + i) % len(self.tags)], self.number, self.sequence + i)
                    for i in range(BATCH)]
            self.sequence += BATCH
            try:
                if not self.write(keys):
                    time.sleep(0.005)
            except OSError:
                self.go_on()
                time.sleep(0.002)

    def go_on(self):
        self.go(self.doors[(self.doors.index(self.door) + 1) % len(self.doors)])

    def go(self, door):
        if self.file is not None:
            self.file.close()
        self.door, self.file = door, None

    def write(self, keys):
        """False: some were not taken."""
        if self.file is None:
            with socket.create_connection(self.door, PATIENCE) as s:
                self.file = s.makefile("rwb")
        self.file.write(b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\nx\r\n" % (len(k), k.encode()) for k in keys))
        self.file.flush()
        taken, moved = 0, None
        for k in keys:
            reply = reply_of(self.file)
            if reply == "+OK":
                self.acknowledged.append(k)
                taken += 1
            elif reply == "":
                raise ConnectionError("closed")
            elif reply.startswith("-MOVED "):
                host, port = reply.split()[2].rsplit(":", 1)
                moved = host, int(port)
            elif reply.startswith("-UNCERTAIN "):
                self.uncertain += 1
            else:
                self.refused += 1
        if taken == len(keys):
            self.times.append(time.monotonic())
        if moved is not None:
            self.go(moved)
        elif taken < len(keys):
            self.go_on()
        return taken == len(keys)

    def longest_gap(self, since):
        times = [t for t in self.times if t > since - 1]
        return max(b - a for a, b in zip(times, times[1:]))


def missing(node, keys):
    """How many of them it does not have. Keys of slots it serves."""
    lost = 0
    with socket.create_connection((node.host, node.port), 60) as s, s.makefile("rwb") as f:
        for at in range(0, len(keys), 500):
            part = [k.encode() for k in keys[at:at + 500]]
            f.write(b"".join(b"*2\r\n$6\r\nEXISTS\r\n$%d\r\n%s\r\n" % (len(k), k) for k in part))
            f.flush()
            told = [reply_of(f) for _ in part]
            if any(t not in (":0", ":1") for t in told):
                sys.exit("%s does not tell what it has: %s" % (node.name, set(told)))
            lost += told.count(":0")
    return lost


def leads_controller(node):
    info = dict(line.split(":", 1) for line in node.ask("CLUSTER", "INFO").splitlines() if ":" in line)
    return info["cluster_controller_leader"] == node.ask("CLUSTER", "MYID")


def upset_once(victim, others, how):
    """(seconds without service, acknowledged writes that are missing, how many were acknowledged). It is back afterwards."""
    tags = served_tags(victim)[:8]
    writers = [Writer([victim] + others, tags, i) for i in range(8)]
    for w in writers:
        w.start()
    # It ends when the connections do, or by itself; the replicas of a busy primary are behind it, if they may be.
    load = subprocess.Popen(drive(victim, command="set", keys=100000, tags=",".join(tags), pipeline=64, seconds=2),
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    began = time.monotonic()
    if how == "kill -9":
        victim.kill()
    else:
        victim.process.send_signal(signal.SIGSTOP)
    until = began + 60
    while any(not w.times or w.times[-1] < began + 0.3 for w in writers):
        if time.monotonic() > until:
            sys.exit("%s: its slots are not served again" % victim.name)
        time.sleep(0.01)
    time.sleep(0.3)
    for w in writers:
        w.over.set()
    for w in writers:
        w.join()
    # not before: who goes on with what it was sent while it stood still is no part of this
    gap = max(w.longest_gap(began) for w in writers)
    acknowledged = [k for w in writers for k in w.acknowledged]
    wait_for("each of its slots has a new owner", lambda: sum(
        len(set(served_tags(n)) & set(tags)) for n in others) == len(tags))
    served = {n: set(served_tags(n)) for n in others}
    by_owner = {n: [k for k in acknowledged if k[1:3] in served[n]] for n in others}
    load.kill()
    load.wait()
    lost = sum(missing(n, keys) for n, keys in by_owner.items())
    if how == "kill -9":
        victim.start(wait=False)
        wait_for("it answers again", lambda: answers(victim))
    else:
        victim.process.send_signal(signal.SIGCONT)
    return gap, lost, len(acknowledged)


def group_outage():
    """Three nodes with two copies, against Redis Cluster: three primaries and three replicas, node-timeout 1000 on both."""
    tries = 1 if bed.QUICK else 3
    nodes, theirs = cluster("outage", 3, 2), redis_cluster(3, 3)
    for how in "kill -9", "SIGSTOP":
        ours_told, theirs_told = [], []
        for i in range(2 * tries):
            victim = [n for n in nodes if leads_controller(n) == (i % 2 == 0)][0]
            ours_told.append(upset_once(victim, [n for n in nodes if n is not victim], how))
            wait_settled(nodes, 2)
            victim = [n for n in theirs if served_tags(n)][i % 3]
            theirs_told.append(upset_once(victim, [n for n in theirs if n is not victim], how))
            wait_redis_whole(theirs, 3)
        outage_rows(how, ours_told, theirs_told)
    end(nodes + theirs)
    told = cut_off(2 * tries)
    if told is not None:
        outage_rows("a cut", told["ours"], told["theirs"])


def outage_rows(how, ours_told, theirs_told):
    gaps, peers = ([t[0] for t in told] for told in (ours_told, theirs_told))
    row("a slot not served after %s: s, worst of %d" % (how, len(gaps)), "%.2f" % max(gaps), "%.2f" % max(peers),
        "%.2f" % (statistics.median(gaps) / statistics.median(peers)), "<= 1.3 s", max(gaps) <= 1.3)
    lost = ["%d of %d" % (sum(t[1] for t in told), sum(t[2] for t in told)) for told in (ours_told, theirs_told)]
    row("acknowledged writes lost by %s" % how, lost[0], lost[1], "-", "0", sum(t[1] for t in ours_told) == 0)


def cut_off(tries):
    """The same of a node that is cut off from the others, and not from clients; in namespaces, where they can be made."""
    run = pathlib.Path(__file__).resolve().parent.parent / "faults/run"
    words = ["chrt", "-f", "1"] if bed.REALTIME else []
    done = subprocess.run(words + [run, "--cut", str(tries)], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "top_builddir": os.path.dirname(bed.VONG)})
    if done.returncode != 0:
        sys.exit("the cut could not be measured")
    print(done.stdout, end="", flush=True)
    return None if "# SKIP" in done.stdout else json.loads(done.stdout)


def redis_cluster(primaries, replicas):
    nodes = [redis(fresh("redis-cluster-%d" % i), "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
                   "--cluster-port", str(free_port()), "--appendonly", "yes").start(wait=False)
             for i in range(primaries + replicas)]
    for n in nodes:
        wait_for("redis-server answers", lambda: answers(n))
    told = subprocess.run([bed.REDIS_CLI, "--cluster", "create"] + ["127.0.0.1:%d" % n.port for n in nodes] +
                          ["--cluster-replicas", str(replicas // primaries), "--cluster-yes"], capture_output=True, text=True)
    if told.returncode != 0:
        sys.exit("redis-cli --cluster create: %s" % told.stdout[-1000:])
    wait_redis_whole(nodes, replicas)
    return nodes


def answers(node):
    try:
        return node.ask("PING") == "+PONG"
    except OSError:
        return False


def wait_for(what, condition, limit=60):
    until = time.monotonic() + limit
    while not condition():
        if time.monotonic() > until:
            sys.exit("not in %d seconds: %s" % (limit, what))
        time.sleep(0.05)


def wait_redis_whole(nodes, replicas):
    """All slots served, nobody failed for anybody, and every replica follows."""
    def is_whole_there():
        if not all(answers(n) for n in nodes):
            return False
        told = [n.ask("CLUSTER", "NODES") for n in nodes]
        if any("fail" in t or "handshake" in t for t in told):
            return False
        if any("cluster_state:ok" not in n.ask("CLUSTER", "INFO") for n in nodes):
            return False
        return sum("master_link_status:up" in n.ask("INFO", "replication") for n in nodes) == replicas
    wait_for("the Redis cluster is whole", is_whole_there)


def bytes_received(ports, pid):
    """What this process was sent on its open connections with one of these ports on this side or the other."""
    told = subprocess.run(["ss", "-tipnOH", "state", "established"], capture_output=True, text=True, check=True).stdout
    total = 0
    for line in told.splitlines():
        words = line.split()
        if "pid=%d," % pid in line and {int(w.rsplit(":", 1)[1]) for w in words[2:4]} & ports:
            total += sum(int(w.split(":")[1]) for w in words if w.startswith("bytes_received:"))
    return total


def write_at(node, count, value):
    """So many SETs of keys in all slots."""
    bed.driven(node, keys=count, value=value, pipeline=16, clients=16, fill=True)


def logged_bytes(nodes):
    return sum(int(n.info("aof_current_size")) for n in nodes)


def group_return():
    """Two copies on three nodes; one is away while the others are written to, and comes back: what it is sent, over what it
    missed. Within the backlog, and beyond it."""
    for backlog, keys, value, title in (("64mb", 100000, 64, "64 B values, within the backlog"),
                                        ("64mb", 20000, 1000, "1 KB values, within the backlog"),
                                        ("4mb", 100000, 64, "64 B values, beyond it")):
        nodes = cluster("return", 3, 2, "--repl-backlog-size", backlog)
        write_at(nodes[1], 2 * keys, value)
        wait_settled(nodes, 2)
        away, stay = nodes[0], nodes[1:]
        away.stop()
        wait_for("the others serve all", lambda: all(
            "cluster_slots_ok:16384" in n.ask("CLUSTER", "INFO") for n in stay))
        before = logged_bytes(stay)
        write_at(stay[0], keys, value)
        # A third of the slots has both copies on who stayed, two thirds have one there and lack one.
        missed = (logged_bytes(stay) - before) / 2
        dumps = sum(int(n.info("sync_full")) for n in stay)
        away.start(wait=False)
        wait_for("it answers again", lambda: answers(away))
        began, got = time.monotonic(), 0
        while not is_whole(nodes, 3, 2):
            got = max(got, bytes_received({n.inner for n in nodes}, away.process.pid))
            if time.monotonic() > began + 120:
                sys.exit("it does not come back into sync")
        dumps = sum(int(n.info("sync_full")) for n in stay) - dumps
        print("%d slots were sent whole" % dumps, flush=True)
        row("MB sent to who comes back, %s" % title, "%.1f" % (got / 1e6), "%.1f" % (missed / 1e6),
            "%.2f" % (got / missed), "<= 1.20", got / missed <= 1.2)
        end(nodes)


def joined(nodes, keys, copies):
    """A fourth node joins three that hold so many keys, under load at one of them: (seconds, the worst latency in ms before and
    meanwhile, errors)."""
    fill(nodes[0], keys)
    wait_settled(nodes, copies)
    load = subprocess.Popen(drive(nodes[0], command="set", keys=keys, clients=4, seconds=bed.REWRITE_SECONDS, rest=200),
                            stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    began = time.monotonic()
    nodes = nodes + [member("join-3", nodes, "--replication-factor", str(copies))]
    wait_for("it answers", lambda: answers(nodes[3]))
    wait_for("all is where it is to be", lambda: is_whole(nodes, 4, copies))
    took = time.monotonic() - began
    load.terminate()
    got = json.loads(load.communicate()[0])
    return nodes, took, max(got["tenths"][2:9]) / 1000, max(got["tenths"][10:]) / 1000, got["errors"]


def redis_joined(keys):
    """Seconds of redis-cli's way: a fourth primary is added and slots are moved to it."""
    nodes = redis_cluster(3, 0)
    fill(Through("redis", nodes[0], nodes, slots_at(nodes)), keys)
    where = fresh("redis-cluster-3")
    nodes.append(redis(where, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port",
                       str(free_port()), "--appendonly", "yes").start(wait=False))
    wait_for("redis-server answers", lambda: answers(nodes[3]))
    first = "127.0.0.1:%d" % nodes[0].port
    began = time.monotonic()
    for words in ["add-node", "127.0.0.1:%d" % nodes[3].port, first], None, ["rebalance", first, "--cluster-use-empty-masters"]:
        if words is None:
            wait_redis_whole(nodes, 0)
            continue
        told = subprocess.run([bed.REDIS_CLI, "--cluster"] + words, capture_output=True, text=True)
        if told.returncode != 0:
            sys.exit("redis-cli --cluster %s: %s" % (words[0], told.stdout[-1000:]))
    took = time.monotonic() - began
    end(nodes)
    return took


def group_join():
    """Not in a real-time class: there, four nodes that share a processor do not take turns at it."""
    realtime, bed.REALTIME = bed.REALTIME, False
    for copies, keys in [(1, 1000000), (2, 1000000)] + ([] if bed.QUICK else [(2, 10000000)]):
        nodes, took, before, worst, errors = joined(cluster("join", 3, copies), keys, copies)
        end(nodes)
        at = "a join, %d M keys, %d cop%s: " % (keys // 1000000, copies, "y" if copies == 1 else "ies")
        theirs = redis_joined(keys) if copies == 1 else None
        row(at + "seconds", "%.1f" % took, "%.1f" % theirs if theirs else "-", "%.2f" % (took / theirs) if theirs else "-",
            "<= 2 s" if copies == 1 else "-", took <= 2 if copies == 1 else None)
        row(at + "worst latency in ms (before: %.1f)" % before, "%.1f" % worst, "-", "-",
            "<= 10 ms" if copies == 1 else "-", worst <= 10 if copies == 1 else None)
        row(at + "errors", "%d" % errors, "-", "-", "0", errors == 0)
    bed.REALTIME = realtime
