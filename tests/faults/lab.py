# SPDX-License-Identifier: BSD-3-Clause
"""Clusters whose nodes have a network each: a namespace, a wire to a bridge, an address of their own.

`run` has put this process into namespaces of its own (network, mounts, process ids): what is made here is
seen by nobody else, and ends with it whatever happens. Clients speak from here, over the bridge: no cut
between nodes ever cuts them off."""

import binascii
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from conftest import BUILD, VONG, Wire, request, until

HERE = pathlib.Path(__file__).resolve().parent
BRIDGE = "sw"
PORT, CLUSTER_PORT = 7000, 17000
SLOTS = 16384
VOTERS = 5
YEARS = 10**8
PATIENCE = 60  # seconds, of every wait in which nothing is claimed about time
# As well where copies are to be in sync: one that was slow, as all are on a busy machine, has to keep up for up to a
# minute before it is again (14), and there may be several to wait for.
PATIENCE_WHOLE = 180
CLONE_NEWNET = 0x40000000


def slot_of(key):
    key = key.encode() if isinstance(key, str) else key
    return binascii.crc_hqx(key, 0) % SLOTS


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


class Error(str):
    """An error reply."""


class Client(Wire):
    """A bare connection, RESP2: what a library would do of its own is not in the way."""

    def __init__(self, address, timeout=10):
        super().__init__(socket.create_connection((address, PORT), timeout))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, *words):
        self.send(request(*words))
        return self.reply()

    def reply(self):
        line = self.line().decode()
        kind, rest = line[0], line[1:]
        if kind == "+":
            return rest
        if kind == "-":
            return Error(rest)
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else self.read(int(rest) + 2)[:-2].decode()
        assert kind == "*", line
        return None if rest == "-1" else [self.reply() for _ in range(int(rest))]


