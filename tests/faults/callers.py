# SPDX-License-Identifier: BSD-3-Clause
"""Clients that ask through every node while there is trouble, and write down what they asked, when, and what
they were answered; in the end the simulator's checker (vong-judge) is asked whether some order explains it.

They ask for groups of four keys of one slot: a and b are set and deleted, c counts, to d is appended. Commands
go alone, a few at once, and in transactions, also watched ones. A group that was asked for often enough is
retired: then it is only read, now and then and in the end, and another takes its place. So no history is too
long to be judged, and what was acknowledged early must be there late."""

import itertools
import random
import subprocess
import threading
import time

from conftest import BUILD, request
from lab import Error, slot_of

REFUSALS = ("CLUSTERDOWN ", "TRYAGAIN ", "LOADING ", "NOREPLICAS ", "MISCONF ", "MOVED ", "EXECABORT ")  # nothing was run
GROUPS, OPS_EACH = 12, 600  # asked for at a time; ops of one that is retired
EACH_NODE = 2               # callers
PATIENCE = 2                # seconds of a caller, after which it asks another node
AROUND = 40                 # lines of a wrong history that are shown before and behind the one that fits nowhere
PIECE = 8                   # characters appended at once


def now():
    return time.monotonic_ns() // 1000


class Op:
    """parts: [what, key, value or None, answer]; void: it was refused, or nobody was told anything."""

    __slots__ = ("call", "answer", "before", "parts", "is_void")

    def __init__(self, parts, before):
        self.parts, self.before = parts, before
        self.call = self.answer = None
        self.is_void = False

    def told(self):
        return not self.is_void and (self.answer is not None or any(p[0] != "get" for p in self.parts))

    def text(self, places):
        before = self.before
        while before is not None and before not in places:
            before = before.before
        after = "" if before is None else f"after {places[before]} "
        return f"{self.call}-{'?' if self.answer is None else self.answer} {after}" + " + ".join(map(self.part, self.parts))

    def part(self, part):
        what, key, value, answer = part
        words = [what, key]
        if value is not None:
            words.append(value)
        if self.answer is not None and what not in ("set", "is"):
            words += answer if isinstance(answer, list) else [answer]
        return " ".join(map(str, words))


class Loss:
    """What was done later than `since` may be gone."""

    before = None
    answer = None

    def __init__(self, since):
        self.since = since

    def told(self):
        return True

    def text(self, places):
        return f"{self.call} loss {self.since}"


class Group:
    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()
        self.ops = []
        self.good_at = []  # when anything of it was answered
        self.begun, self.retired = now(), None

    @property
    def slot(self):
        return slot_of(self.name)

    def key(self, letter):
        return "{%s}%s" % (self.name, letter)

    def add(self, op):
        with self.lock:
            op.call = now()
            self.ops.append(op)
        return op

    def text(self, but=lambda op: False):
        places, lines = {}, []
        for op in self.ops:
            if op.told() and not but(op):
                lines.append(op.text(places))
                places[op] = len(lines)
        return [f"history {self.name}"] + lines


class Strange(Exception):
    """An answer that no command of these may get."""


def value_of(what, key, reply):
    """An answer as the checker has it."""
    if what == "set":
        if reply != "OK":
            raise Strange(reply)
        return None
    if what == "get" and key == "d":
        text = reply or ""
        if len(text) % PIECE:
            raise Strange(reply)
        return [int(text[i:i + PIECE]) for i in range(0, len(text), PIECE)]
    if what == "append":
        if not isinstance(reply, int) or reply % PIECE:
            raise Strange(reply)
        return reply // PIECE
    try:
        return 0 if reply is None else int(reply)
    except (TypeError, ValueError):
        raise Strange(reply) from None


