# SPDX-License-Identifier: BSD-3-Clause
"""The servers that are measured, each a process with a directory of its own, and what drives them.

`run` fills in what was asked for (QUICK ... SCRATCH) before any group begins."""

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import time

QUICK = REALTIME = False
ROUNDS, SECONDS, REWRITE_SECONDS = 7, 1.5, 600
SCRATCH = DRIVER = ETCD_DRIVER = ECHO = VONG = VONG_PROXY = REDIS = REDIS_CLI = ETCD = NUTCRACKER = None  # paths

TICK = os.sysconf("SC_CLK_TCK")
CPUS = sorted(os.sched_getaffinity(0))


def pinned(cpu, realtime):
    """A forked child of a server is not in the real-time class: it would starve its parent."""
    words = ["taskset", "-c", str(cpu)]
    if not realtime:
        return words
    return ["chrt", "-f", "1"] + words if realtime == "all" else ["chrt", "-R", "-f", "1"] + words


def realtime_permitted():
    try:
        return subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def reply_of(f):
    line = f.readline().decode()
    if line[:1] == "$" and line[1] != "-":
        return f.read(int(line[1:]) + 2)[:-2].decode()
    if line[:1] == "*" and line[1] != "-":
        return [reply_of(f) for _ in range(int(line[1:]))]
    return line.strip()


class Server:
    """A process that answers on a port. Its directory outlives it, so that it can be started again."""

    host = "127.0.0.1"

    def __init__(self, name, words, directory, realtime="all"):
        self.name, self.words, self.directory, self.realtime = name, words, directory, realtime
        self.port = free_port()
        self.words = [w.replace("PORT", str(self.port)) for w in words]
        os.makedirs(directory, exist_ok=True)
        self.process = None

    def start(self, wait=True):
        with open(os.path.join(self.directory, "output"), "ab") as log:
            self.process = subprocess.Popen(pinned(CPUS[0], REALTIME and self.realtime) + self.words,
                                            cwd=self.directory, stdout=log, stderr=log)
        atexit.register(self.process.kill)  # whatever ends the run; one that is gone is not touched
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, limit=600):
        """Until it answers, its keys loaded. A cluster's first node may lack others for an answer."""
        until = time.monotonic() + limit
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                if self.name == "echo":
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    return
                reply = self.ask("GET", "x")
                if not reply.startswith("-") or reply.startswith("-NOREPLICAS"):
                    return
            except OSError:
                pass
            time.sleep(0.005)
        with open(os.path.join(self.directory, "output"), errors="replace") as log:
            sys.exit("%s does not answer: %s" % (self.name, log.read()[-2000:]))

    def ask(self, *words):
        """One request, its reply as text: of a bulk its bytes, of an error the line with its '-'; an array as a list."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as s, s.makefile("rwb") as f:
            f.write(b"*%d\r\n" % len(words))
            for w in words:
                f.write(b"$%d\r\n%s\r\n" % (len(w), w.encode()))
            f.flush()
            return reply_of(f)

    def info(self, field):
        for line in self.ask("INFO", "everything").splitlines():
            if line.startswith(field + ":"):
                return line.split(":", 1)[1]
        sys.exit("%s has no %s in its INFO" % (self.name, field))

    def must(self, *words):
        got = self.ask(*words)
        if got == "" or got[0] == "-":
            sys.exit("%s: %s: %s" % (self.name, " ".join(words), got))

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid) as f:
            after_name = f.read().rsplit(")", 1)[1].split()
        return (int(after_name[11]) + int(after_name[12])) / TICK

    def memory(self, field="VmRSS"):
        with open("/proc/%d/status" % self.process.pid) as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024

    def forget_peak(self):
        with open("/proc/%d/clear_refs" % self.process.pid, "w") as f:
            f.write("5")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()


def drive(server, **options):
    """Where it says which slots are where (slots_at), it is asked as a cluster library asks."""
    words = pinned(CPUS[-1], REALTIME and "all") + [ETCD_DRIVER if server.name.startswith("etcd") else DRIVER]
    words += ["--slots", server.slots_at] if getattr(server, "slots_at", None) else ["--port", str(server.port)]
    for name, value in options.items():
        words += ["--" + name] + ([] if value is True else [str(value)])
    return words


def driven(server, **options):
    done = subprocess.run(drive(server, **options), stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("the driver met errors at %s: %s" % (server.name, done.stdout))
    return json.loads(done.stdout)


def fill(server, keys, value=64):
    driven(server, keys=keys, value=value, pipeline=64, clients=16, fill=True)


def vong(where, *words, **how):
    return Server("vong", [VONG, "--port", "PORT", "--dir", where, "--save", ""] + list(words), where, **how)


def redis(where, *words, **how):
    return Server("redis", [REDIS, "--port", "PORT", "--dir", where, "--save", ""] + list(words), where, **how)


def fresh(name):
    where = os.path.join(SCRATCH, name)
    shutil.rmtree(where, ignore_errors=True)
    return where
