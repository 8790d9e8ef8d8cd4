# SPDX-License-Identifier: BSD-3-Clause
"""What one client may cost: each limit, and the step just past it."""

import resource
import select
import subprocess
import threading
import time

import pytest

from conftest import request, until


def test_maxclients(server, wire):
    """maxclients are served, the next one gets Redis' error, and one that leaves makes room"""
    server.start("--maxclients", 10)
    ws = []
    for _ in range(10):
        ws.append(wire(server))
        ws[-1].send(b"PING\r\n")
        ws[-1].expect(b"+PONG\r\n")
    late = wire(server)
    assert late.to_end() == b"-ERR max number of clients reached\r\n"
    ws[0].close()

    def served():
        w = wire(server)
        try:
            w.send(b"PING\r\n")
            return w.read(7) == b"+PONG\r\n"
        except (EOFError, ConnectionError):
            return False
    until(served)


def test_maxclients_live(server, wire):
    """CONFIG SET maxclients counts from then on"""
    c = server.start().client()
    c.config_set("maxclients", 1)
    assert wire(server).to_end() == b"-ERR max number of clients reached\r\n"
    c.config_set("maxclients", 2)
    w = wire(server)
    w.send(b"PING\r\n")
    w.expect(b"+PONG\r\n")


def test_descriptor_limit(server):
    """where the system permits fewer open files than maxclients needs, maxclients is lowered and told"""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
    server.start(preexec_fn=few)
    lowered = int(server.client().config_get("maxclients")["maxclients"])
    assert 100 <= lowered < 300
    assert f"maxclients is now {lowered}" in server.log


def test_descriptor_limit_is_raised(server):
    """the soft limit of open files is raised to what maxclients needs"""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 11_000:
        pytest.fail(f"this test needs a hard limit of 11,000 open files, not {hard}")
    def low():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    server.start(preexec_fn=low)
    limits = open(f"/proc/{server.pid}/limits").read()
    soft = int([line for line in limits.splitlines() if line.startswith("Max open files")][0].split()[3])
    assert soft >= 10_000
    assert server.client().config_get("maxclients") == {"maxclients": "10000"}


def test_idle_memory(server, wire):
    """10,000 idle connections cost less than 2 KB each"""
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, max(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    server.start("--maxclients", 11_000)
    ws = [wire(server) for _ in range(500)]
    for w in ws:
        w.send(b"PING\r\n")
        w.expect(b"+PONG\r\n")
    before = server.rss()
    ws += [wire(server) for _ in range(10_000)]
    for w in ws[500:]:
        w.send(request("SET", "some:key", "some value") + request("GET", "some:key"))
        w.expect(b"+OK\r\n$10\r\nsome value\r\n")
    each = (server.rss() - before) / 10_000
    c = server.client()
    jemalloc = "jemalloc" in c.info("memory")["mem_allocator"]
    assert each < (2048 if jemalloc else 8192), each
    assert int(c.info("clients")["connected_clients"]) == 10_501


def test_slow_reader(server, wire):
    """a client that never reads its replies costs a bounded amount of memory, and is cut off"""
    server.start("--client-output-buffer-limit", "normal", "40mb", "10mb", "2")
    server.client().set("v", "x" * 10_000)
    before = server.rss()
    w = wire(server)
    done = threading.Event()

    def send():
        try:
            for _ in range(200):
                w.send(request("GET", "v") * 1000)
        except OSError:
            pass
        done.set()
    threading.Thread(target=send, daemon=True).start()
    most = 0
    while not done.is_set():
        most = max(most, server.rss() - before)
        time.sleep(0.01)
    assert most < 100_000_000, most
    until(lambda: "client-output-buffer-limit" in server.log)
    assert server.client().ping()


def test_slow_reader_default(server, wire):
    """the same is bounded by default"""
    server.start()
    server.client().set("v", "x" * 10_000)
    before = server.rss()
    w = wire(server)
    w.sock.settimeout(3)
    with pytest.raises(OSError):
        for _ in range(200):
            w.send(request("GET", "v") * 1000)
    assert server.rss() - before < 400_000_000
    assert server.client().ping()


def test_paused_reader_goes_on(server, wire):
    """over the soft limit a client waits, and gets every reply when it reads again"""
    server.start("--client-output-buffer-limit", "normal", "0", "1mb", "300")
    c = server.client()
    c.set("v", "x" * 10_000)
    w = wire(server)
    n = 5000
    sender = threading.Thread(target=w.send, args=(request("GET", "v") * n,))
    sender.start()
    until(lambda: any(int(client["omem"]) > 1 << 20 for client in c.client_list()))
    for _ in range(n):
        w.expect(b"$10000\r\n" + b"x" * 10_000 + b"\r\n")
    sender.join()


def test_unlimited_output(server, wire):
    """client-output-buffer-limit normal 0 0 0 is no limit, as in Redis"""
    server.start("--client-output-buffer-limit", "normal", "0", "0", "0")
    server.client().set("v", "x" * 10_000)
    w = wire(server)
    n = 10_000
    w.send(request("GET", "v") * n)
    for _ in range(n):
        w.expect(b"$10000\r\n" + b"x" * 10_000 + b"\r\n")


def test_query_buffer_limit(server, wire):
    """a request longer than client-query-buffer-limit ends its connection, and is told in the log"""
    server.start("--client-query-buffer-limit", "1mb")
    w = wire(server)
    try:
        w.send(b"*100000\r\n" + b"$100\r\n" + b"x" * 100 + b"\r\n")
        for _ in range(20_000):
            w.send(b"$100\r\n" + b"x" * 100 + b"\r\n")
    except OSError:
        pass
    w.to_end()
    until(lambda: "client-query-buffer-limit" in server.log)
    other = wire(server)
    other.send(request("SET", "k", "v" * 900_000))
    other.expect(b"+OK\r\n")


def test_bulk_limit(server, wire):
    """a bulk of proto-max-bulk-len is taken, one byte more is a protocol error"""
    server.start("--proto-max-bulk-len", "1mb")
    w = wire(server)
    w.send(request("SET", "k", b"x" * (1 << 20)))
    w.expect(b"+OK\r\n")
    w.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % ((1 << 20) + 1))
    w.expect(b"-ERR Protocol error: invalid bulk length\r\n")
    assert w.ended()


