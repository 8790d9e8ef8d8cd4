# SPDX-License-Identifier: BSD-3-Clause
"""How long slots are not served once their primary is cut off from all other nodes, and not from clients: three nodes with two
copies, and Redis Cluster of three primaries with a replica each. One line of JSON: by side [seconds, acknowledged writes
that the others lack, acknowledged writes] of each try. tests/bench makes rows of it (outage).

    run --cut TRIES"""

import json
import subprocess
import sys
import time

from conftest import until
from lab import HERE, PATIENCE, PORT, Lab, Node

sys.path.append(str(HERE.parent / "bench"))
from together import served_tags  # noqa: E402
from upset import Writer, missing  # noqa: E402

TIMEOUT_MS = 1000


class Redis(Node):
    """The same place, and another server."""

    def launch(self):
        command = ["redis-server", "--bind", self.address, "--protected-mode", "no", "--port", PORT, "--dir", self.dir,
                   "--cluster-enabled", "yes", "--cluster-node-timeout", TIMEOUT_MS, "--appendonly", "yes", "--save", ""]
        with open(self.lab.dir / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(self.net.command(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=[self.net.fd])
        return self


class RedisLab(Lab):
    def form(self):
        for i in range(6):
            self.nodes = [*self.nodes, Redis(self, f"r{i}").launch()]
        for n in self.nodes:
            n.wait_answers()
        subprocess.run(["redis-cli", "--cluster", "create", *(f"{n.address}:{PORT}" for n in self.nodes),
                        "--cluster-replicas", "1", "--cluster-yes"], check=True, capture_output=True)
        self.wait_whole()
        return self

    def wait_whole(self):
        def is_up(n):
            nodes, info = n.ask("CLUSTER", "NODES") or "fail", n.ask("INFO", "replication") or ""
            return ("fail" not in nodes and "handshake" not in nodes and n.info().get("cluster_state") == "ok" and
                    ("role:master" in info and "connected_slaves:1" in info or "master_link_status:up" in info))
        until(lambda: all(map(is_up, self.nodes)), PATIENCE, "the Redis cluster is not whole")


def cut_once(lab, victim):
    others, tags = lab.others(victim), served_tags(victim)[:8]
    writers = [Writer([victim, *others], tags, i) for i in range(8)]
    for w in writers:
        w.start()
    time.sleep(1)
    began = time.monotonic()
    victim.cut(others)
    served = until(lambda: is_served(others, tags), PATIENCE, f"{victim}'s slots are not served again")
    again = time.monotonic()
    until(lambda: all(w.times and w.times[-1] > again + 0.3 for w in writers), PATIENCE, "not every writer is answered")
    for w in writers:
        w.over.set()
    for w in writers:
        w.join()
    acknowledged = [k for w in writers for k in w.acknowledged]
    lost = sum(missing(n, [k for k in acknowledged if k[1:3] in mine]) for n, mine in served)
    lab.heal()
    lab.wait_whole()
    return [max(w.longest_gap(began) for w in writers), lost, len(acknowledged)]


def is_served(others, tags):
    """[(node, what of it is its)], once it is all theirs."""
    served = [(n, set(served_tags(n)) & set(tags)) for n in others]
    return sum(len(mine) for _, mine in served) == len(tags) and served


def main(tries):
    told = {}
    for side, make in (("ours", lambda: Lab(TIMEOUT_MS, copies=2).begin(3)), ("theirs", lambda: RedisLab(TIMEOUT_MS).form())):
        lab = make()
        try:
            told[side] = []
            for i in range(tries):
                leader = until(lab.leader, PATIENCE) if side == "ours" else None
                rest = [n for n in lab.nodes if n is not leader and served_tags(n)]
                told[side].append(cut_once(lab, leader if leader and i % 2 == 0 else rest[i % len(rest)]))
        finally:
            lab.close()
    print(json.dumps(told))


if __name__ == "__main__":
    main(int(sys.argv[1]))
