"""What every :class:`~calevents.ports.EventRepository` must do."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from calevents.audience import MAX_ID, Company, Member, Viewer, sees
from calevents.calendar import Calendar, Scope
from calevents.event import NOTICE, Event, Status
from calevents.exceptions import ConcurrentWrite, IdempotencyKeyInFlight, IdempotencyKeyReused
from calevents.listing import EventQuery, Position, Sort, View, matches, position_of
from calevents.ports import EventRepository, IdempotencyKey
from calevents.representation import represent_natively
from calevents.testing.events import NOON, an_event, an_image

__all__ = ["EventRepositoryContract"]

_TICK = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)

_THE_BEGINNING = datetime.min.replace(tzinfo=UTC)
_THE_END = datetime.max.replace(tzinfo=UTC)

_COMPANY = Company(1)
_VIEWERS: tuple[Viewer, ...] = (
    _COMPANY,
    Company(2),
    Member(company_id=1, id=1, country="US"),
    Member(company_id=1, id=2, country="DE"),
    Member(company_id=1, id=3),
    Member(company_id=2, id=1, country="US"),
)
_US_MEMBER = _VIEWERS[2]


def _assortment() -> list[Event]:
    """Events of two companies for every kind of audience, around every boundary of noon."""
    targets: list[dict[str, object]] = [
        {},
        {"active": False},
        {"countries": ("US",)},
        {"countries": ("CA", "US", "DE")},
        {"countries": ("DE",), "active": False},
        {"user_id": 1},
        {"user_id": 2},
        {"user_id": 1, "active": False},
        {"user_id": 1, "personal": True},
        {"user_id": 1, "personal": True, "active": False},
        {"user_id": 3, "personal": True},
    ]
    starts = [
        NOON - 3 * _HOUR,
        NOON - 2 * _HOUR - _TICK,
        NOON - 2 * _HOUR,
        NOON - 2 * _HOUR + _TICK,
        NOON - _TICK,
        NOON,
        NOON + _TICK,
        NOON + NOTICE,
        NOON + NOTICE + _TICK,
        NOON + 24 * _HOUR,
    ]
    return [
        an_event(company_id=company_id, start=start, **target)
        for company_id, target, start in itertools.product((1, 2), targets, starts)
    ]


def _expected(
    events: Sequence[Event], viewer: Viewer, query: EventQuery, now: datetime
) -> list[Event]:
    found = [event for event in events if sees(viewer, event) and matches(query, event, now)]
    found.sort(key=position_of, reverse=query.sort is Sort.START_DESCENDING)
    return found[: query.limit]


def _key(
    key: str = "key", fingerprint: str = "a", now: datetime = NOON, window: timedelta = 24 * _HOUR
) -> IdempotencyKey:
    return IdempotencyKey(key=key, fingerprint=fingerprint, now=now, expired_before=now - window)


class EventRepositoryContract:
    """Subclass it and override :meth:`repository` with a fixture that gives an empty one."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def repository(self) -> EventRepository:
        """The repository under test, empty."""
        raise NotImplementedError("override the fixture `repository`")

    # Reading

    async def test_an_event_is_read_back_as_it_was_stored(
        self, repository: EventRepository
    ) -> None:
        event = an_event(
            title="Лето 夏 🎉",
            description="one\ntwo\tthree 'quoted' \"twice\" %s ?",
            url="https://example.com/?a=b%20c",
            venue="Köln",
            color="#FF5733",
            start=NOON + _TICK,
            end=NOON + 2 * _TICK,
            start_wall=datetime(2025, 6, 15, 8, 0, 0, 1),  # noqa: DTZ001 - a wall time
            end_wall=datetime(2025, 6, 15, 8, 0, 0, 2),  # noqa: DTZ001 - a wall time
            time_zone="Eastern Time (US & Canada)",
            canonical_time_zone="America/New_York",
            images=(an_image(1), an_image(2, "https://example.com/?ü")),
            countries=("US", "CA", "MX"),
            notification_sent_at=NOON - _TICK,
        )
        assert await repository.create(_COMPANY, event) == event
        stored = await repository.get(_COMPANY, event.id)
        assert stored == event
        assert stored is not None
        assert stored.start.utcoffset() == timedelta(0)
        assert stored.start_wall is not None
        assert stored.start_wall.tzinfo is None

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
            (datetime(999, 12, 31, tzinfo=UTC), datetime(1000, 1, 1, tzinfo=UTC)),
        ],
    )
    async def test_the_whole_range_of_instants_is_kept(
        self, repository: EventRepository, start: datetime, end: datetime
    ) -> None:
        event = an_event(start=start, end=end)
        await repository.create(_COMPANY, event)
        assert await repository.get(_COMPANY, event.id) == event
        query = EventQuery(view=View.ACTIVE)
        assert await repository.list(_COMPANY, query, end - _TICK) == [event]
        assert await repository.list(_COMPANY, query, end) == []

    @pytest.mark.parametrize(
        "now",
        [
            _THE_BEGINNING,
            _THE_BEGINNING + _TICK,
            _THE_BEGINNING + NOTICE - _TICK,
            _THE_BEGINNING + NOTICE,
            _THE_BEGINNING + NOTICE + _TICK,
            _THE_END - NOTICE - _TICK,
            _THE_END - NOTICE,
            _THE_END - NOTICE + _TICK,
            _THE_END - _TICK,
            _THE_END,
        ],
        ids=datetime.isoformat,
    )
    async def test_lists_reach_from_the_first_instant_to_the_last(
        self, repository: EventRepository, now: datetime
    ) -> None:
        instants = [
            *(_THE_BEGINNING + after for after in (0 * _TICK, _TICK, NOTICE, NOTICE + _TICK)),
            *(_THE_END - before for before in (NOTICE + _TICK, NOTICE, _TICK, 0 * _TICK)),
        ]
        events = [
            an_event(company_id=company_id, start=start, end=end)
            for company_id in (1, 2)
            for start, end in itertools.combinations(instants, 2)
        ]
        for event in events:
            await repository.create(Company(event.company_id), event)
        options: list[dict[str, Any]] = [
            {"view": view, "status": status, "sort": sort}
            for view, status, sort in itertools.product(View, (None, *Status), Sort)
        ]
        bounds = (None, _THE_BEGINNING, _THE_END)
        options += [
            {"view": view, "status": status, "ends_after": after, "starts_before": before}
            for view, status, after, before in itertools.product(
                (View.ACTIVE, View.ALL), (None, Status.STARTING_SOON), bounds, bounds
            )
        ]
        options += [
            {"sort": sort, "after": Position(start, event_id)}
            for sort, start, event_id in itertools.product(
                Sort, (_THE_BEGINNING, _THE_END), (1, MAX_ID)
            )
        ]
        for viewer, option in itertools.product((_COMPANY, _US_MEMBER), options):
            query = EventQuery(limit=1000, **option)
            assert list(await repository.list(viewer, query, now)) == _expected(
                events, viewer, query, now
            ), query

    async def test_get_answers_what_the_viewer_sees(self, repository: EventRepository) -> None:
        events = _assortment()
        for event in events:
            await repository.create(_COMPANY, event)
        for viewer in _VIEWERS:
            for event in events[::7]:
                expected = event if sees(viewer, event) else None
                assert await repository.get(viewer, event.id) == expected, (viewer, event)
            assert await repository.get(viewer, 1) is None

    async def test_list_answers_what_the_viewer_sees_and_asks_for(
        self, repository: EventRepository
    ) -> None:
        events = _assortment()
        for event in events:
            await repository.create(_COMPANY, event)
        middle = position_of(events[14])
        queries = [
            EventQuery(limit=limit, view=view, status=status, sort=sort, after=after)
            for limit, view, status, sort, after in itertools.product(
                (1000, 3), View, (None, *Status), Sort, (None, middle)
            )
        ]
        bounds = (None, NOON - 2 * _HOUR, NOON, NOON + _TICK)
        queries += [
            EventQuery(limit=1000, view=view, ends_after=after, starts_before=before)
            for view, after, before in itertools.product(View, bounds, bounds)
        ]
        for query in queries:
            for viewer in _VIEWERS:
                assert list(await repository.list(viewer, query, NOON)) == _expected(
                    events, viewer, query, NOON
                ), (viewer, query)

    async def test_a_list_is_represented_as_its_events_are(
        self, repository: EventRepository
    ) -> None:
        """By ``list_represented`` where the repository has it, by the calendar where not."""
        calendar = Calendar(repository, clock=lambda: NOON)
        for event in _assortment():
            pictured = attrs.evolve(event, images=(an_image(1), an_image(2)), description="é\n")
            await repository.create(_COMPANY, pictured)
        for viewer, view in itertools.product(_VIEWERS, View):
            scope = Scope(calendar, viewer)
            page = await scope.list(limit=100, view=view)
            represented = await scope.list_represented(limit=100, view=view)
            shown = [
                document | {"countries": tuple(document["countries"])}
                for document in represented.events
            ]
            assert shown == [represent_natively(event, NOON) for event in page.events]
            assert represented.next_cursor == page.next_cursor

    async def test_a_company_filters_by_country_and_user(self, repository: EventRepository) -> None:
        events = _assortment()
        for event in events:
            await repository.create(_COMPANY, event)
        for view, country, user_id in itertools.product(
            View, (None, "US", "DE", "FR"), (None, 1, 2, 3)
        ):
            query = EventQuery(limit=1000, view=view, country=country, user_id=user_id)
            for company in (Company(1), Company(2)):
                assert list(await repository.list(company, query, NOON)) == _expected(
                    events, company, query, NOON
                ), query

    @pytest.mark.parametrize("sort", list(Sort))
    async def test_pages_neither_repeat_nor_skip_what_stays_put(
        self, repository: EventRepository, sort: Sort
    ) -> None:
        # Three events at each start: only the id tells them apart.
        staying = [an_event(start=NOON + (i // 3) * _TICK) for i in range(12)]
        moving = [an_event(start=NOON + i * _TICK, end=NOON + _HOUR) for i in range(4)]
        for event in staying + moving:
            await repository.create(_COMPANY, event)
        seen: list[int] = []
        after: Position | None = None
        while True:
            query = EventQuery(limit=2, sort=sort, after=after)
            page = await repository.list(_US_MEMBER, query, NOON)
            if not page:
                break
            seen += [event.id for event in page]
            after = position_of(page[-1])
            await repository.create(_COMPANY, an_event(start=NOON + _TICK))
            if moving:
                moved = moving.pop()
                later = attrs.evolve(moved, start=NOON + 2 * _TICK, version=2)
                assert await repository.replace(moved, later)
        ids = sorted(event.id for event in staying)
        assert sorted(event_id for event_id in seen if event_id in ids) == ids

    # Writing

    async def test_an_id_is_taken_once_in_each_company(self, repository: EventRepository) -> None:
        first = an_event(id=5)
        await repository.create(_COMPANY, first)
        with pytest.raises(ConcurrentWrite):
            await repository.create(_COMPANY, an_event(id=5, title="Second"))
        assert await repository.get(_COMPANY, 5) == first
        assert len(await repository.list(_COMPANY, EventQuery(), NOON)) == 1
        other = an_event(id=5, company_id=2)
        await repository.create(Company(2), other)
        assert await repository.get(Company(2), 5) == other
        assert await repository.get(_COMPANY, 5) == first

    async def test_replace_moves_the_event_to_its_new_audience(
        self, repository: EventRepository
    ) -> None:
        before = an_event(countries=("US",))
        untouched = attrs.evolve(before, company_id=2)
        await repository.create(_COMPANY, before)
        await repository.create(Company(2), untouched)
        after = attrs.evolve(
            before,
            title="Moved",
            start=NOON + _HOUR,
            end=NOON + 5 * _HOUR,
            countries=("DE", "FR"),
            images=(an_image(),),
            version=2,
            updated_at=NOON,
        )
        assert await repository.replace(before, after) == after
        for viewer in _VIEWERS:
            stored = untouched if viewer.company_id == 2 else after
            expected = stored if sees(viewer, stored) else None
            assert await repository.get(viewer, before.id) == expected, viewer
            for view in View:
                query = EventQuery(view=view)
                assert list(await repository.list(viewer, query, NOON + 3 * _HOUR)) == _expected(
                    [after, untouched], viewer, query, NOON + 3 * _HOUR
                )

    @pytest.mark.parametrize(
        "change",
        [
            {"active": False},
            {"countries": ()},
            {"countries": (), "user_id": 2},
            {"end": NOON + 9 * _HOUR},
            {"title": "Other"},
        ],
    )
    async def test_every_kind_of_change_keeps_the_lists_right(
        self, repository: EventRepository, change: dict[str, Any]
    ) -> None:
        before = an_event(countries=("US",))
        await repository.create(_COMPANY, before)
        after = attrs.evolve(before, version=2, **change)
        await repository.replace(before, after)
        back = attrs.evolve(before, version=3)
        for event in (after, back):
            if event is back:
                assert await repository.replace(after, back) == back
            for viewer in _VIEWERS:
                for view in View:
                    query = EventQuery(view=view)
                    now = NOON + 3 * _HOUR
                    assert list(await repository.list(viewer, query, now)) == _expected(
                        [event], viewer, query, now
                    ), (viewer, view)

    async def test_a_write_over_another_version_stores_nothing(
        self, repository: EventRepository
    ) -> None:
        first = an_event()
        await repository.create(_COMPANY, first)
        second = attrs.evolve(first, title="Second", version=2)
        await repository.replace(first, second)
        stale = attrs.evolve(first, title="Stale", countries=("US",), version=2)
        assert await repository.replace(first, stale) is None
        assert not await repository.delete(first)
        assert await repository.get(_COMPANY, first.id) == second
        assert list(await repository.list(_US_MEMBER, EventQuery(), NOON)) == [second]

    async def test_of_many_writers_over_one_version_one_wins(
        self, repository: EventRepository
    ) -> None:
        first = an_event()
        await repository.create(_COMPANY, first)
        stored = await asyncio.gather(
            *(
                repository.replace(first, attrs.evolve(first, title=f"Writer {i}", version=2))
                for i in range(8)
            )
        )
        winners = [event for event in stored if event is not None]
        assert len(winners) == 1
        assert await repository.get(_COMPANY, first.id) == winners[0]

    async def test_delete_leaves_nothing_and_answers_once(
        self, repository: EventRepository
    ) -> None:
        event = an_event(countries=("US", "DE"))
        other = attrs.evolve(event, company_id=2)
        await repository.create(_COMPANY, event)
        await repository.create(Company(2), other)
        assert await repository.delete(event)
        assert not await repository.delete(event)
        assert await repository.replace(event, attrs.evolve(event, version=2)) is None
        for viewer in _VIEWERS:
            expected = [other] if sees(viewer, other) else []
            assert list(await repository.list(viewer, EventQuery(), NOON)) == expected
            assert await repository.get(viewer, event.id) == (expected[0] if expected else None)

    async def test_the_stamp_is_kept_until_the_start_moves(
        self, repository: EventRepository
    ) -> None:
        first = an_event(notification_sent_at=NOON - _HOUR)
        await repository.create(_COMPANY, first)
        # The writer read the event before it was stamped, and moves only its end.
        second = attrs.evolve(first, end=NOON + 9 * _HOUR, notification_sent_at=None, version=2)
        stored = await repository.replace(first, second)
        assert stored == attrs.evolve(second, notification_sent_at=NOON - _HOUR)
        assert await repository.get(_COMPANY, first.id) == stored
        third = attrs.evolve(second, start=NOON + _TICK, version=3)
        assert await repository.replace(second, third) == third
        assert await repository.get(_COMPANY, first.id) == third

    # Idempotency keys

    async def test_a_key_replays_its_first_answer(self, repository: EventRepository) -> None:
        first = an_event(images=(an_image(),), countries=("US",))
        assert await repository.create(_COMPANY, first, _key()) == first
        assert await repository.create(_COMPANY, an_event(), _key()) == first
        changed = attrs.evolve(first, title="Changed", version=2)
        await repository.replace(first, changed)
        assert await repository.create(_COMPANY, an_event(), _key()) == first
        await repository.delete(changed)
        assert await repository.create(_COMPANY, an_event(), _key()) == first
        assert list(await repository.list(_COMPANY, EventQuery(), NOON)) == []

    async def test_a_key_with_another_document_is_refused(
        self, repository: EventRepository
    ) -> None:
        first = an_event()
        await repository.create(_COMPANY, first, _key())
        with pytest.raises(IdempotencyKeyReused):
            await repository.create(_COMPANY, an_event(), _key(fingerprint="b"))
        assert list(await repository.list(_COMPANY, EventQuery(), NOON)) == [first]

    async def test_each_principal_has_keys_of_its_own(self, repository: EventRepository) -> None:
        for viewer in _VIEWERS:
            user_id = viewer.user_id
            event = an_event(
                company_id=viewer.company_id, user_id=user_id, personal=user_id is not None
            )
            assert await repository.create(viewer, event, _key()) == event

    async def test_a_user_who_moves_keeps_their_keys(self, repository: EventRepository) -> None:
        first = an_event(user_id=1, personal=True)
        await repository.create(Member(company_id=1, id=1, country="US"), first, _key())
        moved = Member(company_id=1, id=1, country="DE")
        assert await repository.create(moved, an_event(), _key()) == first

    async def test_a_key_is_forgotten_after_its_window(self, repository: EventRepository) -> None:
        first, second = an_event(), an_event()
        window = 24 * _HOUR
        await repository.create(_COMPANY, first, _key())
        almost = _key(now=NOON + window - _TICK)
        assert await repository.create(_COMPANY, an_event(), almost) == first
        then = _key(now=NOON + window, fingerprint="b")
        assert await repository.create(_COMPANY, second, then) == second
        assert await repository.create(_COMPANY, an_event(), then) == second

    async def test_lapsed_keys_are_purged_in_bounded_steps(
        self, repository: EventRepository
    ) -> None:
        for second in range(3):
            key = _key(f"key {second}", now=NOON + timedelta(seconds=second))
            await repository.create(_COMPANY, an_event(), key)
        kept = an_event(company_id=2)
        await repository.create(Company(2), kept, _key(now=NOON + timedelta(seconds=1) + _TICK))
        before = NOON + timedelta(seconds=1)
        assert await repository.purge_idempotency_keys(before, limit=1) == 1
        assert await repository.purge_idempotency_keys(before, limit=5) == 1
        assert await repository.purge_idempotency_keys(before, limit=5) == 0
        assert await repository.create(Company(2), an_event(), _key()) == kept
        anew = an_event()
        assert await repository.create(_COMPANY, anew, _key("key 1")) == anew

    async def test_an_event_that_is_refused_leaves_no_key(
        self, repository: EventRepository
    ) -> None:
        await repository.create(_COMPANY, an_event(id=5))
        with pytest.raises(ConcurrentWrite):
            await repository.create(_COMPANY, an_event(id=5), _key())
        second = an_event()
        assert await repository.create(_COMPANY, second, _key()) == second

    async def test_of_many_with_one_key_one_creates(self, repository: EventRepository) -> None:
        answers = await asyncio.gather(
            *(repository.create(_COMPANY, an_event(), _key()) for _ in range(8)),
            return_exceptions=True,
        )
        events = [answer for answer in answers if isinstance(answer, Event)]
        refused = [answer for answer in answers if not isinstance(answer, Event)]
        assert all(isinstance(answer, IdempotencyKeyInFlight) for answer in refused), refused
        assert list(await repository.list(_COMPANY, EventQuery(), NOON)) == [events[0]]
        assert all(event == events[0] for event in events)
