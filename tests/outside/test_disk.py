# SPDX-License-Identifier: BSD-3-Clause
"""A disk in trouble: a full one (a small tmpfs), and one that fails or dawdles on demand (lib/bad_disk.c,
loaded with LD_PRELOAD). Reads go on, writers get a clear error, nothing acknowledged is missing."""

import os
import signal
import subprocess
import threading
import time

import pytest
import redis

from conftest import BUILD, request, until

BAD_DISK = BUILD / "tests/outside/lib/bad_disk.so"
MISCONF = "MISCONF Errors writing to the AOF file: "
UNCERTAIN = "UNCERTAIN the write may or may not have been kept: "


# ------------------------------------------------------------------ a small tmpfs


@pytest.fixture
def small_disk(tmpdir_short):
    """small_disk(megabytes) -> a directory on a disk of its own."""
    mounted = []

    def make(megabytes):
        if os.getuid() != 0:
            pytest.skip("a small disk is a tmpfs, and mounting one needs root: run make check as root")
        path = tmpdir_short / f"disk{len(mounted)}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "vong-test", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.fail(f"a small disk cannot be mounted: {done.stderr.strip()}. In a container this needs "
                        "the capability CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN)")
        mounted.append(path)
        return path

    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


class Writers:
    """Clients that write keys of their own until they are refused; acknowledged: {key: value}."""

    def __init__(self, server, n=3, size=1000):
        self.server, self.size = server, size
        self.acknowledged = [{} for _ in range(n)]
        self.errors = [[] for _ in range(n)]
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(n)]

    def run(self, i):
        c = self.server.client(decode_responses=False)
        n = 0
        while not self.errors[i]:
            n += 1
            key, value = b"w%d:%d" % (i, n), b"%d:" % n + b"v" * self.size
            try:
                if c.set(key, value):
                    self.acknowledged[i][key] = value
            except redis.RedisError as e:
                self.errors[i].append(str(e))

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def refused(self):
        for t in self.threads:
            t.join(120)
            assert not t.is_alive()
        return [e for es in self.errors for e in es]

    def count(self):
        return sum(len(a) for a in self.acknowledged)

    def check(self, c):
        for a in self.acknowledged:
            keys = list(a)
            for at in range(0, len(keys), 1000):
                some = keys[at:at + 1000]
                assert c.mget(some) == [a[k] for k in some]


def refuses(c):
    """The refusal of a write, None when it is accepted."""
    try:
        c.set("probe", 1)
        return None
    except redis.RedisError as e:
        return str(e)


@pytest.mark.parametrize("policy", ["everysec", "always", "no"])
def test_full_disk(make_server, small_disk, policy):
    """a full disk: reads go on, writers are refused, nothing is missing; with room again writes go on"""
    disk = small_disk(12)
    server = make_server(disk).start("--appendfsync", policy, "--disk-reserve", "0",
                                     "--auto-aof-rewrite-percentage", "0")
    ballast = disk / "ballast"
    ballast.write_bytes(b"b" * 4_000_000)
    writers = Writers(server).start()
    for e in writers.refused():
        assert e.startswith((MISCONF + "No space left", UNCERTAIN + "No space left")), e
    assert writers.count() > 1000
    c = server.client(decode_responses=False)
    assert refuses(c) == MISCONF + "No space left on device"
    assert c.get(b"w0:1") == writers.acknowledged[0][b"w0:1"]
    assert c.info("persistence")["aof_last_write_status"] == "err"
    assert "make room on the disk" in server.log
    writers.check(c)

    server.kill()
    ballast.unlink() # a start needs a little room
    server.start(*server.args)
    writers.check(server.client(decode_responses=False))
    if "a torn tail" in server.log: # the disk was full in the middle of a record
        assert " appendonlydir/appendonly.aof.1.incr.aof: a torn tail is cut" in server.log

    ballast.write_bytes(b"b" * 4_000_000)
    more = Writers(server).start()
    assert more.refused()
    c = server.client(decode_responses=False)
    assert refuses(c).startswith(MISCONF)
    ballast.unlink()
    until(lambda: refuses(c) is None, 60, "with room again writes are refused")
    assert c.info("persistence")["aof_last_write_status"] == "ok"
    server.kill()
    server.start(*server.args)
    c = server.client(decode_responses=False)
    assert c.get(b"probe") == b"1"
    for i, a in enumerate(more.acknowledged): # the second writers wrote over the first ones' keys
        writers.acknowledged[i].update(a)
    more.check(c)


