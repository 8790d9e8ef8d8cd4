# SPDX-License-Identifier: BSD-3-Clause
"""RESP as bytes: requests in every shape, replies in their order, and sockets closed by half."""

import socket
import subprocess
import threading
import time

import pytest

from conftest import request


def test_inline(running, wire):
    """inline commands: blanks, quotes, escapes, empty lines"""
    w = wire(running)
    w.send(b"PING\r\n")
    w.expect(b"+PONG\r\n")
    w.send(b"\r\n\n   \r\n  echo   \"a\\x41\\n\\\"b\"  \r\n")
    w.expect(b"$5\r\naA\n\"b\r\n")
    w.send(b"echo 'it\\'s'\n")
    w.expect(b"$4\r\nit's\r\n")


def test_inline_unbalanced(running, wire):
    """quotes that do not close are a protocol error, answered before the connection is closed"""
    w = wire(running)
    w.send(b"PING\r\nECHO \"abc\r\n")
    w.expect(b"+PONG\r\n-ERR Protocol error: unbalanced quotes in request\r\n")
    assert w.ended()


def test_inline_too_long(running, wire):
    """an inline line of more than 64 KiB is refused"""
    w = wire(running)
    w.send(b"a" * (64 * 1024 + 1))
    w.expect(b"-ERR Protocol error: too big inline request\r\n")
    assert w.ended()


