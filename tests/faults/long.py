# SPDX-License-Identifier: BSD-3-Clause
"""Random troubles until the minutes are over: clusters of 3 or 5, one or two members in trouble at a time, for
as long as chance will have it; or all lose their power; or one joins, or is forgotten; or one is to lead what another leads;
or write-quorum and min-replicas-to-write are others from now on. After each the cluster must be whole again, and all that
callers ask for answered; after a few all that was ever asked and answered is judged. A line sums up; the exit
code says whether all was well."""

import os
import random
import sys
import time

from callers import Callers, now
from conftest import until
from lab import PATIENCE, SLOTS, Lab
from troubles import MORE_TROUBLES, TROUBLES

NODES_LEAST, NODES_MOST = 3, 6
ROUNDS = 6  # troubles in the life of a cluster
PAUSE_TOLD = 1.6  # in T: longer than a failover with another leader takes
UNSYNCED_US = 4 * 1000 * 1000  # under everysec, behind syncs of 400 ms and on a busy machine
ALL = {**TROUBLES, **MORE_TROUBLES}
# By copies. With W = 1 a failover may lose what was acknowledged: it is no promise to be judged by.
QUORUMS = {1: ["all"], 2: ["all", "all", "majority", 2], 3: ["all", "all", "majority", 2, 3]}
MIN_REPLICAS = {1: [0], 2: [0, 0, 0, 1], 3: [0, 0, 0, 1, 2]}


