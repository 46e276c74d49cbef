"""Watches what a plugin sends, and ends it on time.

Apprise says of a push whether it succeeded, and no more. Whether it may be tried again depends on
what it doesn't say: was anything sent, was anything answered, which status, ``Retry-After``. Its
plugins speak HTTP by ``requests.post`` and its kin, which leave no place for a transport of ours;
so :func:`watch_requests` teaches :meth:`requests.Session.get_adapter` to answer ours to a thread
that carries a :class:`Call`, and to nobody else.

A plugin that speaks anything but HTTP is out of sight: it can't be ended, its hosts aren't
checked, and when it fails, nothing is known.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from ipaddress import IPv6Address, ip_address
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util.connection import create_connection

from calevents.notification import Outcome, Result

__all__ = ["Call", "watch_requests"]

_ANSWER_LIMIT = 256 * 1024
"""Bytes of an answer that a plugin gets to see; the rest stays unread."""
_ADDRESSES_TRIED = 4
"""Of a host that has more."""
_LONGEST_RETRY_AFTER = 86_400.0

_ANSWERED_TOO_EARLY = frozenset({407, 408, 425, 429})
"""Statuses of a client's fault that pass (RFC 9110, RFC 6585, RFC 8470)."""
_ANSWERED_BY_ANOTHER = frozenset({409, 502, 504, 520, 524})
"""Statuses that leave open whether the push was taken: a gateway answers for a server that didn't
(RFC 9110; 520 and 524 are Cloudflare's), or another request with the key is under way."""

_current: ContextVar["Call | None"] = ContextVar("calevents_apprise_call", default=None)
_installing = threading.Lock()


