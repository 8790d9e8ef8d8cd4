# SPDX-License-Identifier: BSD-3-Clause
"""The faults themselves: a rough wire is rough."""

import socket
import subprocess
import time

import pytest

from conftest import until
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


def echoes(net):
    """What comes back of so many, in the order in which it does, and how long each was under way."""
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.settimeout(2)
    sent, came, took = {}, [], []
    for i in range(FRAMES):
        sent[i] = time.monotonic()
        s.sendto(b"%d" % i, (net.address, 7))
        time.sleep(0.0005)
    try:
        while True:
            came.append(int(s.recv(64)))
            took.append(time.monotonic() - sent[came[-1]])
    except socket.timeout:
        pass
    s.close()
    return came, took


def whole(net):
    """All come, each once. A bridge loses frames while a wire becomes one of its ports, for a moment after it was told so."""
    def try_once():
        came, took = echoes(net)
        return sorted(came) == list(range(FRAMES)) and (came, took)
    return until(try_once, what="frames are lost, or come twice")


def test_rough_wire(net):
    """a wire is made rough and smooth again: frames are late, overtake one another, are lost and come twice, or none of it"""
    came, _ = whole(net)
    assert came == sorted(came)
    net.roughen(30, 30)
    _, took = whole(net)
    assert min(took) >= 0.06
    net.roughen(0, 20, lost=0.1, twice=0.1)
    came, _ = echoes(net)
    assert came != sorted(came) and 0 < len(set(came)) < FRAMES and len(set(came)) < len(came)
    net.smoothe()
    came, _ = whole(net)
    assert came == sorted(came)
