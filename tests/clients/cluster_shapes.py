# SPDX-License-Identifier: BSD-3-Clause
"""What members say of their cluster has the shape of what members of a Redis cluster say: three redis-servers
are started beside, both are asked the same, and what is left of the replies without their values is compared.

What differs on purpose is in DIFFERS, with its reason, and in docs/compatibility.md."""

import os
import re
import shutil
import subprocess
import tempfile

from bare import Connection
from tap import PORT, claim, run, same, until

# subject of a difference (a pattern of a line of a shape): the reason. "-" only Redis has it, "+" only we.
DIFFERS = {
    r"- cluster_stats_messages_(?!sent|received)\w+: n": "Redis counts its bus' messages by type; ours has other types",
    r"\+ cluster_map_version: n": "the map has one version for the whole cluster",
    r"\+ cluster_controller_(term|leader|voters): \S+": "a controller is elected, by terms of its own",
    r"\+ cluster_slots_given_up: n": "what an operator gave up, CLUSTER FAILOVER TAKEOVER or FORGET",
    r"\+ cluster_(forwarded_commands|forwarded_again|uncertain_replies): n": "members forward commands",
}


class Stock:
    """Three redis-servers in a cluster, ended by their process ids."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="vong-stock.")
        self.processes, self.ports = [], []
        port = 11000 + os.getpid() % 4000
        while len(self.ports) < 3:
            port += 1
            if self.launch(port):
                self.ports.append(port)
        subprocess.run(["redis-cli", "--cluster", "create", *[f"127.0.0.1:{p}" for p in self.ports],
                        "--cluster-yes"], check=True, timeout=120, stdout=subprocess.DEVNULL)
        for port in self.ports:
            until(lambda: b"cluster_state:ok" in self.ask(port, "CLUSTER", "INFO").value
                  and b"cluster_known_nodes:3" in self.ask(port, "CLUSTER", "INFO").value)

    def ask(self, port, *words):
        with Connection(port=port) as c:
            c.send([words])
            return c.read()

    def launch(self, port):
        at = f"{self.dir}/{port}"
        os.mkdir(at)
        process = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", at, "--save", "",
             "--cluster-enabled", "yes", "--cluster-port", str(port + 4500), "--cluster-node-timeout", "15000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)

        def answers():
            if process.poll() is not None:
                return True
            try:
                return f"process_id:{process.pid}".encode() in self.ask(port, "INFO", "server").value
            except OSError:
                return False
        until(answers, what="redis-server does not serve")
        return process.poll() is None

    def end(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)


# ------------------------------------------------------------------------- shapes


def word(text):
    """What stands for a value: its kind, or itself where it is one of a few words."""
    for kind, pattern in (("id", "[0-9a-f]{40}"), ("ip", r"127\.0\.0\.1"), ("address", r"127\.0\.0\.1:\d+@\d+"),
                          ("events", "rw?"), ("slots", r"\d+-\d+"), ("n", r"-?\d+"), ("version", r"7\.\d+\.\d+")):
        if re.fullmatch(pattern, text):
            return kind
    return text


def row(text):
    """A line of words; its ranges of slots are one."""
    return re.sub("slots( (slots|n))*$", "slots", " ".join(word(w) for w in text.split(" ")))


def once(items):
    """Without what is there already: three rows of one shape are one."""
    return list(dict.fromkeys(items))


def tree(r):
    """A reply's shape in one text."""
    if r.marker in "*~":
        shapes = [tree(v) for v in r.value]
        return f"{r.marker}[{' '.join(s for i, s in enumerate(shapes) if i == 0 or s != shapes[i - 1])}]"
    if r.marker == "%":
        return "%[" + " ".join(f"{k.text()}: {tree(v)}" for k, v in zip(r.value[::2], r.value[1::2])) + "]"
    if r.marker == "-":
        return "- " + row(r.text())
    return r.marker + (word(r.text()) if r.marker in "$+=" else "")


def rows(r):
    """The shapes of an array's elements."""
    return [r.marker] + sorted(once(tree(v) for v in r.value))


def fields(r):
    """Lines of name:value, in order."""
    lines = r.text().split("\r\n")
    assert lines[-1] == "", "the last line has no end"
    return [r.marker] + [re.sub(r":(.*)", lambda m: ": " + word(m[1]), line) for line in lines[:-1]]


def node_rows(r):
    assert r.text().endswith("\n") and "\r" not in r.text()
    return [r.marker] + sorted(once(row(line) for line in r.text().splitlines()))


def one(r):
    return [tree(r)]


# ---------------------------------------------------------------------- the claims


used = set()  # rows of DIFFERS that a reply needed


def left(ours, theirs):
    """Lines that differ, and by no row of DIFFERS."""
    both = [line for line in theirs if line in ours]
    told = [f"- {line}" for line in theirs if line not in ours] + [f"+ {line}" for line in ours if line not in theirs]
    if both != [line for line in ours if line in theirs]:
        told.append(f"another order: {both}")
    used.update(p for p in DIFFERS for line in told if re.fullmatch(p, line))
    return [line for line in told if not any(re.fullmatch(p, line) for p in DIFFERS)]


def asked(port, proto, words):
    with Connection(port=port) as c:
        c.send([["HELLO", proto], words])
        c.read()
        return c.read()


