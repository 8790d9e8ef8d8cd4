# SPDX-License-Identifier: BSD-3-Clause
"""What every outside test stands on: a vong-server of its own, on a free port, in a fresh directory,
ended by its process id. Titles are the tests' docstrings. With --tap the results are TAP."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
import redis

BUILD = pathlib.Path(os.environ.get("top_builddir", pathlib.Path(__file__).parents[2] / "build"))
VONG = os.environ.get("VONG_SERVER", str(BUILD / "vong-server"))


ports_taken = []  # a UDP socket for each port given out: other test programs pass these ports by


def free_port(first=20000, last=32000):
    """A port nobody listens on, out of the range the system gives to outgoing connections. It is this
    program's own until its end, also while no server listens there: between two starts, say."""
    for port in range(first + os.getpid() % ((last - first) * 2 // 3), last):
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            own.bind(("127.0.0.1", port))
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            own.close()
            continue
        ports_taken.append(own)
        return port
    raise RuntimeError("no free port")


def until(condition, seconds=60, what="it did not happen in time"):
    """Waits for a condition, and says what was waited for when it does not come."""
    end = time.monotonic() + seconds
    while not (got := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.005)
    return got


class Server:
    """One vong-server process; start() again after stop() or kill() finds the same directory."""

    def __init__(self, directory, program):
        self.dir = pathlib.Path(directory)
        self.program = program
        self.port = free_port()
        self.process = None
        self.clients = []
        self.args = []

    @property
    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    @property
    def pid(self):
        return self.process.pid

    def launch(self, *args, config=None, env=None, **kw):
        """Starts the process; nothing is waited for."""
        self.args = list(args)
        command = [self.program] + ([str(config)] if config else [])
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.dir)]
        command += [str(a) for a in args]
        out = open(self.dir / "log", "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                        env={**os.environ, **(env or {})}, **kw)
        out.close()
        return self

    def start(self, *args, **kw):
        """Starts the process and waits until it serves."""
        self.launch(*args, **kw)
        self.wait_ready()
        return self

    def wait_ready(self, seconds=60):
        def ready():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log[-4000:]}"
            try:
                with self.socket(timeout=5) as s:
                    s.sendall(b"PING\r\n")
                    return s.recv(100)[:5] in (b"+PONG", b"-NOAU", b"-NOPE")
            except OSError:
                return False
        until(ready, seconds, "the server does not serve")

    def restart(self, *args, **kw):
        return self.start(*(args or self.args), **kw)

    def stop(self, signum=signal.SIGTERM, seconds=60):
        """Ends it in an orderly way; its exit code."""
        self.close_clients()
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait(60)
        self.close_clients()

    def socket(self, timeout=60):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def client(self, **kw):
        kw = {"port": self.port, "socket_timeout": 60, "decode_responses": True, **kw}
        c = redis.Redis(**kw)
        self.clients.append(c)
        return c

    def close_clients(self):
        for c in self.clients:
            c.close()
        self.clients = []

    def worked(self):
        """How long the thread that serves was at work until now, in ms: its own time, that of others who
        keep the machine busy is not in it."""
        return int(open(f"/proc/{self.pid}/task/{self.pid}/schedstat").read().split()[0]) / 1e6

    def rss(self):
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")


def is_gone(pid):
    """The process has ended, whether or not somebody has asked for its exit code."""
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def tmpdir_short():
    """A directory with a short name: unix sockets' paths are bounded."""
    path = tempfile.mkdtemp(prefix="vong-")
    yield pathlib.Path(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make_server(tmpdir_short):
    """A maker of servers, each in a directory of its own; all are ended after the test."""
    made = []

    def make(directory=None, program=VONG):
        path = pathlib.Path(directory or tmpdir_short / f"s{len(made)}")
        path.mkdir(exist_ok=True)
        made.append(Server(path, program))
        return made[-1]

    yield make
    for s in made:
        if s.process is not None:
            s.process.kill()
            s.process.wait(60)
        s.close_clients()


@pytest.fixture
def server(make_server):
    """A server that is not started yet."""
    return make_server()


@pytest.fixture
def running(server):
    """A server with the defaults, which serves."""
    return server.start()


@pytest.fixture
def stock(make_server):
    """stock(arguments, directory=None) -> a redis-server that serves and by itself saves nothing."""
    def make(*args, directory=None):
        if shutil.which("redis-server") is None:
            pytest.fail("no redis-server: deps/install --tests installs it")
        return make_server(directory, "redis-server").start("--save", "", *args)

    return make


class Wire:
    """A bare socket, and reading exactly what is expected."""

    def __init__(self, sock):
        self.sock = sock
        self.rest = b""

    def send(self, data):
        self.sock.sendall(data)

    def read(self, n):
        got = bytearray(self.rest)
        while len(got) < n:
            piece = self.sock.recv(min(1 << 20, max(n - len(got), 65536)))
            if not piece:
                raise EOFError(bytes(got[:200]))
            got += piece
        self.rest = bytes(got[n:])
        return bytes(got[:n])

    def line(self):
        while b"\r\n" not in self.rest:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError(self.rest)
            self.rest += piece
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def expect(self, data):
        got = self.read(len(data))
        assert got == data, f"{got[:200]!r} instead of {data[:200]!r}"

    def to_end(self):
        """Everything until the other side closes."""
        got = bytearray(self.rest)
        while True:
            try:
                piece = self.sock.recv(1 << 20)
            except ConnectionResetError:
                break
            if not piece:
                break
            got += piece
        self.rest = b""
        return bytes(got)

    def ended(self):
        return self.to_end() == b""

    def close(self):
        self.sock.close()


@pytest.fixture
def wire():
    """wire(server) -> a bare connection."""
    made = []

    def make(server, **kw):
        made.append(Wire(server.socket(**kw)))
        return made[-1]

    yield make
    for w in made:
        w.close()


def request(*words):
    """A request's bytes."""
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


# ------------------------------------------------------------------------- TAP


def pytest_addoption(parser):
    parser.addoption("--tap", action="store_true", help="results as TAP on standard output")


class Tap:
    def __init__(self, out):
        self.out = out
        self.n = 0
        self.titles = {}

    def say(self, text):
        self.out.write(text + "\n")
        self.out.flush()

    def pytest_collection_finish(self, session):
        self.say(f"1..{len(session.items)}")
        for item in session.items:
            title = (item.function.__doc__ or item.name).strip().split("\n")[0].rstrip(".")
            case = item.name[item.name.index("["):] if "[" in item.name else ""
            self.titles[item.nodeid] = " ".join((title + " " + case).split()).replace("#", "no.")

    def pytest_runtest_logreport(self, report):
        failed_outside = report.failed and report.when != "call"
        if report.when != "call" and not failed_outside and not report.skipped:
            return
        if report.when == "teardown" and not report.failed:
            return
        self.n += report.when != "teardown"
        good = report.passed
        self.say(f"{'ok' if good else 'not ok'} {self.n} - {self.titles.get(report.nodeid, report.nodeid)}")
        for name, value in report.user_properties:
            self.say(f"# {name}: {value}")
        if not good:
            for line in str(report.longrepr).splitlines()[-60:]:
                self.say("# " + line)

    def pytest_collectreport(self, report):
        if report.failed:
            for line in str(report.longrepr).splitlines():
                self.say("# " + line)
            self.say("Bail out! the tests cannot be read")


def pytest_configure(config):
    if config.getoption("--tap"):
        out = os.fdopen(os.dup(1), "w")
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
        sys.stdout = open(os.devnull, "w")
        config.pluginmanager.register(Tap(out), "tap")
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter:
            config.pluginmanager.unregister(reporter)