class Life:
    def __init__(self, seed):
        self.seed, self.chance = seed, random.Random(seed)
        self.lab = Lab(self.chance.choice([1000, 1500, 2000]), copies=self.chance.choice([1, 2, 2, 3]),
                       sync=self.chance.choice(["always", "everysec", "everysec"]), is_bad=True)
        self.lab.settings = self.draw_settings()
        self.story = [f"T {self.lab.timeout_ms}, {self.lab.copies} copies, {self.lab.sync}, {self.told_settings()}"]
        self.alone = []  # when just one was in trouble, and others had copies enough to go on
        self.callers = None

    def draw_settings(self):
        copies = self.lab.copies
        return [("write-quorum", self.chance.choice(QUORUMS[copies])),
                ("min-replicas-to-write", self.chance.choice(MIN_REPLICAS[copies]))]

    def told_settings(self):
        return ", ".join(f"{name} {value}" for name, value in self.lab.settings)

    def spares_one(self):
        """With one copy less all goes on."""
        (_, w), (_, least) = self.lab.settings
        w = {"all": 1, "majority": self.lab.copies // 2 + 1}.get(w, w)
        return self.lab.copies - 1 >= max(w, 1 + least)

    def power_cut(self):
        self.story.append("power cut")
        self.lab.power_cut()
        if self.lab.sync != "always":
            self.callers.give_up(range(SLOTS), now() - UNSYNCED_US)
        for node in self.lab.nodes:
            node.launch()
        return 1

    def befall(self, node):
        name = self.chance.choice(list(ALL))
        self.story.append(f"{node} {name}")
        ALL[name][0](node, self.lab.others(node))
        time.sleep(self.chance.choice([0, 0.05, 0.5, 2]))  # how long it lasts is the trouble's own
        return name, node

    def trouble(self):
        began = now()
        befell = [self.befall(node) for node in self.chance.sample(self.lab.nodes, self.chance.choice([1, 1, 1, 2]))]
        self.chance.shuffle(befell)
        for name, node in befell:
            ALL[name][1](node)
        self.end_of_trouble()
        if len(befell) == 1 and self.spares_one():
            self.alone.append((began, now()))
        return len(befell)

    def members_change(self):
        """One joins, or is forgotten, whether it is there or dead for good; another may be in trouble meanwhile."""
        nodes = self.chance.sample(self.lab.nodes, len(self.lab.nodes))
        leaves = len(nodes) > NODES_LEAST and (len(nodes) == NODES_MOST or self.chance.randrange(2) == 0)
        one = nodes.pop() if leaves else self.lab.add()
        dead = leaves and self.lab.copies > 1 and self.chance.randrange(2) == 0
        befell = [self.befall(nodes.pop())] if not dead and self.chance.randrange(2) == 0 else []
        self.story.append(f"{one} {'dies and ' * dead}{'is forgotten' if leaves else 'joins'}")
        if dead:
            one.kill()
        if leaves:
            self.lab.forget(one, nodes[0])
        else:
            one.launch(join=nodes[0])
        for name, node in befell:
            ALL[name][1](node)
        if leaves:
            self.lab.wait_forgotten(one)
        else:
            one.wait_answers()
        self.end_of_trouble()
        return 1 + len(befell)

    def failover(self):
        """One is to lead what another leads, which may be in trouble meanwhile. Who comes back gets its share again."""
        one, other = self.chance.sample(self.lab.nodes, 2)
        how = self.chance.choice([[], ["FORCE"]])
        befell = [self.befall(other)] if self.chance.randrange(3) == 0 else []
        reply = one.ask("CLUSTER", "FAILOVER", *how, other.id)
        self.story.append(f"{one} is to lead {' '.join([*how, f'for {other}:'])} {reply}")
        time.sleep(self.chance.choice([0, 0.05, 0.5, 2]))
        for name, node in befell:
            ALL[name][1](node)
        if not how:
            one.disk()
            one.kill()
            one.start()
        self.end_of_trouble()
        return 1 + len(befell)

    def settings_change(self):
        asked, befell = self.chance.choice(self.lab.nodes), []
        self.lab.settings = self.draw_settings()
        self.story.append(self.told_settings())
        if self.chance.randrange(2) == 0:
            befell = [self.befall(self.chance.choice(self.lab.others(asked)))]
        for name, value in self.lab.settings:
            until(lambda: asked.ask("CLUSTER", "SETTINGS", "SET", name, value) == "OK", PATIENCE, f"{asked} does not set {name}")
        for name, node in befell:
            ALL[name][1](node)
        self.end_of_trouble()
        return 1 + len(befell)

    def end_of_trouble(self):
        self.lab.wait_whole()
        since = now()
        until(lambda: self.callers.all_answered_since(since), PATIENCE, "callers are not answered")

    def run(self, totals):
        self.lab.begin(self.chance.choice([3, 3, 5]))
        self.callers = Callers(self.lab, seed=self.seed)
        try:
            for _ in range(ROUNDS):
                which = self.chance.randrange(10)
                if which == 0:
                    totals["faults"] += self.power_cut()
                    self.end_of_trouble()
                elif which <= 2:
                    totals["faults"] += self.members_change()
                elif which == 3 and self.lab.copies > 1:
                    totals["faults"] += self.failover()
                elif which == 4 and self.lab.copies > 1:
                    totals["faults"] += self.settings_change()
                else:
                    totals["faults"] += self.trouble()
            self.callers.stop()
            self.callers.check(self.lab.nodes)
        finally:
            self.callers.over.set()
            self.count(totals)

    def count(self, totals):
        c = self.callers
        totals["asked"] += sum(len(g.ops) for g in c.groups())
        for what in ("acknowledged", "refused", "uncertain"):
            totals[what] += sum(getattr(one, what) for one in c.all)
        totals["lost"] += sum(b.startswith("lost") for b in c.bad)
        totals["stale"] += sum(b.startswith("stale") for b in c.bad)
        totals["undecided"] += c.undecided
        worst = max((round(1000 * c.worst_pause(*a)) for a in self.alone), default=0)
        totals["ms worst pause"] = max(totals["ms worst pause"], worst)
        if worst > PAUSE_TOLD * self.lab.timeout_ms:
            print(f"--- seed {self.seed}, at a load of {os.getloadavg()[0]}, a pause of {worst} ms, after {', '.join(self.story)}\n"
                  f"{self.lab.logs(20000)}", flush=True)


def live(seed, totals):
    life = Life(seed)
    try:
        life.run(totals)
        return True
    except AssertionError as e:
        print(f"--- seed {seed}, at a load of {os.getloadavg()[0]}, after {', '.join(life.story)}: {e}\n{life.lab.logs(20000)}",
              flush=True)
        return False
    finally:
        life.lab.close()


def main(arguments):
    given = dict(a.split("=", 1) for a in arguments)
    minutes, seed = float(given.pop("MINUTES", 10)), given.pop("SEED", None)
    if given:
        sys.exit(f"run: unknown {', '.join(given)}; it takes MINUTES=n and SEED=n")
    end = time.monotonic() + 60 * minutes
    totals = dict.fromkeys(("clusters", "failed", "faults", "asked", "acknowledged", "refused", "uncertain", "lost", "stale",
                            "undecided", "ms worst pause"), 0)
    at = int(seed) if seed else int(time.time())
    while totals["clusters"] == 0 or (time.monotonic() < end and seed is None):
        totals["clusters"] += 1
        totals["failed"] += not live(at, totals)
        at += 1
    print(", ".join(f"{n} {what}" for what, n in totals.items()))
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
