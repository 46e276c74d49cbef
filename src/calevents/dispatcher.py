"""Due events to their recipients: what a host runs, in its own process or as workers."""

import asyncio
import math
import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from calevents.exceptions import CalendarError, StorageUnavailable
from calevents.leases import Hold, LeaseKeeper, monotonic
from calevents.ledger import (
    Claim,
    NotificationKey,
    OnUncertain,
    Resolution,
)
from calevents.notification import Delivery, MessageText, Recipient
from calevents.once import Once
from calevents.ports import Directory, NotificationLedger, Notifier
from calevents.retrying import RetryPolicy
from calevents.sending import Sender, idempotency_keys
from calevents.telemetry import DispatchDetails, DispatchKind, Telemetry

__all__ = ["DispatchDetails", "DispatchKind", "Dispatcher", "idempotency_keys"]

_SCAN_LIMIT = 500
_RESOLVERS = 4
_AHEAD = 32
"""Batches that wait to be claimed before a worker that looks for recipients sends to them, too."""
_PATIENCE = 1.0
"""Seconds that it holds back for the next page of recipients."""
_SOONEST = 0.02
"""Seconds until the next look after one that found nothing while another worker looks for
recipients; doubled for each further one."""


class Dispatcher:
    """Finds due notifications and sends them. Any number of them may share one ledger.

    An async context manager that works in the background until it is left; :meth:`run_once` does
    what is due and returns, for tests and for hosts that are called by a scheduler.

    Args:
        text: writes the messages; by default :func:`calevents.messages.english_text`.
        on_uncertain: whether a delivery that may or may not have been taken is tried again, with
            the same idempotency key (``retry``), or left as it is (``skip``).
        max_attempts: how often a delivery is tried at the most.
        lease: seconds that a claim lasts when its worker isn't heard of any more. It is renewed
            while the worker lives; shorter means that others take over sooner after a crash.
        page_size: recipients that are asked of the directory, and stored, at a time.
        poll_interval: seconds between two looks for what is due.
        concurrency: claims in hand at a time. Each is one call of the notifier, and a crash leaves
            so many claims uncertain.
        send_timeout: seconds after which a call of the notifier is given up as uncertain.
        backoff: seconds before the second attempt, at the most; doubled for each further one.
        longest_backoff: seconds between two attempts, at the most, unless the provider asks for
            more.
        grace: seconds that a call in progress is given to end when the dispatcher stops.
        hook: is called with everything that happens. It must be quick; what it raises is logged.
        name: of this worker, for the ledger and the log; by default a UUID.

    A killed worker leaves at most ``concurrency`` claims of ``notifier.claim_size`` deliveries
    uncertain.
    """

    def __init__(
        self,
        ledger: NotificationLedger,
        directory: Directory,
        notifier: Notifier,
        *,
        text: MessageText | None = None,
        on_uncertain: OnUncertain = "retry",
        max_attempts: int = 8,
        lease: float = 60.0,
        page_size: int = 1_000,
        poll_interval: float = 5.0,
        concurrency: int = 1,
        send_timeout: float = 300.0,
        backoff: float = 4.0,
        longest_backoff: float = 300.0,
        grace: float = 30.0,
        hook: Callable[[DispatchDetails], None] | None = None,
        name: str | None = None,
    ) -> None:
        if on_uncertain not in {"retry", "skip"}:
            raise ValueError(f"on_uncertain must be 'retry' or 'skip', not {on_uncertain!r}")
        for argument, value, least in (
            ("max_attempts", max_attempts, 1),
            ("page_size", page_size, 1),
            ("concurrency", concurrency, 1),
            ("notifier.claim_size", notifier.claim_size, 1),
        ):
            if value < least:
                raise ValueError(f"{argument} must be at least {least}, not {value}")
        for argument, seconds in (
            ("lease", lease),
            ("poll_interval", poll_interval),
            ("send_timeout", send_timeout),
        ):
            if not 0 < seconds < math.inf:
                raise ValueError(f"{argument} must be a positive number of seconds, not {seconds}")
        self.worker = name or str(uuid4())
        self._ledger = ledger
        self._directory = directory
        self._notifier = notifier
        self._lease = lease
        self._page_size = page_size
        self._poll_interval = poll_interval
        self._concurrency = concurrency
        self._policy = RetryPolicy(
            on_uncertain=on_uncertain,
            max_attempts=max_attempts,
            backoff=backoff,
            longest_backoff=longest_backoff,
        )
        self._grace = grace
        self._telemetry = Telemetry(self.worker, hook)
        self._keeper = LeaseKeeper(ledger, lease)
        self._sender = Sender(
            ledger,
            notifier,
            text=text,
            policy=self._policy,
            lease=lease,
            send_timeout=send_timeout,
            telemetry=self._telemetry,
            stopping=self._is_stopping,
        )
        self._task: asyncio.Task[None] | None = None
        self._progress = 0
        self._begin()

    def _begin(self) -> None:
        """Make what belongs to one event loop."""
        self._to_send = Once()
        self._to_resolve = Once()
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self._searches: dict[NotificationKey, _Search] = {}
        self._elsewhere: set[NotificationKey] = set()
        self._soon = _SOONEST
        self._alarm: asyncio.TimerHandle | None = None

    # Running

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("this dispatcher is already running")
        self._begin()
        self._task = asyncio.create_task(self._run(), name="calevents-dispatcher")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Finish the calls in progress, within the grace, and hand everything else back."""
        self._stopping.set()
        self._woken.set()
        task, self._task = self._task, None
        if task is not None:
            await task

    def _is_stopping(self) -> bool:
        return self._stopping.is_set()

    def hurry(self) -> None:
        """Don't wait for calls in progress any longer while stopping."""
        self._grace = 0.0
        self._stopping.set()
        self._woken.set()

    def wake(self) -> None:
        """Look for due notifications now instead of at the next interval."""
        self._woken.set()

    async def run_once(self) -> None:
        """Do what is due now, and return when nothing is left that can be done now.

        What waits for a later attempt is left to a later call.
        """
        if self._task is not None:
            raise RuntimeError("this dispatcher is running in the background")
        self._begin()
        async with self._working():
            before = -1
            while await self._scan() and self._progress != before:
                before = self._progress
                await self._to_resolve.join()
                await self._to_send.join()

    async def _run(self) -> None:
        async with self._working():
            while not self._stopping.is_set():
                self._woken.clear()
                try:
                    await self._scan()
                except StorageUnavailable as error:
                    self._telemetry.tell(DispatchKind.UNAVAILABLE, None, detail=str(error))
                except Exception as error:  # noqa: BLE001 - the next look may fare better
                    self._telemetry.fail(None, error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_about(self._poll_interval)):
                        await self._woken.wait()

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        await self._keeper.start()
        resolvers = [
            asyncio.create_task(self._loop(self._to_resolve, self._resolve))
            for _ in range(_RESOLVERS)
        ]
        senders = [
            asyncio.create_task(self._loop(self._to_send, self._serve))
            for _ in range(self._concurrency)
        ]
        tasks = [*resolvers, *senders]
        try:
            yield
        finally:
            try:
                await self._wind_up(tasks)
            finally:
                await self._keeper.stop()

    async def _wind_up(self, tasks: "Sequence[asyncio.Task[None]]") -> None:
        self._stopping.set()
        if self._alarm is not None:
            self._alarm.cancel()
        for _ in tasks:
            self._to_resolve.wake()
            self._to_send.wake()
        deadline = monotonic() + self._grace
        left: set[asyncio.Task[None]] = set(tasks)
        # In steps, for hurry() may shorten the grace meanwhile.
        while left and self._grace and monotonic() < deadline:
            _, left = await asyncio.wait(left, timeout=0.1)
        for task in left:
            task.cancel()
        await asyncio.wait(tasks)
        for resolution in self._to_resolve.clear():
            if resolution is not None:
                try:
                    await self._ledger.suspend(resolution)
                except Exception as error:  # noqa: BLE001 - its lease lapses then
                    self._telemetry.fail(resolution.key, error)

    async def _loop(self, queue: "Once", work: Callable[[NotificationKey, Any], Any]) -> None:
        while not self._stopping.is_set():
            key, held = await queue.get()
            try:
                if key is not None:
                    await work(key, held)
            except StorageUnavailable as error:
                self._telemetry.tell(DispatchKind.UNAVAILABLE, key, detail=str(error))
                await self._pause(1.0)
            except Exception as error:  # noqa: BLE001 - one notification must not stop the others
                self._telemetry.fail(key, error)
            finally:
                queue.done()

    async def _scan(self) -> bool:
        """Look for due notifications; say whether there is something to do."""
        found = dry = False
        self._elsewhere.clear()
        while await self._ledger.expire_missed(limit=_SCAN_LIMIT):
            self._progress += 1
        after = None
        while page := await self._ledger.due(after=after, limit=_SCAN_LIMIT):
            # Workers that share the list begin at different places.
            for due in random.sample(page, len(page)):
                if due.resolvable:
                    self._to_resolve.put(due.key)
                if due.claimable or due.sweepable:
                    self._to_send.put(due.key)
                found = found or due.resolvable or due.claimable or due.sweepable
                if due.resolving and due.key not in self._searches:
                    self._elsewhere.add(due.key)
                    dry = dry or not due.claimable
            after = page[-1]
            if len(page) < _SCAN_LIMIT:
                break
        if dry:
            self._look_soon()
        return found

    def _look_soon(self) -> None:
        """Look again before long: another worker is filling the ledger."""
        if self._alarm is None:
            delay = min(self._soon, self._poll_interval)
            self._alarm = asyncio.get_running_loop().call_later(_about(delay), self._ring)
            self._soon = 2 * delay

    def _ring(self) -> None:
        self._alarm = None
        self._woken.set()

    # Recipients

    async def _resolve(self, key: NotificationKey, held: Resolution | None) -> None:
        """Write one page of recipients into the ledger."""
        token = secrets.token_hex(16)
        resolution = held or await self._ledger.begin(key, token=token, lease=self._lease)
        if resolution is None:
            return
        if held is None:
            self._telemetry.tell(DispatchKind.OPENED, key)
        following = None
        try:
            following = await self._record_page(resolution)
        finally:
            if following is None:
                self._searches.pop(key, None)
            else:
                self._searches[key] = _Search(following.waiting)
                self._to_resolve.put(key, following)
            self._to_send.put(key)

    async def _record_page(self, resolution: Resolution) -> Resolution | None:
        """Write a page down; answer from where to go on, if there is more to do."""
        key = resolution.key
        try:
            recipients = await self._page(resolution)
        except BaseException:
            with suppress(CalendarError):
                await asyncio.shield(self._ledger.suspend(resolution))
            raise
        self._progress += 1
        if not recipients:
            if await self._ledger.resolved(resolution):
                self._telemetry.tell(DispatchKind.RESOLVED, key)
            return None
        began = monotonic()
        following = await self._ledger.record(
            resolution, recipients, batch_size=self._notifier.claim_size, lease=self._lease
        )
        if following is not None:
            self._telemetry.tell(
                DispatchKind.RECORDED,
                key,
                count=len(recipients),
                seconds=monotonic() - began,
            )
        return following

    async def _page(self, resolution: Resolution) -> Sequence[Recipient]:
        event, after = resolution.event, resolution.after
        async with asyncio.timeout(self._lease):
            recipients = await self._directory.recipients(
                event.company_id,
                countries=event.countries,
                user_id=event.user_id,
                after=after,
                limit=self._page_size,
            )
        for recipient in recipients:
            if after is not None and recipient.id <= after:
                raise ValueError(
                    f"the directory answered recipient {recipient.id} behind {after}; "
                    "ids must ascend, and be greater than after"
                )
            after = recipient.id
        return recipients

    # Sending

    async def _serve(self, key: NotificationKey, _: object) -> None:
        """Make one claim and send it; where there is none to make, clear up."""
        search = self._searches.get(key)
        if search is not None and search.goes_first:
            return  # it puts the key back
        began, token = monotonic(), secrets.token_hex(16)
        hold = self._keeper.hold(key, token, began)
        try:
            claim = await self._claim(key, token)
            if claim is not None:
                await self._go_on(claim, hold, began)
                return
        finally:
            self._keeper.drop(hold)
        await self._sweep(key)

    async def _claim(self, key: NotificationKey, token: str) -> Claim | None:
        try:
            return await self._ledger.claim(
                key,
                token=token,
                worker=self.worker,
                limit=self._notifier.claim_size,
                lease=self._lease,
                on_uncertain=self._policy.on_uncertain,
                max_attempts=self._policy.max_attempts,
            )
        except BaseException:
            # It may have been stored all the same.
            await asyncio.shield(self._sender.give_back(key, token))
            raise

    async def _go_on(self, claim: Claim, hold: Hold, began: float) -> None:
        """Send a claim, unless all of it was cancelled or it is too late."""
        key = claim.key
        deliveries: Sequence[Delivery] | None = ()
        if claim.deliveries:
            deliveries = await self._sender.prepare(claim, hold, began)
        if deliveries is None:
            self._look_soon()
            return
        self._progress += 1
        self._soon = _SOONEST
        if key in self._searches:
            self._searches[key].waiting -= 1
        self._to_send.put(key)  # for others to go on with, or for this one later
        if deliveries:
            await self._sender.send(claim, deliveries, began)

    async def _sweep(self, key: NotificationKey) -> None:
        sweep = await self._ledger.sweep(key)
        if sweep.swept:
            self._telemetry.tell(DispatchKind.SWEPT, key, count=sweep.swept)
        if sweep.closed is not None:
            self._telemetry.tell(DispatchKind.CLOSED, key, detail=sweep.closed)
        if sweep.swept or sweep.closed is not None:
            self._progress += 1
            self._to_send.put(key)
        elif key in self._elsewhere:
            self._look_soon()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _about(seconds: float) -> float:
    """Workers that were started together drift apart."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


class _Search:
    """A notification whose recipients this worker is looking for.

    Nobody else can do that, but anybody can send: while there is little to claim, it is left to
    others, and the search goes first here. Not for long, since there may be no others.
    """

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        """Batches that there are to claim, as far as this worker knows."""
        self._until = monotonic() + _PATIENCE

    @property
    def goes_first(self) -> bool:
        return self.waiting < _AHEAD and monotonic() < self._until