def test_full_disk_pipeline(make_server, small_disk, wire):
    """in one pipeline that fills the disk each reply is OK, UNCERTAIN or MISCONF, in this order"""
    server = make_server(small_disk(8)).start("--disk-reserve", "0", "--auto-aof-rewrite-percentage", "0")
    n = 10_000
    w = wire(server)
    sender = threading.Thread(target=w.send, daemon=True,
                              args=(b"".join(request("SET", f"p{i}", f"{i}:" + "x" * 1000) for i in range(n)),))
    sender.start()
    kinds = []
    for _ in range(n):
        kinds.append(w.line().split()[0])
    order = [k for i, k in enumerate(kinds) if i == 0 or kinds[i - 1] != k]
    assert order in ([b"+OK", b"-UNCERTAIN", b"-MISCONF"], [b"+OK", b"-MISCONF"]), order
    kept = kinds.count(b"+OK")
    server.kill()
    c = server.start(*server.args, "--disk-reserve", "0").client()
    assert [v is not None for v in c.mget([f"p{i}" for i in range(kept)])] == [True] * kept


def fill_up(server, disk):
    """Until a write is refused; how many keys are there for certain, by number."""
    (disk / "ballast").write_bytes(b"b" * 3_000_000)
    c = server.client()
    n = 0
    try:
        while True:
            c.set(f"n{n}", "x" * 10_000)
            n += 1
    except redis.RedisError as e:
        assert "No space left" in str(e)
    return n


def test_stop_on_a_full_disk(make_server, small_disk):
    """a stop on a full disk does not hang: exit code 1, nothing acknowledged is missing"""
    disk = small_disk(8)
    server = make_server(disk).start("--disk-reserve", "0", "--auto-aof-rewrite-percentage", "0")
    n = fill_up(server, disk)
    assert server.stop() == 1
    (disk / "ballast").unlink()
    c = server.start(*server.args).client()
    assert c.exists(*[f"n{i}" for i in range(n)]) == n


def test_rewrite_asked_for_on_a_full_disk(make_server, small_disk):
    """a rewrite asked for on a full disk comes to its end once there is room, and writers are accepted"""
    disk = small_disk(12)
    server = make_server(disk).start("--disk-reserve", "0", "--auto-aof-rewrite-percentage", "0")
    n = fill_up(server, disk)
    c = server.client()
    c.bgrewriteaof()
    assert c.exists(*[f"n{i}" for i in range(n)]) == n
    (disk / "ballast").unlink()
    until(lambda: refuses(c) is None)
    until(lambda: c.info("persistence")["aof_rewrite_in_progress"] == 0)
    server.kill()
    c = server.start(*server.args).client()
    assert c.exists("probe", *[f"n{i}" for i in range(n)]) == n + 1


def test_reserve(make_server, small_disk):
    """below disk-reserve writers are refused and reads go on, until there is room again"""
    disk = small_disk(64)
    server = make_server(disk).start("--disk-reserve", "16mb", "--auto-aof-rewrite-percentage", "0")
    c = server.client()
    assert refuses(c) is None
    (disk / "ballast").write_bytes(b"b" * 52_000_000)
    until(lambda: refuses(c) is not None)
    assert refuses(c) == MISCONF + "less space is left on the device than disk-reserve"
    assert c.get("probe") == "1"
    (disk / "ballast").unlink()
    until(lambda: refuses(c) is None)


