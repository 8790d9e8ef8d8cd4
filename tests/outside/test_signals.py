# SPDX-License-Identifier: BSD-3-Clause
"""Signals: an orderly end, a hurried one, and the log file's rotation."""

import os
import signal
import threading

import pytest

from conftest import request, until


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stop(running, signum):
    """SIGTERM and SIGINT end with exit code 0, and everything is there again"""
    c = running.client()
    for i in range(1000):
        c.set(f"k{i}", i)
    assert running.stop(signum) == 0
    assert running.restart().client().dbsize() == 1000


def test_stop_under_load(running):
    """a stop under load loses no acknowledged write"""
    acknowledged = [0] * 4
    stop = threading.Event()

    def write(n):
        try:
            c = running.client()
            while not stop.is_set():
                c.set(f"c{n}:{acknowledged[n]}", "x" * 100)
                acknowledged[n] += 1
        except Exception:
            pass

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    until(lambda: min(acknowledged) > 200)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0
    stop.set()
    for t in threads:
        t.join()
    c = running.restart().client()
    for n in range(4):
        names = [f"c{n}:{i}" for i in range(acknowledged[n])]
        assert c.exists(*names) == len(names)


def test_stop_with_idle_and_slow_clients(running, wire):
    """clients that are idle, half-way through a request, or do not read do not delay a stop"""
    running.client().set("big", "x" * 30_000_000)
    idle, partial, slow = wire(running), wire(running), wire(running)
    idle.send(b"")
    partial.send(b"*3\r\n$3\r\nSET\r\n")
    slow.send(request("GET", "big"))
    slow.read(10)
    assert running.stop(seconds=60) == 0


def test_second_signal(server, wire):
    """a second SIGTERM ends the process at once, with exit code 1"""
    server.start("--enable-debug-command", "yes")
    w = wire(server)
    w.send(request("DEBUG", "SLEEP", 100))
    until(lambda: asleep(server))
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 1


def asleep(server):
    """It does not answer: DEBUG SLEEP has begun."""
    try:
        with server.socket(timeout=3) as s:
            s.sendall(b"PING\r\n")
            return s.recv(10) == b""
    except TimeoutError:
        return True


def test_hangup_reopens_the_log(server):
    """SIGHUP opens the log file again under its name"""
    path = server.dir / "daily.log"
    server.start("--logfile", path)
    moved = server.dir / "daily.log.1"
    os.rename(path, moved)
    server.process.send_signal(signal.SIGHUP)
    until(path.exists)
    until(lambda: "opened again" in path.read_text())
    assert server.client().ping()
    assert "Ready to accept" in moved.read_text()


def test_hangup_without_a_file(running):
    """SIGHUP without a log file does nothing"""
    running.process.send_signal(signal.SIGHUP)
    assert running.client().ping()


def test_broken_pipe(running, wire):
    """clients that vanish with replies under way do no harm"""
    running.client().set("big", "x" * 1_000_000)
    for _ in range(50):
        w = wire(running)
        w.send(request("GET", "big") * 5)
        w.close()
    assert running.client().ping()
