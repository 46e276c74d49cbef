"""The English text of a push: counts, clocks, places, and directories that are wrong."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calevents.event import Event
from calevents.messages import english_text, local_start, until_start
from calevents.timezones import zone

START = datetime(2025, 6, 15, 18, tzinfo=UTC)


def event(**changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": 1,
        "company_id": 2,
        "title": "Summer Product Launch",
        "start": START,
        "end": START + timedelta(hours=2),
        "created_at": START - timedelta(days=9),
        "updated_at": START - timedelta(days=9),
    }
    return Event(**values | changes)


def body(left: timedelta, time_zone: str = "America/New_York", **changes: Any) -> str:
    return english_text(event(**changes), "en", time_zone, START - left).body


def test_the_title_is_the_event_s() -> None:
    assert english_text(event(), "de", "UTC", START).title == "Summer Product Launch"


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(hours=1), "in 1 hour"),
        (timedelta(minutes=59, seconds=30), "in 1 hour"),
        (timedelta(minutes=59, seconds=29, microseconds=999_999), "in 59 minutes"),
        (timedelta(minutes=20), "in 20 minutes"),
        (timedelta(minutes=19, seconds=30), "in 20 minutes"),
        (timedelta(minutes=19, seconds=29, microseconds=999_999), "in 19 minutes"),
        (timedelta(minutes=2), "in 2 minutes"),
        (timedelta(seconds=89, microseconds=999_999), "in 1 minute"),
        (timedelta(minutes=1), "in 1 minute"),
        (timedelta(seconds=59, microseconds=999_999), "in less than a minute"),
        (timedelta(microseconds=1), "in less than a minute"),
        (timedelta(0), "now"),
        (timedelta(minutes=-5), "now"),
        (timedelta(hours=1, minutes=1), "in 1 hour 1 minute"),
        (timedelta(hours=3), "in 3 hours"),
        (timedelta(hours=23, minutes=59), "in 23 hours 59 minutes"),
    ],
)
def test_how_soon(left: timedelta, said: str) -> None:
    assert body(left) == f"Starts {said}, at 14:00 (New York time)"


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=1), "in 1 day"),
        (timedelta(days=2, hours=1, minutes=30), "in 2 days 1 hour"),
        (timedelta(days=2, minutes=30), "in 2 days 30 minutes"),
    ],
)
def test_a_day_or_more_ahead_the_date_is_said(left: timedelta, said: str) -> None:
    assert body(left) == f"Starts {said}, on 2025-06-15 at 14:00 (New York time)"


@pytest.mark.parametrize(
    ("time_zone", "clock"),
    [
        ("UTC", "18:00 (UTC)"),
        ("America/New_York", "14:00 (New York time)"),
        ("Asia/Kolkata", "23:30 (Kolkata time)"),
        ("Pacific/Kiritimati", "08:00 (Kiritimati time)"),
        ("America/Argentina/Buenos_Aires", "15:00 (Buenos Aires time)"),
        ("us/eastern", "14:00 (New York time)"),
        ("Eastern Standard Time", "14:00 (New York time)"),
        ("Etc/GMT+5", "13:00 (UTC-05:00)"),
        ("Etc/GMT-14", "08:00 (UTC+14:00)"),
    ],
)
def test_by_the_recipient_s_clocks(time_zone: str, clock: str) -> None:
    assert body(timedelta(minutes=20), time_zone) == f"Starts in 20 minutes, at {clock}"


@pytest.mark.parametrize("time_zone", ["", "Mars/Olympus", "../../etc/passwd", "+05:30", "\x00"])
def test_a_wrong_zone_gives_way_to_the_event_s_and_that_one_to_utc(time_zone: str) -> None:
    fallen_back = body(timedelta(minutes=20), time_zone, canonical_time_zone="Europe/Berlin")
    assert fallen_back == "Starts in 20 minutes, at 20:00 (Berlin time)"
    fallen_back = body(timedelta(minutes=20), time_zone, canonical_time_zone="Nowhere/At_All")
    assert fallen_back == "Starts in 20 minutes, at 18:00 (UTC)"


def test_the_venue_has_a_line_of_its_own() -> None:
    assert body(timedelta(minutes=1), venue="Virtual Event - Zoom") == (
        "Starts in 1 minute, at 14:00 (New York time)\nVirtual Event - Zoom"
    )


def test_at_the_end_of_the_calendar_a_zone_that_would_leave_it_is_passed_over() -> None:
    last = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
    late = event(start=last, end=last + timedelta(minutes=9), canonical_time_zone="Asia/Tokyo")
    assert local_start(late, "Pacific/Auckland").utcoffset() == timedelta(0)
    assert "23:30 (UTC)" in english_text(late, "en", "Asia/Tokyo", last).body


def test_the_zone_s_rules_are_the_package_s() -> None:
    assert local_start(event(), "Europe/Kiev").tzinfo is zone("Europe/Kyiv")


@given(st.timedeltas(timedelta(days=-2), timedelta(days=400)))
@example(timedelta(seconds=30))
@example(timedelta(days=1) - timedelta(seconds=30))
def test_the_time_left_is_whole_minutes_never_far_off_and_never_zero_too_soon(
    left: timedelta,
) -> None:
    said = until_start(event(), START - left)
    assert said % timedelta(minutes=1) == timedelta(0)
    if left <= timedelta(0):
        assert said == timedelta(0)
    else:
        assert said >= timedelta(minutes=1)
        assert said == timedelta(minutes=1) or abs(said - left) <= timedelta(seconds=30)


@given(st.timedeltas(timedelta(0), timedelta(days=400)))
def test_one_of_anything_is_singular(left: timedelta) -> None:
    words = body(left).split()
    for count, unit in pairwise(words):
        if count.isdecimal():
            assert unit.rstrip(",").endswith("s") is (count != "1")