def test_full_disk_in_a_rewrite(make_server, small_disk):
    """a rewrite that finds no room fails, is told, and leaves the old log valid"""
    disk = small_disk(24)
    server = make_server(disk).start("--disk-reserve", "0", "--auto-aof-rewrite-percentage", "0")
    c = server.client()
    for i in range(10):
        c.mset({f"k{i}:{j}": f"{i}.{j}:" + "x" * 1000 for j in range(1400)})
    c.bgrewriteaof()
    until(lambda: c.info("persistence")["aof_last_bgrewrite_status"] == "err")
    assert "Rewriting the log failed: write of " in server.log
    until(lambda: c.info("persistence")["aof_rewrite_in_progress"] == 0)
    until(lambda: refuses(c) is None, 60, "the room that the rewrite took is not free again")
    server.kill()
    server.start(*server.args)
    c = server.client()
    assert c.dbsize() == 14_001
    assert c.get("k9:1399") == "9.1399:" + "x" * 1000
    assert c.get("probe") == "1"
    c.delete(*[f"k{i}:{j}" for i in range(9) for j in range(1400)])
    c.bgrewriteaof()
    until(lambda: c.info("persistence")["aof_rewrite_in_progress"] == 0)
    assert c.info("persistence")["aof_last_bgrewrite_status"] == "ok"


# --------------------------------------------------------------- a disk on demand


class BadDisk:
    """A server whose disk obeys: say("sync", errno=5), heal()."""

    def __init__(self, server, path):
        self.server, self.path = server, path

    def start(self, *args):
        if not BAD_DISK.exists():
            pytest.fail(f"{BAD_DISK} is not built: make check builds it, or make tests/outside/lib/bad_disk.so")
        sanitizers = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        env = {"LD_PRELOAD": str(BAD_DISK), "BAD_DISK": str(self.path), "ASAN_OPTIONS": sanitizers}
        self.server.start("--auto-aof-rewrite-percentage", "0", *args, env=env)
        return self.server

    def say(self, call, errno=0, ms=0, part="*"):
        aside = self.path.with_suffix(".new")
        aside.write_text(f"{call} {errno} {ms} {part}\n")
        aside.rename(self.path)

    def heal(self):
        self.path.unlink(missing_ok=True)

    def fired(self):
        path = self.path.with_suffix(".fired")
        return path.stat().st_size if path.exists() else 0


@pytest.fixture
def bad_disk(server, tmpdir_short):
    return BadDisk(server, tmpdir_short / "rules")


EIO, EACCES, ENOSPC = 5, 13, 28


def lost(c):
    """The server refuses writes for good, and says why."""
    return (refuses(c) or "").startswith(MISCONF + "Input/output error")


@pytest.mark.parametrize("call", ["sync", "write"])
def test_failure_under_always(bad_disk, wire, call):
    """under always, who waits for a failing disk is told UNCERTAIN, who comes later MISCONF; reads go on"""
    server = bad_disk.start("--appendfsync", "always")
    c = server.client()
    c.set("kept", "value")
    bad_disk.say(call, EIO, ms=2000)
    waiting = [wire(server) for _ in range(3)]
    for i, w in enumerate(waiting):
        w.send(request("SET", f"w{i}", "x"))
    said = [w.line() for w in waiting]
    late = sum(line.startswith(b"-MISCONF ") for line in said)
    assert sum(line.startswith(b"-" + UNCERTAIN.encode() + b"Input/output error") for line in said) == 3 - late, said
    assert late == 0 or (call == "write" and late < 3)  # a write stands in the way of those that come behind it
    bad_disk.heal()
    assert lost(c)
    with pytest.raises(redis.RedisError, match="EXECABORT|MISCONF"):
        c.pipeline(transaction=True).set("a", 1).execute()
    assert c.get("kept") == "value"
    assert c.info("persistence")["aof_last_write_status"] == "err"
    told = server.log
    assert ("fsync" if call == "sync" else "write") + " of " in told and "errno 5" in told
    time.sleep(1.2)
    assert lost(c), "a failed write or fsync is final"
    assert server.stop() == 1
    assert "errno 5" in server.log
    assert server.start().client().get("kept") == "value"


