# SPDX-License-Identifier: BSD-3-Clause
"""What libraries and tools that are not installed here send when they connect, as their sources say.

One row per library and way of connecting: batches of requests, each batch written at once as these bytes
and answered as often as it has requests; behind each request the shape its answer must have. In the end
the connection must still answer PING. A word is sent exactly as written, small or capital."""

import re
import socket
from urllib.parse import urlparse

from bare import Connection
from tap import AUTH_URL, MODE, claim, may_skip, need, run


# ------------------------------------------------------------------------- shapes


def simple(text):
    return lambda r: r.marker == "+" and r.text() == text


OK, PONG, QUEUED = simple("OK"), simple("PONG"), simple("QUEUED")


def error(words):
    return lambda r: r.marker == "-" and re.search(words, r.text())


def number(r):
    return r.marker == ":" and int(r.value) >= 0


def null(r):
    return r.marker == "_"


def null_or_moved(r):
    """Whoever says ASKING knows of clusters: what is another node's is not forwarded."""
    return null(r) or (r.marker == "-" and re.match(r"MOVED \d+ 127\.0\.0\.1:\d+$", r.text()))


def bulk(text):
    return lambda r: r.marker == "$" and r.value == (text if isinstance(text, bytes) else text.encode())


def array(r):
    return r.marker == "*"


def of(marker):
    """An answer under this marker, not empty."""
    return lambda r: r.marker == marker and len(r.value) > 0


def lines(*names, marker="$="):
    """Text whose lines begin with these names."""
    def shape(r):
        assert r.marker in marker, r
        missing = [n for n in names if not re.search(rf"(^|\n){n}", r.text())]
        assert not missing, f"missing: {missing}"
        return True
    return shape


def hello(proto):
    def shape(r):
        got = r.pairs()
        assert r.marker == ("%" if proto == 3 else "*"), r
        assert list(got) == ["server", "version", "proto", "id", "mode", "role", "modules"], list(got)
        assert got["proto"].marker == got["id"].marker == ":" and int(got["proto"].value) == proto
        assert re.fullmatch(r"7\.\d+\.\d+", got["version"].text()), got["version"]
        assert got["mode"].text() == ("cluster" if MODE in ("node", "cluster") else "standalone"), got["mode"]
        assert got["role"].text() in ("master", "replica") and got["modules"].value == []
        return True
    return shape


def config(*names):
    """CONFIG GET's answer: at least these names, each with a text."""
    def shape(r):
        got = r.pairs()
        assert all(v.marker == "$" for v in got.values())
        assert set(names) <= set(got), f"missing: {set(names) - set(got)}"
        return True
    return shape


def clients(r):
    rows = r.text().splitlines()
    return r.marker in "$=" and rows and all(re.match(r"id=\d+ addr=\S+ laddr=\S+ fd=-?\d+ name=", row)
                                             for row in rows)


def slow_rows(r):
    return array(r) and all(len(row.value) == 6 and row.value[3].marker == "*" for row in r.value)


def scan(r):
    return array(r) and len(r.value) == 2 and r.value[0].marker == "$" and r.value[1].marker == "*"


def node_id(r):
    return r.marker == "$" and re.fullmatch("[0-9a-f]{40}", r.text())


def slot_ranges(r):
    """CLUSTER SLOTS: every slot once; of each node the address, the id and what else there is."""
    next_slot = 0
    for row in sorted(r.value, key=lambda row: int(row.value[0].value)):
        first, last, *copies = row.value
        assert int(first.value) == next_slot and int(last.value) >= next_slot and copies, row
        next_slot = int(last.value) + 1
        for copy in copies:
            host, port, name, more = copy.value
            assert host.text() == "127.0.0.1" and number(port) and node_id(name) and more.marker in "*%", copy
    return next_slot == 16384