class Call:
    """One call of a plugin: what it sent, what was answered, and the means to end it.

    The thread that makes the call enters :meth:`carried`; :meth:`cut` may come from any other.
    """

    def __init__(
        self,
        *,
        seconds: float,
        allowed_hosts: Callable[[str], bool] | None = None,
        allow_private_hosts: bool = False,
    ) -> None:
        self._expires = time.monotonic() + seconds
        self._allowed_hosts = allowed_hosts
        self._allow_private_hosts = allow_private_hosts
        self._lock = threading.Lock()
        self._adapter = _Adapter(self)
        self._sockets: list[socket.socket] = []
        self._over = False
        self._tried = False
        self._sent = False
        self._lost = False
        self._opaque = False
        self._refusal: str | None = None
        self._status: int | None = None
        self._retry_after: float | None = None

    @property
    def adapter(self) -> BaseAdapter:
        """What carries the call's requests."""
        return self._adapter

    @property
    def status(self) -> int | None:
        """The status of the last answer (RFC 9110, section 15), if there was one."""
        return self._status

    @contextmanager
    def carried(self) -> Iterator[None]:
        """Within it, requests of this thread go by this call."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)
            self._close()

    def cut(self) -> Result:
        """End the call: nothing is sent from now on, and connections break. Say where it stood."""
        with self._lock:
            self._over = True
            for connection in self._sockets:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            return self._failure()

    def result(self, *, accepted: bool) -> Result:
        """What became of the push, by the plugin's answer and by what was seen."""
        if accepted:
            return Result(Outcome.ACCEPTED)
        with self._lock:
            return self._failure()

    def _failure(self) -> Result:
        if self._refusal is not None:
            return Result(Outcome.REJECTED, detail=self._refusal)
        if self._lost or self._sent:
            return Result(Outcome.UNCERTAIN, detail="no answer after the request had been sent")
        if self._status is not None:
            return _verdict(self._status, self._retry_after)
        if self._tried and not self._opaque:
            return Result(Outcome.TRANSIENT, detail="no connection")
        return Result(Outcome.UNCERTAIN, detail="failed for a reason that Apprise doesn't tell")

    # What the transport below reports

    def begin(self) -> float:
        """Another request is made. The seconds that it has."""
        left = self._expires - time.monotonic()
        with self._lock:
            self._lost |= self._sent
            self._sent = False
            self._status = self._retry_after = None
            self._tried = True
            if self._over or left <= 0:
                raise requests.ConnectionError("the call's time is over")
        return left

    def not_observed(self) -> None:
        """The request goes by a way that can't be watched."""
        self._opaque = True

    def connect(self, host: str, port: int, options: Any, *, proxy: bool) -> socket.socket:
        """A connection, to an address that is checked in the same look-up."""
        found = dict.fromkeys(
            str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        # A proxy is the operator's choice, and looks up the target by itself.
        addresses = list(found) if proxy else self._admitted(host, list(found))
        addresses = addresses[:_ADDRESSES_TRIED]
        failure: OSError = OSError("the name has no address")
        for index, address in enumerate(addresses):
            left = (self._expires - time.monotonic()) / (len(addresses) - index)
            if left <= 0:
                break
            try:
                connection = create_connection((address, port), left, socket_options=options)
            except OSError as error:
                failure = error
                continue
            with self._lock:
                if not self._over:
                    # A duplicate: TLS takes the descriptor away from the one that is returned,
                    # and shutting down its object could let plain text out.
                    self._sockets.append(connection.dup())
                    return connection
            connection.close()
        raise failure

    def _admitted(self, host: str, addresses: list[str]) -> list[str]:
        if self._allowed_hosts is not None and not self._allowed_hosts(host):
            self._refusal = "allowed_hosts does not allow the host"
        elif addresses and not self._allow_private_hosts:
            addresses = [address for address in addresses if _is_public(address)]
            if not addresses:
                self._refusal = "the host is private; allow_private_hosts=True admits it"
        if self._refusal is not None:
            raise OSError(self._refusal)
        return addresses

    def sending(self) -> None:
        """Bytes of a request are about to leave."""
        with self._lock:
            if self._over:
                raise requests.ConnectionError("the call's time is over")
            self._sent = True

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of an answer came."""
        with self._lock:
            self._sent = False
            self._status = status
            self._retry_after = _retry_after(headers.get("Retry-After"))

    def _close(self) -> None:
        self._adapter.close()
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()


def watch_requests() -> None:
    """Let requests that a :class:`Call` carries go by it. Does so once, and for good."""
    with _installing:
        original = requests.Session.get_adapter
        if getattr(original, "watches_calls", False):
            return

        def get_adapter(self: requests.Session, url: str) -> BaseAdapter:
            call = _current.get()
            return original(self, url) if call is None else call.adapter

        get_adapter.watches_calls = True  # type: ignore[attr-defined]  # so as to be found again
        requests.Session.get_adapter = get_adapter  # type: ignore[method-assign]  # no other seam


class _Adapter(HTTPAdapter):
    """Never retries, never redirects, and reads only so much."""

    def __init__(self, call: Call) -> None:
        self._call = call
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        socks = proxy.lower().startswith("socks")
        if socks:
            self._call.not_observed()
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not socks:
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        # The plugin's own time-outs don't count: they are per read, and an address may set them.
        left = self._call.begin()
        response = super().send(*args, **{**kwargs, "timeout": (left, left)})
        self._call.answered(response.status_code, response.headers)
        # Without it a redirect is an answer like any other, whatever the plugin asks for.
        response.headers.pop("Location", None)
        response.raw = BytesIO(_read(response))
        return response


def _read(response: requests.Response) -> bytes:
    body = bytearray()
    try:
        for chunk in response.raw.stream(8192, decode_content=True):
            body += chunk
            if len(body) > _ANSWER_LIMIT:
                break
    except (HTTPError, OSError) as error:
        raise requests.ConnectionError("the answer broke off") from error
    finally:
        response.raw.close()
    return bytes(body[:_ANSWER_LIMIT])


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        call = _carried()
        try:
            return call.connect(
                self.host, self.port, self.socket_options, proxy=self.proxy is not None
            )
        # A UnicodeError is what a label that is too long gives.
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, type(error).__name__) from error

    def send(self, data: Any) -> None:
        # It would connect by itself, and a failure to would count as one after sending.
        if self.sock is None:
            self.connect()
        _carried().sending()
        super().send(data)


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls: Any = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls: Any = _TLSConnection


def _carried() -> Call:
    call = _current.get()
    if call is None:
        raise RuntimeError("a connection of a call was used outside it")
    return call


def _is_public(address: str) -> bool:
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip.is_global and not ip.is_multicast


def _verdict(status: int, retry_after: float | None) -> Result:
    detail = f"HTTP {status}"
    if status in _ANSWERED_BY_ANOTHER:
        return Result(Outcome.UNCERTAIN, detail=detail)
    if status in _ANSWERED_TOO_EARLY or 500 <= status <= 599:
        return Result(Outcome.TRANSIENT, retry_after, detail)
    if 300 <= status <= 399:
        return Result(Outcome.REJECTED, detail=f"{detail}: redirects are not followed")
    if 400 <= status <= 499:
        return Result(Outcome.REJECTED, detail=detail)
    return Result(Outcome.UNCERTAIN, detail=f"{detail}, which the plugin took for a failure")


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, by RFC 9110, section 10.2.3; at most a day."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        # Before the digits become a number: there may be thousands of them.
        return min(float(value[:9]), _LONGEST_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(value)
        left = (until.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(left, 0.0), _LONGEST_RETRY_AFTER)