class Caller(threading.Thread):
    """One connection at a time, mostly to its own node."""

    def __init__(self, all_, number, seed):
        super().__init__(daemon=True)
        self.all, self.lab = all_, all_.lab
        self.random = random.Random(seed * 1000 + number)
        self.home = self.lab.nodes[number % len(self.lab.nodes)]
        self.client = None
        self.last = {}  # group -> what this connection asked of it last
        self.wrong = []
        self.acknowledged = self.refused = self.uncertain = self.reads = 0

    def run(self):
        try:
            while not self.all.over.is_set() and not self.wrong:
                self.once()
                self.all.over.wait(0.001 + self.random.random() * 0.004)
        except Exception as e:  # told by the test that owns it
            self.wrong.append(f"a caller ended: {e!r}")
        self.leave()

    def once(self):
        if self.client is None or self.random.random() < 0.05:
            self.roam()
        if self.client is None:
            self.all.over.wait(0.02)
            return
        try:
            self.ask()
        except (OSError, EOFError):
            self.leave()

    def roam(self):
        self.leave()
        nodes = self.lab.nodes
        self.node = self.home if self.home in nodes and self.random.random() < 0.5 else self.random.choice(nodes)
        try:
            self.client = self.node.client(timeout=PATIENCE)
        except OSError:
            pass

    def leave(self):
        if self.client is not None:
            self.client.close()
        self.client = None
        self.last = {}

    # ------------------------------------------------------------------ asking

    def ask(self):
        which = self.random.randrange(20)
        group = self.all.draw(self.random)
        if group.retired is not None:
            self.talk([self.single(group, "get", letter) for letter in "abcd"])
        elif which == 0:
            self.talk([self.transaction(group)])
        elif which == 1:
            self.watched(group)
        else:
            self.talk([self.any_single(group if i == 0 else self.all.draw(self.random, live=True))
                       for i in range(self.random.randint(1, 3))])

    def draw_part(self):
        key, which = self.random.choice("abcd"), self.random.randrange(10)
        if which < 4:
            return ["get", key, None, None]
        if which < 6:
            return ["del", key, None, None]
        if key == "c":
            return ["incr", key, None, None]
        return ["append" if key == "d" else "set", key, next(self.all.values), None]

    def words(self, group, part):
        what, key, value, _ = part
        more = [] if value is None else [f"{value:0{PIECE}}" if what == "append" else value]
        return [what.upper(), group.key(key), *more]

    def op(self, group, parts):
        op = Op(parts, self.last.get(group))
        self.last[group] = op
        return op

    def single(self, group, what, key):
        return group, self.op(group, [[what, key, None, None]]), False

    def any_single(self, group):
        return group, self.op(group, [self.draw_part()]), False

    def transaction(self, group, held=None):
        parts = [] if held is None else [["is", "a", held, None]]
        return group, self.op(group, parts + [self.draw_part() for _ in range(self.random.randint(1, 3))]), True

    def watched(self, group):
        self.client.send(request("WATCH", group.key("a")))
        if self.client.reply() != "OK":
            return
        one = self.single(group, "get", "a")
        self.talk([one])
        if one[1].answer is None:
            self.leave()
        else:
            self.talk([self.transaction(group, one[1].parts[0][3])])

    def talk(self, asked):
        """Sends them at once, and takes their answers; OSError: the rest of them is uncertain."""
        out = []
        for group, op, in_multi in asked:
            words = [self.words(group, p) for p in op.parts if p[0] != "is"]
            out += [["MULTI"], *words, ["EXEC"]] if in_multi else words
            group.add(op)
        try:
            self.client.send(b"".join(request(*w) for w in out))
            for i, (group, op, in_multi) in enumerate(asked):
                self.take(group, op, self.exec_reply(op) if in_multi else self.client.reply(), in_multi)
        except (OSError, EOFError):
            self.uncertain += sum(op.answer is None and not op.is_void for _, op, _ in asked)
            raise

    # ----------------------------------------------------------------- answers

    def exec_reply(self, op):
        """What EXEC is answered, or what MULTI is refused with."""
        replies = [self.client.reply() for _ in range(2 + sum(p[0] != "is" for p in op.parts))]
        if replies[0] == "OK":
            return replies[-1]
        if not all(isinstance(r, Error) for r in replies):
            return Error(f"MULTI: {replies}")
        return max(replies, key=lambda r: r.startswith("UNCERTAIN "))  # all of them may have waited, and for a disk that failed

    def take(self, group, op, reply, in_multi):
        at = now()
        if isinstance(reply, Error):
            if reply.startswith(REFUSALS):
                op.is_void = True
                self.refused += 1
            elif reply.startswith("UNCERTAIN "):
                self.uncertain += 1
            else:
                self.strange(group, op, reply)
            return
        is_watched = op.parts[0][0] == "is"
        if in_multi and is_watched and reply is None:
            op.is_void = True
            return
        parts = [p for p in op.parts if p[0] != "is"]
        replies = reply if in_multi else [reply]
        try:
            if not isinstance(replies, list) or len(replies) != len(parts):
                raise Strange(reply)
            for part, one in zip(parts, replies):
                part[3] = value_of(part[0], part[1], one)
        except Strange:
            self.strange(group, op, reply)
            return
        op.answer = at
        group.good_at.append(at)
        writes = any(p[0] not in ("get", "is") for p in op.parts)
        self.acknowledged += writes
        self.reads += not writes

    def strange(self, group, op, reply):
        self.wrong.append(f"{group.name} through {self.node}: {' + '.join(map(op.part, op.parts))}: {reply!r}")


