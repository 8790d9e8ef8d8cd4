# SPDX-License-Identifier: BSD-3-Clause
"""MIGRATE: between vong-servers and stock Redis, with whatever can go wrong on the way."""

import os
import signal
import socket
import threading
import time

import pytest
import redis

from conftest import free_port, request, until

BIG = os.urandom(1 << 20) * 20


@pytest.fixture
def start(make_server, stock):
    """start("vong" or "redis", arguments) -> a server that serves"""
    def make(kind, *args):
        return make_server().start(*args) if kind == "vong" else stock(*args)

    return make


def migrate(client, port, key, *more, db=0, timeout=60_000, host="127.0.0.1"):
    try:
        got = client.execute_command("MIGRATE", host, port, key, db, timeout, *more)
    except redis.ResponseError as e:  # redis-py takes the code ERR away
        return str(e)
    return got if isinstance(got, str) else got.decode()


@pytest.fixture(params=["vong redis", "redis vong", "vong vong"])
def pair(request, start):
    """Where keys are and where they are to go; one of the two is ours."""
    return [start(kind) for kind in request.param.split()]


def test_moves(pair):
    """a key moves with its value and its time, and is gone here"""
    here, there = (s.client(decode_responses=False) for s in pair)
    here.mset({"k": "v", "n": 12345, "big": BIG, "empty": ""})
    here.set("soon", "v", px=500_000)
    for key in ("k", "n", "big", "empty", "soon"):
        assert migrate(here, pair[1].port, key, db=3) == "OK"
    assert here.dbsize() == 0 and there.dbsize() == 0
    there.execute_command("SELECT", 3)
    there = pair[1].client(decode_responses=False, db=3)
    assert there.mget("k", "n", "big", "empty", "soon") == [b"v", b"12345", BIG, b"", b"v"]
    assert 480_000 < there.pttl("soon") <= 500_000 and there.pttl("k") == -1


def test_options(pair):
    """COPY leaves it, REPLACE overwrites, KEYS takes many, NOKEY says that there is none"""
    here, there = (s.client() for s in pair)
    port = pair[1].port
    here.set("k", "new")
    there.set("k", "old")
    assert migrate(here, port, "none") == "NOKEY"
    assert migrate(here, port, "k") == "Target instance replied with error: BUSYKEY Target key name already exists."
    assert (here.get("k"), there.get("k")) == ("new", "old")
    assert migrate(here, port, "k", "COPY", "REPLACE") == "OK"
    assert (here.get("k"), there.get("k")) == ("new", "new")
    assert migrate(here, port, "k", "REPLACE") == "OK"
    assert (here.get("k"), there.get("k")) == (None, "new")
    here.mset({f"k{i}": i for i in range(300)})
    there.set("k7", "busy")
    names = [f"k{i}" for i in range(300)]
    assert "BUSYKEY" in migrate(here, port, "", "KEYS", "none", *names)
    assert here.keys() == ["k7"] and there.get("k7") == "busy" and there.dbsize() == 301
    assert here.get("k7") == "7"
    assert migrate(here, port, "", "REPLACE", "KEYS", *names) == "OK"
    assert here.dbsize() == 0 and there.mget(names) == [str(i) for i in range(300)]


def test_wrong_database(pair):
    """a database that is not there is an error of the target's, and the key stays"""
    here, there = (s.client() for s in pair)
    here.set("k", "v")
    assert migrate(here, pair[1].port, "k", db=99) == "Target instance replied with error: ERR DB index is out of range"
    assert here.get("k") == "v"


@pytest.mark.parametrize("kind", ["vong", "redis"])
def test_password(running, start, kind):
    """AUTH and AUTH2 open a target, a wrong password does not"""
    target = start(kind, "--requirepass", "secret")
    here, there = running.client(), target.client(password="secret")
    refused = "Target instance replied with error: "
    here.mset({"k": "v", "l": "v"})
    assert migrate(here, target.port, "k").startswith(refused + "NOAUTH ")
    assert migrate(here, target.port, "k", "AUTH", "wrong").startswith(refused + "WRONGPASS ")
    assert here.exists("k", "l") == 2 and there.dbsize() == 0
    assert migrate(here, target.port, "k", "AUTH", "secret") == "OK"
    assert migrate(here, target.port, "l", "AUTH2", "default", "secret") == "OK"
    assert here.dbsize() == 0 and there.dbsize() == 2


def test_down(running):
    """a target that is down, or has no such name, is an error at once, and the key stays"""
    c = running.client()
    c.set("k", "v")
    began = time.monotonic()
    assert migrate(c, free_port(), "k") == "IOERR error or timeout writing to target instance"
    for host, port in (("", 1234), ("127.0.0.1", "x"), ("127.0.0.1", 0), ("no\0such", 1234), ("x" * 300, 1234)):
        assert migrate(c, port, "k", host=host) == "IOERR error or timeout connecting to the client"
    assert time.monotonic() - began < 50
    assert migrate(c, 1234, "k", host="no-such-host.invalid", timeout=5000) == "IOERR error or timeout connecting to the client"
    assert c.get("k") == "v"


