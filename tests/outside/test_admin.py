# SPDX-License-Identifier: BSD-3-Clause
"""Connections and administration: HELLO, AUTH, CLIENT, CONFIG, SLOWLOG, LATENCY, MONITOR, MEMORY, DEBUG, SHUTDOWN and
what is refused with an alternative."""

import socket
import time

import pytest
import redis

from conftest import free_port, request, until


def answers(w, *pairs):
    """Each request gets exactly these bytes."""
    for words, answer in pairs:
        w.send(request(*words.split(" ")) if isinstance(words, str) else request(*words))
        w.expect(answer)


# ------------------------------------------------------------- who one is

def test_hello(running, wire):
    """HELLO tells who the server is, as an array or a map, and chooses the protocol"""
    w = wire(running)
    fields = [b"$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:%d\r\n$2\r\nid\r\n:",
              b"\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"]
    w.send(request("CLIENT", "ID"))
    number = w.line()[1:]
    for asked, head, proto in (("2", b"*14\r\n", 2), ("3", b"%7\r\n", 3), (None, b"%7\r\n", 3)):
        w.send(request("HELLO", *([asked] if asked else [])))
        w.expect(head + fields[0] % proto + number + fields[1])
    answers(w, ("GET none", b"_\r\n"), ("RESET", b"+RESET\r\n"), ("GET none", b"$-1\r\n"))