class Net:
    """A network namespace, held by a descriptor, with one wire to the bridge."""

    made = 0

    def __init__(self):
        if Net.made == 0:
            ip("link", "set", "lo", "up")
            ip("link", "add", BRIDGE, "type", "bridge")
            ip("addr", "add", "10.77.255.254/16", "dev", BRIDGE)
            ip("link", "set", BRIDGE, "up")
        Net.made += 1
        self.fd = self.unshared()
        self.wire = f"v{Net.made}"
        self.address = None
        self.rough = None  # what carries its frames while its wire is rough
        ip("link", "add", self.wire, "type", "veth", "peer", "name", "eth0", "netns", f"/proc/{os.getpid()}/fd/{self.fd}")
        ip("link", "set", self.wire, "master", BRIDGE, "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "set", "eth0", "up")
        self.new_address()

    @staticmethod
    def unshared():
        """A thread of its own goes into a new namespace; what stays of it is the descriptor."""
        got = []

        def go():
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0:
                got.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        t = threading.Thread(target=go)
        t.start()
        t.join()
        assert got, "no network namespace could be made"
        return got[0]

    addresses = 0

    def new_address(self):
        """One that nobody had before."""
        Net.addresses += 1
        self.address = f"10.77.{Net.addresses // 250}.{Net.addresses % 250 + 1}"
        self.run("ip", "-4", "addr", "flush", "dev", "eth0")
        self.run("ip", "addr", "add", f"{self.address}/16", "dev", "eth0")

    def command(self, *words):
        return ["nsenter", f"--net=/proc/self/fd/{self.fd}", *map(str, words)]

    def run(self, *words):
        subprocess.run(self.command(*words), check=True, pass_fds=[self.fd], capture_output=True, text=True)

    def roughen(self, least_ms, most_ms, lost=0, twice=0):
        """From now on each frame takes a time of its own, those behind it overtake it; some are lost, some come twice."""
        self.smoothe()
        tap = f"t{self.wire}"
        what = [sys.executable, HERE / "rough_wire.py", self.wire, tap, least_ms, most_ms, lost, twice]
        self.rough = subprocess.Popen([str(w) for w in what], stdout=subprocess.PIPE, text=True)
        assert self.rough.stdout.readline() == "there\n"
        ip("link", "set", self.wire, "nomaster")
        ip("link", "set", self.wire, "arp", "off", "promisc", "on")  # it is a wire now, no end of one
        ip("link", "set", tap, "master", BRIDGE, "up")

    def smoothe(self):
        if self.rough is None:
            return
        assert self.rough.poll() is None, "the rough wire broke"
        self.rough.kill()
        self.rough.wait(60)
        self.rough.stdout.close()
        self.rough = None
        ip("link", "set", self.wire, "arp", "on", "promisc", "off")
        ip("link", "set", self.wire, "master", BRIDGE)

    def close(self):
        self.smoothe()
        ip("link", "del", self.wire)
        os.close(self.fd)


class Node:
    """A server in a network of its own. start() after kill() finds the same directory."""

    port = PORT

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.dir = lab.dir / name
        self.dir.mkdir()
        self.net = Net()
        self.process = None
        self.join = None
        self.program = lab.program
        self.uptime_s = None  # its host's when it is started; None: everybody's
        self.id = None  # since its first start
        self.disks = []
        (self.dir / "rules").touch()

    def __repr__(self):
        return self.name

    @property
    def address(self):
        return self.net.address

    host = address

    @property
    def log(self):
        return (self.lab.dir / f"{self.name}.log").read_text(errors="replace")

    def launch(self, *args, join=None):
        self.join = join if join is not None else self.join
        command = [self.program, "--bind", self.address, "--protected-mode", "no", "--port", PORT, "--dir", self.dir,
                   "--cluster-enabled", "yes", "--cluster-port", CLUSTER_PORT, "--cluster-secret", "faults",
                   "--cluster-node-timeout", self.lab.timeout_ms, "--replication-factor", self.lab.copies,
                   "--appendfsync", self.lab.sync, *(w for name, value in self.lab.settings for w in (f"--{name}", value))]
        if self.join is not None:
            command += ["--cluster-join", f"{self.join.address}:{PORT}@{CLUSTER_PORT}"]
        with open(self.lab.dir / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(self.net.command(*self.booted(), *command, *args), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, pass_fds=[self.net.fd], env={**os.environ, **self.world()})
        return self

    def world(self):
        """A disk and a wall clock that do as they are told."""
        if not self.lab.is_bad:
            return {}
        lib = BUILD / "tests/outside/lib"
        return {"LD_PRELOAD": f"{lib}/bad_disk.so:{lib}/bad_clock.so", "BAD_DISK": str(self.dir / "rules"),
                "BAD_DISK_SYNCED": str(self.dir / "synced"), "BAD_CLOCK": str(self.dir / "clock")}

    def disk(self, rule=""):
        """From now on its disk obeys this rule (outside/lib/bad_disk.c); none: it is well."""
        self.put("rules", rule + "\n")

    def clock(self, ahead_ms=0):
        self.put("clock", str(ahead_ms))

    def booted(self):
        """A monotonic clock of its own."""
        return [] if self.uptime_s is None else ["unshare", "--time", "--monotonic", self.uptime_s - int(time.monotonic())]

    def reboot(self):
        """It is started again, and what its monotonic clock shows has nothing to do with what it showed before."""
        self.uptime_s = 60 if self.uptime_s == YEARS else YEARS
        self.start()
        assert os.readlink(f"/proc/{self.process.pid}/ns/time") != os.readlink("/proc/self/ns/time"), "its clock is everybody's"

    def put(self, name, text):
        (self.dir / "aside").write_text(text)
        (self.dir / "aside").rename(self.dir / name)

    def lose_unsynced(self):
        """What the disk of one that is dead was not told to keep is gone."""
        path = self.dir / "synced"
        synced = {int(inode): int(size) for inode, size in map(str.split, path.read_text().splitlines())} if path.exists() else {}
        for folder in ("appendonlydir", "raft"):  # who does not vote may have none of the second
            for file in (self.dir / folder).glob("*"):
                was = file.stat()
                os.truncate(file, min(was.st_size, synced.get(was.st_ino, 0)))

    def start(self, *args, **kw):
        """Launches it and waits until it answers, with whatever."""
        return self.launch(*args, **kw).wait_answers()

    def wait_answers(self):
        def answers():
            code = self.process.poll()
            assert code is None, f"{self} ended with {code}:\n{self.log[-3000:]}"
            self.id = self.ask("CLUSTER", "MYID")
            return self.id is not None and not isinstance(self.id, Error)
        until(answers, PATIENCE, f"{self} does not answer")
        return self

    def client(self, timeout=10):
        return Client(self.address, timeout)

    def ask(self, *words, timeout=10):
        """One reply on a connection of its own; None while there is none."""
        try:
            c = self.client(timeout)
        except OSError:
            return None
        try:
            return c.call(*words)
        except (OSError, EOFError):
            return None
        finally:
            c.close()

    def info(self):
        """CLUSTER INFO; empty while it cannot be had."""
        text = self.ask("CLUSTER", "INFO")
        if text is None or isinstance(text, Error):
            return {}
        return dict(line.split(":", 1) for line in text.split("\r\n") if line)

    def members(self):
        """id -> (flags, address, set of slots) by CLUSTER NODES; empty while it cannot be had."""
        text = self.ask("CLUSTER", "NODES")
        if text is None or isinstance(text, Error):
            return {}
        found = {}
        for words in map(str.split, text.splitlines()):
            slots = set()
            for r in words[8:]:
                first, _, last = r.partition("-")
                slots.update(range(int(first), int(last or first) + 1))
            found[words[0]] = (words[2].split(","), words[1].split(":")[0], slots)
        return found

    def has_forgotten(self, node):
        members = self.members()
        return members and node.id not in members

    def has_copies(self, n):
        """As this node sees it, each slot has so many that are in sync."""
        ranges = self.ask("CLUSTER", "SLOTS")
        return isinstance(ranges, list) and all(len(r) >= 2 + n for r in ranges)

    def kill(self):
        self.process.kill()
        self.process.wait(60)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def cut(self, others, hears=False, is_heard=False):
        """No packet between this node and the others; or only in one direction."""
        for o in others:
            if not hears:
                self.net.run("iptables", "-A", "INPUT", "-s", o.address, "-j", "DROP")
            if not is_heard:
                o.net.run("iptables", "-A", "INPUT", "-s", self.address, "-j", "DROP")

    def lose_packets(self, share):
        """Of what comes in, and of what goes out."""
        for chain in ("INPUT", "OUTPUT"):
            self.net.run("iptables", "-A", chain, "-m", "statistic", "--mode", "random", "--probability", share, "-j", "DROP")

    def small_disk(self, name, size):
        """What it keeps in this folder lies on a disk of its own."""
        path = self.dir / name
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "vong-test", str(path)], check=True)
        self.disks.append(path)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()  # SIGKILL also ends the stopped
            self.process.wait(60)
        for path in self.disks:
            subprocess.run(["umount", str(path)], check=True)
        self.net.close()


