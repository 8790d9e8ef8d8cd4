# SPDX-License-Identifier: BSD-3-Clause
"""How vong-server starts, and how it refuses to."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import redis

from conftest import VONG, is_gone, request, until


def run(*args, **kw):
    return subprocess.run([VONG, *map(str, args)], capture_output=True, text=True, timeout=60, **kw)


def one_line(text):
    return len(text.strip().splitlines()) == 1 and text.endswith("\n")


def refused(result, *words):
    """Exit code 1, and exactly one line on standard error that has these words."""
    assert result.returncode == 1, result
    assert one_line(result.stderr), result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


def test_help():
    """--help says how it is used and ends with 0"""
    r = run("--help")
    assert r.returncode == 0 and "--check-config" in r.stdout and r.stderr == ""


def test_version():
    """--version says the version and ends with 0"""
    r = run("--version")
    assert r.returncode == 0 and r.stdout.startswith("vong-server 0.")


def test_check_config_good(tmp_path):
    """--check-config accepts a good file and starts nothing"""
    (tmp_path / "c").write_text("port 1\nmaxmemory 10mb\n")
    r = run("--check-config", tmp_path / "c", cwd=tmp_path)
    assert r.returncode == 0
    assert os.listdir(tmp_path) == ["c"]


def test_check_config_anywhere(tmp_path):
    """--check-config may stand behind the file and between directives, and as a value is a value"""
    (tmp_path / "c").write_text("maxmemory 10mb\n")
    for args in ([tmp_path / "c", "--check-config"], [tmp_path / "c", "--port", "1", "--check-config"],
                 ["--save", "--check-config", "--port", "1"], ["--port", "1", "--check-config", "--save", ""]):
        r = run(*args, cwd=tmp_path)
        assert (r.returncode, r.stdout) == (0, "The configuration is good.\n"), args
    refused(run(tmp_path / "c", "--port", "x", "--check-config"), "port")
    refused(run("--check-config", "--port", "--check-config"), "port")
    cluster = ["--check-config", "--port", "6400", "--cluster-enabled", "yes"]
    assert run(*cluster, "--cluster-join", "127.0.0.1:6379").returncode == 0
    refused(run(*cluster, "--cluster-join", "nowhere"), "cluster-join 'nowhere'")


def test_check_config_bad(tmp_path):
    """--check-config names file and line of a bad one"""
    (tmp_path / "c").write_text("port 1\n\nmaxmemory many\n")
    refused(run("--check-config", tmp_path / "c"), "line 3", str(tmp_path / "c"))


def test_bad_value_is_named():
    """a value that cannot be is told with its directive, a refused one once"""
    refused(run("--timeout", "soon"), "command line: timeout: argument couldn't be parsed")
    refused(run("--check-config", "--min-replicas-to-write", 1), "min-replicas-to-write 1", "cluster-enabled yes")
    assert run("--replicaof", "a", "1").stderr.count("replicaof") == 1


def test_check_config_of_debian():
    """Debian's redis.conf, unedited, is accepted"""
    path = pathlib.Path(__file__).parents[1] / "unit" / "debian-redis.conf"
    assert run("--check-config", path).returncode == 0


def test_unknown_directive():
    """an unknown directive refuses to start with the nearest known name"""
    refused(run("--prot", "7777"), "unknown directive 'prot'", "'port'")


def test_snapshot_of_redis(server):
    """a snapshot of Redis beside no log is told, since its keys are not read; beside a log it is not"""
    (server.dir / "dump.rdb").write_bytes(b"REDIS0010")
    server.start()
    assert "dump.rdb is a snapshot of Redis, which is not read" in server.log
    server.stop()
    assert server.start().log.count("snapshot of Redis") == 1


def test_unreadable_config(tmp_path):
    """a configuration file that is not there is named"""
    refused(run(tmp_path / "none.conf"), "none.conf", "No such file")


def test_include(server, tmp_path):
    """include reads other files, with patterns; later lines win"""
    (tmp_path / "a.conf").write_text("maxclients 11\n")
    (tmp_path / "b.conf").write_text("maxclients 22\ntimeout 33\n")
    (tmp_path / "main.conf").write_text(f"include {tmp_path}/[ab].conf\ninclude {tmp_path}/no*.conf\ntimeout 44\n")
    c = server.start(config=tmp_path / "main.conf").client()
    assert c.config_get("maxclients") == {"maxclients": "22"}
    assert c.config_get("timeout") == {"timeout": "44"}


