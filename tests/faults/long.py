# SPDX-License-Identifier: BSD-3-Clause
"""Random troubles until the minutes are over: clusters of 3 or 5, one or two members in trouble at a time, for
as long as chance will have it. After each the cluster must be whole again; after a few all that writers were
promised must be there. A line sums up; the exit code says whether all was well."""

import random
import sys
import time

from lab import Lab
from troubles import TROUBLES
from writers import Writers

ROUNDS = 6  # troubles in the life of a cluster


def trouble(lab, chance):
    """Some at once, some a little later, and over in any order."""
    befell = []
    for node in chance.sample(lab.nodes, chance.choice([1, 1, 1, 2])):
        name = chance.choice(list(TROUBLES))
        TROUBLES[name][0](node, lab.others(node))
        befell.append((name, node))
        time.sleep(chance.choice([0, 0.05, 0.5, 2]))  # how long it lasts is the trouble's own
    chance.shuffle(befell)
    for name, node in befell:
        TROUBLES[name][1](node)
    lab.wait_whole()
    return befell


def live(seed, totals):
    chance = random.Random(seed)
    lab = Lab(chance.choice([1000, 1500, 2000]), copies=chance.choice([1, 2]))
    story = []
    try:
        lab.begin(chance.choice([3, 3, 5]))
        writers = Writers(lab, seed=seed)
        for _ in range(ROUNDS):
            befell = trouble(lab, chance)
            story += [f"{node} {name}" for name, node in befell]
            totals["troubles"] += len(befell)
        writers.stop()
        writers.check(lab.nodes)
        for what in ("acknowledged", "refused", "uncertain", "reads"):
            totals[what] += writers.count(what)
    except AssertionError as e:
        print(f"--- seed {seed}, after {', '.join(story)}: {e}\n{lab.logs()}", flush=True)
        return False
    finally:
        lab.close()
    return True


def main(arguments):
    given = dict(a.split("=", 1) for a in arguments)
    minutes, seed = float(given.pop("MINUTES", 10)), given.pop("SEED", None)
    if given:
        sys.exit(f"run: unknown {', '.join(given)}; it takes MINUTES=n and SEED=n")
    end = time.monotonic() + 60 * minutes
    totals = dict.fromkeys(("clusters", "failed", "troubles", "acknowledged", "refused", "uncertain", "reads"), 0)
    at = int(seed) if seed else int(time.time())
    while totals["clusters"] == 0 or (time.monotonic() < end and seed is None):
        totals["clusters"] += 1
        totals["failed"] += not live(at, totals)
        at += 1
    print(", ".join(f"{n} {what}" for what, n in totals.items()))
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
