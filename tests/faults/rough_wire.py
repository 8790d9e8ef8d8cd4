# SPDX-License-Identifier: BSD-3-Clause
"""rough_wire.py WIRE TAP LEAST_MS MOST_MS LOST TWICE

Carries frames between two devices of this network namespace, both ways, until it is killed: WIRE, which is there, and
TAP, which it makes. Each frame takes a time of its own between these two, so that those behind it overtake it; some are
lost, some come twice. Says "there" once it carries.

Kernels' netem does this where there is one. Frames come with the header that says what is left to be done for them
(checksums, segments of a large one), and go on with it: nobody's settings have to be changed."""

import errno
import fcntl
import heapq
import itertools
import os
import random
import select
import socket
import struct
import sys
import time

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ETH_P_ALL = 0x0003
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 0x01, 0x02, 0x04
LARGEST = 10 + 14 + 65536


def open_wire(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((name, ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.setblocking(False)
    return s


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
    return fd


def hand_on(to, frame):
    """What the other end has no room for, or is not up for, is lost: as on any wire."""
    try:
        os.write(to, frame)
    except OSError as e:
        if e.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EIO, errno.ENETDOWN):
            raise


def carry(wire, tap, least, most, lost, twice):
    under_way, order = [], itertools.count()
    ends = {wire: tap, tap: wire}
    while True:
        wait = None if not under_way else max(0, under_way[0][0] - time.monotonic())
        for came in select.select(list(ends), [], [], wait)[0]:
            frame = os.read(came, LARGEST)
            for _ in range((random.random() >= lost) * (1 + (random.random() < twice))):
                at = time.monotonic() + random.uniform(least, most)
                heapq.heappush(under_way, (at, next(order), ends[came], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(under_way)
            hand_on(to, frame)


def main(wire, tap, least_ms, most_ms, lost, twice):
    ends = open_wire(wire), open_tap(tap)
    print("there", flush=True)
    carry(ends[0].fileno(), ends[1], float(least_ms) / 1000, float(most_ms) / 1000, float(lost), float(twice))


if __name__ == "__main__":
    main(*sys.argv[1:])
