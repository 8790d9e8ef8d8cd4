# SPDX-License-Identifier: BSD-3-Clause
"""redis-py (4.3: RESP2) as people use it: every reply has gone through its parsers."""

import asyncio
import pathlib
import re
import threading
import time

import redis
import redis.asyncio
import redis.backoff
import redis.cluster
import redis.retry

from tap import AUTH_URL, HOST, MODE, PORT, claim, may_skip, need, raises, restart_server, run
from tap import same, until

TAG = "{py}"


def connect(**kw):
    kw = {"host": HOST, "port": PORT, "socket_timeout": 60, "decode_responses": True, **kw}
    return redis.cluster.RedisCluster(**kw) if MODE == "cluster" else redis.Redis(**kw)


r = connect()


def key(name):
    """One slot for all keys, so that a cluster may run what takes several."""
    return f"{TAG}{name}"


def fresh(*names):
    keys = [key(n) for n in names]
    r.delete(*keys)
    return keys[0] if len(keys) == 1 else keys


@claim("a connection answers PING, ECHO and TIME")
def _():
    same(r.ping(), True)
    if MODE != "cluster":
        same(r.echo("hello"), "hello")
        seconds, micros = r.time()
        assert abs(seconds - time.time()) < 60 and 0 <= micros < 1000000


@claim("a password, a user and a database come from a URL; a wrong password is told as such")
def _():
    url = need(AUTH_URL, "VONG_AUTH_URL", "there is no second server with a password")
    c = redis.Redis.from_url(url, decode_responses=True)
    same(c.set("url", "1"), True)
    same(int(c.client_info()["db"]), 2)
    same(c.auth(c.connection_pool.connection_kwargs["password"], "default"), True)
    c.delete("url")
    head, tail = url.split("@")
    raises(redis.ResponseError, "WRONGPASS invalid username-password pair",
           redis.Redis.from_url(head + "x@" + tail).ping)
    raises(redis.AuthenticationError, "Authentication required",
           redis.Redis.from_url("redis://" + tail).ping)


@claim("SET with each option does what it says")
def _():
    k = fresh("set")
    same(r.set(k, "a", nx=True), True)
    same(r.set(k, "b", nx=True), None)
    same(r.set(k, "b", xx=True, get=True), "a")
    same(r.set(k, "c", ex=1000), True)
    assert 900 <= r.ttl(k) <= 1000
    same(r.set(k, "d", keepttl=True), True)
    assert 900 <= r.ttl(k) <= 1000
    same(r.set(k, "e", px=100000), True)
    assert 40000 <= r.pttl(k) <= 100000
    same(r.set(k, "f", exat=int(time.time()) + 500), True)
    assert 400 <= r.ttl(k) <= 500
    same(r.set(k, "g"), True)
    same(r.ttl(k), -1)
    same(r.delete(k), 1)
    same(r.set(k, "h", xx=True), None)
    same(r.ttl(k), -2)


@claim("strings are read, cut, counted and deleted")
def _():
    k, a, b, none = fresh("s", "a", "b", "none")
    same(r.append(k, "Hello "), 6)
    same(r.append(k, "World"), 11)
    same(r.getrange(k, 0, 4), "Hello")
    same(r.setrange(k, 6, "Vong!"), 11)
    same(r.get(k), "Hello Vong!")
    same(r.strlen(k), 11)
    same(r.mset({a: "1", b: "2"}), True)
    same(r.mget(a, b, none), ["1", "2", None])
    same(r.msetnx({a: "3", none: "4"}), False)
    same(r.incr(a), 2)
    same(r.decrby(a, 5), -3)
    same(r.incrbyfloat(a, 0.5), -2.5)
    same(r.getset(b, "x"), "2")
    same(r.getex(b, ex=1000), "x")
    same(r.getdel(b), "x")
    same(r.exists(a, b, k), 2)
    same(r.setex(b, 1000, "y"), True)
    same(r.execute_command("LCS", k, b), "")
    raises(redis.ResponseError, "value is not an integer or out of range", r.incr, k)