@pytest.mark.parametrize("call", ["rename", "sync", "write"])
def test_failed_backup(bad_disk, call):
    """a backup that fails, at whichever step, leaves nothing behind; the next one is whole"""
    server = bad_disk.start()
    c = server.client()
    c.mset({f"k{i}": "x" * 100 for i in range(1000)})
    bad_disk.say(call, EIO, part="backup-")
    c.execute_command("BACKUP", str(server.dir))
    until(lambda: c.info("persistence")["rdb_last_bgsave_status"] == "err")
    until(lambda: not list(server.dir.glob("backup-*")))
    bad_disk.heal()
    where = c.execute_command("BACKUP", str(server.dir))
    until(lambda: c.info("persistence")["rdb_bgsave_in_progress"] == 0)
    assert c.info("persistence")["rdb_last_bgsave_status"] == "ok"
    assert sorted(os.listdir(where)) == ["appendonly.aof.1.base.aof", "appendonly.aof.manifest"]


def test_backup_of_a_directory_not_ours(bad_disk):
    """BACKUP answers why its first file cannot be made"""
    server = bad_disk.start()
    c = server.client()
    bad_disk.say("open", EACCES, part="backup-")
    with pytest.raises(redis.ResponseError, match="no backup can be made in .*/backup-[0-9]*: Permission denied"):
        c.execute_command("BACKUP", str(server.dir))
    until(lambda: not list(server.dir.glob("backup-*")))
    assert c.ping()


@pytest.mark.parametrize("policy", ["everysec", "always"])
def test_off_and_on_after_a_failure(bad_disk, policy):
    """once the disk is mended, appendonly no and then yes begins a new log, which is whole"""
    server = bad_disk.start("--appendfsync", policy)
    c = server.client()
    c.set("kept", "value")
    bad_disk.say("sync", EIO)
    until(lambda: lost(c))
    bad_disk.heal()
    c.config_set("appendonly", "no")
    until(lambda: not lost(c))
    c.set("unlogged", "1")
    c.config_set("appendonly", "yes")
    until(lambda: c.info("persistence")["aof_rewrite_scheduled"] == 0)
    until(lambda: c.info("persistence")["aof_rewrite_in_progress"] == 0)
    assert c.info("persistence")["aof_last_bgrewrite_status"] == "ok"
    c.set("later", "2")
    server.kill()
    assert server.start().client().mget("kept", "unlogged", "later") == ["value", "1", "2"]


def test_latency_of_a_slow_disk(bad_disk):
    """LATENCY tells that a sync and a write took long"""
    server = bad_disk.start("--appendfsync", "always", "--latency-monitor-threshold", "50")
    c = server.client()
    bad_disk.say("sync", 0, ms=100)
    c.set("k", "v")
    latest = {event: worst for event, _, _, worst in c.execute_command("LATENCY", "LATEST")}
    assert latest["aof-fsync-always"] >= 100
    bad_disk.say("write", 0, ms=100)
    c.config_set("appendfsync", "everysec")
    c.set("k", "w")
    latest = {event: worst for event, _, _, worst in c.execute_command("LATENCY", "LATEST")}
    assert latest["aof-write"] >= 100
    assert "aof-fsync-always: " in str(c.execute_command("LATENCY", "DOCTOR"))



