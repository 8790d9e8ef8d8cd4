# SPDX-License-Identifier: BSD-3-Clause
"""The log, as real processes write, lose, mend and exchange it."""

import os
import random
import re
import resource
import shutil
import subprocess
import threading

import pytest
import redis

from conftest import BUILD, until

CHECK = os.environ.get("VONG_CHECK_AOF", str(BUILD / "vong-check-aof"))
POLICIES = ["no", "everysec", "always"]


def log_dir(server):
    return server.dir / "appendonlydir"


def log_file(server, kind="incr"):
    """The newest base or increment."""
    found = sorted(log_dir(server).glob(f"*.{kind}.aof"), key=lambda p: int(p.name.split(".")[-3]))
    return found[-1]


def check(*args):
    done = subprocess.run([CHECK, *map(str, args)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def content(client, dbs=16):
    """Everything a server holds: per database, key -> (value, expires?)."""
    all_of = {}
    for db in range(dbs):
        client.execute_command("SELECT", db)
        for key in client.scan_iter(count=1000):
            all_of[db, key] = (client.get(key), client.pttl(key) > 0)
    client.execute_command("SELECT", 0)
    return all_of


def only(client):
    """One connection, so that SELECT means what it says."""
    return redis.Redis(connection_pool=None, single_connection_client=True,
                       **{k: client.connection_pool.connection_kwargs[k] for k in ("host", "port", "decode_responses")
                          if k in client.connection_pool.connection_kwargs})


def fill(client, n=200):
    """Strings of all sizes, expiries, transactions, several databases."""
    for i in range(n):
        client.execute_command("SELECT", i % 3)
        client.set(f"key:{i}", "v" * (i * 7 % 300) + str(i), px=None if i % 4 else 100000000)
        client.append(f"key:{i // 2}", "+")
    pipe = client.pipeline(transaction=True)
    for i in range(10):
        pipe.set(f"in:multi:{i}", i)
        pipe.incr("count")
    pipe.execute()
    client.set("big", os.urandom(300000).hex())
    client.setrange("big", 5, "#V 0 1 2 3 00000000\r\n#S 99 00000000\r\n")
    client.delete("key:7")
    client.execute_command("SELECT", 0)


def wait_rewritten(client):
    until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0
          and client.info("persistence")["aof_rewrite_scheduled"] == 0, 60, "the rewrite does not end")
    assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"


def with_log(stock, directory, *args):
    """A redis-server with a log in our form, and a client of it."""
    server = stock("--appendonly", "yes", "--aof-use-rdb-preamble", "no", *args, directory=directory)
    return server, only(server.client())


# ------------------------------------------------------------------- kill and start


@pytest.mark.parametrize("policy", POLICIES)
def test_kill(server, policy):
    """after kill -9 every acknowledged write is there"""
    server.start("--appendfsync", policy)
    acknowledged, stop = {}, threading.Event()

    def write(who):
        client = server.client()
        i = 0
        try:
            while not stop.is_set():
                client.set(f"{who}:{i % 50}", i)
                acknowledged[f"{who}:{i % 50}"] = i
                i += 1
        except redis.RedisError:
            pass

    for round_no in range(5):
        stop.clear()
        threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
        for t in threads:
            t.start()
        until(lambda: len(acknowledged) == 200)
        stop.wait(0.1)
        server.kill()
        stop.set()
        for t in threads:
            t.join()
        server.restart()
        client = server.client()
        for key, value in acknowledged.items():
            got = int(client.get(key))
            assert got in (value, value + 50), f"{key}: {got} is not {value} (round {round_no})"
            acknowledged[key] = got
        acknowledged.clear()
        client.flushall()


def test_everything_comes_back(server):
    """values, expiries, databases and transactions come back after a stop and after a kill"""
    server.start()
    client = only(server.client())
    fill(client)
    before = content(client)
    client.close()
    server.kill()
    server.restart()
    client = only(server.client())
    assert content(client) == before
    client.close()
    assert server.stop() == 0
    server.restart()
    client = only(server.client())
    assert content(client) == before
    client.close()


# --------------------------------------------------------------------- interchange


def test_stock_redis_loads_ours(server, stock):
    """a base and increments written here load into redis-server 7, and what it adds comes back"""
    server.start()
    client = only(server.client())
    fill(client)
    client.bgrewriteaof()
    wait_rewritten(client)
    fill(client, 50)
    before = content(client)
    client.close()
    assert server.stop() == 0
    theirs, client = with_log(stock, server.dir)
    assert content(client) == before
    fill(client, 30)
    client.set("from:redis", "1")
    between = content(client)
    assert theirs.stop() == 0
    assert check(log_dir(server))[0] == 0
    server.restart()
    client = only(server.client())
    assert content(client) == between
    client.set("from:vong", "2")
    client.close()
    server.kill()
    server.restart()
    assert server.client().get("from:vong") == "2"
    assert server.stop() == 0
    again, client = with_log(stock, server.dir)
    assert client.get("from:vong") == "2"
    assert client.get("from:redis") == "1"
    client.bgrewriteaof()
    wait_rewritten(client)
    after = content(client)
    assert again.stop() == 0
    server.restart()
    client = only(server.client())
    assert content(client) == after
    client.close()


def test_a_log_of_redis(server, stock):
    """a log of redis-server 7 with base and increments loads here, and can be rewritten"""
    server.dir.mkdir(exist_ok=True)
    theirs, client = with_log(stock, server.dir, "--aof-timestamp-enabled", "yes")
    fill(client)
    client.bgrewriteaof()
    wait_rewritten(client)
    fill(client, 60)
    before = content(client)
    assert theirs.stop() == 0
    server.start()
    client = only(server.client())
    assert content(client) == before
    client.bgrewriteaof()
    wait_rewritten(client)
    client.close()
    server.kill()
    server.restart()
    client = only(server.client())
    assert content(client) == before
    client.close()


def test_preamble(server, stock):
    """a base with an RDB preamble is refused with the remedy"""
    theirs, client = with_log(stock, server.dir, "--aof-use-rdb-preamble", "yes")
    client.set("a", "b")
    client.bgrewriteaof()
    wait_rewritten(client)
    assert theirs.stop() == 0
    server.launch()
    assert server.process.wait(60) == 1
    assert "aof-use-rdb-preamble no" in server.log and "BGREWRITEAOF" in server.log


# ---------------------------------------------------------------------- bad bytes


def test_torn_tail(server):
    """a torn tail is cut, told with its byte count; with aof-load-truncated no the start is refused"""
    server.start("--appendfsync", "everysec")
    client = server.client()
    for i in range(100):
        client.set(f"k{i}", i)
    server.kill()
    path = log_file(server)
    size = path.stat().st_size
    os.truncate(path, size - 5)
    server.launch("--aof-load-truncated", "no")
    assert server.process.wait(60) == 1
    assert "aof-load-truncated" in server.log and "vong-check-aof" in server.log
    server.start()
    line = [text for text in server.log.splitlines() if "torn tail is cut at byte" in text][-1]
    at = int(re.search(r"at byte (\d+)", line)[1])
    assert f"{size - 5 - at} bytes" in line
    client = server.client()
    assert client.get("k98") == "98" and client.get("k99") is None
    client.set("k99", "again")
    server.kill()
    server.restart()
    assert server.client().get("k99") == "again"


def test_flips(server):
    """a flipped byte anywhere: everything right, a told cut, or a refusal with the offset"""
    server.start("--appendfsync", "always")
    client = server.client()
    for i in range(100):
        client.set(f"key:{i}", f"value:{i}")
    client.bgrewriteaof()
    wait_rewritten(client)
    for i in range(50, 150):
        client.set(f"key:{i}", f"other:{i}")
    server.kill()
    saved = server.dir / "saved"
    shutil.copytree(log_dir(server), saved)
    rnd = random.Random(3)
    seen = set()
    for round_no in range(60):
        shutil.rmtree(log_dir(server))
        shutil.copytree(saved, log_dir(server))
        path = rnd.choice(sorted(log_dir(server).iterdir()))
        data = bytearray(path.read_bytes())
        at = rnd.randrange(len(data))
        data[at] ^= 1 << rnd.randrange(8)
        path.write_bytes(data)
        (server.dir / "log").write_text("")
        server.launch()
        port_open = until(lambda: server.process.poll() is not None or serves(server))
        assert port_open
        if server.process.poll() is not None:
            assert server.process.returncode == 1
            assert path.name in server.log, f"{path} at {at}: {server.log}"
            assert path.name.endswith("manifest") or re.search(r"at byte \d+", server.log)
            seen.add("refused")
            continue
        client = server.client()
        got = {k: client.get(k) for k in client.scan_iter(count=1000)}
        cut = "torn tail is cut" in server.log
        for key, value in got.items():
            n = int(key.split(":")[1])
            assert value in (f"value:{n}", f"other:{n}"), f"{key}={value}, {path} at {at}"
        if not cut:
            assert len(got) == 150, f"{path} at {at}"
        seen.add("cut" if cut else "whole")
        server.kill()
    assert "refused" in seen


def serves(server):
    try:
        return server.client(socket_timeout=5).ping()
    except redis.RedisError:
        return False


def test_check_aof(server):
    """vong-check-aof tells what is bad, --fix cuts there, and the server starts again"""
    server.start("--appendfsync", "always")
    client = server.client()
    for i in range(100):
        client.set(f"k{i}", i)
    server.kill()
    code, text = check(log_dir(server))
    assert code == 0 and "whole" in text and "100 records" in text
    path = log_file(server)
    data = bytearray(path.read_bytes())
    at = data.index(b"k50")
    data[at] ^= 1
    path.write_bytes(data)
    server.launch()
    assert server.process.wait(60) == 1
    code, text = check(log_dir(server))
    offset = int(re.search(r"at byte (\d+)", text)[1])
    assert code == 1 and "damage" in text and path.name in text and offset < at < offset + 100
    assert f"at byte {offset}" in server.log
    assert check(path)[0] == 1 and check(log_dir(server) / "appendonly.aof.manifest")[0] == 1
    code, text = check("--fix", log_dir(server))
    assert code == 0 and f"{len(data) - offset} bytes were dropped" in text
    assert check(log_dir(server))[0] == 0
    server.start()
    client = server.client()
    assert client.dbsize() == 50 and client.get("k49") == "49"
    assert check("--help")[0] == 0 and check("--nonsense")[0] == 1 and check("/nowhere")[0] == 1


def test_check_aof_base(server):
    """--fix of a damaged base keeps its whole pieces, and the server starts with them"""
    server.start()
    client = server.client()
    for i in range(5000):
        client.set(f"k{i}", "x" * 100)
    client.bgrewriteaof()
    wait_rewritten(client)
    client.set("later", "1")
    server.kill()
    path = log_file(server, "base")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    server.launch()
    assert server.process.wait(60) == 1 and path.name in server.log
    assert check(log_dir(server))[0] == 1
    assert check("--fix", log_dir(server))[0] == 0
    assert check(log_dir(server))[0] == 0
    server.start()
    client = server.client()
    assert 1000 < client.dbsize() < 4000 and client.get("later") is None
    assert client.get(next(client.scan_iter())) == "x" * 100


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def record(slot, epoch, seq, *words):
    """One record, or a mark, as the log of a cluster's node has it."""
    body = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
    line = b"#V %d %d %d %d " % (slot, epoch, seq, len(body))
    return line + b"%08x\r\n" % crc32c(line + body) + body


def durable(offset):
    line = b"#S %d " % offset
    return line + b"%08x\r\n" % crc32c(line)


def cluster_log(path):
    """foo (slot 12182) three times and k (slot 7629) once; returns the bytes."""
    path.mkdir(parents=True)
    data = record(0, 0, 0, b"VONG.EPOCH", b"7", b"0", b"16383")
    for i in range(3):
        data += record(12182, 7, i + 1, b"SET", b"foo", b"%d" % i)
    data += durable(len(data)) + record(7629, 7, 1, b"SET", b"k", b"1")
    (path / "appendonly.aof.1.incr.aof").write_bytes(data)
    (path / "appendonly.aof.manifest").write_bytes(b"file appendonly.aof.1.incr.aof seq 1 type i\n")
    return data


def test_check_aof_of_a_cluster(tmp_path):
    """vong-check-aof reads the log of a cluster's node, tells a gap, and notes what it cut"""
    path = tmp_path / "log"
    data = cluster_log(path)
    file = path / "appendonly.aof.1.incr.aof"
    code, text = check(path)
    assert code == 0 and "4 records" in text and "in 2 slots" in text and "lack" not in text
    file.write_bytes(data + record(7629, 7, 3, b"SET", b"k", b"3"))
    code, text = check(path)
    assert code == 0 and "1 slots lack records" in text
    file.write_bytes(data[:-1])
    assert check("--fix", path)[0] == 0  # a torn tail: nothing that was promised
    assert b"#L" not in file.read_bytes() and "in 1 slots" in check(path)[1]
    broken = bytearray(data)
    broken[data.index(b"foo")] ^= 1
    file.write_bytes(broken)
    code, text = check(path)
    assert code == 1 and "damage" in text
    assert check("--fix", path)[0] == 0
    assert b"\n#L " in file.read_bytes() and check(path)[0] == 0


def test_a_cluster_log_is_refused(server, tmp_path):
    """a server alone refuses the log of a cluster's node, and leaves it as it is"""
    data = cluster_log(log_dir(server))
    server.launch()
    assert server.process.wait(60) == 1
    assert "cluster-enabled yes" in server.log
    assert (log_dir(server) / "appendonly.aof.1.incr.aof").read_bytes() == data


def test_missing_files(server):
    """a missing increment or manifest refuses the start and is named"""
    server.start()
    server.client().set("a", "b")
    server.kill()
    path = log_file(server)
    path.rename(server.dir / "aside")
    server.launch()
    assert server.process.wait(60) == 1 and path.name in server.log
    (server.dir / "aside").rename(path)
    manifest = log_dir(server) / "appendonly.aof.manifest"
    manifest.rename(server.dir / "aside")
    server.launch()
    assert server.process.wait(60) == 1 and "appendonly.aof.manifest" in server.log
    (server.dir / "aside").rename(manifest)
    server.start()
    assert server.client().get("a") == "b"


# ----------------------------------------------------------------- rewrite and backup


def test_rewrite_under_writes(server):
    """a rewrite under writes makes the log short and loses nothing, also when killed in the middle"""
    server.start()
    client = server.client()
    pipe = client.pipeline(transaction=False)
    for i in range(100000):
        pipe.set(f"key:{i % 20000}", "x" * 50 + str(i))
    pipe.execute()
    before = client.info("persistence")["aof_current_size"]
    client.bgrewriteaof()
    for i in range(2000):
        client.set(f"key:{i}", f"during:{i}")
    wait_rewritten(client)
    info = client.info("persistence")
    assert info["aof_current_size"] < before / 3 and info["aof_base_size"] > 0
    until(lambda: len(list(log_dir(server).iterdir())) == 3)
    client.bgrewriteaof()
    for i in range(500):
        client.set(f"key:{i}", f"again:{i}")
    server.kill()
    server.restart()
    client = server.client()
    assert client.dbsize() == 20000
    assert client.get("key:499") == "again:499" and client.get("key:1999") == "during:1999"
    assert client.get("key:19999") == "x" * 50 + "99999"


def test_auto_rewrite(server):
    """the log is rewritten by itself once it has grown enough"""
    server.start("--auto-aof-rewrite-min-size", "200kb", "--auto-aof-rewrite-percentage", "100")
    client = server.client()
    for _ in range(20):
        pipe = client.pipeline(transaction=False)
        for i in range(500):
            pipe.set(f"k{i}", "x" * 100)
        pipe.execute()
    until(lambda: client.info("persistence")["aof_rewrites"] >= 1)
    # The writes behind the first rewrite's walk can be most of them: then a second one follows.
    until(lambda: client.info("persistence")["aof_current_size"] < 500000)


def test_appendonly_live(server):
    """CONFIG SET appendonly switches the log off and on while serving"""
    server.start("--appendonly", "no")
    client = server.client()
    client.set("before", "1")
    assert not list(server.dir.glob("appendonlydir/*.incr.aof"))
    client.config_set("appendonly", "yes")
    client.set("after", "2")
    until(lambda: (log_dir(server) / "appendonly.aof.manifest").exists())
    wait_rewritten(client)
    server.kill()
    server.start()
    client = server.client()
    assert client.mget("before", "after") == ["1", "2"]
    client.config_set("appendonly", "no")
    client.set("unlogged", "3")
    assert client.info("persistence")["aof_enabled"] == 0
    client.config_set("appendonly", "yes")
    wait_rewritten(client)
    until(lambda: client.info("persistence")["aof_base_size"] > 0)
    client.set("last", "4")
    server.kill()
    server.start()
    assert server.client().mget("before", "after", "unlogged", "last") == ["1", "2", "3", "4"]


def test_backup(server, make_server, stock):
    """BGSAVE makes a copy that a vong-server and a redis-server start with"""
    server.start()
    client = only(server.client())
    fill(client)
    before = content(client)
    client.execute_command("BGSAVE")
    until(lambda: client.info("persistence")["rdb_bgsave_in_progress"] == 0)
    assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
    client.set("later", "1")
    client.close()
    copy = next(server.dir.glob("backup-*"))
    assert check(copy)[0] == 0
    ours = make_server()
    shutil.copytree(copy, ours.dir / "appendonlydir")
    ours.start()
    client = only(ours.client())
    assert content(client) == before
    client.close()
    theirs, client = with_log(stock, server.dir, "--appenddirname", copy.name)
    assert content(client) == before


def test_backup_nowhere(running):
    """a backup that cannot be made is told with the file and the system's reason"""
    client = only(running.client())
    with pytest.raises(redis.ResponseError) as refused:
        client.execute_command("BACKUP", "/nonexistent")
    where = re.fullmatch(r"no backup can be made in (/nonexistent/backup-\d+): No such file or directory", str(refused.value))[1]
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    told = f"The backup failed: open of {where}/appendonly.aof.1.base.aof: No such file or directory (errno 2)"
    until(lambda: told in running.log)


# ------------------------------------------------------------------------ bad disks


@pytest.mark.parametrize("policy", POLICIES)
def test_full_disk(server, policy):
    """on a full disk writers are refused, reads go on, and with room again nothing is lost"""
    limit = 200000
    server.start("--appendfsync", policy,
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)))
    client = server.client(socket_timeout=60)
    kept = []
    with pytest.raises(redis.ResponseError) as refused:
        for i in range(10000):
            client.set(f"k{i}", "x" * 100)
            kept.append(i)
    assert str(refused.value).startswith(("MISCONF", "UNCERTAIN"))
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        server.client().set("another", "1")
    reader = server.client(socket_timeout=60)
    assert reader.get("k0") == "x" * 100
    assert reader.info("persistence")["aof_last_write_status"] == "err"
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def writes_again():
        try:
            return server.client().set("again", "1")
        except redis.ResponseError:
            return False
    until(writes_again, 60, "writes are still refused")
    server.kill()
    server.restart()
    client = server.client()
    assert "is damaged" not in server.log and "torn" not in server.log
    assert client.get("again") == "1"
    for i in kept:
        assert client.get(f"k{i}") == "x" * 100


