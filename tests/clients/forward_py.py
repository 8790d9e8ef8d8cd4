# SPDX-License-Identifier: BSD-3-Clause
"""A plain redis-py client of a cluster that forwards everything, and wants a password: as at one server."""

import redis

from tap import HOST, NODES, PORT, claim, need, nodes, raises, run, same, until

SECRET = "open sesame"
KEYS = [f"fw-{i}" for i in range(60)]  # in slots of all members


def member(port, **kw):
    return redis.Redis(**{"host": HOST, "port": port, "socket_timeout": 60, "decode_responses": True, **kw})


def connect(**kw):
    return member(PORT, password=SECRET, **kw)


def everywhere(options, **kw):
    """So do all members; a password that is set holds for connections to come."""
    for port in nodes("ports"):
        c = member(port, **kw)
        for name, value in options.items():
            same(c.config_set(name, value), True)
        c.close()


@claim("all members want a password from here on, and forward")
def _():
    need(NODES, "VONG_NODES", "nobody can change the cluster")
    everywhere({"cluster-routing": "forward", "requirepass": SECRET})
    raises(redis.AuthenticationError, "", member(PORT).ping)
    raises(redis.AuthenticationError, "", member(PORT).get, KEYS[0])
    raises(redis.ResponseError, "WRONGPASS", member(PORT, password="wrong").get, KEYS[0])
    raises(redis.ResponseError, "WRONGPASS", member(PORT, username="nobody", password=SECRET).get, KEYS[0])
    same(connect().ping(), True)
    same(member(PORT, username="default", password=SECRET).ping(), True)


@claim("who has given it reads and writes keys of all members, whichever he asks")
def _():
    r = connect()
    r.flushall()
    for k in KEYS:
        same(r.set(k, k + "!"), True)
    for port in nodes("ports"):
        same(member(port, password=SECRET).mget(KEYS), [k + "!" for k in KEYS])


@claim("the whole keyspace is one: DBSIZE, KEYS, SCAN, RANDOMKEY, DEL, EXISTS, FLUSHALL")
def _():
    r = connect()
    same(r.dbsize(), len(KEYS))
    same(sorted(r.keys("fw-*")), sorted(KEYS))
    same(sorted(r.scan_iter(count=7)), sorted(KEYS))
    assert 20 < len({r.randomkey() for _ in range(400)} & set(KEYS))
    same(r.exists(*KEYS), len(KEYS))
    same(r.delete(*KEYS[:20]), 20)
    same(r.dbsize(), len(KEYS) - 20)
    same(r.flushall(), True)
    same(r.dbsize(), 0)
    same(r.randomkey(), None)


@claim("a pipeline goes to all members, and its replies come in its order")
def _():
    r = connect()
    with r.pipeline(transaction=False) as p:
        for i, k in enumerate(KEYS):
            p.set(k, i).incr(k)
        same(p.execute(), [x for i in range(len(KEYS)) for x in (True, i + 1)])


@claim("a transaction is of one slot, and says so if it is not; WATCH is kept at any member")
def _():
    r = connect()
    for i in range(12):
        a, b = f"{{fw{i}}}a", f"{{fw{i}}}b"
        same(r.pipeline().set(a, 1).incr(a).mset({a: 7, b: 8}).mget(a, b).execute(), [True, 2, True, ["7", "8"]])
        with r.pipeline() as p:
            p.watch(a)
            p.multi()
            same(p.set(a, 2).execute(), [True])
        with r.pipeline() as p:
            p.watch(a)
            connect().set(a, 3)
            p.multi()
            p.set(a, 4)
            raises(redis.WatchError, "", p.execute)
        same(r.get(a), "3")
    raises(redis.ResponseError, "CROSSSLOT", r.pipeline().set(KEYS[0], 1).set(KEYS[1], 1).execute)
    raises(redis.ResponseError, "CROSSSLOT", r.pipeline().mset({k: 1 for k in KEYS}).execute)
    raises(redis.ResponseError, "CROSSSLOT", r.pipeline().dbsize().execute)
    raises(redis.ResponseError, "CROSSSLOT", r.pipeline().flushall().execute)
    same(r.dbsize() > 0, True)


@claim("WAITAOF answers when the owners of what was written have synced it")
def _():
    r = connect(single_connection_client=True)
    for k in KEYS:
        r.set(k, "kept")
    same(r.execute_command("WAITAOF", 1, 0, 30000), [1, 0])
    same(r.wait(0, 0), 0)
    r.close()


@claim("HELLO 3 with the password, and nil is RESP3's from any member")
def _():
    c = redis.connection.Connection(host=HOST, port=PORT, socket_timeout=60)
    c.connect()
    sock = c._sock
    sock.sendall(b"HELLO 3 AUTH default wrong\r\n")
    assert sock.recv(1000).startswith(b"-WRONGPASS")
    words = [b"HELLO", b"3", b"AUTH", b"default", SECRET.encode()]
    sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
    assert sock.recv(10000).startswith(b"%")
    wanted = b"_\r\n" * len(KEYS)
    sock.sendall(b"".join(b"GET no-%s\r\n" % k.encode() for k in KEYS))
    got = b""
    while len(got) < len(wanted):
        got += sock.recv(10000)
    same(got, wanted)
    c.disconnect()


@claim("without a password and with cluster-routing auto all is as before")
def _():
    connect().flushall()
    everywhere({"requirepass": "", "cluster-routing": "auto"}, password=SECRET)
    until(lambda: member(PORT).ping())
    same(member(PORT).set(KEYS[0], 1), True)
    member(PORT).delete(KEYS[0])


run()
