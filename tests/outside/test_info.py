# SPDX-License-Identifier: BSD-3-Clause
"""INFO: every section, its fields and its counts; COMMAND; and what monitoring tools ask for."""

import pytest

from conftest import request, until

DEFAULT = ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules", "Errorstats",
           "Cluster", "Keyspace"]
ALL = DEFAULT[:8] + ["Commandstats", "Errorstats", "Latencystats"] + DEFAULT[9:]


def sections(text):
    return [line[2:] for line in text.split("\r\n") if line.startswith("# ")]


def raw(server, *words):
    c = server.client()
    connection = c.connection_pool.get_connection("_")
    connection.send_command("INFO", *words)
    text = connection.read_response()
    c.connection_pool.release(connection)
    return text if isinstance(text, str) else text.decode()


def test_sections(running):
    """INFO tells the default sections, all of them, or those that are named, in any case"""
    assert sections(raw(running)) == DEFAULT
    assert sections(raw(running, "default")) == DEFAULT
    assert sections(raw(running, "all")) == ALL
    assert sections(raw(running, "everything")) == ALL
    assert sections(raw(running, "CPU", "server", "nosuch")) == ["Server", "CPU"]
    assert sections(raw(running, "default", "commandstats")) == DEFAULT[:8] + ["Commandstats"] + DEFAULT[8:]
    assert raw(running, "nosuch") == ""


def test_lines(running):
    """every line is name:value, ended by CRLF"""
    for line in raw(running, "everything").split("\r\n"):
        assert line == "" or line.startswith("# ") or ":" in line, line
        assert "\n" not in line


FIELDS = """redis_version server_name vong_version redis_mode os arch_bits process_id run_id tcp_port
    uptime_in_seconds uptime_in_days executable config_file connected_clients maxclients blocked_clients
    used_memory used_memory_human used_memory_rss used_memory_peak used_memory_overhead used_memory_dataset
    total_system_memory maxmemory maxmemory_policy mem_fragmentation_ratio mem_allocator mem_clients_normal
    loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status
    aof_enabled aof_rewrite_in_progress aof_last_bgrewrite_status aof_last_write_status aof_current_size
    aof_base_size aof_buffer_length aof_delayed_fsync total_connections_received total_commands_processed
    instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes rejected_connections expired_keys
    evicted_keys keyspace_hits keyspace_misses latest_fork_usec sync_full total_error_replies commands_per_turn
    role connected_slaves master_replid master_repl_offset used_cpu_sys used_cpu_user cluster_enabled""".split()


def test_fields(running):
    """the fields that clients and exporters read are there"""
    info = running.client().info("everything")
    assert not [f for f in FIELDS if f not in info]
    assert info["redis_version"] == "7.2.4" and info["server_name"] == "vong"
    assert info["tcp_port"] == running.port and info["process_id"] == running.pid
    assert info["redis_mode"] == "standalone" and info["role"] == "master" and info["cluster_enabled"] == 0
    assert len(info["run_id"]) == 40 and info["loading"] == 0
    assert info["used_memory"] > 0 and info["used_memory_rss"] > 0
    assert info["used_cpu_user"] + info["used_cpu_sys"] > 0


def test_counts(running):
    """what happened is counted: calls, failures, refusals, hits, misses, errors, expired keys"""
    c = running.client()
    c.config_resetstat()
    c.set("k", "v")
    c.get("k")
    c.get("none")
    for bad in (("INCR", "k"), ("GET",), ("NOSUCH",)):
        with pytest.raises(Exception):
            c.execute_command(*bad)
    c.set("short", "v", px=1)
    until(lambda: c.info("stats")["expired_keys"] == 1, what="a key expires")
    info = c.info("everything")
    assert info["cmdstat_get"]["calls"] == 2 and info["cmdstat_get"]["rejected_calls"] == 1
    assert info["cmdstat_incr"]["failed_calls"] == 1
    assert info["keyspace_hits"] == 1 and info["keyspace_misses"] == 1
    assert info["errorstat_ERR"] == "count=3" and info["total_error_replies"] == 3
    assert set(info["latency_percentiles_usec_get"]) == {"p50", "p99", "p99.9"}
    c.config_resetstat()
    assert "cmdstat_get" not in c.info("commandstats")
    assert c.info("stats")["keyspace_hits"] == 0


