# SPDX-License-Identifier: BSD-3-Clause
"""vong-proxy in front of real clusters: plain clients see one server, and a node's death as a pause."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import threading

import pytest
import redis

from conftest import BUILD, Server, until
from members import form, node  # noqa: F401 (node is a fixture)
from test_failover import end, go_on, with_copies, writing

PROXY = os.environ.get("VONG_PROXY", str(BUILD / "vong-proxy"))


class Proxy(Server):
    """Its writers in test_failover ask it as they ask a node."""

    def call(self, *words):
        c = redis.Redis(port=self.port, decode_responses=True, socket_timeout=60)
        try:
            return c.execute_command(*words)
        finally:
            c.close()

    def info(self, section="proxy"):
        c = redis.Redis(port=self.port, socket_timeout=60)
        try:
            return c.info(section)
        finally:
            c.close()

    def at(self, nodes, *args):
        """Started for the cluster of these nodes; it has the map."""
        self.launch("--cluster", ",".join(n.address for n in nodes), "--retry-timeout", 60000, *args)
        self.wait_ready()
        until(lambda: "Ready to accept" in self.log, 60)
        return self


@pytest.fixture
def proxy(tmpdir_short):
    """A maker of proxies that are not started yet."""
    made = []

    def make():
        path = tmpdir_short / f"p{len(made)}"
        path.mkdir()
        made.append(Proxy(path, PROXY))
        return made[-1]

    yield make
    for p in made:
        if p.process is not None and p.process.poll() is None:
            p.kill()


def cli(p, *words, **kw):
    return subprocess.run(["redis-cli", "-p", str(p.port), *words], capture_output=True, text=True, timeout=60, **kw)


def test_one_address_for_all_keys(node, proxy):
    """A plain redis-py has every key of a cluster of three: pipelines, transactions, SCAN, many keys at once."""
    p = proxy().at(form(node, 3)[:1])
    c = p.client()
    pipe = c.pipeline(transaction=False)
    for i in range(500):
        pipe.set(f"k{i}", f"v{i}")
    for i in range(500):
        pipe.get(f"k{i}")
    assert pipe.execute() == [True] * 500 + [f"v{i}" for i in range(500)]
    assert c.mget([f"k{i}" for i in range(500)]) == [f"v{i}" for i in range(500)]
    assert c.dbsize() == 500
    assert {k for k in c.scan_iter(count=50)} == {f"k{i}" for i in range(500)}
    assert c.delete(*[f"k{i}" for i in range(100)]) == 100
    with c.pipeline() as t:
        t.watch("{a}1")
        t.multi()
        t.set("{a}1", "x")
        t.append("{a}1", "y")
        assert t.execute() == [True, 2]
    with c.pipeline() as t:
        t.watch("{a}1")
        c.set("{a}1", "another's")
        t.multi()
        t.set("{a}1", "lost")
        with pytest.raises(redis.WatchError):
            t.execute()
    assert c.flushall() and c.dbsize() == 0
    assert p.info("server")["redis_mode"] == "standalone"
    assert p.info()["cluster_nodes"] == 3 and p.info()["slots_served"] == 16384


def test_redis_cli_takes_it_for_a_server(node, proxy):
    """redis-cli: RESP3, --scan, --pipe, and what a lone server answers to cluster commands."""
    p = proxy().at(form(node, 3)[:1])
    assert "mode standalone" in cli(p, "-3", "HELLO", "3").stdout
    load = "".join(f"SET p{i} {i}\r\n" for i in range(300))
    assert "errors: 0, replies: 300" in cli(p, "--pipe", input=load).stdout
    assert len(cli(p, "--scan").stdout.split()) == 300
    assert "cluster support disabled" in cli(p, "CLUSTER", "SLOTS").stdout
    assert "DB index is out of range" in cli(p, "SELECT", "1").stdout
    assert "keeps no data" in cli(p, "BGSAVE").stdout
    assert cli(p, "CONFIG", "GET", "cluster-enabled").stdout.strip() == ""  # a node's directive, not a proxy's
    assert cli(p, "CONFIG", "GET", "appendonly").stdout.split() == ["appendonly", "no"]  # which tools ask for
    everything = p.client().info("everything")
    assert everything["loading"] == 0 and everything["maxmemory_policy"] == "noeviction"


def test_values_come_through_whole(node, proxy):
    """Long values, empty ones and any bytes, in both protocols, beside short ones of other clients."""
    p = proxy().at(form(node, 3)[:1])
    big = os.urandom(5_000_000)
    c = p.client(decode_responses=False)
    for i in range(4):
        c.set(f"big{i}", big)
    c.set("empty", b"")
    c.set("zero", b"\0\r\n$-1\r\n\0")
    short = p.client()
    pipe = c.pipeline(transaction=False)
    for i in range(16):
        pipe.get(f"big{i % 4}")
        pipe.get("empty")
        pipe.get("zero")
    got = []
    t = threading.Thread(target=lambda: got.extend(pipe.execute()))
    t.start()
    for i in range(200):
        assert short.set("s", i) and short.get("s") == str(i)
    t.join(60)
    assert got == [big, b"", b"\0\r\n$-1\r\n\0"] * 16


def test_a_dead_primary_is_a_pause(node, proxy):
    """kill -9 of the node that the proxy was given, under writers: nothing acknowledged is lost, nothing is refused; the log names
    it once."""
    nodes = with_copies(node)
    p = proxy().at(nodes[:1], "--threads", 2)
    until(lambda: p.info()["cluster_nodes_up"] == 3, 60)
    writers = writing([p])
    nodes[0].kill()
    until(lambda: p.info()["slots_served"] == 16384 and p.info()["cluster_nodes_up"] == 2, 60)
    go_on(writers)
    nodes[0].restart()
    until(lambda: p.info()["cluster_nodes_up"] == 3, 60)
    go_on(writers)
    end(writers, p)
    assert {r for w in writers for r in w.refused} == set()
    told = [line.split(" * ", 1)[-1].split(" # ", 1)[-1] for line in p.log.splitlines() if " map " in line]
    assert len(told) == len(set(told))  # not one for each thread
    fate = [line for line in told if f"(127.0.0.1:{nodes[0].port})" in line]
    assert any("is DOWN: requests for its" in line for line in fate) and any("is back, started anew" in line for line in fate), told
    assert any("all slots are served" in line for line in told)


def test_a_hung_node_is_a_pause(node, proxy):
    """A node that answers nothing any more, and whose connections stay open, is given up when the cluster does."""
    nodes = with_copies(node)
    p = proxy().at(nodes[:1])
    writers = writing([p])
    nodes[0].process.send_signal(signal.SIGSTOP)
    until(lambda: p.info()["slots_served"] == 16384 and p.info()["cluster_nodes_up"] == 2, 60)
    go_on(writers)
    nodes[0].process.send_signal(signal.SIGCONT)
    until(lambda: p.info()["cluster_nodes_up"] == 3, 60)
    go_on(writers)
    end(writers, p)
    assert {r for w in writers for r in w.refused} == set()


def test_clients_that_read_nothing_are_bounded(node, proxy):
    """1,000 clients that ask for 50 values of 100 kB each and read none: the proxy keeps to the figure of docs/proxy.md, and
    others are served."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip(f"1,000 clients need more files than the {hard} that may be open here: ulimit -Hn 2048")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    p = proxy().at(form(node, 2)[:1])
    c = p.client()
    c.set("long", "x" * 100_000)
    before, deaf = p.rss(), []
    for _ in range(1000):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # the system holds little of it for the proxy
        s.connect(("127.0.0.1", p.port))
        s.sendall(b"GET long\r\n" * 50)
        deaf.append(s)
    until(lambda: p.info()["requests_under_way"] == 0, 300)  # what was asked for (400 MB) has come, and no more is asked for
    assert c.get("long") == "x" * 100_000
    assert p.rss() - before < 1_200_000_000
    for s in deaf:
        s.close()
    until(lambda: p.info()["proxy_clients"] <= 2, 60)


