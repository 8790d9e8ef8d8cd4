# SPDX-License-Identifier: BSD-3-Clause
"""The figures of one node, against redis-server and a server that only echoes."""

import json
import shutil
import statistics
import subprocess
import sys
import time

import bed
from bed import Server, drive, fill, fresh, redis, vong
from figures import PLOT, alternate, nothing, ratio_row, row


def group_cpu():
    ours = vong(fresh("cpu-vong"), "--appendonly", "no").start()
    theirs = redis(fresh("cpu-redis"), "--appendonly", "no").start()
    echo = Server("echo", [bed.ECHO, "PORT"], fresh("cpu-echo")).start()
    for s in (ours, theirs):
        fill(s, 1000000)
    with_linger = ours, lambda: ours.must("CONFIG", "SET", "linger-usec", "20")
    without = ours, lambda: ours.must("CONFIG", "SET", "linger-usec", "0")
    for command in "get", "set":
        name = command.upper() + " 64 B"
        for pipeline in 1, 16, 64:
            runs = {"vong": without, "vong, linger 20": with_linger, "redis": (theirs, nothing)}
            if pipeline == 1:
                runs["echo"] = (echo, nothing)
            r = alternate(runs, bed.ROUNDS, bed.SECONDS, command=command, pipeline=pipeline)
            cpu = {k: v["cpu"] for k, v in r.items()}
            at = "%s, pipeline %d: CPU us/op" % (name, pipeline)
            PLOT["rate"].setdefault(command, {})[pipeline] = {
                k: statistics.median(v["rate"]) for k, v in r.items()}
            if pipeline == 1:
                ratio_row(at + ", against echo", cpu["vong"], cpu["echo"], "%.2f", at_most=1.05)
                ratio_row(at + ", linger 20", cpu["vong, linger 20"], cpu["redis"], "%.2f", at_most=0.80)
            elif pipeline == 16:
                ratio_row(at, cpu["vong"], cpu["redis"], "%.2f", at_most=0.60)
                ratio_row(at + ", linger 20", cpu["vong, linger 20"], cpu["redis"], "%.2f", at_most=0.50)
            else:
                ratio_row(at, cpu["vong"], cpu["redis"], "%.2f", at_most=0.35)
                ratio_row("%s, pipeline 64: ops/s" % name, r["vong"]["rate"], r["redis"]["rate"], "%.0f",
                          at_least=3.0)
    for s in (ours, theirs, echo):
        s.kill()


def logged(kind, fsync):
    make = vong if kind == "vong" else redis
    return make(fresh("%s-%s" % (fsync, kind)), "--appendonly", "yes", "--appendfsync", fsync,
                "--auto-aof-rewrite-percentage", "0").start()


def group_everysec():
    ours, theirs = logged("vong", "everysec"), logged("redis", "everysec")
    for s in (ours, theirs):
        fill(s, 1000000)
    r = alternate({"vong, everysec": (ours, nothing), "redis, everysec": (theirs, nothing)}, bed.ROUNDS, bed.SECONDS,
                  command="set", pipeline=16)
    ratio_row("SET everysec, pipeline 16: CPU us/op", r["vong, everysec"]["cpu"], r["redis, everysec"]["cpu"],
              "%.2f", at_most=0.55)
    for s in (ours, theirs):
        s.kill()


def group_always():
    ours, theirs = logged("vong", "always"), logged("redis", "always")
    for pipeline in 1, 16:
        r = alternate({"vong, always": (ours, nothing), "redis, always": (theirs, nothing)}, bed.ROUNDS, bed.SECONDS,
                      command="set", pipeline=pipeline)
        ratio_row("SET always, pipeline %d: SET/s" % pipeline, r["vong, always"]["rate"],
                  r["redis, always"]["rate"], "%.0f", at_least=1.3)
    for s in (ours, theirs):
        s.kill()


def bytes_per_key(make, keys, value):
    s = make(fresh("memory"), "--appendonly", "no").start()
    empty = s.memory()
    fill(s, keys, value)
    time.sleep(0.2)  # what is freed in the background is freed
    got = (s.memory() - empty) / keys
    s.kill()
    return got


def group_memory():
    for keys in [1000000] + ([] if bed.QUICK else [10000000]):
        for value, goal in (8, 0.55), (32, 0.55), (100, 0.70):
            ours, theirs = (bytes_per_key(make, keys, value) for make in (vong, redis))
            ratio_row("bytes a key, %d M keys, value %d B" % (keys // 1000000, value), [ours], [theirs], "%.1f",
                      at_most=goal)


def rewrite_under_writes(s, keys):
    """The worst latency in milliseconds of four clients that write while the log is rewritten; the
    peak of memory over what it was; the course of the worst latencies, a tenth of a second each."""
    load = subprocess.Popen(drive(s, command="set", keys=keys, clients=4, seconds=bed.REWRITE_SECONDS, rest=200),
                            stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    before = s.memory()
    s.forget_peak()
    began = time.monotonic()
    s.must("BGREWRITEAOF")
    while s.info("aof_rewrite_in_progress") != "0" or s.info("aof_rewrite_scheduled") != "0":
        if time.monotonic() - began > bed.REWRITE_SECONDS - 1:
            sys.exit("%s: the rewrite is not over before the writes are" % s.name)
        time.sleep(0.05)
    took = time.monotonic() - began
    peak = s.memory("VmHWM") + int(s.info("aof_last_cow_size"))
    if s.info("aof_last_bgrewrite_status") != "ok":
        sys.exit("%s: the rewrite failed" % s.name)
    load.terminate()
    tenths = json.loads(load.communicate()[0])["tenths"]
    during = tenths[5:5 + int(took * 10) + 1]
    return max(during) / 1000, peak / before, tenths, took


def group_load():
    keys = 1000000 if bed.QUICK else 10000000
    speed, worst, peak = {}, {}, {}
    for make, more in (vong, []), (redis, ["--aof-use-rdb-preamble", "no"]):
        where = fresh("load")
        s = make(where, "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0", *more, realtime="parent").start()
        fill(s, keys)
        s.stop()
        began = time.monotonic()
        s.start()
        speed[s.name] = keys / (time.monotonic() - began)
        if s.ask("DBSIZE") != ":%d" % keys:
            sys.exit("%s: %s keys were loaded" % (s.name, s.ask("DBSIZE")))
        worst[s.name], peak[s.name], PLOT["rewrite"][s.name], took = rewrite_under_writes(s, keys)
        print("%s: the rewrite of %d keys took %.1f s" % (s.name, keys, took), flush=True)
        s.kill()
        shutil.rmtree(where)
    millions = keys // 1000000
    ratio_row("AOF load, %d M keys of 64 B: keys/s" % millions, [speed["vong"]], [speed["redis"]], "%.0f",
              at_least=3.0)
    row("rewrite, %d M keys under writes: worst latency, ms" % millions, "%.1f" % worst["vong"],
        "%.1f" % worst["redis"], "%.2f" % (worst["vong"] / worst["redis"]), "< 5 ms", worst["vong"] < 5)
    row("rewrite, %d M keys under writes: peak memory / before" % millions, "%.2f" % peak["vong"],
        "%.2f" % peak["redis"], "%.2f" % (peak["vong"] / peak["redis"]), "< 1.05 x", peak["vong"] < 1.05)
