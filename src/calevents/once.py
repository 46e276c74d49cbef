"""The queue of what a dispatcher's tasks have to do."""

import asyncio

from calevents.ledger import NotificationKey, Resolution

__all__ = ["Once"]


class Once:
    """A queue in which a notification stands at most once."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[NotificationKey | None] = asyncio.Queue()
        self._held: dict[NotificationKey, Resolution | None] = {}

    def put(self, key: NotificationKey, held: Resolution | None = None) -> None:
        """Add a notification, with the resolution that goes on with it."""
        if key not in self._held:
            self._queue.put_nowait(key)
            self._held[key] = held
        elif held is not None:
            self._held[key] = held

    def wake(self) -> None:
        """Let one who waits go, with nothing to do."""
        self._queue.put_nowait(None)

    async def get(self) -> tuple[NotificationKey | None, Resolution | None]:
        """Wait for the next one."""
        key = await self._queue.get()
        return key, None if key is None else self._held.pop(key)

    def done(self) -> None:
        """Tell that what was got is done."""
        self._queue.task_done()

    async def join(self) -> None:
        """Wait until nothing is left."""
        await self._queue.join()

    def clear(self) -> list[Resolution | None]:
        """Empty the queue; answer what was held."""
        held = list(self._held.values())
        self._held.clear()
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()
        return held
