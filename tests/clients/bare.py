# SPDX-License-Identifier: BSD-3-Clause
"""Replies as they stand on the wire, for claims that no library's parser shall come between."""

import socket

from tap import HOST, PORT


class Reply:
    """A reply as it stood on the wire: its marker and its value (children are replies too)."""

    def __init__(self, marker, value):
        self.marker, self.value = marker, value

    def __repr__(self):
        return f"{self.marker}{self.value!r}"

    def text(self):
        return self.value.decode(errors="replace")

    def pairs(self):
        """A map's pairs, or an array's that stands for a map."""
        flat = self.value
        assert self.marker in "%*" and len(flat) % 2 == 0, f"{self!r} is no map"
        return {k.text(): v for k, v in zip(flat[::2], flat[1::2])}


class Connection:
    def __init__(self, host=HOST, port=PORT):
        self.socket = socket.create_connection((host, port), timeout=60)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, requests):
        out = b""
        for words in requests:
            words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
            out += b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
        self.socket.sendall(out)

    def read(self):
        line = self.file.readline()
        assert line.endswith(b"\r\n"), f"the connection ended: {line!r}"
        marker, rest = chr(line[0]), line[1:-2]
        if marker in "+-:,#(_":
            return Reply(marker, rest)
        n = int(rest)
        if n < 0:
            return Reply("_", b"")
        if marker in "$=":
            value = self.file.read(n + 2)
            assert value[n:] == b"\r\n", f"no line end behind {n} bytes"
            return Reply(marker, value[4:n] if marker == "=" else value[:n])
        assert marker in "*%~>", f"unknown marker {line!r}"
        return Reply(marker, [self.read() for _ in range(n * (2 if marker == "%" else 1))])