def test_before_authentication(server, wire):
    """who has not authenticated may send ten arguments of 16 KiB, no more"""
    server.start("--requirepass", "secret")
    w = wire(server)
    w.send(request("GET", "k"))
    w.expect(b"-NOAUTH Authentication required.\r\n")
    w.send(b"*11\r\n")
    w.expect(b"-ERR Protocol error: unauthenticated multibulk length\r\n")
    assert w.ended()
    w = wire(server)
    w.send(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n")
    w.expect(b"-ERR Protocol error: unauthenticated bulk length\r\n")
    assert w.ended()
    w = wire(server)
    w.send(request("AUTH", "secret") + request("SET", "k", "v" * 20_000))
    w.expect(b"+OK\r\n+OK\r\n")


def test_timeout(server, wire):
    """an idle client is disconnected after timeout seconds, a busy one is not"""
    server.start("--timeout", "4")
    busy, idle = wire(server), wire(server)

    def only_one_is_left():
        busy.send(b"PING\r\n")
        busy.expect(b"+PONG\r\n")
        return select.select([idle.sock], [], [], 0.05)[0]
    begin = time.monotonic()
    until(only_one_is_left)
    assert idle.ended() and time.monotonic() - begin > 3
    only_one_is_left() # the busy one, which is older, is answered still


def test_keepalive(server, wire):
    """tcp-keepalive is set on connections, and CONFIG SET changes it"""
    server.start("--tcp-keepalive", "77")
    w = wire(server)
    w.send(b"PING\r\n")
    w.expect(b"+PONG\r\n")
    me = w.sock.getsockname()[1]

    def timer():
        out = subprocess.run(["ss", "-tno", "dst", f"127.0.0.1:{me}"], capture_output=True, text=True).stdout
        return "timer:(keepalive" in out
    until(timer)
    server.client().config_set("tcp-keepalive", 0)
    until(lambda: not timer())


def test_protected_mode_spares_this_machine(running):
    """protected mode serves this machine without a password"""
    assert running.client().ping()


def test_deep_transaction(running):
    """a MULTI of 10,000 commands"""
    p = running.client().pipeline(transaction=True)
    for i in range(10_000):
        p.incr("n")
    assert p.execute() == list(range(1, 10_001))


def test_many_arguments(running):
    """a request of 200,000 arguments"""
    c = running.client()
    assert c.mset({f"k{i}": i for i in range(100_000)})
    assert c.mget([f"k{i}" for i in range(100_000)])[::9999] == [str(i) for i in range(0, 100_000, 9999)]


def test_a_long_pipeline_does_not_starve_others(running, wire):
    """while one client sends without end, another is answered after a fraction of a second's work"""
    greedy = wire(running)
    data = b"".join(request("SET", f"g{i % 1000}", "x" * 50) for i in range(20_000))
    stop = threading.Event()

    def send():
        while not stop.is_set():
            greedy.send(data)

    def read():
        try:
            while greedy.sock.recv(1 << 20):
                pass
        except OSError:
            pass
    threads = [threading.Thread(target=send, daemon=True), threading.Thread(target=read, daemon=True)]
    for t in threads:
        t.start()
    polite = wire(running)
    worst = 0
    for _ in range(200):
        begin = running.worked()
        polite.send(b"PING\r\n")
        polite.expect(b"+PONG\r\n")
        worst = max(worst, running.worked() - begin)
    stop.set()
    assert worst < 500, worst