@pytest.mark.parametrize("bad, answer", [
    (b"*x\r\n", b"invalid multibulk length"),
    (b"*2147483648\r\n", b"invalid multibulk length"),
    (b"*1\r\n$x\r\n", b"invalid bulk length"),
    (b"*1\r\n$-1\r\n", b"invalid bulk length"),
    (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
    (b"*1\r\n:1\r\n", b"expected '$', got ':'"),
    (b"*2\r\n$4\r\nECHO\r\nabc\r\n", b"expected '$', got 'a'"),
])
def test_protocol_errors(running, wire, bad, answer):
    """what is no RESP is answered with what is wrong, behind the replies owed, and closed"""
    w = wire(running)
    w.send(request("PING") + bad + request("SET", "after", "it"))
    w.expect(b"+PONG\r\n-ERR Protocol error: " + answer + b"\r\n")
    assert w.ended()
    assert running.client().exists("after") == 0


def test_empty_arrays(running, wire):
    """empty and negative arrays are no request"""
    w = wire(running)
    w.send(b"*0\r\n*-1\r\n" + request("PING"))
    w.expect(b"+PONG\r\n")


def test_byte_by_byte(running, wire):
    """a request may come in single bytes"""
    w = wire(running)
    for byte in request("SET", "k", "value") + request("GET", "k"):
        w.send(bytes([byte]))
        time.sleep(0.0005)
    w.expect(b"+OK\r\n$5\r\nvalue\r\n")


def test_odd_pieces(running, wire):
    """pipelines cut at every odd place give the same replies"""
    pairs = [(f"key{i}", "v" * (i * 37 % 900)) for i in range(300)]
    data = b"".join(request("SET", k, v) + request("GET", k) for k, v in pairs)
    answer = b"".join(b"+OK\r\n$%d\r\n%s\r\n" % (len(v), v.encode()) for _, v in pairs)
    for piece in (1009, 4093, 65537):
        w = wire(running)
        feeder = threading.Thread(target=lambda: [w.send(data[i:i + piece]) for i in range(0, len(data), piece)])
        feeder.start()
        w.expect(answer)
        feeder.join()


def test_long_pipeline(running, wire):
    """a pipeline of 100,000 commands that is sent before a reply is read"""
    w = wire(running)
    n = 100_000
    sender = threading.Thread(target=lambda: w.send(b"".join(request("SET", f"k{i}", i) for i in range(n))))
    sender.start()
    sender.join(120)
    assert not sender.is_alive()
    w.expect(b"+OK\r\n" * n)
    assert running.client().dbsize() == n


def test_replies_in_order(running, wire):
    """replies come in the order of the requests, errors among them"""
    w = wire(running)
    w.send(request("SET", "k", "text") + request("INCR", "k") + request("NOSUCH") + request("GET", "k"))
    w.expect(b"+OK\r\n-ERR value is not an integer or out of range\r\n")
    assert w.line().startswith(b"-ERR unknown command 'NOSUCH'")
    w.expect(b"$4\r\ntext\r\n")


def test_resp3(running, wire):
    """HELLO 3 switches to RESP3, HELLO 2 back"""
    w = wire(running)
    w.send(request("GET", "none"))
    w.expect(b"$-1\r\n")
    w.send(request("HELLO", 3))
    assert w.line() == b"%7"
    w.send(request("ECHO", "end"))
    while w.line() != b"end":
        pass
    w.send(request("GET", "none"))
    w.expect(b"_\r\n")
    w.send(request("HELLO", 2))
    assert w.line() == b"*14"
    w.send(request("ECHO", "end"))
    while w.line() != b"end":
        pass
    w.send(request("GET", "none"))
    w.expect(b"$-1\r\n")


def test_hello_4(running, wire):
    """a protocol version that does not exist is NOPROTO"""
    w = wire(running)
    w.send(request("HELLO", 4))
    w.expect(b"-NOPROTO unsupported protocol version\r\n")


def test_half_closed(running, wire):
    """who closes its sending side gets every reply, and then the end"""
    w = wire(running)
    running.client().set("big", "x" * 5_000_000)
    w.send(request("GET", "big") * 20 + request("PING"))
    w.sock.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
    one = b"$5000000\r\n" + b"x" * 5_000_000 + b"\r\n"
    for _ in range(20):
        w.expect(one)
    w.expect(b"+PONG\r\n")
    assert w.ended()


def test_half_closed_partial(running, wire):
    """a request that broke off at a half-close is dropped, those before it are answered"""
    w = wire(running)
    w.send(request("SET", "a", "1") + b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n")
    w.sock.shutdown(socket.SHUT_WR)
    w.expect(b"+OK\r\n")
    assert w.ended()
    assert running.client().get("a") == "1"


def test_half_closed_waiting(running, wire):
    """who half-closes while WAIT waits gets its reply"""
    w = wire(running)
    w.send(request("SET", "a", "1") + request("WAIT", 1, 300) + request("PING"))
    w.sock.shutdown(socket.SHUT_WR)
    w.expect(b"+OK\r\n:0\r\n+PONG\r\n")
    assert w.ended()


def test_half_closed_last(running, wire):
    """who half-closes behind a WAIT gets its reply"""
    w = wire(running)
    w.send(request("WAIT", 1, 300))
    w.sock.shutdown(socket.SHUT_WR)
    w.expect(b":0\r\n")
    assert w.ended()


@pytest.mark.parametrize("size", [1, 16383, 16384, 32767, 32768, 65535, 65536, 70_000, 1_000_000, 20_000_000])
def test_value_sizes(running, wire, size):
    """values on both sides of each buffer's size come back as they were sent"""
    w = wire(running)
    value = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    data = request("SET", "k", value) + request("GET", "k") + request("STRLEN", "k")
    sender = threading.Thread(target=w.send, args=(data,))
    sender.start()
    w.expect(b"+OK\r\n$%d\r\n%s\r\n:%d\r\n" % (size, value, size))
    sender.join()


def test_big_arguments_in_one_request(running, wire):
    """several big arguments in one request, and a pipeline behind them"""
    w = wire(running)
    values = [bytes([65 + i]) * (50_000 + i * 33_333) for i in range(6)]
    words = [b"MSET"]
    for i, v in enumerate(values):
        words += [b"k%d" % i, v]
    data = request(*words) + b"".join(request("GET", f"k{i}") for i in range(6)) + request("PING")
    sender = threading.Thread(target=w.send, args=(data,))
    sender.start()
    w.expect(b"+OK\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(v), v) for v in values) + b"+PONG\r\n")
    sender.join()


def test_big_argument_while_held(running, wire):
    """a big request behind a WAIT is executed after it, whole and in its place"""
    w = wire(running)
    value = b"z" * 3_000_000
    data = (request("SET", "k", "old") + request("WAIT", 1, 300) + request("APPEND", "k", "er") +
            request("GETSET", "k", value) + request("STRLEN", "k"))
    sender = threading.Thread(target=w.send, args=(data,))
    sender.start()
    w.expect(b"+OK\r\n:0\r\n:5\r\n$5\r\nolder\r\n:3000000\r\n")
    sender.join()


def test_512_mb(running, wire):
    """a value of 512 MB goes in and comes out"""
    w = wire(running)
    size = 512 * 1024 * 1024
    piece = bytes(range(256)) * 4096
    w.send(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % size)
    for _ in range(size // len(piece)):
        w.send(piece)
    w.send(b"\r\n")
    w.expect(b"+OK\r\n")
    w.send(request("STRLEN", "big") + request("GET", "big") + request("PING"))
    w.expect(b":%d\r\n$%d\r\n" % (size, size))
    for _ in range(size // len(piece)):
        assert w.read(len(piece)) == piece
    w.expect(b"\r\n+PONG\r\n")


def test_many_clients_at_once(running, wire):
    """pipelines of a hundred clients do not mix"""
    ws = [wire(running) for _ in range(100)]
    for turn in range(20):
        for i, w in enumerate(ws):
            w.send(b"".join(request("ECHO", f"{i}-{turn}-{j}") for j in range(40)))
        for i, w in enumerate(ws):
            for j in range(40):
                text = b"%d-%d-%d" % (i, turn, j)
                w.expect(b"$%d\r\n%s\r\n" % (len(text), text))


def test_quit(running, wire):
    """QUIT answers +OK and closes; what is behind it is not executed"""
    w = wire(running)
    w.send(request("QUIT") + request("SET", "behind", "quit"))
    w.expect(b"+OK\r\n")
    assert w.ended()
    assert running.client().exists("behind") == 0


def test_http_is_refused(running, wire):
    """a web browser led here is cut off, as by Redis"""
    w = wire(running)
    w.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET web 1\r\n")
    w.to_end()
    assert running.client().exists("web") == 0


def test_redis_cli_pipe(running):
    """redis-cli --pipe takes in a file of commands"""
    data = b"".join(request("SET", f"key:{i}", i) for i in range(50_000))
    r = subprocess.run(["redis-cli", "-p", str(running.port), "--pipe"], input=data, capture_output=True, timeout=200)
    assert b"errors: 0, replies: 50000" in r.stdout, r
    assert running.client().dbsize() == 50_000


def test_pipeline_of_redis_py(running):
    """redis-py's pipelines, as transactions and plain"""
    c = running.client()
    for transaction in (True, False):
        p = c.pipeline(transaction=transaction)
        for i in range(1000):
            p.set(f"a{i}", i).incr(f"a{i}")
        got = p.execute()
        assert got[1::2] == list(range(1, 1001)) and all(got[0::2])
