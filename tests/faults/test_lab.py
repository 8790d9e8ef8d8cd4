# SPDX-License-Identifier: BSD-3-Clause
"""The faults themselves: a rough wire is rough."""

import socket
import subprocess
import time

import pytest

from lab import Net

ECHO = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 7)); print(flush=True)\nwhile True: s.sendto(*s.recvfrom(64))"
FRAMES = 200  # fewer than a socket holds that nobody reads


@pytest.fixture
def net():
    n = Net()
    echo = subprocess.Popen(n.command("python3", "-c", ECHO), pass_fds=[n.fd], stdout=subprocess.PIPE)
    echo.stdout.readline()
    yield n
    echo.kill()
    echo.wait(60)
    echo.stdout.close()
    n.close()


def echoes(net, may_lose=False):
    """What comes back of so many, in the order in which it does, and how long each was under way."""
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.settimeout(2 if may_lose else 20)  # only what may be lost is given up soon
    sent, came, took = {}, [], []
    for i in range(FRAMES):
        sent[i] = time.monotonic()
        s.sendto(b"%d" % i, (net.address, 7))
        time.sleep(0.0005)
    try:
        while may_lose or len(came) < FRAMES:
            came.append(int(s.recv(64)))
            took.append(time.monotonic() - sent[came[-1]])
    except socket.timeout:
        pass
    s.close()
    return came, took


def test_rough_wire(net):
    """a wire is made rough and smooth again: frames are late, overtake one another, are lost and come twice, or none of it"""
    assert echoes(net)[0] == list(range(FRAMES))
    net.roughen(30, 30)
    came, took = echoes(net)
    assert sorted(came) == list(range(FRAMES)) and min(took) >= 0.06
    net.roughen(0, 20, lost=0.1, twice=0.1)
    came, _ = echoes(net, may_lose=True)
    assert came != sorted(came) and 0 < len(set(came)) < FRAMES and len(set(came)) < len(came)
    net.smoothe()
    assert echoes(net)[0] == list(range(FRAMES))
