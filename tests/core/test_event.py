"""The clock's word on an event, to the microsecond."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calevents.event import NOTICE, Event, Status, status_at

START = datetime(2025, 6, 15, 14, 0, tzinfo=UTC)
END = datetime(2025, 6, 15, 16, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)

instants = st.datetimes(timezones=st.just(UTC))


def event(*, active: bool = True, sent_at: datetime | None = None) -> Event:
    return Event(
        id=1,
        company_id=1,
        title="Launch",
        start=START,
        end=END,
        active=active,
        notification_sent_at=sent_at,
        created_at=START,
        updated_at=START,
    )


@pytest.mark.parametrize(
    ("now", "status"),
    [
        (START - NOTICE - TICK, None),
        (START - NOTICE, Status.STARTING_SOON),
        (START - TICK, Status.STARTING_SOON),
        (START, Status.IN_PROGRESS),
        (END - TICK, Status.IN_PROGRESS),
        (END, Status.CONCLUDED),
        (END + TICK, Status.CONCLUDED),
    ],
)
def test_each_status_begins_at_its_instant(now: datetime, status: Status | None) -> None:
    assert status_at(START, END, now) is status
    assert event().status(now) is status


def test_statuses_are_spelt_as_the_page_spells_them() -> None:
    assert [str(status) for status in Status] == ["STARTING SOON", "IN PROGRESS", "CONCLUDED"]


@given(st.lists(instants, min_size=2, max_size=2, unique=True), instants)
def test_status_agrees_with_the_intervals(ends: list[datetime], now: datetime) -> None:
    start, end = sorted(ends)
    try:
        notice = start - NOTICE
    except OverflowError:  # the first hour of the year 1
        notice = datetime.min.replace(tzinfo=UTC)
    if end <= now:
        expected: Status | None = Status.CONCLUDED
    elif start <= now:
        expected = Status.IN_PROGRESS
    elif notice <= now:
        expected = Status.STARTING_SOON
    else:
        expected = None
    assert status_at(start, end, now) is expected


@given(st.lists(instants, min_size=2, max_size=2, unique=True), instants, instants)
def test_status_never_goes_back(ends: list[datetime], one: datetime, other: datetime) -> None:
    start, end = sorted(ends)
    order = [None, *Status]
    earlier, later = sorted((one, other))
    assert order.index(status_at(start, end, earlier)) <= order.index(status_at(start, end, later))


@pytest.mark.parametrize("active", [True, False])
def test_the_active_view_ends_with_the_event(active: bool) -> None:
    assert event(active=active).is_active(END - TICK) is active
    assert not event(active=active).is_active(END)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (START - NOTICE - TICK, False),
        (START - NOTICE, True),
        (START - TICK, True),
        (START, False),
    ],
)
def test_a_push_is_due_in_the_hour_before_the_start(now: datetime, due: bool) -> None:
    assert event().is_due(now) is due
    assert not event(active=False).is_due(now)
    assert not event(sent_at=START - NOTICE).is_due(now)