@pytest.mark.parametrize("how", ["signal", "command", "nosave"])
def test_stop_after_failure(bad_disk, how):
    """after a failure SIGTERM and SHUTDOWN end with exit code 1, and the log says why"""
    server = bad_disk.start("--appendfsync", "always")
    c = server.client()
    bad_disk.say("sync", EIO)
    with pytest.raises(redis.RedisError, match="UNCERTAIN"):
        c.set("k", "v")
    at = len(server.log)
    if how == "signal":
        server.process.send_signal(signal.SIGTERM)
    else:
        with server.socket() as s:
            s.sendall(request("SHUTDOWN", *(["NOSAVE"] if how == "nosave" else [])))
            s.recv(1000)
    assert server.process.wait(60) == 1
    assert "fsync" in server.log[at:] and "errno 5" in server.log[at:], server.log[at:]


def test_failing_stop(bad_disk):
    """under everysec, when the last fsync fails, the exit code is 1 and the log says why"""
    server = bad_disk.start("--appendfsync", "everysec")
    c = server.client()
    c.set("k", "v")
    until(lambda: c.info("persistence")["aof_pending_bio_fsync"] == 0)
    bad_disk.say("sync", EIO) # the next one is due in a second, or at the stop
    c.set("k", "w")
    assert server.stop() == 1
    assert "fsync" in server.log and "errno 5" in server.log
    assert server.start().client().get("k") == "w"


def test_failing_sync_under_everysec(bad_disk):
    """under everysec a failing fsync makes writers get MISCONF; reads go on"""
    server = bad_disk.start("--appendfsync", "everysec")
    c = server.client()
    c.set("k", "v")
    bad_disk.say("sync", EIO)
    c.set("k", "w")
    until(lambda: lost(c))
    assert c.get("k") == "w"
    server.kill()
    assert server.start().client().get("k") == "w"


def test_failing_write_under_everysec(bad_disk):
    """under everysec the write that fails is UNCERTAIN, later ones are MISCONF"""
    server = bad_disk.start("--appendfsync", "everysec")
    c = server.client()
    c.set("k", "v")
    bad_disk.say("write", EIO)
    with pytest.raises(redis.RedisError, match=UNCERTAIN + "Input/output error"):
        c.set("k", "w")
    bad_disk.heal()
    assert lost(c)
    assert server.stop() == 1
    assert server.start().client().get("k") in ("v", "w")


def test_write_without_room(bad_disk):
    """a write that finds no room is tried again, and writers are accepted without a restart"""
    server = bad_disk.start("--appendfsync", "always")
    c = server.client()
    bad_disk.say("write", ENOSPC)
    with pytest.raises(redis.RedisError, match=UNCERTAIN + "No space left"):
        c.set("k", "v")
    assert refuses(c) == MISCONF + "No space left on device"
    bad_disk.heal()
    until(lambda: refuses(c) is None)
    assert server.stop() == 0
    assert server.start().client().mget("k", "probe") == ["v", "1"]


@pytest.mark.parametrize("call,part", [
    ("open", ".base.aof"), ("open", ".incr.aof"), ("open", ".manifest"), ("write", ".base.aof"),
    ("write", ".manifest"), ("sync", ".base.aof"), ("sync", ".manifest"), ("rename", ".manifest"),
    ("sync", "appendonlydir"),
])
def test_failure_in_a_rewrite(bad_disk, call, part):
    """a rewrite in which a call fails leaves the old log valid, is told, and succeeds later"""
    server = bad_disk.start("--appendfsync", "no")
    c = server.client()
    c.mset({f"k{i}": f"v{i}" for i in range(5000)})
    bad_disk.say(call, EACCES if call == "open" else EIO, part=part)
    c.bgrewriteaof()
    until(lambda: c.info("persistence")["aof_last_bgrewrite_status"] == "err")
    assert bad_disk.fired() > 0
    assert "Rewriting the log failed: " in server.log and "errno " in server.log
    until(lambda: c.info("persistence")["aof_rewrite_in_progress"] == 0)
    if part != "appendonlydir": # there the log itself failed
        c.set("after", "1")
    bad_disk.heal()
    server.kill()
    server.start("--auto-aof-rewrite-percentage", "0")
    c = server.client()
    assert c.mget([f"k{i}" for i in range(5000)]) == [f"v{i}" for i in range(5000)]
    if part != "appendonlydir":
        assert c.get("after") == "1"
    c.bgrewriteaof()
    until(lambda: c.info("persistence")["aof_rewrite_in_progress"] == 0)
    assert c.info("persistence")["aof_last_bgrewrite_status"] == "ok"
    server.kill()
    server.start("--auto-aof-rewrite-percentage", "0")
    assert server.client().get("k4999") == "v4999"


