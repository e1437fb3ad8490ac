"""The least of a PostgreSQL client: one connection over the socket, simple queries, every field of an error.

A driver would do, but none is sure to be installed, and this one sees what drivers hide: how long an error's fields are,
and whether the server closed the connection.
"""
import os
import socket
import struct


class Lost(Exception):
    """The server closed the connection, or gave no answer in time."""


class Answer:
    """What a statement gave: rows as text, or the fields of its error by their letters."""

    def __init__(self):
        self.rows = []
        self.error = None

    @property
    def sqlstate(self):
        return self.error["C"] if self.error else "00000"

    @property
    def message(self):
        return self.error["M"] if self.error else ""


class Connection:
    """A session of a role; `patience` is how many seconds an answer may take."""

    def __init__(self, user, database, patience):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        self.pid = None
        self.buffer = b""
        try:
            self.socket.connect(os.path.join(os.environ["PGHOST"], ".s.PGSQL." + os.environ["PGPORT"]))
            pairs = ("user", user, "database", database, "application_name", "fuzz", "client_encoding", "UTF8")
            body = struct.pack("!i", 3 << 16) + b"".join(x.encode() + b"\0" for x in pairs) + b"\0"
            self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
            answer = self._answer()
        except OSError as problem:
            raise Lost(str(problem)) from problem
        if answer.error:
            raise Lost(answer.message)

    def query(self, statement):
        """Runs a statement to its end."""
        body = statement.encode() + b"\0"
        try:
            self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
            return self._answer()
        except OSError as problem:
            raise Lost(f"no answer: {problem}") from problem

    def close(self):
        self.socket.close()

    def _take(self, count):
        parts, have = [self.buffer], len(self.buffer)
        while have < count:
            part = self.socket.recv(1 << 20)
            if not part:
                raise Lost("the server closed the connection")
            parts.append(part)
            have += len(part)
        whole = b"".join(parts)
        self.buffer = whole[count:]
        return whole[:count]

    def _answer(self):
        answer = Answer()
        while True:
            head = self._take(5)
            kind, body = head[:1], self._take(struct.unpack("!i", head[1:])[0] - 4)
            if kind == b"E":
                fields = body.rstrip(b"\0").split(b"\0")
                answer.error = {f[:1].decode(): f[1:].decode(errors="replace") for f in fields}
                if answer.error["S"] in ("FATAL", "PANIC"):
                    raise Lost(answer.message)
            elif kind == b"D":
                answer.rows.append(_row(body))
            elif kind == b"K":
                self.pid = struct.unpack("!i", body[:4])[0]
            elif kind == b"Z":
                return answer


def _row(body):
    (count,), at, row = struct.unpack("!h", body[:2]), 2, []
    for _ in range(count):
        length = struct.unpack("!i", body[at:at + 4])[0]
        at += 4
        row.append(None if length < 0 else body[at:at + length].decode(errors="replace"))
        at += max(length, 0)
    return row