def test_connections_of_clients_own_are_few(node, proxy):
    """300 clients that watch keys of one node, and run transactions, share few connections to it; who finds none waits, but not who
    watches nothing, and CONFIG SET lets more of them in."""
    watchers, more = 256 - 256 // 8, 280 - 280 // 8  # an eighth is left to transactions
    p = proxy().at([node().start()])
    clients = [p.client(single_connection_client=True) for _ in range(300)]
    pipes = [c.pipeline() for c in clients]

    def watch(i):
        pipes[i].watch(f"k{i}")
    first = [threading.Thread(target=watch, args=(i,)) for i in range(300)]
    for t in first:
        t.start()
    until(lambda: sum(t.is_alive() for t in first) == 300 - watchers, 60)  # the others' WATCH is not answered
    assert p.info()["upstream_connections_own"] == watchers
    other = p.client()
    with other.pipeline() as t:
        assert t.incr("other").execute() == [1]
    assert other.config_set("cluster-own-connections", 280)
    until(lambda: sum(t.is_alive() for t in first) == 300 - more, 60)
    while any(t.is_alive() for t in first):
        for i, t in enumerate(first):
            if not t.is_alive() and pipes[i].watching:
                pipes[i].multi()
                assert pipes[i].incr(f"k{i}").execute() == [1]
    for i, c in enumerate(clients):
        if pipes[i].watching:
            pipes[i].multi()
            assert pipes[i].incr(f"k{i}").execute() == [1]
        assert c.wait(0, 100) >= 0
    assert clients[0].mget([f"k{i}" for i in range(300)]) == ["1"] * 300
    assert p.info()["upstream_connections_own"] <= 280


