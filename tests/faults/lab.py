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
import tempfile
import threading
import time

import pytest

from conftest import BUILD, VONG, Wire, request, until

BRIDGE = "sw"
PORT, CLUSTER_PORT = 7000, 17000
SLOTS = 16384
PATIENCE = 60  # seconds, of every wait in which nothing is claimed about time
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
        return [self.reply() for _ in range(int(rest))]


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

    def close(self):
        ip("link", "del", self.wire)
        os.close(self.fd)


class Node:
    """A server in a network of its own. start() after kill() finds the same directory."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.dir = lab.dir / name
        self.dir.mkdir()
        self.net = Net()
        self.process = None
        self.join = None
        self.id = None  # since its first start
        self.env = {}
        self.disks = []

    def __repr__(self):
        return self.name

    @property
    def address(self):
        return self.net.address

    @property
    def log(self):
        return (self.lab.dir / f"{self.name}.log").read_text(errors="replace")

    def launch(self, *args, join=None):
        self.join = join if join is not None else self.join
        command = [VONG, "--bind", self.address, "--protected-mode", "no", "--port", PORT, "--dir", self.dir,
                   "--cluster-enabled", "yes", "--cluster-port", CLUSTER_PORT, "--cluster-secret", "faults",
                   "--cluster-node-timeout", self.lab.timeout_ms, "--replication-factor", self.lab.copies]
        if self.join is not None:
            command += ["--cluster-join", f"{self.join.address}:{PORT}@{CLUSTER_PORT}"]
        with open(self.lab.dir / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(self.net.command(*command, *args), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, pass_fds=[self.net.fd], env={**os.environ, **self.env})
        return self

    def start(self, *args, **kw):
        """Launches it and waits until it answers, with whatever."""
        self.launch(*args, **kw)

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
    """A cluster. T: cluster-node-timeout in milliseconds; of each slot so many copies."""

    def __init__(self, timeout_ms, copies=1):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lab-"))
        self.timeout_ms, self.copies = timeout_ms, copies
        self.nodes = []

    def begin(self, n, prepare=lambda node: None):
        """n nodes, which are whole then. prepare(node) comes before its first start."""
        for _ in range(n):
            prepare(self.add())
        for node in self.nodes:
            node.start(join=None if node is self.nodes[0] else self.nodes[0])
        self.wait_whole()
        return self

    def add(self):
        self.nodes.append(Node(self, f"n{len(self.nodes)}"))
        return self.nodes[-1]

    def others(self, node):
        return [n for n in self.nodes if n is not node]

    def heal(self):
        for n in self.nodes:
            n.net.run("iptables", "-F")

    def is_whole(self):
        """All serve all slots, know one another, agree on the map and on who leads, and vote."""
        infos = [n.info() for n in self.nodes]
        want = {"cluster_state": "ok", "cluster_slots_ok": str(SLOTS), "cluster_known_nodes": str(len(self.nodes)),
                "cluster_size": str(len(self.nodes)), "cluster_controller_voters": str(len(self.nodes) - 1 + len(self.nodes) % 2)}
        return (all(i.get(k) == v for i in infos for k, v in want.items()) and
                len({(i["cluster_map_version"], i["cluster_controller_leader"]) for i in infos}) == 1 and
                all(n.has_copies(self.copies) for n in self.nodes))

    def wait_whole(self):
        until(self.is_whole, PATIENCE, f"the cluster is not whole in {PATIENCE} s")

    def leader(self, among=None):
        """Who leads the controller, as all of them say; None while they do not agree."""
        said = {n.info().get("cluster_controller_leader") for n in among or self.nodes}
        return next((n for n in self.nodes if {n.id} == said), None)

    def logs(self):
        return "\n".join(f"--- {n}\n{n.log[-3000:]}" for n in self.nodes if n.process is not None)

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

    def make(n=3, timeout_ms=1500, copies=1, **kw):
        made.append(Lab(timeout_ms, copies))
        return made[-1].begin(n, **kw)

    yield make
    for lab in made:
        lab.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure tells the ends of the logs."""
    report = (yield).get_result()
    if report.failed and call.when == "call":
        report.longrepr = "\n".join([lab.logs() for lab in item.labs] + [str(report.longrepr)])