@claim("bits are set, counted, found and combined")
def _():
    a, b, c = fresh("ba", "bb", "bc")
    same(r.setbit(a, 7, 1), 0)
    same(r.getbit(a, 7), 1)
    r.set(b, "\x0f")
    same(r.bitcount(b), 4)
    same(r.bitop("OR", c, a, b), 1)
    same(r.bitpos(c, 1), 4)
    same(r.bitfield(a).set("u8", 0, 255).incrby("u8", 0, 10).overflow("SAT").incrby("u8", 0, 255)
         .execute(), [1, 9, 255])


@claim("keys are expired, renamed, copied, dumped, restored and described")
def _():
    a, b, c = fresh("ka", "kb", "kc")
    r.set(a, "value")
    same(r.expire(a, 100), True)
    same(r.expire(a, 50, gt=True), False)
    same(r.expire(a, 200, gt=True), True)
    assert 140 <= r.ttl(a) <= 200
    assert abs(r.expiretime(a) - time.time() - 200) < 60
    same(r.persist(a), True)
    same(r.rename(a, b), True)
    same(r.copy(b, c), True)
    same(r.renamenx(b, c), False)
    same(r.touch(b, c), 2)
    same(r.type(b), "string")
    same(r.object("encoding", b), "embstr")
    assert r.memory_usage(b) > 0
    with redis.Redis(host=HOST, port=PORT) if MODE != "cluster" else connect(decode_responses=False) as raw:
        image = raw.dump(b)
        same(raw.restore(a, 500000, image, replace=True), b"OK")
        raises(redis.ResponseError, "BUSYKEY", raw.restore, a, 0, image)
    same(r.get(a), "value")
    assert 400000 < r.pttl(a) <= 500000
    same(r.unlink(a, b, c), 3)
    r.set(a, "1", px=30)
    until(lambda: r.get(a) is None, what="the key did not expire")


@claim("any byte may stand in a key and in a value, and both may be empty")
def _():
    with connect(decode_responses=False) as raw:
        every = bytes(range(256))
        name = TAG.encode() + every + b"\r\n*1\r\n$4\r\nPING\r\n"
        same(raw.set(name, every * 3), True)
        same(raw.get(name), every * 3)
        same(raw.set(name, b""), True)
        same(raw.get(name), b"")
        same(raw.delete(name), 1)
        same(raw.set(b"", b"nameless"), True)
        same(raw.get(b""), b"nameless")
        same(raw.delete(b""), 1)


@claim("a value of 16 MB comes back as it went")
def _():
    k = fresh("big")
    value = bytes(range(256)) * 65536
    with connect(decode_responses=False) as raw:
        same(raw.set(k, value), True)
        assert raw.get(k) == value
        same(raw.strlen(k), len(value))
        same(raw.getrange(k, 255, 257), b"\xff\x00\x01")
        same(raw.delete(k), 1)


@claim("pipeline(transaction=True) answers everything in order, and one error leaves the rest")
def _():
    a, b = fresh("ta", "tb")
    may_skip("multi")
    with r.pipeline(transaction=True) as p:
        same(p.set(a, "1").incr(a).get(a).mget(a, b).execute(), [True, 2, "2", ["2", None]])
        p.set(a, "word").incr(a).set(b, "done")
        got = p.execute(raise_on_error=False)
        assert got[0] is True and got[2] is True and isinstance(got[1], redis.ResponseError), got
        p.set(a, "3").incr(b)
        raises(redis.ResponseError, "Command # 2 (INCR", p.execute)
        p.set(a, "4").execute_command("NOSUCH", a)
        raises(redis.ResponseError, "unknown command", p.execute)
    same(r.get(a), "3")


@claim("a pipeline of 10,000 commands answers in order")
def _():
    k = fresh("count")
    with r.pipeline(transaction=False) as p:
        for _ in range(10000):
            p.incr(k)
        same(p.execute(), list(range(1, 10001)))


@claim("a WATCH that saw a change raises WatchError, and one that saw none executes")
def _():
    may_skip("watch")
    a, b = fresh("wa", "wb")
    r.set(a, "1")
    with r.pipeline() as p:
        p.watch(a)
        r.set(a, "2")
        p.multi()
        p.set(b, "no")
        raises(redis.WatchError, "Watched variable changed", p.execute)
        same(r.exists(b), 0)
        p.watch(a)
        r.set(b, "other")
        p.multi()
        p.set(a, "3")
        same(p.execute(), [True])