SHIM = """
#include <errno.h>
#include <unistd.h>
static int failing(void) { return access(FLAG, F_OK) == 0; }
int fdatasync(int fd) { (void)fd; if (failing()) { errno = EIO; return -1; } return 0; }
int fsync(int fd) { (void)fd; if (failing()) { errno = EIO; return -1; } return 0; }
"""


def test_failing_fsync(server):
    """after a failed fsync nothing is acknowledged, reads go on, and a restart has what was acknowledged"""
    flag = server.dir / "fail"
    (server.dir / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", f'-DFLAG="{flag}"', "-o", server.dir / "shim.so", server.dir / "shim.c"],
                   check=True)
    server.start("--appendfsync", "always", env={"LD_PRELOAD": str(server.dir / "shim.so")})
    client = server.client(socket_timeout=60)
    client.set("good", "1")
    flag.touch()
    with pytest.raises(redis.ResponseError, match="UNCERTAIN|MISCONF"):
        client.set("bad", "1")
    flag.unlink()
    for _ in range(3):
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            server.client(socket_timeout=60).set("later", "1")
    assert server.client().get("good") == "1"
    assert "fsync" in server.log
    server.kill()
    server.restart()
    assert server.client().get("good") == "1" and server.client().get("later") is None


def test_disk_reserve(server):
    """with less free space than disk-reserve writes are refused and reads go on"""
    server.start("--disk-reserve", "1000000gb")
    client = server.client()

    def refused():
        try:
            client.set("a", "1")
            return False
        except redis.ResponseError as e:
            assert str(e).startswith("MISCONF")
            return True
    until(refused)
    assert client.get("none") is None
    client.config_set("disk-reserve", "0")
    assert client.set("a", "1")


def test_policy_live(server):
    """CONFIG SET appendfsync changes the policy under load, and nothing is lost"""
    server.start("--appendfsync", "always")
    client = server.client()
    for i in range(300):
        if i % 25 == 0:
            client.config_set("appendfsync", POLICIES[i // 25 % 3])
        client.set(f"k{i}", i)
    server.kill()
    server.restart()
    assert server.client().mget(f"k{i}" for i in range(300)) == [str(i) for i in range(300)]