def test_reads_from_replicas(node, proxy):
    """With read-from replica a client reads from replicas, never less than its write before the last, in the end its last;
    set live; and goes on when a node dies."""
    nodes = with_copies(node)
    p = proxy().at(nodes[1:2])
    until(lambda: p.info()["cluster_nodes_up"] == 3, 60)
    c = p.client()

    def write_and_read(n):
        for i in range(100):
            assert c.set(f"k{i}", f"{n}.{i}") and c.get(f"k{i}") in (f"{n}.{i}", None if n == 0 else f"{n - 1}.{i}")
        until(lambda: [c.get(f"k{i}") for i in range(100)] == [f"{n}.{i}" for i in range(100)], 60)
    write_and_read(0)
    assert p.info()["reads_by_replicas"] == 0
    c.config_set("read-from", "replica")
    write_and_read(1)
    assert p.info()["reads_by_replicas"] >= 200
    assert c.mget([f"k{i}" for i in range(100)]) == [f"1.{i}" for i in range(100)]
    nodes[0].kill()
    write_and_read(2)
    c.config_set("read-from", "primary")
    before = p.info()["reads_by_replicas"]
    write_and_read(3)
    assert p.info()["reads_by_replicas"] == before


def test_it_waits_for_its_cluster(node, proxy):
    """Before any node answers, a proxy says so to clients and in its log; then it serves."""
    first = node()
    p = proxy()
    p.launch("--cluster", first.address)
    p.wait_ready()
    until(lambda: "nobody answers there" in p.log, 60)
    with pytest.raises(redis.ResponseError, match="CLUSTERDOWN .*nobody answers there"):
        p.call("GET", "a")
    assert "Ready to accept" not in p.log
    first.start()
    until(lambda: "Ready to accept" in p.log, 60)
    assert p.call("SET", "a", "1") and p.call("GET", "a") == "1"