@claim("four threads that retry over WATCH lose no increment")
def _():
    may_skip("watch")
    k = fresh("turns")
    r.set(k, 0)
    failed = []

    def work():
        def step(p):
            n = int(p.get(k))
            p.multi()
            p.set(k, n + 1)
        try:
            for _ in range(50):
                r.transaction(step, k)
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    same(failed, [])
    same(r.get(k), "200")


@claim("a lock is taken by SET NX PX, kept from others, and released by its holder alone")
def _():
    may_skip("watch")
    k = fresh("lock")

    def release(token):
        with r.pipeline() as p:
            p.watch(k)
            if p.get(k) != token:
                return False
            p.multi()
            p.delete(k)
            return p.execute() == [1]

    mine = r.lock(k, timeout=100, blocking=False, thread_local=False)
    theirs = r.lock(k, timeout=100, blocking=False)
    same(mine.acquire(token="mine"), True)
    same(theirs.acquire(token="theirs"), False)
    assert 40000 < r.pttl(k) <= 100000
    same(release("theirs"), False)
    same(release("mine"), True)
    same(theirs.acquire(token="theirs"), True)
    same(release("theirs"), True)


@claim("scan_iter finds each of 5,000 keys while others come and go")
def _():
    may_skip("scan")
    stay = {key(f"scan:stay:{i}") for i in range(5000)}
    r.mset({k: "1" for k in stay})
    found, turn = set(), 0
    for k in r.scan_iter(match=f"{TAG}scan:*", count=50, **({} if MODE == "cluster" else {"_type": "string"})):
        turn += 1
        if turn % 10 == 0:
            r.set(key(f"scan:go:{turn}"), "1")
            r.delete(key(f"scan:go:{turn - 20}"))
        found.add(k)
    assert stay <= found, f"{len(stay - found)} of 5000 were not found"
    assert all(k.startswith(f"{TAG}scan:") for k in found)
    some = list(stay | found)
    for i in range(0, len(some), 500):
        r.delete(*some[i:i + 500])


@claim("databases are chosen, counted, swapped, moved between and flushed")
def _():
    may_skip("databases")
    with connect(db=9) as nine, connect(db=10) as ten:
        nine.flushdb()
        ten.flushdb()
        nine.set("only9", "9")
        same((nine.dbsize(), ten.dbsize()), (1, 0))
        same(nine.move("only9", 10), True)
        same((nine.dbsize(), ten.get("only9")), (0, "9"))
        same(r.swapdb(9, 10), True)
        same(nine.get("only9"), "9")
        same(r.info("keyspace")["db9"]["keys"], 1)
        same(nine.flushdb(asynchronous=True), True)
        same(nine.randomkey(), None)
    raises(redis.ResponseError, "DB index is out of range", connect(db=16).ping)


@claim("CLIENT names, lists, describes and kills connections")
def _():
    may_skip("client")
    with connect(client_name="victim", single_connection_client=True) as victim:
        same(victim.client_getname(), "victim")
        number = victim.client_id()
        line = [c for c in r.client_list() if c["name"] == "victim"]
        same([int(c["id"]) for c in line], [number])
        same((line[0]["db"], line[0]["flags"], line[0]["cmd"]), ("0", "N", "client|id"))
        assert line[0]["addr"] and line[0]["age"].isdigit() and line[0]["qbuf"].isdigit()
        same(victim.client_info()["id"], number)
        same([int(c["id"]) for c in r.client_list(client_id=[str(number)])], [number])
        same(r.client_kill_filter(_id=str(number)), 1)
        until(lambda: not [c for c in r.client_list() if c["name"] == "victim"], what="it lives on")
        raises(redis.ConnectionError, "Connection closed by server", victim.ping)
        same(victim.ping(), True)                        # a new connection, opened by redis-py
        assert victim.client_id() > number
    raises(redis.ResponseError, "No such client", r.client_kill, "127.0.0.1:1")
    same(r.client_no_evict("ON"), "OK")
    same(r.client_unpause(), "OK")
    same(r.client_getredir(), -1)
    same(r.client_trackinginfo()[:2], ["flags", ["off"]])


@claim("CLIENT PAUSE WRITE holds writes and lets reads through")
def _():
    may_skip("pause")
    k = fresh("paused")
    r.set(k, "before")
    with connect() as other:
        same(other.client_pause(100000, all=False), True)
        writer = threading.Thread(target=lambda: r.set(k, "after"))
        writer.start()
        for _ in range(20):
            same(other.get(k), "before")
        same(other.client_unpause(), "OK")
        writer.join(60)
        same(other.get(k), "after")