def test_rewrite_goes_on_after_a_failure(bad_disk):
    """after a rewrite failed the next one in the same process succeeds, and leaves no file behind"""
    server = bad_disk.start("--appendfsync", "everysec")
    c = server.client()
    c.mset({f"k{i}": f"v{i}" for i in range(5000)})
    for call, part in ("rename", ".manifest"), ("write", ".base.aof"), ("open", ".base.aof"), ("open", ".incr.aof"):
        bad_disk.say(call, EIO, part=part)
        c.bgrewriteaof()
        until(lambda: c.info("persistence")["aof_last_bgrewrite_status"] == "err")
        until(lambda: c.info("persistence")["aof_rewrite_in_progress"] == 0)
        bad_disk.heal()
        c.set("after", part)
        c.bgrewriteaof()
        until(lambda: c.info("persistence")["aof_last_bgrewrite_status"] == "ok")
        until(lambda: c.info("persistence")["aof_rewrite_in_progress"] == 0)
    names = sorted(p.name for p in (server.dir / "appendonlydir").iterdir())
    assert [n.split(".")[-2] if n.endswith(".aof") else n.split(".")[-1] for n in names] == ["base", "incr", "manifest"], names
    server.kill()
    c = server.start().client()
    assert c.dbsize() == 5001
    assert c.get("after") == ".incr.aof"


# ------------------------------------------------------------------ a slow one


def latencies(server, seconds, *words):
    """How long each of one client's requests took, in ms, sorted."""
    took = []
    with server.socket() as s:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic()
            s.sendall(request(*words))
            s.recv(1000)
            took.append((time.monotonic() - begin) * 1000)
            time.sleep(0.002)
    return sorted(took)


@pytest.mark.parametrize("policy", ["everysec", "always"])
def test_slow_sync(bad_disk, policy):
    """while fsyncs take long others' GETs go on under everysec, and wait for two at most under always"""
    server = bad_disk.start("--appendfsync", policy)
    c = server.client()
    c.set("k", "v")
    bad_disk.say("sync", ms=4000)
    stop = threading.Event()
    writes = []

    def write():
        own = server.client()
        while not stop.is_set():
            begin = time.monotonic()
            own.set("w", len(writes))
            writes.append((time.monotonic() - begin) * 1000)
            time.sleep(0.002)
    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: bad_disk.fired() > 0)
    gets = latencies(server, 6, "GET", "k")
    bad_disk.heal()
    stop.set()
    writer.join(60)
    print(f"{policy}, fsync 4 s: {len(gets)} GETs, median {gets[len(gets) // 2]:.2f} ms, most {gets[-1]:.1f} ms; "
          f"SET median {sorted(writes)[len(writes) // 2]:.2f} ms, most {max(writes):.0f} ms")
    if policy == "everysec":
        assert gets[-1] < 2000, "a GET waited for the disk"
        assert max(writes) < 2000, "a SET waited for the disk"
        assert int(c.info("persistence")["aof_delayed_fsync"]) > 0
    else: # a reply may show what is not stored yet: it waits as well
        assert gets[-1] < 11_000
        assert max(writes) > 3000, "a SET was answered before its fsync"
