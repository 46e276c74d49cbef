"""A load client that is cheap enough not to be what is measured.

Keep-alive connections over one epoll, each with one request under way: as many users as there are
connections, none of whom thinks. It reads status, Content-Length and the body's size, no more.
"""

import select
import socket
import time
from collections.abc import Iterator, Sequence

import attrs

__all__ = ["LoadError", "Sample", "exchange", "put_load"]

_CHUNK = 1 << 18


class LoadError(RuntimeError):
    """A server answered something other than what is measured."""


@attrs.frozen
class Sample:
    """What one connection pool saw in one stretch of time."""

    requests: int
    seconds: float
    latencies: Sequence[float]
    """Seconds from a request to the end of its answer."""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


@attrs.define
class _Connection:
    socket: socket.socket
    sent_at: float = 0.0
    missing: int = 0
    head: bytes = b""


def put_load(
    port: int,
    requests: Iterator[bytes],
    *,
    connections: int,
    seconds: float,
    status: int = 200,
    most: int | None = None,
) -> Sample:
    """Send ``requests`` to 127.0.0.1 for so long, or at most so many of them.

    Raises:
        LoadError: an answer with another status, or without Content-Length.
    """
    expected = b"HTTP/1.1 %d " % status
    poll = select.epoll()
    pool: dict[int, _Connection] = {}
    latencies: list[float] = []
    clock = time.perf_counter
    left = most if most is not None else -1
    try:
        for _ in range(connections):
            connection = _Connection(_connect(port))
            pool[connection.socket.fileno()] = connection
            poll.register(connection.socket, select.EPOLLIN)
        begin = clock()
        deadline = begin + seconds
        busy = 0
        for connection in pool.values():
            if left == 0:
                break
            left -= 1
            busy += 1
            connection.sent_at = clock()
            connection.socket.sendall(next(requests))
        while busy:
            for descriptor, _ in poll.poll():
                connection = pool[descriptor]
                if not _receive(connection, expected):
                    continue
                now = clock()
                latencies.append(now - connection.sent_at)
                if now >= deadline or left == 0:
                    busy -= 1
                    continue
                left -= 1
                connection.sent_at = now
                connection.socket.sendall(next(requests))
        return Sample(len(latencies), clock() - begin, latencies)
    finally:
        for connection in pool.values():
            connection.socket.close()
        poll.close()


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _receive(connection: _Connection, expected: bytes) -> bool:
    """Read what is there; say whether the answer is complete."""
    data = connection.socket.recv(_CHUNK)
    if not data:
        raise LoadError("the server closed the connection")
    if connection.missing:
        connection.missing -= len(data)
        return connection.missing == 0
    if connection.head:
        data = connection.head + data
    end = data.find(b"\r\n\r\n")
    if end < 0:
        connection.head = data
        return False
    if not data.startswith(expected):
        raise LoadError(data[:500].decode("latin-1"))
    connection.head = b""
    connection.missing = end + 4 + _content_length(data[:end]) - len(data)
    return connection.missing == 0


def _content_length(head: bytes) -> int:
    head = head.lower()
    begin = head.find(b"\r\ncontent-length:")
    if begin < 0:
        raise LoadError(f"no Content-Length in {head.decode('latin-1')}")
    end = head.find(b"\r\n", begin + 2)
    return int(head[begin + 17 : end if end > 0 else len(head)])


def exchange(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    """Send one request; answer its status, head and body."""
    with _connect(port) as connection:
        connection.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += connection.recv(_CHUNK)
        size = _content_length(data[:end])
        while len(data) < end + 4 + size:
            data += connection.recv(_CHUNK)
    return int(data[9:12]), data[:end], data[end + 4 :]