@claim("INFO parses into numbers, dictionaries and words, section by section")
def _():
    may_skip("server")
    for i in range(100):                                 # each node of a cluster has some
        r.set(f"py:info:{i}", "1", ex=100)
    raises(redis.ResponseError, "unknown command", r.execute_command, "NOSUCH")
    got = r.info()
    same(got["redis_version"].split(".")[0], "7")
    same(got["redis_mode"], "standalone" if MODE in ("alone", "proxy") else "cluster")
    same(got["tcp_port"], PORT)
    same((got["role"], got["loading"], got["cluster_enabled"]), ("master", 0, int(MODE in ("node", "cluster"))))
    same(len(got["run_id"]), 40)
    for name in ("uptime_in_seconds", "process_id", "connected_clients", "maxclients", "used_memory",
                 "used_memory_peak", "maxmemory", "total_commands_processed", "expired_keys",
                 "evicted_keys", "keyspace_hits", "keyspace_misses", "rejected_connections",
                 "instantaneous_ops_per_sec", "aof_enabled", "rdb_bgsave_in_progress",
                 "connected_slaves", "master_repl_offset", "latest_fork_usec"):
        assert isinstance(got[name], int), f"{name}: {got.get(name)!r}"
    for name in ("used_cpu_sys", "used_cpu_user", "mem_fragmentation_ratio"):
        assert isinstance(got[name], (int, float)), f"{name}: {got.get(name)!r}"
    assert got["db0"]["keys"] >= 1 and got["db0"]["expires"] >= 1 and got["db0"]["avg_ttl"] > 0, got["db0"]
    every = r.info("everything")
    assert every["cmdstat_set"]["calls"] >= 1 and "usec_per_call" in every["cmdstat_set"]
    assert every["errorstat_ERR"].startswith("count=")
    assert {"p50", "p99", "p99.9"} <= set(every["latency_percentiles_usec_set"])
    assert "used_memory" in r.info("memory") and "role" not in r.info("memory")
    assert "cmdstat_set" not in got and "role" in r.info("default")


@claim("CONFIG gets by patterns, sets several at once, and refuses with a reason")
def _():
    may_skip("server")
    same(r.config_get("maxmemory-policy"), {"maxmemory-policy": "noeviction"})
    got = r.config_get("max*")
    assert {"maxmemory", "maxclients", "maxmemory-samples"} <= set(got), got
    assert len(r.config_get()) > 100
    same(set(r.config_get("timeout", "appendfsync")), {"timeout", "appendfsync"})
    same(r.config_set("maxmemory-samples", 7, "slowlog-max-len", 64), True)
    same(r.config_get("maxmemory-samples")["maxmemory-samples"], "7")
    same(r.config_set("maxmemory", "2gb"), True)
    same(r.config_get("maxmemory")["maxmemory"], "2147483648")
    same(r.config_set("maxmemory", 0, "maxmemory-samples", 5, "slowlog-max-len", 128), True)
    raises(redis.ResponseError, "maxmemory-policy", r.config_set, "maxmemory-policy", "sometimes")
    raises(redis.ResponseError, "nosuch", r.config_set, "nosuch", "1")
    same(r.config_resetstat(), True)


@claim("SLOWLOG entries parse, newest first")
def _():
    may_skip("slowlog")
    k = fresh("slow")
    before = r.config_get("slowlog-log-slower-than")["slowlog-log-slower-than"]
    same(r.config_set("slowlog-log-slower-than", 0), True)
    same(r.slowlog_reset(), True)
    r.set(k, "x" * 500)
    same(r.config_set("slowlog-log-slower-than", before), True)
    rows = [row for row in r.slowlog_get(10) if row["command"].startswith(b"SET ")]
    same(len(rows), 1)
    assert b"... (372 more bytes)" in rows[0]["command"], rows[0]
    assert rows[0]["duration"] >= 0 and abs(rows[0]["start_time"] - time.time()) < 60
    assert r.slowlog_len() >= 1
    same(r.slowlog_reset(), True)
    same(r.slowlog_len(), 0)