def node_lines(r):
    """CLUSTER NODES: a line for each node, the asked one marked, each slot once."""
    line = r"[0-9a-f]{40} 127\.0\.0\.1:\d+@\d+ (myself,)?master - \d+ \d+ \d+ (connected|disconnected)(( \d+(-\d+)?)+)"
    found = [re.fullmatch(line, row) for row in r.text().splitlines()]
    assert found and all(found) and sum(bool(m[1]) for m in found) == 1, r.text()
    ranges = [word.split("-") for m in found for word in m[3].split()]
    return sum(int(w[-1]) - int(w[0]) + 1 for w in ranges) == 16384


# SELECT of another database than 0; in a cluster the connection lives on, in database 0.
SELECTED = (OK if MODE == "alone" else error("^ERR DB index is out of range") if MODE == "proxy" else
            error("^ERR SELECT is not allowed in cluster mode"))
NO_SUBCOMMAND = error("^ERR unknown subcommand")
# Unknown, or known and switched off: both tell a library that this is no cluster (CLUSTERED has the other answers).
CLUSTER_OFF = error("^ERR (unknown command|This instance has cluster support disabled)")

# What a library that knows both asks, to learn which it is.
REDIS_MODE, NODES_OR_NOT = ("standalone", CLUSTER_OFF) if MODE in ("alone", "proxy") else ("cluster", node_lines)

# The fields of INFO behind redis_exporter's metrics that have a meaning on one node.
EXPORTED = """
    redis_version:7 redis_mode: os: tcp_port: run_id: process_id: uptime_in_seconds: connected_clients: maxclients:
    blocked_clients: tracking_clients: client_recent_max_input_buffer: client_recent_max_output_buffer:
    used_memory: used_memory_rss: used_memory_peak: used_memory_overhead: used_memory_dataset: maxmemory:
    maxmemory_policy: total_system_memory: allocator_active: allocator_allocated: allocator_resident:
    mem_fragmentation_ratio: mem_clients_normal: mem_clients_slaves: mem_aof_buffer:
    lazyfree_pending_objects: loading:0 rdb_changes_since_last_save: rdb_bgsave_in_progress:
    rdb_last_save_time: rdb_last_bgsave_status: rdb_last_bgsave_time_sec: aof_enabled:
    aof_rewrite_in_progress: aof_last_rewrite_time_sec: aof_current_size: aof_base_size: aof_delayed_fsync:
    aof_pending_bio_fsync: aof_last_bgrewrite_status: aof_last_write_status: latest_fork_usec: role:master
    connected_slaves: master_replid: master_repl_offset: repl_backlog_active: repl_backlog_size:
    sync_full: sync_partial_ok: sync_partial_err: pubsub_channels: pubsub_patterns:
    total_connections_received: total_commands_processed: instantaneous_ops_per_sec: rejected_connections:
    total_net_input_bytes: total_net_output_bytes: expired_keys: evicted_keys: keyspace_hits:
    keyspace_misses: used_cpu_sys: used_cpu_user: total_error_replies: cluster_enabled:[01]
    cmdstat_set:calls=\\d+,usec=\\d+,usec_per_call=[\\d.]+,rejected_calls=\\d+,failed_calls=\\d+
    latency_percentiles_usec_set:p50=[\\d.]+,p99=[\\d.]+,p99.9=[\\d.]+
    errorstat_ERR:count=\\d+ db0:keys=\\d+,expires=\\d+,avg_ttl=\\d+""".split()
if MODE == "proxy":  # it has no log and no keys of its own
    EXPORTED = [e for e in EXPORTED if not e.startswith("db0:") and
                e not in ("aof_current_size:", "aof_base_size:", "aof_delayed_fsync:", "aof_pending_bio_fsync:")]

# ---------------------------------------------------------------------- the table

