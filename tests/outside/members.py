# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of real processes, for the tests that want one: nodes on loopback, each in a directory of
its own, ended by their process ids."""

import subprocess

import pytest
import redis

from conftest import VONG, Server, free_port, until

# Short enough to wait for, long enough for a busy machine: what a test is not about must not happen.
TIMEOUT_MS = 3000


class Node(Server):
    """A member. Its ports are its own until new_ports()."""

    def __init__(self, directory, program, timeout_ms=TIMEOUT_MS):
        super().__init__(directory, program)
        self.timeout_ms = timeout_ms
        self.new_ports()

    def new_ports(self):
        self.port, self.cluster_port = free_port(), free_port()

    @property
    def address(self):
        """As cluster-join has it."""
        return f"127.0.0.1:{self.port}@{self.cluster_port}"

    def launch(self, *args, join=(), **kw):
        """join: nodes, or addresses."""
        seeds = ",".join(n if isinstance(n, str) else n.address for n in join)
        self.join = join
        more = ["--cluster-enabled", "yes", "--cluster-port", self.cluster_port,
                "--cluster-node-timeout", self.timeout_ms, "--enable-debug-command", "yes"]
        if "--replication-factor" not in args:
            more += ["--replication-factor", 1]  # who wants copies says so
        if seeds:
            more += ["--cluster-join", seeds]
        super().launch(*more, *args, **kw)
        self.args = list(args)
        return self

    def restart(self, *args, join=None, **kw):
        return self.start(*(args or self.args), join=self.join if join is None else join, **kw)

    def call(self, *words):
        """One command on a connection of its own, with nothing that a cluster library would do."""
        c = redis.Redis(port=self.port, decode_responses=True, socket_timeout=60)
        try:
            return c.execute_command(*words)
        finally:
            c.close()

    def info(self):
        """CLUSTER INFO, empty while the node does not answer."""
        try:
            text = self.call("CLUSTER", "INFO")
        except redis.RedisError:
            return {}
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def members(self):
        """id -> (address, flags, how many slots) of CLUSTER NODES."""
        found = {}
        for line in self.call("CLUSTER", "NODES").splitlines():
            w = line.split()
            slots = sum(int(r.split("-")[-1]) - int(r.split("-")[0]) + 1 for r in w[8:])
            found[w[0]] = (w[1], w[2], slots)
        return found

    def id(self):
        return self.call("CLUSTER", "MYID")


def is_whole(nodes):
    """All serve, all know one another, each has its share of the slots."""
    for n in nodes:
        info = n.info()
        if (info.get("cluster_state") != "ok" or int(info["cluster_known_nodes"]) != len(nodes) or
                int(info["cluster_slots_ok"]) != 16384 or int(info["cluster_size"]) != len(nodes)):
            return False
    maps = {n.info().get("cluster_map_version") for n in nodes}
    return len(maps) == 1


def wait_whole(nodes, seconds=60):
    def tail():
        return "\n".join(f"--- {n.dir}\n{n.log[-1500:]}" for n in nodes)
    try:
        until(lambda: is_whole(nodes), seconds)
    except AssertionError:
        raise AssertionError(f"the cluster is not whole in {seconds} s\n{tail()}") from None


@pytest.fixture
def node(tmpdir_short):
    """A maker of members; all are ended after the test."""
    made = []

    def make(timeout_ms=TIMEOUT_MS):
        path = tmpdir_short / f"n{len(made)}"
        path.mkdir()
        made.append(Node(path, VONG, timeout_ms))
        return made[-1]

    yield make
    for n in made:
        if n.process is not None:
            n.kill()


def form(node, count, *args, timeout_ms=TIMEOUT_MS):
    """count nodes of one cluster, the first of which founded it."""
    first = node(timeout_ms).start(*args)
    nodes = [first]
    for _ in range(count - 1):
        nodes.append(node(timeout_ms).launch(*args, join=[first]))
    wait_whole(nodes)
    return nodes


def cli(n, *words):
    """Plain redis-cli: what it prints."""
    return subprocess.run(["redis-cli", "-p", str(n.port), *words], capture_output=True, text=True, timeout=60,
                          check=True).stdout.strip()


def write_and_read(nodes, tag):
    """Keys written through each node are read through each other."""
    for i, n in enumerate(nodes):
        for k in range(8):
            assert cli(n, "SET", f"{tag}:{i}:{k}", f"v{k}") == "OK"
    for n in nodes:
        for i in range(len(nodes)):
            keys = [f"{tag}:{i}:{k}" for k in range(8)]
            assert cli(n, "MGET", *keys).split() == [f"v{k}" for k in range(8)]
