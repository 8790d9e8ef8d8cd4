# SPDX-License-Identifier: BSD-3-Clause
"""redis-py's cluster class (4.3: RESP2) over all slots, and while members come, die and return."""

import threading
import time

import redis
import redis.cluster
from redis.crc import key_slot

from tap import HOST, PORT, claim, nodes, raises, run, same, until

N = 5000
KEYS = {f"all:{i}": f"value-{i}" for i in range(N)}


def away(e):
    """What a command may end with whose node is away: try later, or that nobody knows what became of it."""
    return (isinstance(e, (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ClusterDownError,
                           redis.exceptions.TryAgainError)) or
            str(e).startswith(("CLUSTERDOWN ", "TRYAGAIN ", "UNCERTAIN ")))


def connect(**kw):
    return redis.cluster.RedisCluster(**{"host": HOST, "port": PORT, "socket_timeout": 60,
                                         "decode_responses": True, **kw})


def member(port):
    return redis.Redis(host=HOST, port=port, socket_timeout=60, decode_responses=True)


def told(port):
    """CLUSTER INFO of one member."""
    got = member(port).execute_command("CLUSTER INFO")
    return got if isinstance(got, dict) else dict(line.split(":", 1) for line in got.split("\r\n") if line)


def forwarded():
    """Commands that members have sent on to one another."""
    return sum(int(told(port)["cluster_forwarded_commands"]) for port in nodes("ports"))


def write(c, keys):
    with c.pipeline() as p:
        for k, v in keys.items():
            p.set(k, v)
        same(set(p.execute()), {True})


def read(c, keys):
    with c.pipeline() as p:
        for k in keys:
            p.get(k)
        got = dict(zip(keys, p.execute()))
    wrong = {k: v for k, v in got.items() if v != keys[k]}
    assert not wrong, f"{len(wrong)} of {len(keys)} differ, as {list(wrong.items())[:3]}"


def reads(c):
    """All is read; False when a member is not reached yet."""
    try:
        read(c, KEYS)
        return True
    except redis.RedisError as e:
        assert away(e), repr(e)
        return False


r = connect()


@claim("the map has three primaries, which serve every slot")
def _():
    same(len(r.get_primaries()), 3)
    same(sorted(r.nodes_manager.slots_cache), list(range(16384)))
    same(sorted(n.port for n in r.get_nodes()), sorted(int(p) for p in nodes("ports")))


@claim("each of 5,000 keys over all slots goes to its own node, and comes from it: nothing is forwarded")
def _():
    before = forwarded()
    write(r, KEYS)
    read(r, KEYS)
    for k, v in list(KEYS.items())[:500]:
        same(r.get(k), v)
    same(forwarded(), before)
    same(sum(r.get_redis_connection(n).dbsize() for n in r.get_primaries()), N)
    same(set(r.scan_iter(match="all:*", count=500)), set(KEYS))
    for n in r.get_primaries():
        at = r.get_redis_connection(n)
        some = at.keys("all:*")
        assert N / 6 < len(some) < N / 2, len(some)
        same({r.nodes_manager.slots_cache[key_slot(k.encode())][0].port for k in some}, {n.port})


@claim("keys of one hash tag have one slot: MSET, MGET, RENAME and a transaction take them together")
def _():
    for i in range(50):
        a, b = f"{{tag{i}}}a", f"{{tag{i}}}b"
        same(r.mset({a: i, b: i + 1}), True)
        same(r.mget(a, b), [str(i), str(i + 1)])
        same(r.rename(a, b), True)
        same(r.get(b), str(i))
        home = r.get_redis_connection(r.get_node_from_key(b))
        with home.pipeline(transaction=True) as p:
            same(p.incr(b).incr(b).delete(b).execute(), [i + 1, i + 2, 1])


@claim("keys of several slots: the library splits what it can, and the rest is CROSSSLOT")
def _():
    some = {f"cross:{i}": str(i) for i in range(100)}
    assert all(r.mset_nonatomic(some))
    same(r.mget_nonatomic(*some), list(some.values()))
    same(r.exists(*some), 100)
    same(r.delete(*some), 100)
    raises(redis.exceptions.RedisClusterException, "MGET - all keys must map to the same key slot",
           r.mget, "cross:1", "cross:2")
    raises(redis.exceptions.RedisClusterException, "all keys must map to the same key slot",
           r.rename, "cross:1", "cross:2")
    home = r.get_redis_connection(r.get_node_from_key("cross:1"))
    raises(redis.exceptions.ClusterCrossSlotError, "Keys in request don't hash to the same slot",
           home.rename, "cross:1", "cross:2")


@claim("an error in a pipeline over all slots stands in its place")
def _():
    with r.pipeline() as p:
        for i in range(300):
            p.set(f"word:{i}", "word")
            p.incr(f"word:{i}")
        got = p.execute(raise_on_error=False)
    same(got[::2], [True] * 300)
    assert all(isinstance(e, redis.ResponseError) and "not an integer" in str(e) for e in got[1::2])
    same(r.delete(*[f"word:{i}" for i in range(300)]), 300)


@claim("a fourth member joins under work: no command fails, the library follows MOVED, all is there")
def _():
    failed, stop, turns = [], threading.Event(), []

    def work(n):
        c = connect()
        i = 0
        try:
            while not stop.is_set():
                i += 1
                k = f"join:{n}:{i % 4000}"
                same(c.set(k, i), True)
                same(c.get(k), str(i))
            turns.append(i)
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    [t.start() for t in threads]
    try:
        (port,) = nodes("join")
    finally:
        stop.set()
        [t.join() for t in threads]
    same(failed, [])
    assert min(turns) > 0
    read(r, KEYS)

    def learnt():
        for i in range(400):
            r.set(f"new:{time.monotonic_ns()}:{i}", i, px=60000)
        return int(port) in [n.port for n in r.get_primaries()]
    until(learnt, what="no command was answered MOVED to the fourth member")
    same(len(r.get_primaries()), 4)
    assert member(port).dbsize() > 0
    read(r, KEYS)


def attempt(results, call, *args):
    try:
        results.append(call(*args))
    except redis.RedisError as e:
        results.append(e)


@claim("a member is killed: its slots wait or fail, all others go on; it returns, and all slots serve all they had")
def _():
    write(r, KEYS)
    dead = int(nodes("ports")[2])
    gone = [k for k in KEYS if r.get_node_from_key(k).port == dead][:2]
    here = {k: v for k, v in KEYS.items() if r.get_node_from_key(k).port != dead}
    aware, plain = connect(cluster_error_retry_attempts=1), member(nodes("ports")[0])
    results = []
    tried = [threading.Thread(target=attempt, args=(results, c.set, k, "new"))
             for c, k in zip((aware, plain), gone)]
    nodes("kill", 3)
    try:
        [t.start() for t in tried]
        c = connect()
        for k, v in list(here.items())[:1000]:
            same(c.get(k), v)
            same(c.set(k, v), True)
    finally:
        nodes("start", 3)
        [t.join() for t in tried]
    assert all(got is True or away(got) for got in results), results
    c = connect()
    for k in gone:
        assert c.get(k) in (KEYS[k], "new"), k               # whether it was set may be unknown
    read(c, {k: v for k, v in KEYS.items() if k not in gone})
    write(c, KEYS)
    until(lambda: reads(r), what="the client of before does not go on")


run()
