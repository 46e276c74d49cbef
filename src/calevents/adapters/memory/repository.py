"""Events kept in memory."""

from collections.abc import Callable, Sequence
from datetime import datetime

import attrs

from calevents.audience import Viewer, sees
from calevents.event import Event
from calevents.exceptions import ConcurrentWrite, IdempotencyKeyReused
from calevents.listing import EventQuery, Sort, matches, position_of
from calevents.ports import IdempotencyKey

__all__ = ["MemoryRepository"]


class MemoryRepository:
    """The reference :class:`~calevents.ports.EventRepository`.

    No method awaits anything between its reads and its writes, which makes each one atomic among
    the tasks of one event loop. Not for use from several threads.
    """

    def __init__(self) -> None:
        self._events: dict[tuple[int, int], Event] = {}
        self._keys: dict[tuple[int, int | None, str], tuple[IdempotencyKey, Event]] = {}
        self.on_write: list[Callable[[Event | None, Event | None], None]] = []
        """Called within every write with the event before and after it; ``None`` for no event."""

    async def get(self, viewer: Viewer, event_id: int) -> Event | None:
        """See :meth:`calevents.ports.EventRepository.get`."""
        event = self._events.get((viewer.company_id, event_id))
        return event if event is not None and sees(viewer, event) else None

    async def list(self, viewer: Viewer, query: EventQuery, now: datetime) -> Sequence[Event]:
        """See :meth:`calevents.ports.EventRepository.list`."""
        found = [
            event
            for event in self._events.values()
            if sees(viewer, event) and matches(query, event, now)
        ]
        found.sort(key=position_of, reverse=query.sort is Sort.START_DESCENDING)
        return found[: query.limit]

    async def create(
        self, viewer: Viewer, event: Event, idempotency_key: IdempotencyKey | None = None
    ) -> Event:
        """See :meth:`calevents.ports.EventRepository.create`."""
        if idempotency_key is not None:
            principal = (viewer.company_id, viewer.user_id, idempotency_key.key)
            used, first = self._keys.get(principal, (None, event))
            if used is not None and used.now > idempotency_key.expired_before:
                if used.fingerprint != idempotency_key.fingerprint:
                    raise IdempotencyKeyReused("this key was used with another document")
                return first
        if (event.company_id, event.id) in self._events:
            raise ConcurrentWrite("the id is taken")
        if idempotency_key is not None:
            self._keys[principal] = (idempotency_key, event)
        self._write(None, event)
        return event

    async def replace(self, before: Event, after: Event) -> Event | None:
        """See :meth:`calevents.ports.EventRepository.replace`."""
        stored = self._stored(before)
        if stored is None:
            return None
        sent_at = stored.notification_sent_at if after.start == stored.start else None
        after = attrs.evolve(after, notification_sent_at=sent_at)
        self._write(stored, after)
        return after

    async def delete(self, event: Event) -> bool:
        """See :meth:`calevents.ports.EventRepository.delete`."""
        stored = self._stored(event)
        if stored is None:
            return False
        self._write(stored, None)
        return True

    async def purge_idempotency_keys(self, before: datetime, *, limit: int) -> int:
        """See :meth:`calevents.ports.EventRepository.purge_idempotency_keys`."""
        old = [name for name, (key, _) in self._keys.items() if key.now <= before][:limit]
        for name in old:
            del self._keys[name]
        return len(old)

    def stamp(self, company_id: int, event_id: int, start: datetime, sent_at: datetime) -> None:
        """Note that the push for ``start`` is complete, if the event still starts then."""
        event = self._events.get((company_id, event_id))
        if event is not None and event.start == start:
            self._events[company_id, event_id] = attrs.evolve(event, notification_sent_at=sent_at)

    def find(self, company_id: int, event_id: int) -> Event | None:
        """The event as it is stored, for the ledger: whoever may see it."""
        return self._events.get((company_id, event_id))

    def _stored(self, event: Event) -> Event | None:
        stored = self._events.get((event.company_id, event.id))
        return stored if stored is not None and stored.version == event.version else None

    def _write(self, before: Event | None, after: Event | None) -> None:
        event = after or before
        assert event is not None
        key = (event.company_id, event.id)
        if after is None:
            del self._events[key]
        else:
            self._events[key] = after
        for told in self.on_write:
            told(before, after)
