# SPDX-License-Identifier: BSD-3-Clause
"""Clients of a proxy, while the nodes behind it fail one after the other."""

import resource
import socket
import subprocess
import time

import pytest

from conftest import BUILD, free_port, until
from crowd import Crowd
from lab import CLUSTER_PORT, PATIENCE, PORT
from troubles import TROUBLES

HOW = ["killed", "killed", "stopped", "killed", "cut off"]


@pytest.fixture
def make_proxy(tmp_path):
    """make_proxy(lab) -> its port; it serves."""
    made = []

    def make(lab):
        port, log = free_port(), open(tmp_path / "proxy.log", "wb")
        seeds = ",".join(f"{n.address}:{PORT}@{CLUSTER_PORT}" for n in lab.nodes)
        made.append((subprocess.Popen([BUILD / "vong-proxy", "--port", str(port), "--cluster", seeds, "--cluster-secret", "faults",
                                       "--threads", "2", "--retry-timeout", str(PATIENCE * 1000)],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log), log))

        def serves():
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                s.sendall(b"GET x\r\n")
                return s.recv(100) == b"$-1\r\n"
        until(lambda: b"Ready to accept" in (tmp_path / "proxy.log").read_bytes(), PATIENCE)
        until(serves, PATIENCE)
        return port

    yield make
    for process, log in made:
        process.kill()
        process.wait(60)
        log.close()


@pytest.mark.parametrize("clients, failovers", [(100, 2), pytest.param(1000, 100, marks=pytest.mark.long)])
def test_clients_of_a_proxy(make_lab, make_proxy, clients, failovers, record_property):
    """through a proxy every client gets the replies to its own commands, in their order, and no error but UNCERTAIN of a write (9, 10)"""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    lab = make_lab(timeout_ms=1000, copies=2)
    crowd = Crowd(("127.0.0.1", make_proxy(lab)), clients)
    try:
        for i in range(failovers):
            victim, how = lab.nodes[i % len(lab.nodes)], HOW[i % len(HOW)]
            begin, end = TROUBLES[how]
            begin(victim, lab.others(victim))
            since = time.monotonic()
            until(lambda: crowd.all_asked_and_answered_since(since), PATIENCE, f"not all are answered while {victim} is {how}")
            end(victim)
            lab.wait_whole()
            crowd.assert_right()
        since = time.monotonic()
        until(lambda: crowd.all_asked_and_answered_since(since), PATIENCE, "not all are answered in the end")
        crowd.stop()
    finally:
        crowd.close()
    record_property("asked", f"{failovers} failovers, {crowd.summary()}")