def test_passwords(node, proxy):
    """Clients prove themselves to the proxy, and the proxy to the nodes by cluster-secret."""
    nodes = form(node, 2, "--cluster-secret", "between nodes")
    stranger = proxy()
    stranger.launch("--cluster", nodes[0].address, "--cluster-secret", "another")
    until(lambda: "cluster-secret is not the same at both ends" in stranger.log, 60)
    p = proxy().at(nodes[:1], "--cluster-secret", "between nodes", "--requirepass", "for clients")
    with pytest.raises(redis.AuthenticationError):
        p.call("GET", "a")
    c = p.client(password="for clients")
    assert c.set("a", "1") and c.get("a") == "1"
    assert c.execute_command("CONFIG", "GET", "cluster") != []


def test_threads_are_one_server(node, proxy):
    """With three threads CONFIG SET counts for every client, maxclients for all together, and CLIENT ID is unique."""
    p = proxy().at(form(node, 2)[:1], "--threads", 3)
    clients = [p.client(single_connection_client=True) for _ in range(40)]
    threads = {c.info("proxy")["proxy_thread"] for c in clients}
    assert len(threads) > 1
    assert len({c.client_id() for c in clients}) == 40
    clients[0].config_set("retry-timeout", 1234)
    until(lambda: {c.config_get("retry-timeout")["retry-timeout"] for c in clients} == {"1234"}, 60)
    clients[0].config_set("maxclients", 45)
    until(lambda: {c.config_get("maxclients")["maxclients"] for c in clients} == {"45"}, 60)
    clients[1].client_setname("second")
    listed = clients[2].client_list()
    assert len({x["id"] for x in listed}) == 40 and "second" in {x["name"] for x in listed}
    for i, c in enumerate(clients):
        c.set(f"k{i}", i)
    assert clients[3].info("commandstats")["cmdstat_set"]["calls"] == 40
    assert clients[4].info("clients")["connected_clients"] == 40
    assert clients[4].info("proxy")["requests_forwarded"] >= 40
    upstreams = clients[4].info("upstreams")
    assert len(upstreams) == 2 and sum(u["requests"] for u in upstreams.values()) == 40
    assert {u["state"] for u in upstreams.values()} == {"up"} and all(u["p99_usec"] > 0 for u in upstreams.values())
    until(lambda: len({c.memory_stats()["cluster.links"] for c in clients}) == 1, 60)  # whoever is asked
    memory = clients[4].info("memory")
    assert memory["mem_cluster_links"] > 0 and memory["mem_replication_backlog"] == 0
    clients[5].config_set("slowlog-log-slower-than", 0)
    until(lambda: {c.config_get("slowlog-log-slower-than")["slowlog-log-slower-than"] for c in clients} == {"0"}, 60)
    assert clients[6].slowlog_reset()
    for i, c in enumerate(clients):
        c.echo(f"slow {i}")
    slow = clients[7].slowlog_get(128)
    assert len({x["id"] for x in slow}) == len(slow)
    assert {f"ECHO slow {i}".encode() for i in range(40)} <= {x["command"] for x in slow}
    monitor, shown = p.socket(), []
    monitor.sendall(b"MONITOR\r\n")
    monitor.settimeout(0.1)

    def all_are_shown():
        for i, c in enumerate(clients):
            c.echo(f"shown-{i}-")
        with contextlib.suppress(TimeoutError):
            while True:
                shown.append(monitor.recv(1 << 20))
        return all(b"shown-%d-" % i in b"".join(shown) for i in range(40))
    until(all_are_shown, 60)
    monitor.close()
    victim = clients.pop()
    assert clients[0].execute_command("CLIENT", "KILL", "ID", victim.client_id()) == 1
    assert len(clients[0].client_list()) == 39
    victim.close()
    until(lambda: clients[0].info("proxy")["proxy_clients"] == 39, 60)  # the monitor has gone, nobody else is on the way
    said = []
    more = [p.socket() for _ in range(8)]
    for m in more:
        m.sendall(b"PING\r\n")
        said.append(m.recv(100))
    assert said.count(b"+PONG\r\n") == 6 and said.count(b"-ERR max number of clients reached\r\n") == 2, said
    for m in more:
        m.close()
    with pytest.raises(redis.ResponseError, match="opens its doors at its start.* start it again"):
        clients[0].config_set("port", p.port + 1)
    with pytest.raises(redis.ResponseError, match="immutable config: change it in the configuration file"):
        clients[0].config_set("threads", 4)