def test_include_of_itself(tmp_path):
    """a file that includes itself is refused, not followed for ever"""
    (tmp_path / "c").write_text(f"include {tmp_path}/c\n")
    refused(run("--check-config", tmp_path / "c"), "nested")


def test_include_missing(tmp_path):
    """an included file that is not there is named"""
    (tmp_path / "c").write_text(f"include {tmp_path}/missing.conf\n")
    refused(run("--check-config", tmp_path / "c"), "missing.conf")


def test_command_line_wins(server, tmp_path):
    """directives of the command line win over the file, and take several values"""
    (tmp_path / "c").write_text("timeout 5\n")
    c = server.start("--timeout", "7", "--save", "", "--client-output-buffer-limit", "pubsub", "1mb", "1mb", "1",
                     config=tmp_path / "c").client()
    assert c.config_get("timeout") == {"timeout": "7"}
    assert "pubsub 1048576 1048576 1" in c.config_get("client-output-buffer-limit")["client-output-buffer-limit"]


def test_port_taken(running, make_server):
    """a port that is taken: one line, exit code 1"""
    other = make_server()
    refused(run("--port", running.port, "--bind", "127.0.0.1", "--dir", other.dir), str(running.port), "in use")


def test_directory_missing(tmp_path):
    """a directory that is not there: one line, exit code 1"""
    refused(run("--dir", tmp_path / "none", "--port", 0), "none", "No such file")


@pytest.mark.skipif(os.geteuid() != 0, reason="drops the rights of root")
def test_directory_not_writable(tmpdir_short):
    """a directory that is not writable: one line, exit code 1"""
    closed = tmpdir_short / "closed"
    closed.mkdir()
    os.chmod(closed, 0o555)
    os.chmod(tmpdir_short, 0o755)
    def nobody():
        os.setgid(65534)
        os.setuid(65534)
    program = tmpdir_short / "vong-server"
    program.write_bytes(open(VONG, "rb").read())
    os.chmod(program, 0o755)
    r = subprocess.run([program, "--dir", closed, "--port", "0"], capture_output=True, text=True, timeout=60,
                       preexec_fn=nobody)
    refused(r, str(closed), "not writable")


def test_directory_locked(running):
    """a directory that another server uses: one line, exit code 1"""
    refused(run("--port", 0, "--unixsocket", running.dir / "s", "--dir", running.dir), "in use by another")


def test_directory_of_another(running, make_server):
    """a server without a log never writes one into the directory of another, whatever it is told"""
    c = running.client()
    c.set("k", "v")
    other = make_server()
    other.start("--appendonly", "no", "--dir", running.dir)
    o = other.client()
    o.set("k", "other")
    with pytest.raises(redis.ResponseError):
        o.execute_command("BGREWRITEAOF")
    o.config_set("appendonly", "yes")
    until(lambda: "no rewrite or backup can be made: directory" in other.log)
    o.set("k", "other")
    time.sleep(1.5)  # a rewrite that waits is begun after a second
    other.stop()
    running.kill()
    assert running.start().client().get("k") == "v"


def test_lock_ends_with_the_process(running):
    """a killed server's lock is gone with it"""
    running.client().set("a", "1")
    running.kill()
    assert running.restart().client().get("a") == "1"


def test_unix_socket(server):
    """unixsocket and unixsocketperm: served, with these permissions, and removed at the end"""
    path = server.dir / "sock"
    server.start("--unixsocket", path, "--unixsocketperm", "700")
    assert os.stat(path).st_mode & 0o777 == 0o700
    c = server.client(unix_socket_path=str(path))
    assert c.ping()
    server.stop()
    assert not path.exists()


def test_unix_socket_left_over(server):
    """the socket file of a killed server does not stop the next one"""
    path = server.dir / "sock"
    server.start("--unixsocket", path)
    server.kill()
    server.restart()
    assert server.client(unix_socket_path=str(path)).ping()