def test_names(running, start):
    """a name is looked up"""
    there = start("vong")
    c = running.client()
    c.set("k", "v")
    assert migrate(c, there.port, "k", host="localhost") == "OK"
    assert there.client().get("k") == "v"


def test_silent(running, wire):
    """a silent target ends with the timeout, and others are served meanwhile"""
    c = running.client()
    c.set("k", "v")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        w = wire(running)
        began = time.monotonic()
        w.send(request("MIGRATE", "127.0.0.1", silent.getsockname()[1], "k", 0, 4000) + request("PING"))
        slowest = 0
        for i in range(200):
            at = time.monotonic()
            c.set("other", i)
            slowest = max(slowest, time.monotonic() - at)
        assert slowest < 2
        assert w.line() == b"-IOERR error or timeout reading to target instance"
        assert 3.9 < time.monotonic() - began < 60
        assert w.line() == b"+PONG"
    assert c.get("k") == "v"


def test_half_read(running):
    """a target that stops reading a big value is an error of writing"""
    c = running.client(decode_responses=False)
    c.set("k", BIG)
    with socket.create_server(("127.0.0.1", 0)) as s:
        def serve():
            link, _ = s.accept()
            link.recv(100)
            link.sendall(b"+OK\r\n")
            told.wait(60)
            link.close()
        told = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        assert migrate(c, s.getsockname()[1], "k", timeout=4000) == "IOERR error or timeout writing to target instance"
        told.set()
        thread.join()
    assert c.strlen("k") == len(BIG)


def test_dies(running, start):
    """a target that dies on the way leaves the key here"""
    there = start("vong")
    os.kill(there.pid, signal.SIGSTOP)
    c = running.client()
    c.set("k", "v")
    got = []
    thread = threading.Thread(target=lambda: got.append(migrate(running.client(), there.port, "k", timeout=60_000)))
    thread.start()
    until(lambda: any(client["cmd"] == "migrate" for client in c.client_list()))
    assert c.get("k") == "v"
    there.process.kill()
    thread.join(60)
    assert got and got[0].startswith("IOERR error or timeout ") and c.get("k") == "v"


def test_changed(running, start):
    """a key that changes on its way is kept, and the client is told"""
    there = start("vong")
    c = running.client()
    c.set("k", "v")
    with socket.create_server(("127.0.0.1", 0)) as s:
        got = []
        thread = threading.Thread(
            target=lambda: got.append(migrate(running.client(), s.getsockname()[1], "k", timeout=60_000)))
        thread.start()
        link, _ = s.accept()
        assert b"SELECT" in link.recv(1000)
        link.sendall(b"+OK\r\n")
        assert b"RESTORE" in link.recv(1000)
        c.append("k", "w")
        link.sendall(b"+OK\r\n")
        thread.join(60)
        link.close()
    assert got[0].startswith("IOERR error: a key changed here") and c.get("k") == "vw"
    assert migrate(c, there.port, "k") == "OK" and there.client().get("k") == "vw"


def test_to_itself(running):
    """whoever migrates to itself loses nothing"""
    c = running.client()
    c.set("k", "v")
    assert "BUSYKEY" in migrate(c, running.port, "k")
    assert migrate(c, running.port, "k", "REPLACE").startswith("IOERR error: a key changed here")
    assert c.get("k") == "v"
    assert migrate(c, running.port, "k", db=1) == "OK"
    assert c.get("k") is None and running.client(db=1).get("k") == "v"


def test_kept(start):
    """what has moved is gone after a restart as well"""
    there, server = start("vong"), start("vong", "--appendfsync", "always")
    c = server.client()
    c.mset({f"k{i}": i for i in range(100)})
    assert migrate(c, there.port, "", "KEYS", *[f"k{i}" for i in range(50)]) == "OK"
    server.kill()
    assert server.restart().client().dbsize() == 50
    there.kill()
    assert there.restart().client().dbsize() == 50


def test_many_at_once(running, start):
    """many clients migrate at once, under writes, and no key is lost or twice"""
    there = start("vong")
    c = running.client()
    c.mset({f"k{t}:{i}": "x" * 1000 for t in range(8) for i in range(200)})
    failed = []

    def work(t):
        own = running.client()
        for i in range(200):
            if migrate(own, there.port, f"k{t}:{i}") != "OK":
                failed.append((t, i))

    threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        c.incr("counter")
    for t in threads:
        t.join()
    assert not failed and c.dbsize() == 1 and there.client().dbsize() == 1600
    open_files = len(os.listdir(f"/proc/{running.pid}/fd"))
    assert open_files < 60


def test_stop_on_the_way(running):
    """a stop does not wait for a silent target"""
    c = running.client()
    c.set("k", "v")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        w = running.socket()
        w.sendall(request("MIGRATE", "127.0.0.1", silent.getsockname()[1], "k", 0, 60000))
        link, _ = silent.accept()
        assert running.stop(seconds=40) == 0
        link.close()
        w.close()
    assert running.restart().client().get("k") == "v"
