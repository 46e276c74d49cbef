"""The notifier: one thread per call, a deadline for each, a gate before every host."""

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from apprise import Apprise, NotifyFormat

from calevents.adapters.apprise.addresses import (
    QUERY_KEYS,
    SCHEMAS,
    Addresses,
    AddressRefused,
    Target,
)
from calevents.adapters.apprise.breaker import Gate, Gates
from calevents.adapters.apprise.quiet import quiet, silence
from calevents.adapters.apprise.transport import Call, watch_requests
from calevents.event import Event
from calevents.notification import Delivery, Outcome, Result
from calevents.timestamps import format_timestamp

__all__ = ["AppriseNotifier"]

_logger = logging.getLogger("calevents.adapters.apprise")


class AppriseNotifier:
    """A :class:`~calevents.ports.Notifier` whose addresses are Apprise URLs.

    An address is one target of one service: ``ntfys://push.example.com/topic``. It is treated as
    hostile: a URL that breaks a rule below is ``REJECTED`` without a call. Nothing of an address
    is ever logged but its schema, and a keyed hash that tells it from others while the process
    lives.

    Every delivery is one call by Apprise in a thread of its own, without retries and redirects.
    A webhook (``json://``, ``form://``, ``xml://``) gets the delivery's idempotency key as the
    header ``Idempotency-Key``, and it, ``company_id``, ``event_id``, ``recipient_id``, ``start``
    and ``url`` as fields of the body.

    ====================================================  ==============================
    what was seen                                         outcome
    ====================================================  ==============================
    the plugin says that it succeeded                     ``ACCEPTED``
    3xx; 4xx but for those below; a host not allowed      ``REJECTED``
    no connection; 407, 408, 425, 429; 5xx but for those  ``TRANSIENT``, with the
    below                                                 provider's ``Retry-After``
    no answer after the request went out: time-out,       ``UNCERTAIN``
    reset; 409, 502, 504, 520, 524; a 2xx that the
    plugin takes for a failure; a plugin that doesn't
    speak HTTP failed
    ====================================================  ==============================

    A plugin that makes several requests for one push is judged by the last.

    :meth:`send` takes twice the deadline at most. Cancelling it doesn't stop calls that have
    begun: they end in the background, by their deadline.

    Args:
        schemas: the Apprise schemas that addresses may have. The limits on hosts and the exact
            outcomes hold for those that speak HTTP, as the default ones do.
        query_keys: the URL query keys that addresses may have, in any case and with their prefix
            (``+authorization`` for a header of a webhook).
        allowed_hosts: says whether a call may go to a host, given its name; asked before each
            connection, in the calling thread. By default any.
        allow_private_hosts: whether a call may go to an IP address that isn't public (loopback,
            RFC 1918, link-local …). The address is checked that is connected to, so a name can't
            get round it by changing. With a proxy, its own rules decide.
        deadline: seconds that a call may take, and that a delivery may wait for its call.
        threads: calls at a time.
        calls_per_host: calls at a time to one host, which is the schema, and the host and port
            where the address names one.
        failures: after so many in a row (no connection, no answer, 5xx), deliveries to the host
            are ``TRANSIENT`` without a call.
        pause: seconds until one call is let through to see whether the host works again.
        claim_size: see :class:`~calevents.ports.Notifier`.
        app_id: what services are told is calling: the ``User-Agent`` of webhooks.

    Raises:
        ValueError: an argument is out of its range; the text names it.

    The process's proxies and ``~/.netrc`` are used as :mod:`requests` does.
    """

    def __init__(
        self,
        *,
        schemas: Collection[str] = SCHEMAS,
        query_keys: Collection[str] = QUERY_KEYS,
        allowed_hosts: Callable[[str], bool] | None = None,
        allow_private_hosts: bool = False,
        deadline: float = 10.0,
        threads: int = 16,
        calls_per_host: int = 4,
        failures: int = 5,
        pause: float = 30.0,
        claim_size: int = 8,
        app_id: str = "calevents",
    ) -> None:
        for name, count in (
            ("threads", threads),
            ("calls_per_host", calls_per_host),
            ("failures", failures),
            ("claim_size", claim_size),
        ):
            if count < 1:
                raise ValueError(f"{name} is at least 1, not {count}")
        for name, seconds in (("deadline", deadline), ("pause", pause)):
            if not (math.isfinite(seconds) and seconds > 0):
                raise ValueError(f"{name} is a number of seconds greater than 0, not {seconds}")
        silence()
        watch_requests()
        self._addresses = Addresses(schemas=schemas, query_keys=query_keys, app_id=app_id)
        self._allowed_hosts = allowed_hosts
        self._allow_private_hosts = allow_private_hosts
        self._deadline = deadline
        self._threads = asyncio.Semaphore(threads)
        self._gates = Gates(calls=calls_per_host, failures=failures, pause=pause)
        self._claim_size = claim_size
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    @property
    def claim_size(self) -> int:
        """How many deliveries one call of :meth:`send` takes."""
        return self._claim_size

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more deliveries, and wait for the calls under way until their deadline.

        Threads that even then don't end, which those of plugins without HTTP may do, hold up
        neither this nor the end of the process.
        """
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline + 1):
                await self._idle.wait()

    async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        """See :meth:`calevents.ports.Notifier.send`.

        Raises:
            RuntimeError: the notifier is closed; nothing was sent.
        """
        if self._closed:
            raise RuntimeError("the notifier is closed")
        return await asyncio.gather(*(self._deliver(event, delivery) for delivery in deliveries))

    async def _deliver(self, event: Event, delivery: Delivery) -> Result:
        try:
            target = self._addresses.read(
                delivery.address,
                headers={"Idempotency-Key": delivery.idempotency_key},
                fields=_fields(event, delivery),
            )
        except AddressRefused as refusal:
            _logger.debug("an address: rejected (%s)", refusal)
            return Result(Outcome.REJECTED, detail=str(refusal))
        gate = self._gates.enter(target.host, target.host_name)
        try:
            result = await self._pass(gate, target, delivery)
        finally:
            self._gates.leave(target.host)
        _logger.debug("%s: %s (%s)", target.name, result.outcome, result.detail)
        return result

    async def _pass(self, gate: Gate, target: Target, delivery: Delivery) -> Result:
        """Wait for a slot of the host and a thread, and call unless the breaker is open."""
        refusal = _refusal(gate)
        if refusal is not None:
            return refusal
        try:
            async with asyncio.timeout(self._deadline):
                await gate.slots.acquire()
                try:
                    await self._threads.acquire()
                except BaseException:
                    gate.slots.release()
                    raise
        except TimeoutError:
            return Result(Outcome.TRANSIENT, detail="no call could begin in time")
        # The calls that were waited for may have opened it.
        refusal = _refusal(gate)
        if refusal is not None:
            gate.slots.release()
            self._threads.release()
            return refusal
        return await self._begin(gate, target, delivery)

    def _begin(self, gate: Gate, target: Target, delivery: Delivery) -> asyncio.Future[Result]:
        """Call in a thread; the answer comes at the deadline at the latest."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        call = Call(
            seconds=self._deadline,
            allowed_hosts=self._allowed_hosts,
            allow_private_hosts=self._allow_private_hosts,
        )
        settled = False

        def settle(result: Result) -> None:
            nonlocal settled
            if settled:
                return
            settled = True
            timer.cancel()
            self._judge(gate, call, result)
            # Whoever asked may have been cancelled.
            if not answer.done():
                answer.set_result(result)

        def ended(result: Result) -> None:
            settle(result)
            gate.slots.release()
            self._threads.release()
            self._gates.leave(target.host)
            self._calls -= 1
            if not self._calls:
                self._idle.set()

        def run() -> None:
            result = Result(Outcome.UNCERTAIN, detail="the call failed")
            # Whatever a plugin raises ends this call alone; its text might show the address.
            with suppress(BaseException), quiet(), call.carried():
                result = call.result(accepted=_notify(target, delivery))
            # A loop that is closed wants no results.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(ended, result)

        timer = loop.call_later(self._deadline, lambda: settle(call.cut()))
        # Slots belong to the thread, not to the one who waits for it: one that is stuck keeps
        # its own, and a daemon that is stuck does not keep the process.
        self._gates.enter(target.host, target.host_name)
        self._calls += 1
        self._idle.clear()
        gate.breaker.begin()
        try:
            threading.Thread(target=run, name="calevents-apprise", daemon=True).start()
        except RuntimeError:
            ended(Result(Outcome.TRANSIENT, detail="no thread could be started"))
        return answer

    def _judge(self, gate: Gate, call: Call, result: Result) -> None:
        breaker = gate.breaker
        was_open = breaker.is_open
        answered = result.outcome in (Outcome.ACCEPTED, Outcome.REJECTED)
        if answered or (call.status is not None and call.status < 500):
            breaker.succeeded()
        else:
            breaker.failed(asyncio.get_running_loop().time())
        if breaker.is_open and not was_open:
            _logger.warning("%s fails (%s); pausing its deliveries", gate.name, result.detail)
        elif was_open and not breaker.is_open:
            _logger.info("%s works again", gate.name)


def _refusal(gate: Gate) -> Result | None:
    wait = gate.breaker.wait(asyncio.get_running_loop().time())
    if wait is None:
        return None
    return Result(Outcome.TRANSIENT, wait, "the host fails; it is not called for now")


def _notify(target: Target, delivery: Delivery) -> bool:
    apprise = Apprise(asset=target.plugin.asset)
    apprise.add(target.plugin)
    message = delivery.message
    return bool(apprise.notify(message.body, message.title, body_format=NotifyFormat.TEXT))


def _fields(event: Event, delivery: Delivery) -> dict[str, str]:
    fields = {
        "idempotency_key": delivery.idempotency_key,
        "company_id": str(event.company_id),
        "event_id": str(event.id),
        "recipient_id": str(delivery.recipient_id),
        "start": format_timestamp(event.start),
    }
    if event.url is not None:
        fields["url"] = event.url
    return fields
