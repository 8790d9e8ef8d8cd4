# SPDX-License-Identifier: BSD-3-Clause
"""A copy that has changed by itself: three real nodes, a value that is another one in the log of one of them."""

import re

import redis

from conftest import until
from interplay import slot_of
from members import form, node  # noqa: F401
from test_aof import crc32c


def alter(server, slot, old, new):
    """As a disk that lies would: in the records of the slot, their checksums made right. How many there were."""
    n = 0
    for path in sorted((server.dir / "appendonlydir").glob("*.aof")):
        data, out, at = path.read_bytes(), b"", 0
        for m in re.finditer(rb"(#V (\d+) \d+ \d+ (\d+) )[0-9a-f]{8}\r\n", data):
            body = data[m.end():m.end() + int(m[3])]
            if m.start() < at or int(m[2]) != slot or old not in body:
                continue
            body, n = body.replace(old, new), n + 1
            out += data[at:m.start()] + m[1] + b"%08x\r\n" % crc32c(m[1] + body) + body
            at = m.end() + len(body)
        path.write_bytes(out + data[at:])
    return n


def replication(n):
    return n.call("INFO", "replication")


def in_sync(n, slot):
    """How many copies of its slot are, as its primary tells."""
    told = replication(n)
    for k in told:
        if re.fullmatch(r"range\d+", k):
            first, last = map(int, str(told[k]["slots"]).split("-"))
            if first <= slot <= last:
                return told[k]["in_sync"]
    return 0


def reads(n, key):
    """What this node's copy has; None: it is in sync with none, or has no such key."""
    client = n.client()
    client.execute_command("READONLY")
    try:
        return client.get(key)
    except redis.ResponseError:
        return None
    finally:
        client.close()


def test_a_copy_that_changed_is_fetched_anew(node):  # noqa: F811
    """the odd one of three is found, leaves the in-sync set, and has what the others have"""
    nodes = form(node, 3, "--replication-factor", "3", "--cluster-scrub-period", "0")
    key, slot = "k", slot_of("k")
    primary = lambda: next((n for n in nodes if in_sync(n, slot) > 0), None)  # noqa: E731
    until(lambda: primary() is not None and in_sync(primary(), slot) == 3, 120, "not three copies in sync")
    assert nodes[0].call("SET", key, "right") in ("OK", True)
    altered = next(n for n in nodes if n is not primary())
    until(lambda: reads(altered, key) == "right", 120, "it is not in sync with it")  # it may have been taken out meanwhile
    altered.kill()
    assert alter(altered, slot, b"right", b"wrong") == 1
    altered.restart()
    until(lambda: f"(127.0.0.1:{altered.port}) is back, started anew" in primary().log, 120, "its new run is not known")
    until(lambda: primary() is not None and reads(altered, key) == "wrong", 120, "it did not come back in sync")
    until(lambda: in_sync(primary(), slot) == 3, 120, "they are not all in sync")

    first = primary()
    assert first is not altered
    assert first.call("CLUSTER", "SCRUB", slot) in ("OK", True)
    until(lambda: replication(first)["scrub_copies_healed"] == 1, 120, "it was not fetched anew")
    until(lambda: replication(first)["scrub_slots_differing"] == 0, 120, "they still differ")
    assert first.call("CLUSTER", "SCRUB") == []
    assert f"of 3 copies of slot {slot} these are not equal to most: 127.0.0.1:{altered.port}" in first.log
    assert f"the copy of slot {slot} here is not what other nodes have" in altered.log
    until(lambda: in_sync(first, slot) == 3, 120, "it did not come back")
    assert reads(altered, key) == "right"