def test_hello_errors(running, wire):
    """HELLO's errors are Redis' and change nothing"""
    answers(wire(running),
            ("HELLO 1", b"-NOPROTO unsupported protocol version\r\n"),
            ("HELLO 4", b"-NOPROTO unsupported protocol version\r\n"),
            ("HELLO x", b"-ERR Protocol version is not an integer or out of range\r\n"),
            ("HELLO 3 AUTH default", b"-ERR Syntax error in HELLO option 'AUTH'\r\n"),
            ("HELLO 3 AUTH nobody x", b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
            (("HELLO", "3", "SETNAME", "a b"),
             b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"),
            ("GET none", b"$-1\r\n"))


def test_password(server, wire):
    """without the password nothing runs but what lets one in"""
    server.start("--requirepass", "secret")
    wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    w = wire(server)
    answers(w, ("GET k", b"-NOAUTH Authentication required.\r\n"), ("AUTH wrong", wrong), ("AUTH nobody secret", wrong),
            ("AUTH secretx", wrong), ("AUTH secre", wrong), (("AUTH", ""), wrong),
            ("AUTH a b c", b"-ERR syntax error\r\n"))
    w.send(request("HELLO", "3"))
    assert w.line().startswith(b"-NOAUTH HELLO must be called with the client already authenticated")
    answers(w, ("AUTH secret", b"+OK\r\n"), ("GET k", b"$-1\r\n"), ("RESET", b"+RESET\r\n"),
            ("GET k", b"-NOAUTH Authentication required.\r\n"), ("AUTH default secret", b"+OK\r\n"),
            ("ACL WHOAMI", b"$7\r\ndefault\r\n"), ("CONFIG SET requirepass other", b"+OK\r\n"), ("GET k", b"$-1\r\n"))
    answers(wire(server), ("AUTH secret", wrong), ("AUTH other", b"+OK\r\n"))
    assert server.client(password="other").ping()
    w.send(request("QUIT"))
    w.expect(b"+OK\r\n")
    assert w.ended()


def test_no_password(running, wire):
    """AUTH without a password set says so; the default user then takes any"""
    answers(wire(running),
            ("AUTH x", b"-ERR AUTH <password> called without any password configured for the default user. Are you "
                       b"sure your configuration is correct?\r\n"),
            ("AUTH default x", b"+OK\r\n"))


# ------------------------------------------------------------------- CLIENT

FIELDS = """id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll
    omem tot-mem events cmd user redir resp lib-name lib-ver""".split()


def test_client_list(running):
    """CLIENT LIST has a line per connection with Redis' fields in their order"""
    c = running.client()
    c.execute_command("CLIENT", "SETNAME", "me")
    c.execute_command("CLIENT", "SETINFO", "LIB-NAME", "lib")
    c.execute_command("CLIENT", "SETINFO", "LIB-VER", "1.2")
    other = running.client(db=2)
    other.ping()
    lines = c.execute_command("CLIENT", "LIST").splitlines()
    assert len(lines) == 2
    assert [f.split("=")[0] for f in lines[0].split(" ")] == FIELDS
    mine, theirs = c.client_list()
    assert mine["name"] == "me" and mine["lib-name"] == "lib" and mine["lib-ver"] == "1.2"
    assert mine["cmd"] == "client|list" and mine["user"] == "default" and mine["resp"] == "2"
    assert theirs["db"] == "2" and theirs["cmd"] == "ping" and theirs["flags"] == "N"
    assert c.client_info()["id"] == int(mine["id"])
    assert [x["id"] for x in c.client_list(client_id=[theirs["id"]])] == [theirs["id"]]
    assert c.client_list(_type="normal") and not c.client_list(_type="replica")


def test_client_list_memory(running, wire):
    """CLIENT LIST tells what each client has sent and not had executed, and what is owed to it"""
    c, w = running.client(), wire(running)
    c.set("v", "x" * 100_000)
    w.send(request("CLIENT", "ID"))
    number = w.line()[1:].decode()

    def line():
        return {k: int(v) for k, v in c.client_list(client_id=[number])[0].items() if v.isdigit()}

    idle = line()
    assert not any(idle[k] for k in "qbuf qbuf-free argv-mem multi-mem rbs obl oll omem".split())
    assert 0 < idle["tot-mem"] < 4096
    w.send(b"*2\r\n$4\r\nECHO\r\n$1000\r\n" + b"e" * 300)
    until(lambda: line()["qbuf"] == 14 + 7 + 300)
    got = line()
    assert got["tot-mem"] == idle["tot-mem"] + got["qbuf"] + got["qbuf-free"] + got["argv-mem"]
    w.send(b"e" * 700 + b"\r\n")
    w.expect(b"$1000\r\n" + b"e" * 1000 + b"\r\n")
    until(lambda: line()["qbuf"] == 0)
    w.send(b"*2\r\n$4\r\nECHO\r\n$200000\r\n" + b"e" * 100_000)
    until(lambda: line()["argv-mem"] >= 100_000)
    assert line()["tot-mem"] > 100_000
    w.send(b"e" * 100_000 + b"\r\n")
    w.read(9 + 200_000 + 2)
    w.send(b"MULTI\r\nSET a " + b"b" * 5000 + b"\r\n")
    w.expect(b"+OK\r\n+QUEUED\r\n")
    got = line()
    assert 5000 < got["multi-mem"] < 20_000 and got["tot-mem"] > idle["tot-mem"] + 5000
    w.send(b"DISCARD\r\n" + b"GET v\r\n" * 300)  # more than the sockets hold, and less than the limit
    until(lambda: line()["obl"] > 1_000_000)
    got = line()
    assert got["omem"] >= got["obl"] and got["rbs"] < got["omem"] and got["rbp"] >= 1_000_000 and got["oll"] > 10
    assert got["tot-mem"] > got["omem"]
    assert c.info("memory")["mem_clients_normal"] > got["obl"]
    assert c.info("clients")["client_recent_max_output_buffer"] >= 1_000_000
    w.read(5 + 300 * (9 + 100_000 + 2))
    until(lambda: line()["omem"] == 0 and line()["rbp"] == 0)


def test_time(running):
    """TIME and MONITOR show microseconds, which are not always those of whole milliseconds"""
    c = running.client()
    before = time.time_ns() // 1000
    times = [s * 1_000_000 + us for s, us in (c.time() for _ in range(50))]
    after = time.time_ns() // 1000
    assert before <= times[0] and times[-1] <= after and times == sorted(times)
    assert any(t % 1000 for t in times)
    with c.monitor() as m:
        seen = []
        for _ in range(50):
            c.ping()
            seen.append(m.next_command()["time"])
    assert any(round(t * 1e6) % 1000 for t in seen) and seen == sorted(seen)
    assert any(c.info("server")["server_time_usec"] % 1000 for _ in range(50))


def test_client_errors(running, wire):
    """CLIENT's errors are Redis'"""
    answers(wire(running),
            ("CLIENT LIST TYPE x", b"-ERR Unknown client type 'x'\r\n"),
            ("CLIENT LIST ID x", b"-ERR Invalid client ID\r\n"),
            ("CLIENT LIST ID", b"-ERR syntax error\r\n"),
            ("CLIENT KILL 1.2.3.4:5", b"-ERR No such client\r\n"),
            ("CLIENT KILL ID 0", b"-ERR client-id should be greater than 0\r\n"),
            ("CLIENT KILL ID 999999", b":0\r\n"),
            ("CLIENT KILL USER nobody", b"-ERR No such user 'nobody'\r\n"),
            ("CLIENT KILL ID 1 TYPE", b"-ERR syntax error\r\n"),
            ("CLIENT NO-EVICT maybe", b"-ERR syntax error\r\n"),
            ("CLIENT NO-TOUCH ON", b"+OK\r\n"),
            ("CLIENT SETINFO LIB-FOO x", b"-ERR Unrecognized option 'LIB-FOO'\r\n"),
            (("CLIENT", "SETINFO", "LIB-NAME", "a b"),
             b"-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"),
            ("CLIENT UNBLOCK 999999", b":0\r\n"),
            ("CLIENT GETREDIR", b":-1\r\n"),
            ("CLIENT TRACKINGINFO", b"*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n"
                                    b"*0\r\n"),
            ("CLIENT FOO", b"-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"),
            ("CLIENT TRACKING ON", b"-ERR unknown subcommand 'TRACKING'. Try CLIENT HELP.\r\n"))


def test_client_kill(running, wire):
    """CLIENT KILL closes whom its filters name, and answers its own end first"""
    c = running.client()
    victims = [wire(running) for _ in range(3)]
    ids = []
    for v in victims:
        v.send(request("CLIENT", "ID"))
        ids.append(int(v.line()[1:]))
    assert c.client_kill_filter(_id=ids[0]) == 1
    assert victims[0].ended()
    address = [x["addr"] for x in c.client_list() if int(x["id"]) == ids[1]][0]
    assert c.client_kill(address)
    assert victims[1].ended()
    assert c.client_kill_filter(_type="normal", skipme=True) == 1
    assert victims[2].ended()
    w = wire(running)
    w.send(request("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") + request("PING"))
    assert w.line() in (b":1", b":2")
    assert w.ended()


def test_client_unblock(running, wire):
    """CLIENT UNBLOCK ends a WAIT, as if its time were over or with an error"""
    c = running.client()
    for how, answer in (((), b":0\r\n"), (("ERROR",), b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")):
        w = wire(running)
        w.send(request("CLIENT", "ID"))
        number = int(w.line()[1:])
        w.send(request("WAIT", "1", "0") + request("PING"))
        until(lambda: c.info("clients")["blocked_clients"] == 1, what="WAIT blocks")
        assert c.execute_command("CLIENT", "UNBLOCK", number, *how) == 1
        w.expect(answer + b"+PONG\r\n")


def test_client_no_touch(server):
    """CLIENT NO-TOUCH ON: accesses leave no trace, but those of TOUCH"""
    server.start("--maxmemory-policy", "allkeys-lfu", "--lfu-log-factor", "0")
    c = server.client()
    c.set("k", "v")
    before = c.object("freq", "k")
    w = server.socket()
    w.sendall(request("CLIENT", "NO-TOUCH", "ON") + request("GET", "k") * 10 + request("QUIT"))
    until(lambda: not w.recv(65536), what="QUIT closes")
    w.close()
    assert c.object("freq", "k") == before
    c.execute_command("CLIENT", "NO-TOUCH", "ON")
    c.touch("k")
    assert c.object("freq", "k") == before + 1
    c.execute_command("CLIENT", "NO-TOUCH", "OFF")
    c.get("k")
    assert c.object("freq", "k") == before + 2


def test_client_reply(running, wire):
    """CLIENT REPLY OFF and SKIP are silent, ON is heard"""
    w = wire(running)
    for words in ("CLIENT REPLY OFF", "PING", "NOSUCH"):
        w.send(request(*words.split()))
    answers(w, ("CLIENT REPLY ON", b"+OK\r\n"))
    w.send(request("CLIENT", "REPLY", "SKIP") + request("PING") + request("ECHO", "x"))
    w.expect(b"$1\r\nx\r\n")


# ------------------------------------------------------------------- CONFIG

def test_config(running):
    """CONFIG SET takes several options at once, all or none, and GET sees them"""
    c = running.client()
    c.execute_command("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
    assert c.config_get("maxmemory*")["maxmemory"] == str(100 << 20)
    with pytest.raises(redis.ResponseError, match="possibly related to argument 'timeout'"):
        c.execute_command("CONFIG", "SET", "maxmemory", "200mb", "timeout", "x")
    assert c.config_get("maxmemory")["maxmemory"] == str(100 << 20)
    with pytest.raises(redis.ResponseError, match="Unknown option or number of arguments for CONFIG SET - 'foo'"):
        c.config_set("foo", "1")
    assert c.config_get("nosuch") == {}
    assert {"save", "appendonly"} <= set(c.execute_command("CONFIG GET", "save", "appendonly"))


def test_config_set_acts(running):
    """what CONFIG SET changes is acted on at once"""
    c = running.client()
    c.config_set("maxmemory", 1)
    with pytest.raises(redis.ResponseError, match="OOM command not allowed when used memory > 'maxmemory'."):
        c.set("k", "v")
    c.config_set("maxmemory", 0)
    c.set("k", "v")
    c.config_set("maxmemory-policy", "allkeys-lfu")
    assert isinstance(c.object("freq", "k"), int)
    c.config_set("appendfsync", "always")
    assert c.set("k", "w")


def serves(host, port):
    """Does a server answer there?"""
    try:
        with socket.create_connection((host, port), timeout=30) as s:
            s.sendall(b"PING\r\n")
            return s.recv(7) == b"+PONG\r\n"
    except ConnectionRefusedError:
        return False


def is_free(host, port):
    """Could another process listen there?"""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
            s.listen()
            return True
        except OSError:
            return False


def test_config_set_port(running, wire):
    """CONFIG SET port moves the door, and who is inside stays"""
    w, was, port = wire(running), running.port, free_port()
    answers(w, (f"CONFIG SET port {port}", b"+OK\r\n"), ("PING", b"+PONG\r\n"))
    assert serves("127.0.0.1", port) and not serves("127.0.0.1", was)
    assert not is_free("127.0.0.1", port) and is_free("127.0.0.1", was)
    running.port = port
    c = running.client()
    assert c.config_get("port") == {"port": str(port)} and c.info("server")["tcp_port"] == port
    answers(w, ("CONFIG SET port 0", b"+OK\r\n"))
    assert not serves("127.0.0.1", port)
    answers(w, (f"CONFIG SET port {was}", b"+OK\r\n"))
    assert serves("127.0.0.1", was)


def test_config_set_bind(running, wire):
    """CONFIG SET bind moves the doors of a port, also to addresses beside those that are there"""
    w, port = wire(running), running.port
    for bind, there, elsewhere in (("127.0.0.2", ["127.0.0.2"], ["127.0.0.1"]),
                                   ("*", ["127.0.0.1", "127.0.0.2"], []),
                                   ("127.0.0.1 -10.255.255.254", ["127.0.0.1"], ["127.0.0.2"]),
                                   ("127.0.0.2 127.0.0.1", ["127.0.0.1", "127.0.0.2"], ["127.0.0.3"])):
        answers(w, (["CONFIG", "SET", "bind", bind], b"+OK\r\n"), ("PING", b"+PONG\r\n"))
        for host in there:
            assert serves(host, port) and not is_free(host, port), (bind, host)
        for host in elsewhere:
            assert not serves(host, port), (bind, host)


def test_config_set_port_taken(running, wire):
    """a door that cannot be opened leaves every option and the old doors, with Redis' error"""
    w, was = wire(running), running.port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answers(w,
                (f"CONFIG SET timeout 17 port {port}",
                 b"-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. "
                 b"Check server logs.\r\n"),
                ("CONFIG SET bind 10.255.255.254",
                 b"-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified "
                 b"addresses.\r\n"),
                ("CONFIG SET unixsocket /nowhere",
                 b"-ERR CONFIG SET failed (possibly related to argument 'unixsocket') - can't set immutable config\r\n"),
                ("MULTI", b"+OK\r\n"), ("CONFIG SET port 0", b"+QUEUED\r\n"),
                ("EXEC", b"*1\r\n-ERR CONFIG SET failed (possibly related to argument 'port') - new sockets are "
                         b"waited for: not inside a transaction\r\n"))
    assert running.client().config_get("port", "timeout", "bind") == {"port": str(was), "timeout": "0",
                                                                      "bind": "127.0.0.1"}
    assert serves("127.0.0.1", was) and not is_free("127.0.0.1", was)
    assert f"127.0.0.1:{port}: Address already in use" in running.log


def test_config_rewrite(server):
    """CONFIG REWRITE brings the file up to date and keeps what people wrote"""
    conf = server.dir / "vong.conf"
    conf.write_text("# mine\nmaxmemory 1mb\n\ntimeout 0\n")
    server.start(config=conf)
    c = server.client()
    c.config_set("maxmemory", "2mb")
    c.config_set("slowlog-max-len", "77")
    assert c.config_rewrite()
    text = conf.read_text()
    assert text.startswith("# mine\nmaxmemory 2mb\n") and "slowlog-max-len 77" in text


def test_config_rewrite_without_file(running):
    """CONFIG REWRITE without a file says that there is none"""
    with pytest.raises(redis.ResponseError, match="The server is running without a config file"):
        running.client().config_rewrite()


# --------------------------------------------------------------- what was slow

def test_slowlog(server):
    """SLOWLOG keeps the newest, cut, without secrets"""
    server.start("--slowlog-log-slower-than", "0", "--slowlog-max-len", "5")
    c = server.client()
    c.set("key", "x" * 200)
    c.config_set("masterauth", "secret")
    text = str(c.execute_command("SLOWLOG", "GET", "-1"))
    assert "... (72 more bytes)" in text and "(redacted)" in text and "secret" not in text
    for _ in range(10):
        c.ping()
    assert c.slowlog_len() == 5
    c.config_set("slowlog-log-slower-than", "-1")
    c.slowlog_reset()
    c.ping()
    assert c.slowlog_len() == 0
    with pytest.raises(redis.ResponseError, match="count should be greater than or equal to -1"):
        c.execute_command("SLOWLOG", "GET", "-2")


def test_latency(server):
    """LATENCY sees what took longer than its threshold"""
    server.start("--latency-monitor-threshold", "1500", "--enable-debug-command", "local")
    c = server.client()
    assert c.execute_command("LATENCY", "LATEST") == []
    c.execute_command("DEBUG", "SLEEP", "1.6")
    c.ping()
    (event, at, newest, worst), = c.execute_command("LATENCY", "LATEST")
    assert event == "command" and abs(at - time.time()) < 60 and 1600 <= newest <= worst
    assert c.execute_command("LATENCY", "HISTORY", "command") == [[at, newest]]
    assert "command - high" in c.execute_command("LATENCY", "GRAPH", "command")
    assert "command:" in str(c.execute_command("LATENCY", "DOCTOR"))
    assert c.execute_command("LATENCY", "RESET") == 1
    with pytest.raises(redis.ResponseError, match="No samples available for event 'command'"):
        c.execute_command("LATENCY", "GRAPH", "command")


def test_monitor(running, wire):
    """MONITOR shows what ran, quoted as redis-cli would, without secrets or administrators' commands"""
    m, w = wire(running), wire(running)
    answers(m, ("MONITOR", b"+OK\r\n"))
    answers(w, (("SET", "k", "a \"b\"\n\x01"), b"+OK\r\n"), ("CONFIG GET nosuch", b"*0\r\n"),
            ("AUTH default secret", b"+OK\r\n"), ("PING", b"+PONG\r\n"))
    lines = [m.line().decode() for _ in range(3)]
    stamp, rest = lines[0].split(" ", 1)
    assert stamp.startswith("+") and abs(float(stamp[1:]) - time.time()) < 60
    assert rest.startswith("[0 127.0.0.1:") and rest.endswith('] "SET" "k" "a \\"b\\"\\n\\x01"')
    assert lines[1].endswith('"AUTH" "(redacted)" "(redacted)"') and lines[2].endswith('"PING"')
    answers(m, ("RESET", b"+RESET\r\n"), ("PING", b"+PONG\r\n"))


# ------------------------------------------------------------------- memory, DEBUG

def test_memory(running):
    """MEMORY STATS counts keys and data; DOCTOR, MALLOC-STATS and PURGE answer"""
    c = running.client()
    before = c.memory_stats()
    c.mset({f"key{i}": "x" * 100 for i in range(10000)})
    after = c.memory_stats()
    assert after["keys.count"] == 10000
    assert 1000000 < after["dataset.bytes"] - before["dataset.bytes"] < 3000000
    assert after["total.allocated"] > before["total.allocated"] and "db.0" in after
    assert c.execute_command("MEMORY", "DOCTOR").endswith(".\n")
    assert "allocated:" in c.execute_command("MEMORY", "MALLOC-STATS")
    assert c.memory_purge()


def test_debug_is_gated(server, make_server):
    """DEBUG is refused unless enable-debug-command allows it"""
    c = server.start().client()
    with pytest.raises(redis.ResponseError, match="DEBUG command not allowed. If the enable-debug-command option is"):
        c.execute_command("DEBUG", "SLEEP", "0")
    other = make_server().start("--enable-debug-command", "yes").client()
    assert other.execute_command("DEBUG", "SLEEP", "0") in (b"OK", "OK")


def test_debug(server):
    """DEBUG RELOAD and LOADAOF lose nothing, DIGEST is equal for equal data"""
    server.start("--enable-debug-command", "yes")
    c = server.client()
    assert c.execute_command("DEBUG", "DIGEST") == "0" * 40
    c.execute_command("DEBUG", "POPULATE", "1000", "k", "50")
    c.mset({"number": 17, "big": "x" * 100000, "empty": ""})
    c.set("timed", "v", ex=1000)
    server.client(db=9).set("there", "too")
    digest = c.execute_command("DEBUG", "DIGEST")
    for how in ("RELOAD", "LOADAOF"):
        assert c.execute_command("DEBUG", how) in (b"OK", "OK", True)
        assert c.execute_command("DEBUG", "DIGEST") == digest
    assert c.dbsize() == 1004 and 800 < c.ttl("timed") <= 1000 and c.object("encoding", "number") == "int"
    c.set("number", 18)
    assert c.execute_command("DEBUG", "DIGEST") != digest
    c.set("number", 17)
    assert c.execute_command("DEBUG", "DIGEST") == digest
    one, none = c.execute_command("DEBUG", "DIGEST-VALUE", "number", "missing")
    assert one != none == "0" * 40
    server.stop()
    assert server.restart().client().dbsize() == 1004
    c = server.client()
    with pytest.raises(redis.ResponseError, match="no such key"):
        c.execute_command("DEBUG", "OBJECT", "missing")
    with pytest.raises(redis.ResponseError, match="^my own words"):
        c.execute_command("DEBUG", "ERROR", "my own words")
    with pytest.raises(redis.ResponseError, match="unknown subcommand or wrong number of arguments for 'JMAP'"):
        c.execute_command("DEBUG", "JMAP")
    c.execute_command("DEBUG", "LOG", "a line of mine")
    assert "DEBUG LOG: a line of mine" in server.log


def test_active_expire_off(server):
    """DEBUG SET-ACTIVE-EXPIRE 0 leaves what is due until somebody asks"""
    server.start("--enable-debug-command", "yes")
    c = server.client()
    c.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    c.set("k", "v", px=1)
    time.sleep(0.3)
    assert c.dbsize() == 1
    assert c.get("k") is None and c.dbsize() == 0
    c.set("k", "v", px=1)
    c.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "1")
    until(lambda: c.dbsize() == 0, what="active expiry")


# ------------------------------------------------------------------ the rest

REFUSED = {"SAVE": "BGSAVE", "REPLICAOF host 1": "BGSAVE", "SLAVEOF host 1": "BGSAVE", "SYNC": "BGSAVE",
           "PSYNC ? -1": "BGSAVE", "REPLCONF listening-port 1": "BGSAVE", "FAILOVER": "stops or dies",
           "MODULE LOAD x": "proxy", "MODULE LOADEX x": "proxy", "MODULE UNLOAD x": "proxy"}


@pytest.mark.parametrize("words", REFUSED)
def test_refused(running, wire, words):
    """what is not offered names its alternative"""
    running.client().set("k", "v")
    w = wire(running)
    w.send(request(*words.split()))
    line = w.line().decode()
    assert line.startswith("-ERR ") and " is not supported: " in line and REFUSED[words] in line


def test_small_answers(running, wire):
    """what needs no more than a word"""
    answers(wire(running),
            ("PING", b"+PONG\r\n"), ("PING x", b"$1\r\nx\r\n"),
            ("PING x y", b"-ERR wrong number of arguments for 'ping' command\r\n"),
            ("SELECT 15", b"+OK\r\n"), ("SELECT 16", b"-ERR DB index is out of range\r\n"),
            ("SELECT x", b"-ERR value is not an integer or out of range\r\n"),
            ("ROLE", b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"), ("MODULE LIST", b"*0\r\n"),
            ("REPLICAOF NO ONE", b"+OK\r\n"), ("FAILOVER ABORT", b"-ERR No failover in progress.\r\n"),
            ("FUNCTION FLUSH", b"+OK\r\n"), ("FUNCTION FLUSH ASYNC", b"+OK\r\n"),
            ("FUNCTION FLUSH X", b"-ERR FUNCTION FLUSH only supports SYNC|ASYNC option\r\n"),
            ("MIGRATE 127.0.0.1 1 none 0 10", b"+NOKEY\r\n"),
            ("SHUTDOWN ABORT", b"-ERR No shutdown in progress.\r\n"), ("SHUTDOWN foo", b"-ERR syntax error\r\n"),
            ("LPUSH k v", b"-ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' \r\n"))


@pytest.mark.parametrize("name", ["CLIENT", "COMMAND", "CONFIG", "LATENCY", "MEMORY", "MODULE", "SLOWLOG", "OBJECT"])
def test_help(running, wire, name):
    """HELP of each container is lines that name its subcommands"""
    w = wire(running)
    w.send(request(name, "HELP"))
    lines = [w.line() for _ in range(int(w.line()[1:]))]
    assert lines[0].startswith(b"+" + name.encode()) and b"+HELP" in lines


@pytest.mark.parametrize("words", [(), ("NOSAVE",), ("SAVE",), ("NOW", "FORCE")])
def test_shutdown(server, words):
    """SHUTDOWN ends the process with code 0 and keeps everything"""
    c = server.start().client()
    c.set("k", "v")
    w = server.socket()
    w.sendall(request("SHUTDOWN", *words))
    assert w.recv(100) == b""
    w.close()
    assert server.process.wait(60) == 0
    server.close_clients()
    assert server.restart().client().get("k") == "v"
