"""Keeping claims alive from a thread that the host's event loop can't starve."""

import asyncio
import logging
import threading
import time

from calevents.exceptions import CalendarError
from calevents.ledger import NotificationKey
from calevents.ports import LeaseRenewal, NotificationLedger

__all__ = ["Hold", "LeaseKeeper", "monotonic"]

_logger = logging.getLogger("calevents.dispatcher")

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def monotonic() -> float:
    """Seconds of a clock that only goes forward, and that also runs while the machine sleeps."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


class Hold:
    """A claim that this worker has in hand."""

    def __init__(self, key: NotificationKey, token: str, since: float, lease: float) -> None:
        self.key = key
        self.token = token
        self.renewed = since
        """When the lease was last known to begin, by :func:`monotonic`: before the call that did
        it, so that the ledger's own end of the lease is never earlier."""
        self._lease = lease

    @property
    def left(self) -> float:
        """Seconds that are surely left of the lease."""
        return self.renewed + self._lease - monotonic()


class LeaseKeeper:
    """Renews what is held, from a thread with an event loop and a connection of its own.

    A host whose event loop is busy for longer than a lease would otherwise lose claims that it is
    still sending. Claims that end within a quarter of the lease cost nothing here. Where the ledger
    has no detached form, a task of the host's loop renews.
    """

    def __init__(self, ledger: NotificationLedger, lease: float) -> None:
        self._ledger = ledger
        self._lease = lease
        self._interval = lease / 4
        self._holds: dict[str, Hold] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None

    def hold(self, key: NotificationKey, token: str, since: float) -> Hold:
        """Keep a claim that was asked for at ``since`` alive until :meth:`drop`."""
        hold = self._holds[token] = Hold(key, token, since, self._lease)
        return hold

    def drop(self, hold: Hold) -> None:
        """Let a claim go."""
        self._holds.pop(hold.token, None)

    async def start(self) -> None:
        """Begin to renew."""
        self._stopped.clear()
        if self._ledger.detached() is None:
            self._task = asyncio.create_task(self._keep_in_loop())
            return
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._keep_in_thread()),
            name="calevents-leases",
            daemon=True,
        )
        self._thread.start()

    async def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        task, self._task = self._task, None
        if thread is not None:
            await asyncio.to_thread(thread.join)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _keep_in_thread(self) -> None:
        detached = self._ledger.detached()
        assert detached is not None
        async with detached as renewal:
            # Nothing else runs in this loop, so it may block.
            while not self._stopped.wait(self._interval / 4):
                await self._renew(renewal)

    async def _keep_in_loop(self) -> None:
        while True:
            await asyncio.sleep(self._interval / 4)
            await self._renew(self._ledger)

    async def _renew(self, renewal: LeaseRenewal) -> None:
        now = monotonic()
        for hold in list(self._holds.values()):
            if now - hold.renewed < self._interval:
                continue
            began = monotonic()
            try:
                held = await renewal.renew(hold.key, hold.token, lease=self._lease)
            except CalendarError:
                _logger.warning("a lease can't be renewed; trying again", exc_info=True)
                continue
            if held:
                hold.renewed = began
            else:
                self.drop(hold)