class Callers:
    def __init__(self, lab, each_node=EACH_NODE, seed=1):
        self.lab, self.seed = lab, seed
        self.over = threading.Event()
        self.values = itertools.count(1)
        self.names = itertools.count()
        self.lock = threading.Lock()
        self.live, self.retired = [], []
        for _ in range(GROUPS):
            self.begin_group()
        self.bad, self.undecided = [], 0
        self.all = [Caller(self, i, seed) for i in range(each_node * len(lab.nodes))]
        for c in self.all:
            c.start()

    def begin_group(self):
        self.live.append(Group(f"g{next(self.names)}"))

    def draw(self, chance, live=False):
        with self.lock:
            if self.retired and not live and chance.random() < 0.02:
                return chance.choice(self.retired)
            group = chance.choice(self.live)
            if len(group.ops) >= OPS_EACH:
                group.retired = now()
                self.live.remove(group)
                self.retired.append(group)
                self.begin_group()
                group = self.live[-1]
            return group

    def groups(self):
        return self.retired + self.live

    def count(self, what):
        self.assert_right()
        return sum(getattr(c, what) for c in self.all)

    def give_up(self, slots, since=0):
        """What was done in these slots later than `since` may be gone, from now on."""
        with self.lock:
            for group in self.groups():
                if group.slot in slots:
                    group.add(Loss(since))

    def all_answered_since(self, moment):
        self.assert_right()
        with self.lock:
            return all(g.good_at and g.good_at[-1] > moment for g in self.live)

    def worst_pause(self, begin, end):
        """Seconds without any answer for one of the groups, in this time."""
        worst = 0
        for group in self.groups():
            first, last = max(begin, group.begun), min(end, group.retired or end)
            times = [first, *(t for t in group.good_at if first < t < last), last]
            worst = max([worst, *(b - a for a, b in zip(times, times[1:]))])
        return worst / 1e6

    def assert_right(self):
        wrong = [w for c in self.all for w in c.wrong]
        assert not wrong, f"seed {self.seed}: " + "\n".join(wrong)

    def stop(self):
        self.over.set()
        for c in self.all:
            c.join(60)
            assert not c.is_alive()
        self.assert_right()

    def check(self, nodes):
        """After stop(): each key is read through every node, and all that was ever asked is judged."""
        quiet = now()
        for node in nodes:
            self.read_all(node)
        self.bad, self.undecided = self.judge(quiet)
        assert self.bad == [], f"seed {self.seed}\n" + "\n".join(self.bad)
        assert 10 * self.undecided <= len(self.groups()), f"seed {self.seed}: {self.undecided} histories have too many orders to try them all"

    def read_all(self, node):
        c = node.client()
        for group in self.groups():
            c.send(b"".join(request("GET", group.key(letter)) for letter in "abcd"))
            ops = [group.add(Op([["get", letter, None, None]], None)) for letter in "abcd"]
            for op in ops:
                reply = c.reply()
                assert not isinstance(reply, Error), f"GET of {group.name} through {node}: {reply}"
                op.parts[0][3] = value_of("get", op.parts[0][1], reply)
                op.answer = now()
        c.close()

    def judge(self, quiet):
        groups = {g.name: g for g in self.groups()}
        wrong, undecided = [], 0
        texts = [g.text() for g in groups.values()]
        lines = [line for text in texts for line in text]
        for verdict, name, at in verdicts(lines):
            undecided += verdict == "undecided"
            if verdict != "bad":
                continue
            early = groups[name].text(lambda op: op.answer is not None and op.answer < quiet and
                                      all(p[0] == "get" for p in op.parts))
            is_lost = verdicts(early)[0][0] == "bad"
            begin = lines.index(f"history {name}")
            end = next((i for i in range(begin + 1, len(lines)) if lines[i].startswith("history ")), len(lines))
            wrong.append("\n".join([f"{'lost' if is_lost else 'stale'}: {name} (slot {groups[name].slot}): no order explains",
                                    "    " + lines[at - 1], "among"] + lines[max(begin, at - 1 - AROUND):min(end, at + AROUND)] +
                                   ["and those before whose fate nobody knows"] +
                                   [line for line in lines[begin:max(begin, at - 1 - AROUND)] if "-? " in line]))
        return wrong, undecided

    def summary(self):
        return (f"{self.count('acknowledged')} writes acknowledged, {self.count('refused')} refused, "
                f"{self.count('uncertain')} uncertain, {self.count('reads')} reads")


def verdicts(lines):
    """[verdict, name, line]"""
    run = subprocess.run([BUILD / "vong-judge"], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=600)
    assert run.returncode in (0, 1), run.stderr
    return [(verdict, name, int(line)) for verdict, name, line in map(str.split, run.stdout.splitlines())]