def test_unix_socket_alone(server):
    """port 0 serves no TCP"""
    path = server.dir / "sock"
    server.launch("--unixsocket", path, "--port", "0")
    c = server.client(unix_socket_path=str(path))

    def serves():
        try:
            return c.ping()
        except redis.ConnectionError:
            return False
    until(serves)
    with pytest.raises(ConnectionRefusedError):
        server.socket()


def test_bind_optional(server):
    """a bind address with '-' may be missing, one without may not"""
    server.start("--bind", "127.0.0.1", "-192.0.2.7")
    assert server.client().ping()
    refused(run("--port", server.port, "--bind", "192.0.2.7", "--dir", server.dir, "--appendonly", "no"), "192.0.2.7")


def test_daemonize(server):
    """daemonize goes to the background when the port is open, and writes the pidfile"""
    pidfile = server.dir / "pid"
    r = run("--daemonize", "yes", "--pidfile", pidfile, "--port", server.port, "--bind", "127.0.0.1", "--dir", server.dir,
            "--logfile", server.dir / "daemon.log")
    assert r.returncode == 0, r.stderr
    server.socket().close()
    pid = int(until(lambda: pidfile.exists() and pidfile.read_text().strip()))
    try:
        assert os.getsid(pid) == pid
        assert server.client().ping()
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: is_gone(pid))
    assert not pidfile.exists()


def test_daemonize_refusal_is_seen(running, make_server):
    """a refused start is told on the terminal in spite of daemonize"""
    refused(run("--daemonize", "yes", "--port", running.port, "--bind", "127.0.0.1", "--dir", make_server().dir),
            "in use")


def test_supervised_systemd(server):
    """supervised systemd: READY=1 when it serves, STOPPING=1 at the end"""
    path = str(server.dir / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(60)
        server.launch("--supervised", "systemd", env={"NOTIFY_SOCKET": path})
        assert s.recv(100) == b"READY=1"
        assert server.client().ping()
        server.stop()
        assert s.recv(100) == b"STOPPING=1"




def test_no_effect_is_told(server):
    """a directive without effect here is accepted and told in the log"""
    server.start("--rdbcompression", "no", "--activedefrag", "yes")
    assert "activedefrag" in server.log


def test_refused_directive():
    """a directive that cannot be honoured is refused with the reason"""
    refused(run("--tls-port", "7000"), "tls-port")


def test_log_line(running):
    """a log line says pid, time, level and text"""
    assert re.search(r"^%d:M \d\d \w\w\w \d{4} \d\d:\d\d:\d\d\.\d{3} \* Ready to accept connections$" % running.pid,
                     running.log, re.M), running.log


def test_debian_config_starts(server):
    """Debian's redis.conf starts a server; only places are changed here"""
    path = pathlib.Path(__file__).parents[1] / "unit" / "debian-redis.conf"
    pidfile = server.dir / "pid"
    r = run(path, "--port", server.port, "--dir", server.dir, "--logfile", server.dir / "l", "--pidfile", pidfile)
    assert r.returncode == 0, r.stderr
    pid = int(until(lambda: pidfile.exists() and pidfile.read_text().strip()))
    try:
        c = server.client()
        until(lambda: c.ping())
        assert c.set("a", "1") and c.get("a") == "1"
        assert c.info("server")["config_file"] == str(path)
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: is_gone(pid))


def test_config_rewrite(server, tmp_path):
    """CONFIG REWRITE changes the file, keeps its comments, and the next start reads it"""
    path = tmp_path / "c"
    path.write_text("# mine\ntimeout 0\n")
    c = server.start(config=path).client()
    c.config_set("timeout", 123)
    c.config_set("maxmemory", "1gb")
    c.config_rewrite()
    text = path.read_text()
    assert text.startswith("# mine\ntimeout 123\n") and "maxmemory 1gb" in text, text
    server.stop()
    assert server.start(config=path).client().config_get("maxmemory") == {"maxmemory": str(1 << 30)}