class Lab:
    """A cluster. T: cluster-node-timeout in milliseconds; of each slot so many copies; is_bad: disks and wall clocks
    do as they are told; program: what its nodes run; settings: more of what its founder says."""

    def __init__(self, timeout_ms, copies=1, sync="everysec", is_bad=False, program=VONG, settings=()):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lab-"))
        self.timeout_ms, self.copies, self.sync, self.is_bad, self.program = timeout_ms, copies, sync, is_bad, program
        self.settings = settings
        self.nodes = []  # members; a list is never changed while callers look at it
        self.added = 0

    def begin(self, n, prepare=lambda node: None):
        """n nodes, which are whole then. prepare(node) comes before its first start."""
        for _ in range(n):
            prepare(self.add())
        for node in self.nodes:
            node.start(join=None if node is self.nodes[0] else self.nodes[0])
        self.wait_whole()
        return self

    def add(self):
        self.nodes = [*self.nodes, Node(self, f"n{self.added}")]
        self.added += 1
        return self.nodes[-1]

    def forget(self, node, asked):
        """It is to be no member any more, be it there or not."""
        until(lambda: asked.ask("CLUSTER", "FORGET", node.id) == "OK" or asked.has_forgotten(node), PATIENCE,
              f"{asked} does not forget {node}")

    def wait_forgotten(self, node):
        """Then there is nothing left of it."""
        rest = self.others(node)
        until(lambda: all(n.has_forgotten(node) for n in rest), PATIENCE, f"{node} is a member still")
        self.nodes = rest
        node.close()

    def others(self, node):
        return [n for n in self.nodes if n is not node]

    def heal(self):
        for n in self.nodes:
            n.net.run("iptables", "-F")
            n.net.smoothe()

    def power_cut(self):
        """All at once, and what no disk was told to keep is gone. They are to be launched again."""
        for n in self.nodes:
            n.process.kill()
        for n in self.nodes:
            n.process.wait(60)
            n.lose_unsynced()

    def is_whole(self):
        """All serve all slots, know one another and agree on the map; those that are to vote do, and agree on who
        leads: who does not vote knows of an older term, or of none, and has only heard of a leader."""
        infos = [n.info() for n in self.nodes]
        voters = min(VOTERS, len(self.nodes) - 1 + len(self.nodes) % 2)
        led = sorted(((int(i.get("cluster_controller_term", 0)), i.get("cluster_controller_leader", "")) for i in infos),
                     reverse=True)
        want = {"cluster_state": "ok", "cluster_slots_ok": str(SLOTS), "cluster_known_nodes": str(len(self.nodes)),
                "cluster_size": str(len(self.nodes)), "cluster_controller_voters": str(voters)}
        return (all(i.get(k) == v for i in infos for k, v in want.items()) and
                len({i["cluster_map_version"] for i in infos}) == 1 and
                led[0][1] != "" and len(set(led[:voters])) == 1 and
                all(n.has_copies(self.copies) for n in self.nodes) and self.is_shared())

    def shares(self):
        return [len(slots) for _, _, slots in self.nodes[0].members().values() if slots]

    def is_shared(self):
        """Each is primary of its share, but for a tenth: nothing that was planned is still to be moved."""
        shares = self.shares()
        return shares and max(shares) - min(shares) <= SLOTS // len(self.nodes) // 10

    def wait_whole(self):
        """Whole, and the map has come to rest: what is left to be moved is soon moved on."""
        version, since = None, 0

        def rests():
            nonlocal version, since
            was, version = version, self.is_whole() and self.nodes[0].info().get("cluster_map_version")
            if not version or version != was:
                since = time.monotonic()
            return version and time.monotonic() - since > 0.5
        try:
            until(rests, PATIENCE_WHOLE)
        except AssertionError:
            told = [{**n.info(), "copies": n.has_copies(self.copies)} for n in self.nodes]
            raise AssertionError(f"the cluster is not whole in {PATIENCE_WHOLE} s: {self.shares()} slots, "
                                 f"{self.nodes[0].ask('CLUSTER', 'REBALANCE', 'STATUS')}, {told}") from None

    def leader(self, among=None):
        """Who leads the controller, as all of them say; None while they do not agree."""
        said = {n.info().get("cluster_controller_leader") for n in among or self.nodes}
        return next((n for n in self.nodes if {n.id} == said), None)

    def logs(self, most=3000):
        return "\n".join(f"--- {n}\n{n.log[-most:]}" for n in self.nodes if n.process is not None)

    def close(self):
        for n in self.nodes:
            n.close()
        shutil.rmtree(self.dir)


def keys_in(slots, n, prefix="key"):
    """n keys whose slots are among these, in slots of their own."""
    found, i = {}, 0
    while len(found) < n:
        key = f"{prefix}:{i}"
        i += 1
        if slot_of(key) in slots:
            found.setdefault(slot_of(key), key)
    return list(found.values())


def pytest_configure(config):
    config.addinivalue_line("markers", "long: in make check-long alone")


@pytest.fixture
def make_lab(request):
    """make_lab(nodes, T) -> a cluster that is whole."""
    made = request.node.labs = []

    def make(n=3, timeout_ms=1500, copies=1, sync="everysec", is_bad=False, program=VONG, **kw):
        made.append(Lab(timeout_ms, copies, sync, is_bad, program))
        return made[-1].begin(n, **kw)

    yield make
    for lab in made:
        lab.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure tells the ends of the logs."""
    report = (yield).get_result()
    if report.failed and call.when == "call":
        report.longrepr = "\n".join([lab.logs() for lab in getattr(item, "labs", [])] + [str(report.longrepr)])