def alike(shape, *words, protos=(2, 3)):
    for proto in protos:
        ours, theirs = (shape(asked(port, proto, words)) for port in (PORT, stock.ports[0]))
        differing = left(ours, theirs)
        assert not differing, f"{' '.join(words)} in RESP{proto}:\n" + "\n".join(differing)


if shutil.which("redis-server") is None:
    raise SystemExit("No redis-server: deps/install --tests installs it (Debian package redis-server).")
stock = Stock()


@claim("CLUSTER INFO: the fields, their order and kinds")
def _():
    alike(fields, "CLUSTER", "INFO")


@claim("CLUSTER NODES: a line for each member, separators, flags, ranges")
def _():
    alike(node_rows, "CLUSTER", "NODES")


@claim("CLUSTER SLOTS: ranges, and for each copy address, port, id and further names")
def _():
    alike(rows, "CLUSTER", "SLOTS")


@claim("CLUSTER SHARDS and CLUSTER LINKS: the fields, their order and kinds")
def _():
    alike(rows, "CLUSTER", "SHARDS")
    alike(rows, "CLUSTER", "LINKS")


@claim("MYID, KEYSLOT, COUNTKEYSINSLOT, GETKEYSINSLOT, COUNT-FAILURE-REPORTS and REPLICAS")
def _():
    alike(one, "CLUSTER", "MYID")
    alike(one, "CLUSTER", "COUNTKEYSINSLOT", "1")
    alike(one, "CLUSTER", "GETKEYSINSLOT", "1", "10")
    for key in ("a", "{tag}a", "{}a", "a{b}{c}", "{a", ""):
        same(asked(PORT, 2, ["CLUSTER", "KEYSLOT", key]).value,
             asked(stock.ports[0], 2, ["CLUSTER", "KEYSLOT", key]).value)
    for command in ("COUNT-FAILURE-REPORTS", "REPLICAS"):
        ours, theirs = (tree(asked(port, 2, ["CLUSTER", command, asked(port, 2, ["CLUSTER", "MYID"]).text()]))
                        for port in (PORT, stock.ports[0]))
        same(ours, theirs)


@claim("HELLO and INFO cluster")
def _():
    alike(one, "HELLO", protos=(2, 3))
    alike(fields, "INFO", "cluster")


def key_specifications(r):
    """As fields in order, without the notes: prose of the other's."""
    told = [dict(zip([k.text() for k in spec.value[::2]], spec.value[1::2])) for spec in r.value]
    return [[(k, repr(v)) for k, v in spec.items() if k != "notes"] for spec in told]


@claim("COMMAND INFO: arity, flags, positions and specifications of keys, of every command both have")
def _():
    ours, theirs = ({r.value[0].text(): r for r in asked(port, 2, ["COMMAND"]).value}
                    for port in (PORT, stock.ports[0]))
    common = sorted(set(ours) & set(theirs))
    assert len(common) > 100, len(common)
    differing = []
    for name in common:
        a, b = ours[name].value, theirs[name].value
        for at, what, of in ((1, "arity", repr), (2, "flags", lambda r: sorted(f.text() for f in r.value)),
                             (3, "first key", repr), (4, "last key", repr), (5, "step", repr),
                             (7, "tips", repr), (8, "key specifications", key_specifications)):
            if of(a[at]) != of(b[at]):
                differing.append(f"{name}: {what}: {of(a[at])} instead of {of(b[at])}")
    assert not differing, "\n".join(differing)


@claim("errors: CROSSSLOT, SELECT, an unknown node, an unknown subcommand, too few words")
def _():
    for words in (["RENAME", "a", "b"], ["MSETNX", "a", "1", "b", "2"], ["SELECT", "1"], ["SWAPDB", "0", "1"],
                  ["CLUSTER", "REPLICAS", "0" * 40], ["CLUSTER", "COUNT-FAILURE-REPORTS", "0" * 40],
                  ["CLUSTER", "FORGET", "0" * 40], ["CLUSTER", "NOSUCH"], ["CLUSTER", "KEYSLOT"],
                  ["CLUSTER", "COUNTKEYSINSLOT", "16384"], ["CLUSTER", "COUNTKEYSINSLOT", "x"],
                  ["CLUSTER", "GETKEYSINSLOT", "1", "-1"], ["CLUSTER", "MEET", "127.0.0.1", "x"]):
        ours, theirs = (asked(port, 2, words) for port in (PORT, stock.ports[0]))
        same((words, ours.marker, ours.text()), (words, theirs.marker, theirs.text()))


@claim("MOVED has the form of Redis'")
def _():
    same(asked(PORT, 2, ["CONFIG", "SET", "cluster-routing", "redirect"]).text(), "OK")
    ours, theirs = ({asked(port, 2, ["GET", f"moved:{i}"]).text() for i in range(60)} for port in (PORT, stock.ports[0]))
    for told in (ours, theirs):
        same({re.sub(r"^MOVED \d+ 127\.0\.0\.1:\d+$", "MOVED", t) for t in told}, {"MOVED", ""})
    same(asked(PORT, 2, ["CONFIG", "SET", "cluster-routing", "auto"]).text(), "OK")


@claim("each row of DIFFERS is needed by a reply")
def _():
    same(set(DIFFERS) - used, set())


try:
    run()
finally:
    stock.end()