def test_config_rewrite_refused(server, tmp_path):
    """CONFIG REWRITE without a file, and into a directory that is gone, is an error"""
    c = server.start().client()
    with pytest.raises(redis.ResponseError, match="without a config file"):
        c.config_rewrite()
    server.stop()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "c").write_text("timeout 0\n")
    c = server.start(config=tmp_path / "d" / "c").client()
    (tmp_path / "d" / "c").unlink()
    (tmp_path / "d").rmdir()
    with pytest.raises(redis.ResponseError, match="No such file"):
        c.config_rewrite()
    assert c.ping()


def connected(server, wire):
    try:
        return wire(server)
    except OSError:
        return None


def ask_while_loading(server, wire):
    """Starts the server; what it answers to GET and to INFO before all is loaded. Should it be faster than
    we are, it is started once more."""
    for _ in range(20):
        server.launch("--appendfsync", "no")
        w = until(lambda: connected(server, wire))
        w.send(request("GET", "key:1") + request("INFO", "persistence"))
        refusal = w.line()
        if refusal.startswith(b"-"):
            info = w.read(int(w.line()[1:]))
            if b"\r\nloading:1\r\n" in info:
                return refusal, info
        server.kill()
    raise AssertionError("nothing was refused while the log was loaded")


def test_loading(server, wire):
    """while the log is loaded clients get -LOADING, INFO tells how far it is, and then all is there"""
    server.start("--appendfsync", "no")
    n = 600_000
    w = wire(server)
    for at in range(0, n, 20_000):
        w.send(b"".join(request("SET", f"key:{i}", "v" * 100) for i in range(at, at + 20_000)))
        w.expect(b"+OK\r\n" * 20_000)
    server.kill()
    refusal, info = ask_while_loading(server, wire)
    assert refusal == b"-LOADING Redis is loading the dataset in memory"
    assert b"\r\nloading_loaded_perc:" in info
    server.wait_ready()
    c = server.client()
    until(lambda: c.info("persistence")["loading"] == 0)
    assert c.dbsize() == n and c.get("key:599999") == "v" * 100


def test_stop_while_loading(server, wire):
    """SIGTERM while the log is loaded ends the process, and the log is whole"""
    server.start("--appendfsync", "no")
    w = wire(server)
    for at in range(0, 400_000, 20_000):
        w.send(b"".join(request("SET", f"key:{i}", "v" * 100) for i in range(at, at + 20_000)))
        w.expect(b"+OK\r\n" * 20_000)
    server.kill()
    ask_while_loading(server, wire)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    assert server.start().client().dbsize() == 400_000


DENIED = """
import socket, subprocess, sys, time
program, directory = sys.argv[1:]
subprocess.run("ip link set lo up && ip addr add 10.87.65.43/32 dev lo", shell=True, check=True)
p = subprocess.Popen([program, "--port", "6379", "--dir", directory])
def ask(address, data):
    end = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection((address, 6379), timeout=60) as s:
                if data:
                    s.sendall(data)
                return s.recv(2000)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.01)
try:
    assert ask("127.0.0.1", b"PING\\r\\n") == b"+PONG\\r\\n"
    assert ask("10.87.65.43", b"").startswith(b"-DENIED "), "a stranger was let in"
    assert ask("127.0.0.1", b"CONFIG SET requirepass secret\\r\\n") == b"+OK\\r\\n"
    assert ask("10.87.65.43", b"PING\\r\\n").startswith(b"-NOAUTH"), "with a password strangers may come"
finally:
    p.kill()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network of its own")
def test_protected_mode(server):
    """protected mode turns strangers away with -DENIED until there is a password"""
    # In a network namespace of its own, an address of loopback's device that is none of 127/8 is a stranger's.
    r = subprocess.run(["unshare", "--net", sys.executable, "-c", DENIED, VONG, str(server.dir)], capture_output=True,
                       text=True, timeout=200)
    assert r.returncode == 0, r.stderr


def test_refused_log_leaves_no_pidfile(server):
    """a start that a damaged log refuses ends with exit code 1 and takes its pidfile away"""
    folder = server.dir / "appendonlydir"
    folder.mkdir()
    (folder / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    (folder / "appendonly.aof.1.incr.aof").write_bytes(b"no log at all\r\n")
    server.launch("--pidfile", server.dir / "pid")
    assert server.process.wait(60) == 1
    assert "appendonly.aof.1.incr.aof is damaged at byte 0" in server.log
    assert not (server.dir / "pid").exists()
