"""The calendar: every use case, always within a scope.

``calendar.company(67890)`` and ``calendar.user(member)`` are the only ways to touch events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from calevents.audience import MAX_ID, Company, Member, Viewer, may_change
from calevents.event import Event
from calevents.exceptions import (
    ConcurrentWrite,
    EventNotFound,
    Forbidden,
    IdempotencyKeyInFlight,
    InvalidQuery,
    PreconditionFailed,
)
from calevents.listing import (
    EventQuery,
    Page,
    Position,
    RepresentedPage,
    position_of,
    query_for,
)

if TYPE_CHECKING:  # the ports know the whole ledger, which a calendar alone doesn't need
    from calevents.draft import Disambiguation, EventDraft, EventPatch
    from calevents.ports import Clock, EventRepository, IdempotencyKey

__all__ = ["Calendar", "Creation", "Scope"]

IDEMPOTENCY_WINDOW = timedelta(hours=24)
"""For how long an idempotency key is remembered."""

_MAX_KEY = 255
_ATTEMPTS = 32


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


class Calendar:
    """A calendar over one storage, shared by any number of companies.

    ``clock`` tells the time of every answer; by default it is the system's.
    """

    def __init__(self, repository: EventRepository, *, clock: Clock = utc_now) -> None:
        self.repository = repository
        self.clock = clock
        self._in_flight: set[tuple[int, int | None, str]] = set()

    def company(self, company_id: int) -> Scope:
        """What a company may do: with the events that it created for its members."""
        return Scope(self, Company(company_id))

    def user(self, member: Member) -> Scope:
        """What a user may do: see what concerns them, and keep events of their own."""
        return Scope(self, member)

    async def purge_idempotency_keys(self, *, limit: int = 10_000) -> int:
        """Delete idempotency keys that have lapsed, at most ``limit``; 0 when none are left.

        They are ignored after 24 hours in any case; call this daily so that they don't pile up.

        Raises:
            StorageUnavailable: the storage can't be reached or is busy past its time-out.
        """
        lapsed = self.clock() - IDEMPOTENCY_WINDOW
        return await self.repository.purge_idempotency_keys(lapsed, limit=limit)

    @contextmanager
    def only_one(self, viewer: Viewer, key: str) -> Iterator[None]:
        """Refuse a second request with the same idempotency key while the first is under way."""
        request = (viewer.company_id, viewer.user_id, key)
        if request in self._in_flight:
            raise IdempotencyKeyInFlight("the first request with this key hasn't ended; wait")
        self._in_flight.add(request)
        try:
            yield
        finally:
            self._in_flight.remove(request)


class Creation(NamedTuple):
    """The answer to a request with an idempotency key."""

    event: Event
    """The event as it was first answered."""
    replayed: bool
    """Whether an earlier request with this key created it."""


class Scope:
    """The calendar as one company or one user sees it and may change it.

    Every method raises :class:`~calevents.exceptions.StorageUnavailable` when the storage can't be
    reached or is busy past its time-out; then nothing was written.
    """

    __slots__ = ("calendar", "viewer")

    def __init__(self, calendar: Calendar, viewer: Viewer) -> None:
        self.calendar = calendar
        self.viewer = viewer

    async def get(self, event_id: int) -> Event:
        """The event with this id.

        Raises:
            EventNotFound: there is none, or none that this scope may see.
        """
        if 0 < event_id <= MAX_ID:
            event = await self.calendar.repository.get(self.viewer, event_id)
            if event is not None:
                return event
        raise EventNotFound(event_id)

    async def list(self, /, **parameters: Any) -> Page:
        """A page of events, ordered by start.

        The parameters are those of the contract (``from_`` stands for ``from``): ``limit`` (1–100,
        default 50), ``cursor``, ``view``, ``from_``, ``to``, ``status``, ``sort``, and for a
        company ``country`` and ``user_id``. Each may be text or the Python value.

        Raises:
            InvalidQuery: an unknown parameter or a bad value; it names the parameter.
        """
        query, now = self._asked(parameters), self.calendar.clock()
        events = await self.calendar.repository.list(self.viewer, query, now)
        if len(events) < query.limit:
            return Page(tuple(events), None, now)
        page = tuple(events[:-1])
        return Page(page, self._cursor_after(position_of(page[-1]), query), now)

    async def list_represented(self, /, **parameters: Any) -> RepresentedPage:
        """The page of :meth:`list` as the API shows it.

        It is quicker than to represent each event, where the storage is able to.

        Raises:
            InvalidQuery: an unknown parameter or a bad value; it names the parameter.
        """
        query, now = self._asked(parameters), self.calendar.clock()
        repository = self.calendar.repository
        if hasattr(repository, "list_represented"):
            shown = await repository.list_represented(self.viewer, query, now)
        else:
            from calevents.representation import represent_natively

            events = await repository.list(self.viewer, query, now)
            shown = [represent_natively(event, now) for event in events]
        if len(shown) < query.limit:
            return RepresentedPage(shown, None, now)
        page = shown[:-1]
        last = Position(page[-1]["start"], page[-1]["id"])
        return RepresentedPage(page, self._cursor_after(last, query), now)

    def _cursor_after(self, position: Position, query: EventQuery) -> str:
        from calevents.cursors import cursor_after  # here, for most lists fit on one page

        return cursor_after(position, self.viewer, query.sort)

    def _asked(self, parameters: dict[str, Any]) -> EventQuery:
        """The query, for one event more than a page holds: it tells whether there is a next one."""
        if "from_" in parameters:
            parameters["from"] = parameters.pop("from_")
        return query_for(self.viewer, parameters, extra=1)

    async def iterate(self, **parameters: Any) -> AsyncIterator[Event]:
        """Every event of :meth:`list`, page after page."""
        cursor = parameters.pop("cursor", None)
        while True:
            page = await self.list(cursor=cursor, **parameters)
            for event in page.events:
                yield event
            cursor = page.next_cursor
            if cursor is None:
                return

    async def create(
        self,
        draft: EventDraft | Mapping[str, Any],
        *,
        disambiguation: Disambiguation = "compatible",
    ) -> Event:
        """Create an event: the company's for its members, or a user's own.

        Raises:
            InvalidEvent: with every fault of the draft.
        """
        return (await self._create(draft, None, disambiguation)).event

    async def create_once(
        self,
        draft: EventDraft | Mapping[str, Any],
        *,
        idempotency_key: str,
        disambiguation: Disambiguation = "compatible",
    ) -> Creation:
        """Create an event, unless this scope did so within 24 hours with the same key.

        Then the first answer is given again, whatever became of the event since.

        Raises:
            InvalidEvent: with every fault of the draft; the key is not used up.
            InvalidQuery: the key is empty, longer than 255 characters, or not printable ASCII.
            IdempotencyKeyReused: the key was used with another draft.
            IdempotencyKeyInFlight: the first request with the key hasn't ended.
        """
        if not (0 < len(idempotency_key) <= _MAX_KEY and _is_printable_ascii(idempotency_key)):
            raise InvalidQuery("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
        with self.calendar.only_one(self.viewer, idempotency_key):
            return await self._create(draft, idempotency_key, disambiguation)

    async def update(
        self,
        event_id: int,
        patch: EventPatch | Mapping[str, Any],
        *,
        if_match: Collection[int] | None = None,
        disambiguation: Disambiguation = "compatible",
    ) -> Event:
        """Change an event as a JSON merge patch says (RFC 7396).

        An absent key keeps its value, ``None`` clears it, arrays are replaced whole. The merged
        event is validated. With ``if_match`` only one of these versions is changed; without it a
        write that meets another is merged anew over the other's result.

        Raises:
            EventNotFound: there is none, or none that this scope may see.
            Forbidden: this scope sees the event but didn't create it.
            PreconditionFailed: the event is in no version of ``if_match``.
            InvalidEvent: with every fault of the merged event.
            ConcurrentWrite: other writers kept changing the event meanwhile.
        """
        # Here, for reading doesn't need them.
        from calevents.composition import compose
        from calevents.identifiers import new_id

        calendar = self.calendar
        for _ in range(_ATTEMPTS):
            base = await self._changeable(event_id, if_match)
            event = compose(
                patch,
                viewer=self.viewer,
                now=calendar.clock(),
                new_id=new_id,
                base=base,
                disambiguation=disambiguation,
            )
            if event is base:
                return base
            stored = await calendar.repository.replace(base, event)
            if stored is not None:
                return stored
        raise ConcurrentWrite("other writers kept changing the event; try again")

    async def delete(self, event_id: int, *, if_match: Collection[int] | None = None) -> None:
        """Delete an event; what is left of its push is cancelled.

        Raises:
            EventNotFound: there is none, or none that this scope may see.
            Forbidden: this scope sees the event but didn't create it.
            PreconditionFailed: the event is in no version of ``if_match``.
            ConcurrentWrite: other writers kept changing the event meanwhile.
        """
        for _ in range(_ATTEMPTS):
            event = await self._changeable(event_id, if_match)
            if await self.calendar.repository.delete(event):
                return
        raise ConcurrentWrite("other writers kept changing the event; try again")

    async def _create(
        self,
        draft: Mapping[str, Any],
        idempotency_key: str | None,
        disambiguation: Disambiguation,
    ) -> Creation:
        # Here, for reading doesn't need them.
        from calevents.composition import compose
        from calevents.identifiers import new_id

        now = self.calendar.clock()
        key = None if idempotency_key is None else _key(idempotency_key, draft, now)
        event = compose(
            draft, viewer=self.viewer, now=now, new_id=new_id, disambiguation=disambiguation
        )
        for _ in range(_ATTEMPTS):
            try:
                stored = await self.calendar.repository.create(self.viewer, event, key)
            except ConcurrentWrite:  # another process drew the same id in this microsecond
                event = attrs.evolve(event, id=new_id())
            else:
                return Creation(stored, replayed=stored.id != event.id)
        raise ConcurrentWrite("no free id was found; try again")

    async def _changeable(self, event_id: int, if_match: Collection[int] | None) -> Event:
        event = await self.get(event_id)
        if not may_change(self.viewer, event):
            raise Forbidden("the company made this event; a user can't change or delete it")
        if if_match is not None and event.version not in if_match:
            raise PreconditionFailed("the event has changed; read it again")
        return event


def _is_printable_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _key(key: str, draft: Mapping[str, Any], now: datetime) -> IdempotencyKey:
    # Imported here: few requests carry a key.
    import json
    from hashlib import sha256

    from calevents.ports import IdempotencyKey

    # The order of a document's keys doesn't count.
    text = json.dumps(draft, sort_keys=True, default=str)
    return IdempotencyKey(
        key=key,
        fingerprint=sha256(text.encode()).hexdigest(),
        now=now,
        expired_before=now - IDEMPOTENCY_WINDOW,
    )
