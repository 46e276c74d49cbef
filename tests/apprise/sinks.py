"""HTTP servers on the loopback that behave, and that don't."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Self

import attrs

CERTIFICATE = Path(__file__).with_name("loopback.pem")
"""For 127.0.0.1, signed by itself, and its key: of no use but here."""
PATIENCE = 30
"""Seconds after which a test that waits for something has failed."""

Behaviour = Callable[["Sink", socket.socket], None]


@attrs.frozen
class Request:
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Sink:
    """Records what it is sent, then behaves: by each of ``behaviours`` once, the last for good."""

    def __init__(self, *behaviours: Behaviour, tls: bool = False) -> None:
        self._behaviours = list(behaviours)
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATE)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[Request] = []
        self.arrived: Queue[Request] = Queue()
        """Each request, as soon as it has been read."""
        self.broken: Queue[bool] = Queue()
        """An entry for each client that went away while it was being answered."""
        self.released = threading.Event()
        """Ends every wait of the behaviours."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.released.set()
        self._listener.close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                while (request := _read(connection)) is not None:
                    with self._lock:
                        self.requests.append(request)
                        behave = self._behaviours[0]
                        if len(self._behaviours) > 1:
                            del self._behaviours[0]
                    self.arrived.put(request)
                    behave(self, connection)
        except OSError:
            self.broken.put(True)


def _read(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65_536)
    return Request(first.split()[1], headers, body)


def answers(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    """An answer at once. ``retry_after="7"`` becomes ``Retry-After: 7``."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    answer = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def behave(sink: Sink, connection: socket.socket) -> None:
        connection.sendall(answer)

    return behave


def tarpit(sink: Sink, connection: socket.socket) -> None:
    """No answer, until the sink is released; then 200."""
    sink.released.wait(PATIENCE)
    answers()(sink, connection)


def drips_its_head(sink: Sink, connection: socket.socket) -> None:
    """A header that goes on, byte by byte, so that no read ever times out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    _drip(sink, connection)


def drips_its_body(sink: Sink, connection: socket.socket) -> None:
    """A body that goes on, byte by byte."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    _drip(sink, connection)


def _drip(sink: Sink, connection: socket.socket) -> None:
    while not sink.released.wait(0.01):
        connection.sendall(b".")


def floods(sink: Sink, connection: socket.socket) -> None:
    """A body without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not sink.released.is_set():
        connection.sendall(b"." * 65_536)


def resets(sink: Sink, connection: socket.socket) -> None:
    """RST in the place of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def breaks_off(sink: Sink, connection: socket.socket) -> None:
    """200, and less of a body than was promised."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234")
    connection.close()


def babbles(sink: Sink, connection: socket.socket) -> None:
    """Something that isn't HTTP."""
    connection.sendall(b"220 mail.example.com ESMTP NewConnectionError\r\n")
    connection.close()


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of the loopback that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
