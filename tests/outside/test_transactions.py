# SPDX-License-Identifier: BSD-3-Clause
"""MULTI, EXEC, DISCARD, WATCH and UNWATCH, as libraries use them and as bytes."""

import pytest
import redis

from conftest import request, until


def test_pipeline_transaction(running):
    """redis-py's pipeline(transaction=True) runs whole, or raises what failed"""
    c = running.client()
    with c.pipeline(transaction=True) as p:
        assert p.set("a", 1).incr("a").get("a").execute() == [True, 2, "2"]
    with c.pipeline(transaction=True) as p:
        p.set("s", "text").incr("s").set("after", 1)
        with pytest.raises(redis.ResponseError, match="not an integer"):
            p.execute()
    assert c.get("after") == "1"


def test_watch_in_a_loop(running):
    """redis-py's transaction() retries until nobody was faster"""
    c, other = running.client(), running.client()
    c.set("n", 0)
    rounds = []

    def step(p):
        n = int(p.get("n"))
        rounds.append(n)
        if len(rounds) < 3:
            other.set("n", n + 10)
        p.multi()
        p.set("n", n + 1)

    c.transaction(step, "n")
    assert rounds == [0, 10, 20]
    assert c.get("n") == "21"


def test_hundred_deep(running, wire):
    """a hundred MULTI in a row: the first begins, the others are refused, EXEC runs what was queued"""
    w = wire(running)
    w.send(request("MULTI") * 100 + request("SET", "k", "v") + request("EXEC"))
    w.expect(b"+OK\r\n" + b"-ERR MULTI calls can not be nested\r\n" * 99 + b"+QUEUED\r\n*1\r\n+OK\r\n")


def test_long_queue(running, wire):
    """ten thousand commands in one transaction"""
    w = wire(running)
    w.send(request("MULTI") + b"".join(request("INCR", "n") for _ in range(10000)) + request("EXEC"))
    w.expect(b"+OK\r\n" + b"+QUEUED\r\n" * 10000 + b"*10000\r\n")
    w.expect(b"".join(b":%d\r\n" % i for i in range(1, 10001)))


def test_queue_counts_as_memory(running):
    """what is queued shows in CLIENT LIST"""
    c, other = running.client(), running.client()
    p = c.connection_pool.get_connection("_")
    p.send_command("MULTI")
    p.read_response()
    before = other.client_list()
    p.send_command("SET", "k", "x" * 10000)
    assert p.read_response() in ("QUEUED", b"QUEUED")
    mine = [x for x in other.client_list() if x["multi"] == "1"]
    assert len(mine) == 1 and mine[0]["flags"] == "x" and int(mine[0]["multi-mem"]) > 10000
    assert [x for x in before if x["multi"] == "0"]
    c.connection_pool.release(p)


def test_aborted(running, wire):
    """EXEC says that an error while queueing discarded it, and a failed watch is nil"""
    w, other = wire(running), running.client()
    w.send(request("MULTI") + request("SET", "k") + request("EXEC"))
    w.expect(b"+OK\r\n-ERR wrong number of arguments for 'set' command\r\n"
             b"-EXECABORT Transaction discarded because of previous errors.\r\n")
    w.send(request("WATCH", "k"))
    w.expect(b"+OK\r\n")
    other.set("k", 1)
    w.send(request("MULTI") + request("GET", "k") + request("EXEC"))
    w.expect(b"+OK\r\n+QUEUED\r\n*-1\r\n")
    w.send(request("HELLO", "3"))
    while w.line() != b"*0":  # the modules end it
        pass
    w.send(request("WATCH", "k"))
    w.expect(b"+OK\r\n")
    other.set("k", 2)
    w.send(request("MULTI") + request("GET", "k") + request("EXEC"))
    w.expect(b"+OK\r\n+QUEUED\r\n_\r\n")


def test_watched_key_expires(running):
    """a watched key that expires before EXEC was touched by time"""
    c = running.client()
    p = c.pipeline()

    def watched_alive():
        p.reset()
        c.set("k", "v", px=500)
        p.watch("k")
        return c.exists("k")
    until(watched_alive)
    until(lambda: not c.exists("k"), what="the key expires")
    p.multi()
    p.ping()
    with pytest.raises(redis.WatchError):
        p.execute()


@pytest.mark.parametrize("touch", [("FLUSHALL",), ("FLUSHDB",), ("SWAPDB", 0, 1), ("RENAME", "k", "j"),
                                   ("MOVE", "k", 5), ("RESTORE", "k", 0, None, "REPLACE")])
def test_touches(running, touch):
    """what changes a watched key from outside makes EXEC answer nil"""
    c, other = running.client(decode_responses=False), running.client(decode_responses=False)
    c.set("k", "v")
    touch = [c.dump("k") if t is None else t for t in touch]
    p = c.pipeline()
    p.watch("k")
    other.execute_command(*touch)
    p.multi()
    p.ping()
    with pytest.raises(redis.WatchError):
        p.execute()


def test_unwatch(running):
    """UNWATCH and DISCARD forget what was watched"""
    c, other = running.client(), running.client()
    p = c.pipeline()
    p.watch("k")
    other.set("k", 1)
    p.unwatch()
    p.multi()
    p.ping()
    assert p.execute() == [True]
    assert c.execute_command("UNWATCH") in ("OK", True)
    with pytest.raises(redis.ResponseError, match="DISCARD without MULTI"):
        c.execute_command("DISCARD")