def test_a_stop_answers_what_is_under_way(node, proxy):
    """SIGTERM: what was sent is answered, then the process ends with 0; so does SHUTDOWN, at all threads."""
    nodes = form(node, 2)
    p = proxy().at(nodes[:1], "--threads", 2)
    watching = [p.socket() for _ in range(4)]  # at both threads
    for m in watching:
        m.sendall(b"MONITOR\r\n")
        assert m.recv(5) == b"+OK\r\n"
    s = p.socket()
    nodes[1].process.send_signal(signal.SIGSTOP)
    s.sendall(b"".join(b"SET stop%d 1\r\n" % i for i in range(50)))
    until(lambda: p.info()["requests_forwarded"] >= 50, 60)
    p.process.send_signal(signal.SIGTERM)
    until(lambda: "Asked to stop" in p.log, 60)
    nodes[1].process.send_signal(signal.SIGCONT)
    got = b""
    while piece := s.recv(65536):
        got += piece
    assert got.count(b"\r\n") == 50 and not got.replace(b"+OK\r\n", b"").strip(), got
    assert p.process.wait(60) == 0
    q = proxy().at(nodes[:1], "--threads", 2)
    with pytest.raises(redis.ConnectionError):
        q.call("SHUTDOWN")
        q.call("PING")
    assert q.process.wait(60) == 0


def test_starts_that_are_refused(proxy, node):
    """A port that is taken, no cluster, wrong addresses, a server's directive: one line that says what to do."""
    def refused(*args):
        got = subprocess.run([PROXY, *map(str, args)], capture_output=True, text=True, timeout=60)
        assert got.returncode == 1 and got.stderr.count("\n") == 1, got
        return got.stderr
    first = node().start()
    p = proxy().at([first], "--threads", 2)
    assert "Address already in use" in refused("--port", p.port, "--bind", "127.0.0.1", "--cluster", first.address,
                                               "--threads", 2)
    assert "--cluster host:port" in refused("--port", p.port)
    assert "each seed is host:port" in refused("--cluster", "nowhere")
    assert "which zone?" in refused("--cluster", first.address, "--read-from", "nearest-zone")
    assert "unknown directive 'appendonly'" in refused("--cluster", first.address, "--appendonly", "yes")


def test_files_for_its_nodes_are_kept_free(node, proxy):
    """Where few files may be open, maxclients leaves half of them, and when it is reached the nodes are still reached."""
    p = proxy()
    p.launch("--cluster", node().start().address, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
    p.wait_ready()
    until(lambda: "Ready to accept" in p.log, 60)
    assert "Only 200 files may be open (ulimit -n): maxclients is now 100" in p.log
    until(lambda: p.info("clients")["connected_clients"] == 1, 60, "who asked whether it serves is not gone")
    clients = [p.socket() for _ in range(99)]
    for i, s in enumerate(clients):
        s.sendall(b"MULTI\r\nSET k%d 1\r\nEXEC\r\nGET k%d\r\n" % (i, i))
    for s in clients:
        got = b""
        while got.count(b"\r\n") < 6 and (piece := s.recv(1000)):
            got += piece
        assert got.endswith(b"*1\r\n+OK\r\n$1\r\n1\r\n"), got
        s.close()


def test_a_log_that_is_moved_is_opened_again(node, proxy):
    """SIGHUP: all threads write to the new file."""
    p = proxy()
    log = p.dir / "moved.log"
    p.launch("--cluster", node().start().address, "--threads", 2, "--logfile", log, "--loglevel", "verbose")
    p.wait_ready()
    until(lambda: "Ready to accept" in log.read_text(), 60)
    log.rename(p.dir / "old.log")
    p.process.send_signal(signal.SIGHUP)
    until(log.exists, 60)
    p.process.send_signal(signal.SIGTERM)
    assert p.process.wait(60) == 0
    assert "Bye" in log.read_text()