@claim("COMMAND describes commands as redis-py's cluster client needs them")
def _():
    table = r.command()
    same((table["get"]["arity"], table["get"]["first_key_pos"], table["get"]["last_key_pos"],
          table["get"]["step_count"]), (2, 1, 1, 1))
    assert {"readonly", "fast"} <= set(table["get"]["flags"])
    same((table["mset"]["arity"], table["mset"]["last_key_pos"], table["mset"]["step_count"]), (-3, -1, 2))
    if MODE == "cluster":
        return
    same(r.command_count(), len(table))
    same(r.command_getkeys("MSET", "a", "1", "b", "2"), ["a", "b"])
    docs = r.execute_command("COMMAND DOCS", "SET")
    same(docs[0], "set")
    about = dict(zip(docs[1][::2], docs[1][1::2]))
    same((about["since"], about["group"]), ("1.0.0", "string"))
    assert about["summary"] and about["complexity"] and len(about["arguments"]) >= 4
    assert "get" in r.execute_command("COMMAND LIST", "FILTERBY", "PATTERN", "g*")


@claim("docs/commands.md names each command the server has, and no other")
def _():
    may_skip("page")
    page = pathlib.Path(__file__).parents[2] / "docs" / "commands.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    told = re.findall(r"`([A-Z_-]+)`", "\n".join(rows))
    same(sorted(told), sorted(name.upper() for name in r.execute_command("COMMAND LIST") if "|" not in name))


@claim("MONITOR shows what others send")
def _():
    may_skip("slowlog")
    k = fresh("seen")
    with connect() as c, c.monitor() as m:
        r.set(k, "value")
        for line in m.listen():
            if line["command"].startswith("SET"):
                break
        same(line["db"], 0)
        same(line["client_type"], "tcp")
        same(line["command"], f"SET {k} value")


@claim("LATENCY, MEMORY, WAIT, LASTSAVE and ROLE answer what their parsers expect")
def _():
    may_skip("server")
    same(r.execute_command("LATENCY LATEST"), [])
    same(r.execute_command("LATENCY HISTORY", "command"), [])
    assert r.execute_command("LATENCY HISTOGRAM", "get") is not None
    assert r.memory_stats()["keys.count"] == r.dbsize() + sum(
        v["keys"] for name, v in r.info("keyspace").items() if name != "db0")
    same(r.memory_purge(), True)
    same(r.wait(0, 10), 0)
    assert r.lastsave().year >= 2020
    same(r.role()[0], "master")
    same(r.module_list(), [])
    same(r.acl_whoami(), "default")


@claim("what is not there answers an error that redis-py raises")
def _():
    may_skip("unknown")
    raises(redis.ResponseError, "unknown command", r.execute_command, "NOSUCH", key("x"))
    raises(redis.ResponseError, "wrong number of arguments", r.execute_command, "GET", key("x"), "y")
    raises(redis.ResponseError, "syntax error", r.execute_command, "SET", key("x"), "1", "SOON")
    raises(redis.ResponseError, "no such key", r.rename, fresh("missing"), key("y"))


@claim("eight threads share one pool, and each reads what it wrote")
def _():
    failed = []

    def work(n):
        try:
            for i in range(200):
                r.set(key(f"t{n}"), i)
                same(r.get(key(f"t{n}")), str(i))
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    same(failed, [])


@claim("redis.asyncio runs a hundred tasks over one pool")
def _():
    may_skip("asyncio")

    async def main():
        c = redis.asyncio.Redis(host=HOST, port=PORT, decode_responses=True)
        k = key("async")
        await c.delete(k)
        async with c.pipeline(transaction=True) as p:
            same(await p.set(k, "0").incr(k).execute(), [True, 1])
        await asyncio.gather(*[c.incr(k) for _ in range(100)])
        same(await c.get(k), "101")
        await c.close()
        await c.connection_pool.disconnect()

    asyncio.run(main())


@claim("after a restart of the server the client goes on, and finds what it wrote")
def _():
    may_skip("restart")
    k = fresh("kept")
    c = connect(retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 100),
                retry_on_error=[redis.ConnectionError, redis.exceptions.BusyLoadingError])
    same(c.set(k, "before"), True)
    restart_server()
    same(c.get(k), "before")
    same(c.set(k, "after"), True)


run()