def test_keyspace(running):
    """a line for each database with keys: how many, how many with an expiry, how long they have"""
    c = running.client()
    assert c.info("keyspace") == {}
    c.mset({"a": 1, "b": 2})
    c.set("c", 3, ex=100)
    running.client(db=3).set("x", 1, ex=1000)
    info = c.info("keyspace")
    assert info["db0"]["keys"] == 3 and info["db0"]["expires"] == 1 and 90000 < info["db0"]["avg_ttl"] <= 100000
    assert info["db3"]["keys"] == 1 and 990000 < info["db3"]["avg_ttl"] <= 1000000
    c.flushall()
    assert c.info("keyspace") == {}


def test_percentiles(running):
    """latency-tracking-info-percentiles says which percentiles, latency-tracking whether"""
    c = running.client()
    c.ping()
    c.config_set("latency-tracking-info-percentiles", "0 50.5 100")
    assert set(c.info("latencystats")["latency_percentiles_usec_ping"]) == {"p0", "p50.5", "p100"}
    c.config_set("latency-tracking", "no")
    c.config_resetstat()
    c.ping()
    assert c.info("latencystats") == {}
    assert c.info("commandstats")["cmdstat_ping"]["calls"] == 1


def test_histogram(running):
    """LATENCY HISTOGRAM tells cumulated counts, of a container those of its subcommands"""
    c = running.client()
    for _ in range(20):
        c.set("k", "v")
    c.config_get("port")
    got = c.execute_command("LATENCY", "HISTOGRAM", "set", "config", "nosuch")
    named = dict(zip(got[::2], got[1::2]))
    assert set(named) == {"set", "config|get"}
    entry = dict(zip(named["set"][::2], named["set"][1::2]))
    counts = entry["histogram_usec"][1::2]
    assert entry["calls"] == 20 and counts[-1] == 20 and counts == sorted(counts)


def test_command(running):
    """COMMAND, its COUNT, LIST and INFO agree"""
    c = running.client()
    count = c.command_count()
    assert count > 90 and len(c.execute_command("COMMAND")) == count
    names = c.execute_command("COMMAND LIST")
    assert {"get", "client|list", "waitaof"} <= set(names) and "lpush" not in names
    assert len([n for n in names if "|" not in n]) == count
    assert c.execute_command("COMMAND LIST", "FILTERBY", "PATTERN", "get*")
    assert set(c.execute_command("COMMAND LIST", "FILTERBY", "ACLCAT", "transaction")) == {
        "multi", "exec", "discard", "watch", "unwatch"}
    assert c.execute_command("COMMAND LIST", "FILTERBY", "MODULE", "any") == []


def test_command_bytes(running, wire):
    """COMMAND INFO and GETKEYS answer in Redis' very bytes"""
    w = wire(running)
    w.send(request("COMMAND", "INFO", "get", "nosuch"))
    w.expect(b"*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n+@string\r\n"
             b"+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n"
             b"$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n"
             b"$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n$-1\r\n")
    for ask, answer in (
            (("GETKEYS", "MSET", "a", "1", "b", "2"), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
            (("GETKEYS", "SORT", "a", "STORE", "b"), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
            (("GETKEYS", "PING", "x"), b"-ERR The command has no key arguments\r\n"),
            (("GETKEYS", "GET", "x", "y"), b"-ERR Invalid number of arguments specified for command\r\n"),
            (("GETKEYS", "NOSUCH", "x"), b"-ERR Invalid command specified\r\n"),
            (("GETKEYSANDFLAGS", "SET", "a", "b", "GET"), b"*1\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+update\r\n")):
        w.send(request("COMMAND", *ask))
        w.expect(answer)


def test_command_docs(running):
    """COMMAND DOCS tells summary, since, group and the grammar of the arguments"""
    c = running.client()
    got = c.execute_command("COMMAND DOCS", "set", "nosuch", "client|kill")
    assert got[::2] == ["set", "client|kill"]
    docs = dict(zip(got[1][::2], got[1][1::2]))
    assert docs["since"] == "1.0.0" and docs["group"] == "string" and docs["summary"].endswith(".")
    args = [dict(zip(a[::2], a[1::2])) for a in docs["arguments"]]
    assert [a["name"] for a in args][:2] == ["key", "value"] and args[0]["key_spec_index"] == 0
    assert "oneof" in [a["type"] for a in args]
