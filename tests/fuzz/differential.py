#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Random commands against vong-server and a live redis-server: every reply is compared byte for byte.

    differential.py [--seed N] [--count M] [--resp 2|3] [--ours PROGRAM] [--theirs PROGRAM] [--shrink]

Both servers get the same commands on the same connections: every command that touches the keyspace
with every option, transactions with watched keys, pipelines of any length, inline commands, wrong
arities, wrong words, numbers at and past their edges. What may differ stands in known-differences.
The commands are drawn before the first is sent, from the seed alone, so a failing run repeats and
can be shrunk. Prints TAP; without --seed it makes the short runs of `make check`.
"""
import argparse
import fnmatch
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# ---------------------------------------------------------------- templates
#
# A command's words, drawn anew for each use. In a template
#   [x]      is there or not          (x|y)  one of them
#   {x}      none to three times      <name> a value of that sort, see Draw
# and any other word stands for itself.

TEMPLATES = """
SET <key> <value>
SET <key> <value> [(NX|XX)] [GET] [(EX <seconds>|PX <millis>|EXAT <at>|PXAT <atms>|KEEPTTL)]
SET <key> <value> {(NX|XX|GET|KEEPTTL|EX <seconds>|PX <millis>|EXAT <at>|PXAT <atms>|PERSIST)}
SETNX <key> <value>
SETEX <key> <seconds> <value>
PSETEX <key> <millis> <value>
GET <key>
GET <key>
GETEX <key> [(EX <seconds>|PX <millis>|EXAT <at>|PXAT <atms>|PERSIST)]
GETEX <key> {(EX <seconds>|PX <millis>|EXAT <at>|PXAT <atms>|PERSIST|KEEPTTL|NX)}
GETDEL <key>
GETSET <key> <value>
MGET <key> {<key>}
MSET <key> <value> {<key> <value>}
MSETNX <key> <value> {<key> <value>}
APPEND <key> <value>
STRLEN <key>
SUBSTR <key> <index> <index>
GETRANGE <key> <index> <index>
SETRANGE <key> <offset> <value>
INCR <key>
DECR <key>
INCRBY <key> <integer>
DECRBY <key> <integer>
INCRBYFLOAT <key> <float>
LCS <key> <key> [(LEN|IDX)] [MINMATCHLEN <index>] [WITHMATCHLEN]
LCS <key> <key> {(LEN|IDX|MINMATCHLEN <index>|WITHMATCHLEN)}
SETBIT <key> <bit> (0|1)
SETBIT <key> <bit> <index>
GETBIT <key> <bit>
BITCOUNT <key> [<index> <index> [(BYTE|BIT)]]
BITPOS <key> (0|1) [<index> [<index> [(BYTE|BIT)]]]
BITPOS <key> <index> <index> <index> <word>
BITOP (AND|OR|XOR) <key> <key> {<key>}
BITOP NOT <key> <key>
BITOP <word> <key> <key> {<key>}
BITFIELD <key> {(GET <type> <bit>|SET <type> <bit> <field>|INCRBY <type> <bit> <integer>|OVERFLOW (WRAP|SAT|FAIL))}
BITFIELD <key> [OVERFLOW (WRAP|SAT|FAIL)] (SET|INCRBY) <type> <bit> <field> {INCRBY <type> <bit> <integer>}
BITFIELD_RO <key> {GET <type> <bit>}
BITFIELD_RO <key> GET <type> <bit> [SET <type> <bit> <field>]
DEL <key> {<key>}
UNLINK <key> {<key>}
EXISTS <key> {<key>}
TOUCH <key> {<key>}
TYPE <key>
EXPIRE <key> <seconds> {(NX|XX|GT|LT)}
PEXPIRE <key> <millis> {(NX|XX|GT|LT)}
EXPIREAT <key> <at> {(NX|XX|GT|LT)}
PEXPIREAT <key> <atms> {(NX|XX|GT|LT)}
EXPIRE <key> <seconds>
PEXPIREAT <key> <atms>
TTL <key>
PTTL <key>
EXPIRETIME <key>
PEXPIRETIME <key>
PERSIST <key>
RENAME <key> <key>
RENAMENX <key> <key>
COPY <key> <key> [DB <db>] [REPLACE]
COPY <key> <key> {(DB <db>|REPLACE)}
MOVE <key> <db>
KEYS <pattern>
SCAN 0 COUNT 1000 [MATCH <pattern>] [TYPE (string|STRING|hash|list|nosuch)]
SCAN 0 {(MATCH <pattern>|COUNT <index>|TYPE (string|zset))}
SCAN <junk> {(MATCH <pattern>|COUNT <index>|TYPE string)}
RANDOMKEY
OBJECT ENCODING <key>
OBJECT REFCOUNT <key>
OBJECT IDLETIME <key>
OBJECT FREQ <key>
OBJECT HELP
OBJECT <word> <key>
DUMP <key>
RESTORE <key> <ttl> <payload> [REPLACE]
RESTORE <key> (<atms>|9223372036854775806) <payload> ABSTTL [REPLACE]
RESTORE <key> <ttl> <payload> {(REPLACE|ABSTTL|IDLETIME <index>|FREQ <index>)}
RESTORE-ASKING <key> <ttl> <payload> {(REPLACE|ABSTTL|IDLETIME <index>|FREQ <index>)}
SORT <key> {(ASC|DESC|ALPHA|BY <pattern>|GET <pattern>|LIMIT <index> <index>|STORE <key>)}
SORT <missing> {(ASC|DESC|ALPHA|BY <pattern>|GET <pattern>|LIMIT <index> <index>|STORE <key>)}
SORT_RO (<key>|<missing>) {(ASC|DESC|ALPHA|BY <pattern>|GET <pattern>|LIMIT <index> <index>|STORE <key>)}
DBSIZE
MEMORY USAGE <key> [SAMPLES <index>]
ECHO <value>
TIME
LOLWUT [VERSION <index>]
SELECT <db>
PING [<value>]
"""

RARE = """
FLUSHDB [(SYNC|ASYNC|<word>)]
FLUSHALL [(SYNC|ASYNC|<word>)]
SWAPDB <db> <db>
nosuchcommand {<value>}
"""

# The connection and the server.
ADMIN = """
ACL WHOAMI
AUTH <value>
AUTH (default|nobody) <value>
CLIENT GETNAME
CLIENT SETNAME (me|you|<word>|two words)
CLIENT GETREDIR
CLIENT HELP
CLIENT ID
CLIENT INFO
CLIENT KILL (1.2.3.4:5|<word>)
CLIENT KILL {(ID (77777777|<junk>)|ADDR 1.2.3.4:5|LADDR 1.2.3.4:5|TYPE (replica|pubsub|<word>)|USER (nobody|default)|SKIPME (yes|no|<word>))} ID 77777777
CLIENT LIST [TYPE (normal|<word>)]
CLIENT LIST [ID (77777777|<junk>)]
CLIENT NO-EVICT (ON|OFF|<word>)
CLIENT PAUSE <junk> [(WRITE|ALL|<word>)]
CLIENT REPLY (ON|<word>)
CLIENT TRACKINGINFO
CLIENT UNBLOCK (77777777|<junk>) [(TIMEOUT|ERROR|<word>)]
CLIENT UNPAUSE
CLIENT <word>
COMMAND
COMMAND COUNT
COMMAND DOCS [(get|set|nosuch)]
COMMAND GETKEYS (get a|set a b|mset a 1 b 2|bitop and a b c|sort a store b|object encoding a|rename a b|ping|nosuch x|get|memory usage a)
COMMAND GETKEYSANDFLAGS (get a|set a b|set a b get|mset a 1 b 2|bitop and a b c|sort a store b|copy a b|bitfield a get u8 0|bitfield a set u8 0 1)
COMMAND HELP
COMMAND INFO {(get|SET|mset|append|lcs|bitfield|sort|bitop|exec|nosuch|getex|copy|migrate|debug|ping|hello|del|scan|wait|restore)}
COMMAND INFO (object|config|client|memory|slowlog)
COMMAND LIST [FILTERBY (PATTERN set*|PATTERN nosuch|MODULE x|ACLCAT bitmap|ACLCAT nosuch|<word> x)]
COMMAND <word>
CONFIG GET (maxmemory|maxmemory-samples|MAXMEMORY-POLICY|databases|nosuch|lfu-*|proto-max-bulk-len|timeout|slowlog-*) {(maxmemory|lfu-*)}
CONFIG HELP
CONFIG RESETSTAT
CONFIG REWRITE
CONFIG SET (maxmemory-samples|slowlog-max-len|lfu-log-factor|lfu-decay-time|latency-monitor-threshold|nosuch) (<integer>|10)
CONFIG SET (maxmemory-samples 7 lfu-log-factor|maxmemory-samples 7 maxmemory-samples|maxmemory-policy|lazyfree-lazy-user-del) (<index>|yes|noeviction)
CONFIG <word>
DEBUG SLEEP 0
FUNCTION FLUSH [(ASYNC|SYNC|<word>)]
HELLO [(2|3|4|<junk>)]
HELLO (2|3) [AUTH (default|nobody) x] [SETNAME (me|you)]
HELLO (2|3) <word>
INFO [(server|memory|everything|nosuch)]
LASTSAVE
LATENCY DOCTOR
LATENCY GRAPH nosuch
LATENCY HELP
LATENCY HISTOGRAM [(get|nosuch)]
LATENCY HISTORY (command|nosuch)
LATENCY LATEST
LATENCY RESET [nosuch]
MEMORY DOCTOR
MEMORY HELP
MEMORY MALLOC-STATS
MEMORY PURGE
MEMORY STATS
MEMORY <word>
MODULE HELP
MODULE LIST
RESET
ROLE
SLOWLOG GET [<index>]
SLOWLOG HELP
SLOWLOG LEN
SLOWLOG RESET
UNWATCH
WAIT 0 <index>
WAIT <junk> 0
"""

# What may meet KEY when it is due, before all is settled by EXISTS.
MEETINGS = ["GET KEY", "INCR KEY", "SETNX KEY <value>", "APPEND KEY x", "SETBIT KEY 3 1", "TTL KEY", "PERSIST KEY",
            "EXPIRE KEY 100000", "RENAME KEY a", "RENAMENX a KEY", "COPY KEY b", "COPY b KEY", "MOVE KEY 1", "DEL KEY a",
            "TYPE KEY", "OBJECT ENCODING KEY", "DUMP KEY", "MGET a KEY b", "MSETNX KEY 1", "SORT KEY", "GETDEL KEY",
            "GETEX KEY", "SET KEY v XX", "SET KEY v KEEPTTL", "SET KEY v GET", "BITOP OR c a KEY", "LCS KEY a",
            "STRLEN KEY", "KEYS *", "SCAN 0 COUNT 1000", "BITFIELD KEY INCRBY u8 0 1", "SETRANGE KEY 2 x", "TOUCH KEY",
            "RESTORE KEY 0 <payload>", "BITCOUNT KEY", "EXISTS KEY KEY"]

I64_MAX = 2**63 - 1
EDGES = [0, 1, -1, I64_MAX, -I64_MAX - 1, I64_MAX - 1, I64_MAX // 1000, I64_MAX // 1000 + 1,
         I64_MAX // 8, I64_MAX // 8 + 1, -(I64_MAX // 8), 2**29, 2**29 + 1, 2**60,
         2**31 - 1, 2**31, -2**31, -2**31 - 1, 2**32, 2**32 - 1, 255, 256, 127, 128]
NO_NUMBERS = [b"", b"abc", b"1.5", b" 1", b"1 ", b"+1", b"01", b"-0", b"--1", b"0x10", b"1e3",
              b"9223372036854775808", b"-9223372036854775809", b"99999999999999999999", b"9" * 300, b"\xff"]
FLOATS = [b"0.1", b"-0.1", b"3.0e3", b"1e-7", b"0", b"5", b"-7.25", b"inf", b"-inf", b"nan", b"1e300",
          b"1e4000", b"1e5000", b"1e-5000", b"0x1p3", b"17179869184.123456789", b".5", b"5.", b"-0",
          b"0.000000000000000001", b"123456789012345678901234567890", b"1e4932", b"-1e4932", b"1e-4950",
          b"0x1.8p1", b"nan(abc)", b"infinity", b"1e", b"1e+", b".", b"\t1", b"1\n", b"1_0", b"1e17", b"5e-18",
          b"99999999999999999.99999999999999999", b"9223372036854775807.5", b"1" * 255, b"1" * 256, b"0." + b"1" * 200]
AGO = 1000000000           # 2001
AHEAD = 4102444800         # 2100


class Draw:
    """Draws words of each sort from one generator."""

    def __init__(self, rng):
        self.rng = rng

    def some(self, *pairs):
        """One of several (weight, function)."""
        at = self.rng.random() * sum(weight for weight, _ in pairs)
        for weight, make in pairs:
            at -= weight
            if at < 0:
                return make()
        return pairs[-1][1]()

    def number(self, make):
        return self.some((20, lambda: b"%d" % make()),
                         (2, lambda: b"%d" % self.rng.choice(EDGES)),
                         (1, lambda: self.rng.choice(NO_NUMBERS)))

    def key(self):
        return self.rng.choice([b"a", b"b", b"c", b"d", b"e", b"n1", b"n2", b"{t}x", b"key:1", b"\xff\x00k", b""])

    def missing(self):
        return b"missing"

    def word(self):
        return self.rng.choice([b"NX", b"GET", b"EX", b"BIT", b"BYTE", b"foo", b"", b"*", b"DB", b"LIMIT"])

    def junk(self):
        return self.rng.choice(NO_NUMBERS + [b"-1", b"0", b"5 5", b"+", b"-", b"18446744073709551615",
                                             b"18446744073709551616"])

    def bytes(self, n):
        return bytes(self.rng.getrandbits(8) for _ in range(n))

    def value(self):
        r = self.rng
        return self.some((6, lambda: b"%d" % r.randrange(-20, 20000)),
                         (2, lambda: b"%d" % r.choice(EDGES)),
                         (2, lambda: r.choice(FLOATS)),
                         (1, lambda: r.choice(NO_NUMBERS)),
                         (5, lambda: r.choice([b"v", b"hello world", b"ohmytext", b"mynewtext", b"x" * 44, b"x" * 45])),
                         (3, lambda: self.bytes(r.randrange(24))),
                         (1, lambda: self.bytes(r.randrange(1500))),
                         (1, lambda: r.choice([b"\xff", b"\x00", b"ab"]) * r.randrange(900)),
                         (.2, lambda: b"0123456789" * r.randrange(4000)))

    def integer(self):
        return self.number(lambda: self.rng.choice([1, 2, 7, -1, -3, 100, self.rng.randrange(-300, 300)]))

    def field(self):
        """An integer, but not the one so low that saturating it wraps around in Redis: see known-differences."""
        drawn = self.some((20, self.integer), (1, lambda: b"%d" % self.rng.choice([-2**62, 2**62, 2**61, -2**61 - 1])))
        return b"-7" if drawn == b"%d" % -2**63 else drawn

    def index(self):
        return self.number(lambda: self.rng.randrange(-12, 30))

    def db(self):
        return self.some((20, lambda: b"%d" % self.rng.randrange(3)),
                         (1, lambda: self.rng.choice([b"15", b"16", b"-1", b"2147483648", b"x"])))

    def float(self):
        return self.some((5, lambda: self.rng.choice(FLOATS)), (2, lambda: b"%d" % self.rng.randrange(-9, 9)),
                         (3, lambda: b"%.*f" % (self.rng.randrange(18), self.rng.uniform(-1e6, 1e6))),
                         (1, lambda: self.rng.choice(NO_NUMBERS)))

    def offset(self):
        """Nothing that would make a string of 512 MB: only what is too great for one."""
        return self.some((20, lambda: b"%d" % self.rng.randrange(40)), (2, lambda: b"%d" % self.rng.randrange(9000)),
                         (1, lambda: self.rng.choice([b"536870912", b"536870913", b"-1", b"9223372036854775807"])),
                         (1, lambda: self.rng.choice(NO_NUMBERS)))

    def bit(self):
        return self.some((20, lambda: b"%d" % self.rng.randrange(200)), (2, lambda: b"%d" % self.rng.randrange(70000)),
                         (3, lambda: b"#%d" % self.rng.randrange(20)),
                         (1, lambda: self.rng.choice([b"4294967296", b"-1", b"9223372036854775807", b"#-1", b"#"])),
                         (1, lambda: self.rng.choice(NO_NUMBERS)))

    def type(self):
        return self.some((20, lambda: b"%c%d" % (self.rng.choice(b"iu"), self.rng.choice([1, 2, 5, 8, 16, 31, 32, 33, 62, 63]))),
                         (2, lambda: b"i64"),
                         (1, lambda: self.rng.choice([b"u64", b"i65", b"i0", b"u0", b"x8", b"i", b"", b"I8", b"i-1"])))

    # Relative times are far apart from one another, so that GT and LT do not hang on a millisecond,
    # and so long that nothing is over before the run is.
    def long_time(self, make):
        return self.some((20, lambda: b"%d" % make()),
                         (2, lambda: b"%d" % self.rng.choice([n for n in EDGES if n <= 0 or n > 2**31])),
                         (1, lambda: self.rng.choice(NO_NUMBERS)))

    def seconds(self):
        return self.long_time(lambda: self.rng.randrange(10**5, 10**9))

    def millis(self):
        return self.long_time(lambda: self.rng.randrange(10**8, 10**12))

    def ttl(self):
        return self.some((5, lambda: b"0"), (5, lambda: b"%d" % self.rng.randrange(10**8, 10**12)),
                         (1, lambda: self.rng.choice([b"-1", b"x", b"9223372036854775808"])))

    def at(self):
        return self.number(lambda: self.rng.choice([AGO, AHEAD, AHEAD + self.rng.randrange(1000)]))

    def atms(self):
        return self.number(lambda: 1000 * self.rng.choice([AGO, AHEAD, AHEAD + self.rng.randrange(1000)]))

    def pattern(self):
        return self.rng.choice([b"*", b"?", b"[a-c]", b"[^a]*", b"n*", b"*1", b"\\*", b"", b"key:?", b"nosuch", b"[d-b]",
                                b"[", b"a\\", b"*[12]", b"{t}*"])

    def payload(self):
        return self.some((8, lambda: dumped(self.value())), (2, lambda: dumped(b"A" * 300, packed=LZF_300_A)),
                         (1, lambda: dumped(b"", raw=self.bytes(self.rng.randrange(1, 12)))),
                         (1, lambda: self.bytes(self.rng.randrange(30))),
                         (1, lambda: dumped(self.value())[:-1] + b"!"),
                         (1, lambda: dumped(self.value(), version=11)),
                         (1, lambda: dumped(self.value(), version=6)))


def template_draw(words, draw):
    """The words of a template, which are a list of words and of lists that begin with '[', '{' or '('."""
    out = []
    for word in words:
        if isinstance(word, str):
            sort = re.fullmatch(r"<(\w+)>", word)
            out.append(getattr(draw, sort.group(1))() if sort else word.encode())
        elif word[0] == "(":
            out += template_draw(draw.rng.choice(word[1:]), draw)
        else:
            times = draw.rng.randrange(2) if word[0] == "[" else draw.rng.randrange(4)
            for _ in range(times):
                out += template_draw(word[1:], draw)
    return out


def template_read(text):
    """'SET <key> [(NX|XX)]' as nested lists."""
    tokens = re.findall(r"[\[\](){}|]|[^\s\[\](){}|]+", text)

    def read(close):
        items, choices = [], []
        while tokens:
            token = tokens.pop(0)
            if token == close:
                return choices + [items] if close == ")" else items
            if token == "|":
                choices.append(items)
                items = []
            elif token in "[({":
                items.append([token] + read({"[": "]", "(": ")", "{": "}"}[token]))
            else:
                items.append(token)
        return items
    return read(None)


# ------------------------------------------------------------------- DUMP

def crc64_table():
    table = []
    for i in range(256):
        c = i
        for _ in range(8):
            c = c >> 1 ^ (0x95ac9329ac4bc9b5 if c & 1 else 0)
        table.append(c)
    return table


CRC64 = crc64_table()
LZF_300_A = b"\x00A\xe0\xff\x00\xe0\x1a\x00\x00A"  # 1 + 264 + 35 bytes; its last literal is one more A


def crc64(data):
    crc = 0
    for byte in data:
        crc = CRC64[(crc ^ byte) & 255] ^ crc >> 8
    return crc


def length(n):
    if n < 64:
        return bytes([n])
    if n < 16384:
        return bytes([64 | n >> 8, n & 255])
    return b"\x80" + struct.pack(">I", n)


def dumped(value, packed=None, raw=None, version=10):
    body = b"\x00" + length(len(value)) + value
    if packed is not None:
        body = b"\x00\xc3" + length(len(packed)) + length(len(value)) + packed
    if raw is not None:
        body = raw
    body += struct.pack("<H", version)
    return body + struct.pack("<Q", crc64(body))


def lzf(data):
    out, at = bytearray(), 0
    while at < len(data):
        control = data[at]
        at += 1
        if control < 32:
            out += data[at:at + control + 1]
            at += control + 1
            continue
        n = control >> 5
        if n == 7:
            n += data[at]
            at += 1
        back = ((control & 31) << 8 | data[at]) + 1
        at += 1
        for _ in range(n + 2):
            out.append(out[-back])
    return bytes(out)


def undumped(payload):
    """The string in a payload; its checksum must be right."""
    assert struct.unpack("<Q", payload[-8:])[0] == crc64(payload[:-8]), "checksum"
    assert payload[0] == 0, "not a string"

    def read_length(at):
        kind = payload[at] >> 6
        if kind == 0:
            return payload[at], at + 1
        if kind == 1:
            return (payload[at] & 63) << 8 | payload[at + 1], at + 2
        return struct.unpack(">I", payload[at + 1:at + 5])[0], at + 5
    first = payload[1]
    if first >> 6 == 3:
        if first & 63 == 3:
            packed, at = read_length(2)
            _, at = read_length(at)
            return lzf(payload[at:at + packed])
        size = 1 << (first & 63)
        return b"%d" % int.from_bytes(payload[2:2 + size], "little", signed=True)
    n, at = read_length(1)
    return payload[at:at + n]


# -------------------------------------------------------------------- plan
#
# What is done, drawn beforehand: ("send", connection, [command, ...], inline?) and ("sleep", ms).

class Planner:
    def __init__(self, seed, resp):
        self.rng = random.Random(seed)
        self.draw = Draw(self.rng)
        self.resp = resp
        lines = [line for line in TEMPLATES.strip().splitlines()]
        self.common = [template_read(line) for line in lines]
        self.rare = [template_read(line) for line in RARE.strip().splitlines()]
        self.admin = [template_read(line) for line in ADMIN.strip().splitlines()]

    def command(self):
        chance = self.rng.random()
        templates = self.rare if chance < 0.01 else self.admin if chance < 0.05 else self.common
        words = template_draw(self.rng.choice(templates), self.draw)
        if self.rng.random() < 0.04 and templates is not self.admin:
            words = self.spoil(words)
        return [word.swapcase() if i == 0 and self.rng.random() < 0.1 else word for i, word in enumerate(words)]

    def spoil(self, words):
        """One word too few, too many, or wrong; never the name, lest another type come to be."""
        words = list(words)
        at = self.rng.randrange(1, len(words) + 1)
        how = self.rng.randrange(4)
        if how == 0:
            return words[:at]
        if how == 1:
            return words[:at] + [self.draw.word()] + words[at:]
        if how == 2 and at < len(words):
            return words[:at] + words[at + 1:]
        if at < len(words):
            words[at] = self.rng.choice([self.draw.word, self.draw.junk, self.draw.value])()
        return words

    def followed(self, words):
        """A SET whose time is over is looked at at once: Redis drops the key only then."""
        if words[0].upper() in (b"SET", b"RESTORE", b"RESTORE-ASKING") and len(words) > 3:
            return [words, [b"EXISTS", words[1]]]
        return [words]

    def transaction(self):
        """Commands between MULTI and EXEC, sometimes with mistakes."""
        out = [[b"MULTI"]]
        for _ in range(self.rng.randrange(6)):
            out += [self.rng.choice([[b"MULTI"], [b"WATCH", b"a"], self.command()])
                    if self.rng.random() < 0.05 else self.command()]
            if out[-1][0].upper() in (b"SET", b"RESTORE", b"RESTORE-ASKING"):
                out.append([b"EXISTS"] + out[-1][1:2])
        out.append([b"EXEC"] if self.rng.random() < 0.85 else [b"DISCARD"])
        return out

    def watched(self):
        key = self.draw.key()
        steps = [("send", 0, [[b"WATCH", key, self.draw.key()], [b"GET", key]], False)]
        if self.rng.random() < 0.7:
            other = self.command()
            if self.rng.random() < 0.5:
                other = [b"SET", key, self.draw.value()]
            steps.append(("send", 1, self.followed(other), False))
        if self.rng.random() < 0.2:
            steps.append(("send", 0, [[b"UNWATCH"]], False))
        steps.append(("send", 0, self.transaction(), False))
        return steps

    def step(self):
        chance = self.rng.random()
        if chance < 0.04:
            return self.watched()
        if chance < 0.10:
            return [("send", self.rng.randrange(2), self.transaction(), False)]
        if chance < 0.11:
            key = self.draw.key()
            brief = self.rng.choice([[b"SET", key, b"5", b"PX", b"1"], [b"PSETEX", key, b"1", b"v"], [b"PEXPIRE", key, b"1"],
                                     [b"GETEX", key, b"PX", b"1"]])
            met = template_draw(template_read(self.rng.choice(MEETINGS)), self.draw)
            met = [key if word == b"KEY" else word for word in met]
            return [("send", 0, [brief], False), ("sleep", 4), ("send", 0, [met, [b"EXISTS", key]], False)]
        if chance < 0.14:
            words = self.command()
            plain = all(re.fullmatch(rb"[A-Za-z0-9:_.-]+", word) for word in words)
            return [("send", 0, self.followed(words) if not plain else [words], plain and words[0].upper() not in (b"SET", b"RESTORE", b"RESTORE-ASKING"))]
        many = self.rng.choice([1, 1, 1, 2, 5, 30])
        commands = []
        for _ in range(many):
            commands += self.followed(self.command())
        return [("send", self.rng.choice([0, 0, 0, 1]), commands, False)]

    def plan(self, count):
        steps, n = [], 0
        if self.resp == 3:
            steps = [("send", c, [[b"HELLO", b"3"]], False) for c in (0, 1)]
        while n < count:
            more = self.step()
            steps += more
            n += sum(len(step[2]) for step in more if step[0] == "send")
        return steps


# ------------------------------------------------------------------ servers

def encode(words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Reply:
    """One reply: its kind, its bytes, and its parts if it has some."""

    def __init__(self, kind, raw, payload, parts):
        self.kind, self.raw, self.payload, self.parts = kind, raw, payload, parts


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.bytes, self.at = b"", 0

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        got = self.socket.recv(1 << 20)
        if not got:
            raise ConnectionError("the server closed the connection")
        self.bytes = self.bytes[self.at:] + got
        self.at = 0

    def take(self, n):
        while len(self.bytes) - self.at < n:
            self.more()
        self.at += n
        return self.bytes[self.at - n:self.at]

    def line(self):
        while True:
            end = self.bytes.find(b"\r\n", self.at)
            if end >= 0:
                return self.take(end + 2 - self.at)
            self.more()

    def reply(self):
        head = self.line()
        kind, text = head[:1], head[1:-2]
        if kind in b"$=":
            if text == b"-1":
                return Reply(b"_", head, None, [])
            body = self.take(int(text) + 2)
            return Reply(kind, head + body, body[:-2], [])
        if kind in b"*~>%":
            if text == b"-1":
                return Reply(b"_", head, None, [])
            parts = [self.reply() for _ in range(int(text) * (2 if kind == b"%" else 1))]
            return Reply(kind, head + b"".join(part.raw for part in parts), text, parts)
        return Reply(kind, head, text, [])


class Server:
    """A server of its own directory and socket, ended by its process id. It may begin with another's log."""

    def __init__(self, name, program, options, log_of=None):
        self.name = name
        self.dir = tempfile.mkdtemp(prefix="differential-%s-" % name)
        if log_of is not None:
            shutil.copytree(os.path.join(log_of.dir, "appendonlydir"), os.path.join(self.dir, "appendonlydir"))
        self.path = os.path.join(self.dir, "s")
        self.command = [program, "--port", "0", "--unixsocket", self.path, "--dir", self.dir, "--save", "",
                        "--enable-debug-command", "yes", "--databases", "16"] + options
        self.start()

    def start(self):
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            try:
                self.connections = [Connection(self.path)]
                self.connections[0].send(encode([b"PING"]))
                if self.connections[0].reply().raw == b"+PONG\r\n":
                    break
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(self.dir, "log"), errors="replace") as log:
                    raise SystemExit("Bail out! %s does not start: %s" % (self.command[0], log.read()[-2000:]))
            time.sleep(0.02)
        self.connections.append(Connection(self.path))

    def ask(self, *words):
        return self.ask_on(0, *words)

    def ask_on(self, c, *words):
        self.connections[c].send(encode(list(words)))
        return self.connections[c].reply()

    def stop(self):
        for connection in self.connections:
            connection.socket.close()
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def remove(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


# -------------------------------------------------------------- comparisons

def rules_read():
    rules = []
    with open(os.path.join(HERE, "known-differences")) as lines:
        for line in lines:
            line = line.strip()
            if line and not line.startswith("#"):
                how, pattern, reason = (part.strip() for part in line.split("|", 2))
                if not reason:
                    raise SystemExit("Bail out! known-differences: no reason in: " + line)
                rules.append((how.split(), pattern))
    return rules


def rules_of(rules, words):
    text = b" ".join(words).decode("latin-1").upper()
    return [how for how, pattern in rules if how[0] != "absent" and fnmatch.fnmatchcase(text, pattern)]


def without_notes(reply):
    """A reply as nested lists, without the pairs whose first is "notes"."""
    if not reply.parts:
        return reply.raw
    parts, out, at = reply.parts, [reply.kind], 0
    while at < len(parts):
        if parts[at].payload == b"notes":
            at += 2
            continue
        out.append(without_notes(parts[at]))
        at += 1
    return out


def same(hows, ours, theirs):
    """Are these two equal, or does one of the rules allow them to differ as they do?"""
    return ours.raw == theirs.raw or ours.kind == theirs.kind and any(allowed(how, ours, theirs) for how in hows)


def allowed(how, ours, theirs):
    if how[0] == "error":
        return ours.kind == b"-"
    if how[0] == "kind":
        return ours.kind != b"-"
    if how[0] == "near":
        return ours.kind == b":" and abs(int(ours.payload) - int(theirs.payload)) <= int(how[1])
    if how[0] == "dump":
        return ours.kind == b"$" and undumped(ours.payload) == undumped(theirs.payload)
    if how[0] == "notes":
        return without_notes(ours) == without_notes(theirs)
    if how[0] == "scan" and len(ours.parts) == 2 and len(theirs.parts) == 2:
        ours, theirs = ours.parts[1], theirs.parts[1]
    return ours.kind in b"*~%" and sorted(part.raw for part in ours.parts) == sorted(part.raw for part in theirs.parts)


class Difference(Exception):
    pass


class Run:
    def __init__(self, ours, theirs, rules):
        self.ours, self.theirs, self.rules = ours, theirs, rules
        self.queued = [[], []]
        self.recent = []
        self.n = 0

    def compare(self, connection, words, ours, theirs):
        self.n += 1
        name = words[0].upper()
        self.recent = self.recent[-40:] + [(connection, words, ours.raw)]
        if ours.raw == b"+QUEUED\r\n" and theirs.raw == ours.raw:
            self.queued[connection].append(words)
            return
        good = same(rules_of(self.rules, words), ours, theirs)
        if name == b"EXEC" and ours.kind == theirs.kind == b"*" and len(ours.parts) == len(theirs.parts):
            inner = self.queued[connection]
            good = len(inner) == len(ours.parts) and all(
                same(rules_of(self.rules, inner[i]), ours.parts[i], theirs.parts[i]) for i in range(len(inner)))
        if name in (b"EXEC", b"DISCARD"):
            self.queued[connection] = []
        if not good:
            raise Difference(self.told(words, ours, theirs))

    def told(self, words, ours, theirs):
        lines = ["reply %d differs" % self.n, "command: " + shown(words), "ours:    %r" % ours.raw[:600],
                 "theirs:  %r" % theirs.raw[:600], "before:"]
        return "\n".join(lines + ["  [%d] %s -> %r" % (c, shown(w), raw[:100]) for c, w, raw in self.recent[:-1][-25:]])

    def step(self, step):
        if step[0] == "sleep":
            time.sleep(step[1] / 1000)
            return
        _, c, commands, inline = step
        data = b"".join(b" ".join(words) + b"\r\n" if inline else encode(words) for words in commands)
        for server in (self.ours, self.theirs):
            server.connections[c].send(data)
        for words in commands:
            self.compare(c, words, self.ours.connections[c].reply(), self.theirs.connections[c].reply())

    def contents(self):
        """Everything both servers hold, as replies to further commands."""
        for db in range(16):
            self.step(("send", 1, [[b"SELECT", b"%d" % db], [b"DBSIZE"], [b"KEYS", b"*"]], False))
            keys = sorted(part.payload for part in self.theirs.ask_on(1, b"KEYS", b"*").parts)
            for key in keys:
                self.step(("send", 1, [[b"GET", key], [b"PTTL", key], [b"STRLEN", key]], False))


def shown(words):
    return " ".join(repr(word)[2:-1] if len(word) < 60 else repr(word[:40])[2:-1] + "...(%d)" % len(word) for word in words) or "(nothing)"


def fresh(server):
    """Back to the beginning: nothing held, no state on the connections."""
    for connection in server.connections:
        connection.socket.close()
    server.connections = [Connection(server.path), Connection(server.path)]
    settings = (b"maxmemory-samples 5 slowlog-max-len 128 lfu-log-factor 10 lfu-decay-time 1 latency-monitor-threshold 0 "
                b"lazyfree-lazy-user-del no")
    for words in ([b"FLUSHALL"], [b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0"], [b"CONFIG", b"SET"] + settings.split()):
        reply = server.ask(*words)
        if reply.raw != b"+OK\r\n":
            raise SystemExit("Bail out! %s: %s answers %r" % (server.name, shown(words), reply.raw))


def run_steps(ours, theirs, rules, steps):
    fresh(ours)
    fresh(theirs)
    run = Run(ours, theirs, rules)
    for step in steps:
        run.step(step)
    run.step(("send", 0, [[b"DISCARD"]], False))
    run.step(("send", 1, [[b"DISCARD"]], False))
    run.contents()
    return run


def shrink(ours, theirs, rules, steps, seconds=60):
    """Fewer steps that still differ: ever smaller pieces are left out, as long as there is time."""
    deadline = time.monotonic() + seconds

    def differs(some):
        if time.monotonic() > deadline:
            return False
        try:
            run_steps(ours, theirs, rules, some)
        except Difference:
            return True
        return False
    size = len(steps) // 2
    while size > 0:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size:]
            if fewer and differs(fewer):
                steps = fewer
            else:
                at += size
        size //= 2
    single = []
    for step in steps:  # a pipeline's commands one by one
        single += [("send", step[1], [words], step[3]) for words in step[2]] if step[0] == "send" else [step]
    if len(single) > len(steps) and differs(single):
        return shrink(ours, theirs, rules, single, max(0, deadline - time.monotonic()))
    return steps


# ----------------------------------------------------------------- the table

def table_rows():
    """(name, is it one that only touches the keyspace?) of each row of the table of commands."""
    with open(os.path.join(ROOT, "src", "cmd", "commands.def")) as text:
        for line in text:
            row = re.match(r'CMD\(\w+, "([^"]+)", -?\d+, (\w+)', line) or re.match(r'SUB\(\w+, \w+, "(\w+)", "([^"]+)", -?\d+, (\w+)', line)
            if row:
                *name, kind = row.groups()
                if kind != "CONTAINER":
                    yield " ".join(name).upper()


def not_driven(rules):
    driven = [line.split() for line in (TEMPLATES + RARE + ADMIN).splitlines() if line]
    names = {words[0].upper() for words in driven} | {" ".join(words[:2]).upper() for words in driven}
    names |= {"MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "HELLO"}
    absent = [pattern for how, pattern in rules if how[0] == "absent"]
    return [name for name in table_rows()
            if name not in names and not any(fnmatch.fnmatchcase(name, pattern) for pattern in absent)]


# ------------------------------------------------------------------- main

def reloaded(tap, o, ours, theirs, rules):
    """What the run left is what our log has: for ourselves, and for a redis-server that loads it."""
    def holds(server, title):
        for other in (server, theirs):
            for connection in other.connections:
                connection.socket.close()
            other.connections = [Connection(other.path), Connection(other.path)]
        try:
            Run(server, theirs, rules).contents()
            tap.say(True, title)
        except Difference as difference:
            tap.say(False, title, str(difference))
    ours.stop()
    loader = Server("loader", o.theirs, ["--appendonly", "yes"], ours)
    try:
        holds(loader, "redis-server loads the log and holds the same")
    finally:
        loader.remove()
    ours.start()
    holds(ours, "a restart holds the same")


class Tap:
    def __init__(self):
        self.n, self.failed = 0, 0

    def say(self, good, title, why=""):
        self.n += 1
        self.failed += not good
        print("%sok %d - %s" % ("" if good else "not ", self.n, title))
        for line in why.splitlines():
            print("# " + line)
        sys.stdout.flush()


def one_run(tap, servers, rules, seed, count, resp, smaller):
    ours, theirs = servers
    steps = Planner(seed, resp).plan(count)
    title = "%d random commands in RESP%d, seed %d: replies and contents are equal" % (count, resp, seed)
    try:
        run_steps(ours, theirs, rules, steps)
        tap.say(True, title)
        return True
    except Difference as difference:
        why = str(difference)
    if smaller:
        steps = shrink(ours, theirs, rules, steps)
        why += "\nsmaller:\n" + "\n".join(
            "  sleep %d ms" % step[1] if step[0] == "sleep" else "  [%d] %s" % (step[1], "; ".join(shown(w) for w in step[2]))
            for step in steps)
    tap.say(False, title, why)
    return False


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seed", type=int)
    options.add_argument("--count", type=int, default=4000, help="commands in a run")
    options.add_argument("--runs", type=int, default=1, help="with so many seeds from --seed on")
    options.add_argument("--resp", type=int, choices=(2, 3))
    options.add_argument("--ours", default=os.path.join(os.environ.get("top_builddir", ROOT), "vong-server"))
    options.add_argument("--theirs", default="redis-server")
    options.add_argument("--shrink", action="store_true", help="look for a smaller run that differs")
    o = options.parse_args()
    if shutil.which(o.theirs) is None:
        raise SystemExit("Bail out! no %s (Debian package redis-server)" % o.theirs)
    rules = rules_read()
    tap = Tap()
    servers = []
    try:
        servers.append(Server("ours", o.ours, ["--appendonly", "yes"]))
        servers.append(Server("theirs", o.theirs, ["--appendonly", "no"]))
        seeds = range(o.seed, o.seed + o.runs) if o.seed is not None else (1, 2)
        for seed in seeds:
            for resp in [o.resp] if o.resp else (2, 3):
                if one_run(tap, servers, rules, seed, o.count, resp, o.shrink):
                    reloaded(tap, o, *servers, rules)
        missing = not_driven(rules)
        tap.say(not missing, "every command of the table is driven here, or known-differences says why not",
                "not driven: " + ", ".join(missing) if missing else "")
    finally:
        for server in servers:
            server.remove()
    print("1..%d" % tap.n)
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