MAINT = ["CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "internal-ip"]

# library and way: batches of (request, shape)
TABLE = {
    "redis-py 6: HELLO 3, maintenance notifications refused, library info": [
        [(["HELLO", "3"], hello(3))],
        [(MAINT, NO_SUBCOMMAND)],
        [(["CLIENT", "SETNAME", "app"], OK)],
        [(["CLIENT", "SETINFO", "LIB-NAME", "redis-py"], OK),
         (["CLIENT", "SETINFO", "LIB-VER", "6.4.0"], OK)],
        [(["SELECT", "1"], SELECTED)],
    ],
    "Jedis 5 with RESP3: HELLO, pipelined library info": [
        [(["HELLO", "3"], hello(3))],
        [(["CLIENT", "SETNAME", "jedis"], OK),
         (["CLIENT", "SETINFO", "LIB-NAME", "jedis(app_v1)"], OK),
         (["CLIENT", "SETINFO", "LIB-VER", "5.2.0"], OK)],
        [(["SELECT", "2"], SELECTED)],
    ],
    "Jedis, the old class: no HELLO, a ping, a pipeline's SYNC by order alone": [
        [(["PING"], PONG)],
        [(["SET", "{hs}jedis", "1"], OK), (["GET", "{hs}jedis"], bulk("1")), (["GET", "{hs}no"], null)],
        [(["QUIT"], OK)],
    ],
    "Lettuce 6: HELLO 3 SETNAME, library info, SELECT, PING": [
        [(["HELLO", "3", "SETNAME", "lettuce"], hello(3))],
        [(["CLIENT", "SETINFO", "lib-name", "Lettuce"], OK),
         (["CLIENT", "SETINFO", "lib-ver", "6.5.0.RELEASE/0123abc"], OK)],
        [(["SELECT", "3"], SELECTED)],
        [(["PING"], PONG)],
        [(["CLIENT", "MAINT_NOTIFICATIONS", "ON"], NO_SUBCOMMAND)],
    ],
    "Lettuce asking for a protocol to come: told NOPROTO, then RESP2 by PING": [
        [(["HELLO", "4"], error("^NOPROTO "))],
        [(["PING"], PONG)],
    ],
    "go-redis 9: small letters, HELLO 3 SETNAME, SELECT, library info in a pipeline": [
        [(["hello", "3", "setname", "go"], hello(3))],
        [(["select", "4"], SELECTED), (["client", "setname", "go"], OK)],
        [(["client", "maint_notifications", "on", "moving-endpoint-type", "none"], NO_SUBCOMMAND)],
        [(["client", "setinfo", "LIB-NAME", "go-redis(,go1.22.1)"], OK),
         (["client", "setinfo", "LIB-VER", "9.7.0"], OK)],
        [(["client", "tracking", "off"], error("^ERR "))],
    ],
    "go-redis 9, transactions: MULTI to EXEC in one write": [
        [(["multi"], OK), (["incr", "{hs}go"], QUEUED), (["del", "{hs}go"], QUEUED), (["exec"], of("*"))],
    ],
    "ioredis 6: HELLO, SELECT, name, library info, then INFO until loading:0": [
        [(["HELLO", "3"], hello(3)), (["SELECT", "5"], SELECTED), (["client", "setname", "io"], OK),
         (["client", "SETINFO", "LIB-NAME", "ioredis"], OK), (["client", "SETINFO", "LIB-VER", "6.0.0"], OK),
         (["info"], lines("loading:0", marker="="))],
    ],
    "node-redis 5 and 6: everything in one write": [
        [(["HELLO", "3", "SETNAME", "node"], hello(3)), (["SELECT", "6"], SELECTED),
         (["CLIENT", "SETINFO", "LIB-NAME", "node-redis"], OK),
         (["CLIENT", "SETINFO", "LIB-VER", "6.3.1"], OK), (MAINT, NO_SUBCOMMAND)],
    ],
    "StackExchange.Redis: discovery by CONFIG, SENTINEL, INFO and CLUSTER, tracer by a binary ECHO": [
        [(["HELLO", "3", "SETNAME", "se"], hello(3)), (["CLIENT", "SETNAME", "se"], OK),
         (["CLIENT", "SETINFO", "lib-name", "SE.Redis"], OK),
         (["CLIENT", "SETINFO", "lib-ver", "2.8.16.12844"], OK), (["CLIENT", "ID"], number),
         (["CONFIG", "GET", "timeout"], config("timeout")),
         (["CONFIG", "GET", "replica-read-only"], config("replica-read-only")),
         (["CONFIG", "GET", "slave-read-only"], config("slave-read-only")),
         (["CONFIG", "GET", "databases"], config("databases")),
         (["SENTINEL", "MASTERS"], error("^ERR ")),
         (["INFO", "replication"], lines("role:master")),
         (["INFO", "server"], lines("redis_version:7", f"redis_mode:{REDIS_MODE}")),
         (["CLUSTER", "NODES"], NODES_OR_NOT),
         (["GET", "__Booksleeve_TieBreak"], null),
         (["ECHO", bytes(range(0, 256, 17))], bulk(bytes(range(0, 256, 17))))],
        [(["PING"], PONG)],
    ],
    "StackExchange.Redis in RESP2: ECHO tracer before anything else is known": [
        [(["ECHO", b"\r\n\x00\xff"], bulk(b"\r\n\x00\xff")), (["CLIENT", "ID"], number)],
        [(["CONFIG", "GET", "databases"], lambda r: array(r) and config("databases")(r))],
    ],
    "redis-rs: RESP2, SELECT and library info in one write": [
        [(["SELECT", "7"], SELECTED), (["CLIENT", "SETINFO", "LIB-NAME", "redis-rs"], OK),
         (["CLIENT", "SETINFO", "LIB-VER", "0.27.5"], OK)],
    ],
    "redis-rs: RESP3 when the URL says protocol=resp3": [
        [(["HELLO", "3"], hello(3)), (["CLIENT", "SETINFO", "LIB-NAME", "redis-rs"], OK)],
    ],
    "redis-cli 7 -3: HELLO, and what it asks for hints": [
        [(["HELLO", "3"], hello(3))],
        [(["COMMAND", "DOCS"], of("%"))],
        [(["INFO", "SERVER"], lines("redis_version:7", marker="="))],
        [(["COMMAND"], of("*"))],
    ],
    "redis-benchmark: CONFIG GET save and appendonly": [
        [(["CONFIG", "GET", "save"], config("save")), (["CONFIG", "GET", "appendonly"], config("appendonly"))],
    ],
    "redis_exporter: CONFIG GET *, INFO ALL, LATENCY, SLOWLOG, COMMAND INFO COMMANDLOG, CLIENT LIST, SCAN": [
        [(["SET", "{hs}exported", "1"], OK), (["SET", "{hs}exported", "1", "SOON"], error("syntax"))],
        [(["SET", f"hs:{i}", "1"], OK) for i in range(100)],  # each node of a cluster has some
        [(["CLIENT", "SETNAME", "redis_exporter"], OK)],
        [(["CONFIG", "GET", "*"], config("databases", "maxmemory", "maxclients", "port", "appendonly", "save"))],
        [(["INFO", "ALL"], lines(*EXPORTED))],
        [(["LATENCY", "LATEST"], array)],
        [(["LATENCY", "HISTOGRAM"], of("*"))],
        [(["SLOWLOG", "LEN"], number)],
        [(["SLOWLOG", "GET", "1"], slow_rows)],
        [(["COMMAND", "INFO", "COMMANDLOG"], lambda r: array(r) and len(r.value) == 1 and null(r.value[0]))],
        [(["CLIENT", "LIST"], clients)],
        [(["SELECT", "0"], OK)],
        [(["SCAN", "0", "MATCH", "{hs}exp*", "COUNT", "1000"], scan)],
        [(["TYPE", "{hs}exported"], simple("string")), (["STRLEN", "{hs}exported"], number),
         (["MEMORY", "USAGE", "{hs}exported"], number)],
        [(["DEL", "{hs}exported"], number)],
    ],
    "redis_exporter in RESP3: maps and verbatim texts": [
        [(["HELLO", "3"], hello(3))],
        [(["CONFIG", "GET", "*"], of("%")), (["INFO", "ALL"], of("=")), (["CLIENT", "LIST"], of("=")),
         (["LATENCY", "HISTOGRAM", "ping"], lambda r: r.marker == "%"),
         (["MEMORY", "STATS"], of("%")), (["COMMAND", "INFO", "get"], of("*"))],
    ],
    "a library that reuses connections: RESET leaves nothing behind": [
        [(["HELLO", "3", "SETNAME", "gone"], hello(3)), (["SELECT", "8"], SELECTED), (["MULTI"], OK),
         (["RESET"], simple("RESET")), (["CLIENT", "GETNAME"], lambda r: r.marker in "_$" and not r.value),
         (["EXEC"], error("EXEC without MULTI")), (["HELLO"], hello(2))],
    ],
    "CLIENT SETINFO with blanks or an unknown attribute is refused, and the connection lives": [
        [(["CLIENT", "SETINFO", "lib-name", "a b"], error("^ERR lib-name cannot contain")),
         (["CLIENT", "SETINFO", "lib-color", "red"], error("^ERR Unrecognized option")),
         (["CLIENT", "SETINFO", "lib-name"], error("wrong number of arguments"))],
    ],
}

# To cluster libraries, where there is no cluster.
UNCLUSTERED = {
    "redis-py's cluster class on one node: told that there is no cluster": [
        [(["CLUSTER", "SLOTS"], CLUSTER_OFF)],
        [(["COMMAND"], of("*"))],
        [(["COMMAND", "GETKEYS", "SET", "k", "v"], of("*"))],
        [(["READONLY"], CLUSTER_OFF)],
    ],
    "Lettuce's cluster client on one node: CLUSTER NODES refused, INFO has what it sorts by": [
        [(["HELLO", "3"], hello(3))],
        [(["CLUSTER", "NODES"], CLUSTER_OFF), (["INFO"], lines("connected_clients:", "role:", marker="="))],
        [(["CLUSTER", "MYID"], CLUSTER_OFF)],
    ],
}

# And where there is one: the second member of three.
CLUSTERED = {
    "redis-py's cluster class: CLUSTER SLOTS, COMMAND, READONLY": [
        [(["CLUSTER", "SLOTS"], slot_ranges)],
        [(["COMMAND"], of("*"))],
        [(["COMMAND", "GETKEYS", "SET", "k", "v"], of("*"))],
        [(["READONLY"], OK), (["READWRITE"], OK)],
    ],
    "Jedis' cluster class: CLUSTER SLOTS without a hole, on its own connection": [
        [(["HELLO", "3"], hello(3))],
        [(["CLIENT", "SETINFO", "LIB-NAME", "jedis(app_v1)"], OK)],
        [(["CLUSTER", "SLOTS"], slot_ranges)],
    ],
    "Lettuce's cluster client: CLUSTER NODES and INFO of every node, MYID": [
        [(["HELLO", "3"], hello(3))],
        [(["CLUSTER", "NODES"], node_lines), (["INFO"], lines("connected_clients:", "role:", marker="="))],
        [(["CLUSTER", "MYID"], node_id)],
    ],
    "go-redis' ClusterClient: cluster slots in small letters, command, cluster shards": [
        [(["hello", "3"], hello(3))],
        [(["cluster", "slots"], slot_ranges)],
        [(["command"], of("*")), (["cluster", "shards"], of("*"))],
    ],
    "hiredis-cluster and redis-benchmark: CLUSTER NODES in RESP2, then ASKING": [
        [(["CLUSTER", "NODES"], node_lines)],
        [(["ASKING"], OK), (["GET", "{hs}none"], null_or_moved)],
    ],
    "redis-rs' cluster client: CLUSTER SLOTS, READONLY": [
        [(["CLIENT", "SETINFO", "LIB-NAME", "redis-rs"], OK)],
        [(["CLUSTER", "SLOTS"], slot_ranges), (["READONLY"], OK)],
    ],
    "ioredis' Cluster: CLUSTER SLOTS, and CLUSTER INFO until the state is ok": [
        [(["HELLO", "3"], hello(3))],
        [(["cluster", "SLOTS"], slot_ranges), (["cluster", "INFO"], lines("cluster_state:ok", marker="="))],
    ],
    "redis_exporter: CLUSTER INFO's figures": [
        [(["CLUSTER", "INFO"], lines(
            "cluster_state:ok", "cluster_slots_assigned:16384", "cluster_slots_ok:16384", "cluster_slots_pfail:0",
            "cluster_slots_fail:0", "cluster_known_nodes:3", "cluster_size:3", "cluster_current_epoch:\\d",
            "cluster_my_epoch:\\d", "cluster_stats_messages_sent:\\d", "cluster_stats_messages_received:\\d"))],
    ],
    "whoever speaks of placement is told who places": [
        [(["CLUSTER", "ADDSLOTS", "1"], error("^ERR slots are placed by the controller")),
         (["CLUSTER", "SETSLOT", "1", "STABLE"], error("^ERR slots are placed by the controller")),
         (["CLUSTER", "REPLICATE", "0" * 40], error("^ERR slots are placed by the controller"))],
    ],
}

# On the server with a password; it is put in for $P.
LOCKED = {
    "redis-py, node-redis, Lettuce: HELLO 3 AUTH": [
        [(["HELLO", "3", "AUTH", "default", "$P", "SETNAME", "in"], hello(3))],
        [(["SELECT", "1"], SELECTED)],
    ],
    "Jedis, redis-rs, redis-cli: AUTH alone, with and without a user": [
        [(["AUTH", "$P"], OK)],
        [(["AUTH", "default", "$P"], OK)],
    ],
    "StackExchange.Redis: AUTH, then HELLO in one write": [
        [(["AUTH", "default", "$P"], OK), (["HELLO", "3", "AUTH", "default", "$P"], hello(3))],
    ],
    "everything but AUTH and HELLO is refused before, HELLO without AUTH too": [
        [(["PING"], error("^NOAUTH ")), (["HELLO", "3"], error("^NOAUTH HELLO must be called")),
         (["CLIENT", "SETINFO", "LIB-NAME", "x"], error("^NOAUTH ")), (["INFO"], error("^NOAUTH ")),
         (["AUTH", "wrong"], error("^WRONGPASS ")),
         (["HELLO", "3", "AUTH", "default", "wrong"], error("^WRONGPASS ")),
         (["HELLO", "3", "AUTH", "nobody", "$P"], error("^WRONGPASS ")),
         (["AUTH", "$P"], OK)],
    ],
}


def play(c, batches, password=""):
    for batch in batches:
        requests = [[password if w == "$P" else w for w in words] for words, _ in batch]
        c.send(requests)
        for words, shape in batch:
            reply = c.read()
            try:
                good = shape(reply)
            except AssertionError as e:
                raise AssertionError(f"{words}: {e}") from None
            assert good, f"{words}: {repr(reply)[:600]}"
    if batches[-1][-1][0] == ["QUIT"]:
        assert c.file.read() == b"", "the connection stays after QUIT"
        return
    c.send([["PING"]])
    last = c.read()
    assert PONG(last), f"PING in the end: {last!r}"


def one(title, batches, cause=None):
    @claim(title)
    def _():
        may_skip(cause)
        with Connection() as c:
            play(c, batches)


def one_locked(title, batches):
    @claim("with a password: " + title)
    def _():
        url = urlparse(need(AUTH_URL, "VONG_AUTH_URL", "there is no second server with a password"))
        with Connection(url.hostname, url.port) as c:
            play(c, batches, url.password)


for title, batches in TABLE.items():
    one(title, batches)
for title, batches in UNCLUSTERED.items():
    one(title, batches, "uncluster")
for title, batches in CLUSTERED.items():
    one(title, batches, "clustered")
for title, batches in LOCKED.items():
    one_locked(title, batches)


@claim("any handshake may come in pieces of one byte")
def _():
    with Connection() as c:
        c.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n":
            c.socket.sendall(bytes([byte]))
        assert hello(3)(c.read()) and PONG(c.read())


run()
