"""The RFC 3339 profile: what is a timestamp, what is not, and how one is written."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calevents.exceptions import CalendarError, InvalidTimestamp
from calevents.timestamps import format_timestamp, parse_instant, parse_timestamp, to_utc

OFFSETS = st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)


def written_offset(minutes: int) -> str:
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-06-15T14:00:00Z", "2025-06-15T14:00:00+00:00"),
        ("2025-06-15T14:00:00z", "2025-06-15T14:00:00+00:00"),
        ("2025-06-15t14:00:00Z", "2025-06-15T14:00:00+00:00"),
        ("2025-06-15 14:00:00Z", "2025-06-15T14:00:00+00:00"),
        ("2025-06-15T14:00Z", "2025-06-15T14:00:00+00:00"),
        ("2025-06-15T14:00+02:00", "2025-06-15T12:00:00+00:00"),
        ("2025-06-15T14:00:00.5Z", "2025-06-15T14:00:00.500000+00:00"),
        ("2025-06-15T14:00:00.123Z", "2025-06-15T14:00:00.123000+00:00"),
        ("2025-06-15T14:00:00.1234z", "2025-06-15T14:00:00.123400+00:00"),
        ("2025-06-15T14:00:00.000001Z", "2025-06-15T14:00:00.000001+00:00"),
        ("2025-06-15T14:00:00.999999-05:30", "2025-06-15T19:30:00.999999+00:00"),
        ("2025-06-15T14:00:00-00:00", "2025-06-15T14:00:00+00:00"),
        ("2025-06-15T00:00:00+23:59", "2025-06-14T00:01:00+00:00"),
        ("2025-06-15T00:00:00-23:59", "2025-06-15T23:59:00+00:00"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_with_an_offset_it_is_an_instant_in_utc(text: str, expected: str) -> None:
    instant = parse_timestamp(text)
    assert instant.tzinfo is UTC
    assert instant.isoformat() == expected
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-06-15T14:00:00", "2025-06-15T14:00:00"),
        ("2025-06-15t14:00", "2025-06-15T14:00:00"),
        ("2025-06-15 14:00:00.25", "2025-06-15T14:00:00.250000"),
        ("0001-01-01T00:00", "0001-01-01T00:00:00"),
        ("9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999"),
    ],
)
def test_without_an_offset_it_is_a_wall_time(text: str, expected: str) -> None:
    wall = parse_timestamp(text)
    assert wall.tzinfo is None
    assert wall.isoformat() == expected
    with pytest.raises(InvalidTimestamp, match="no offset"):
        parse_instant(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "now",
        "1750000000",
        "2025",
        "2025-06",
        "2025-06-15",
        "2025-06-15T",
        "2025-06-15T14",
        "2025-06-15T14Z",
        "2025-06-15T14.5Z",
        "2025-06-15T14:00.5Z",
        "2025-06-15T14:00:00,5Z",
        "2025-06-15T14:00:00.Z",
        "20250615T140000Z",
        "2025-06-15T140000Z",
        "20250615T14:00:00Z",
        "2025-W24-7T14:00:00Z",
        "2025-W53-1T14:00:00Z",
        "2025-W24T14:00:00Z",
        "2025-166T14:00:00Z",
        "25-06-15T14:00:00Z",
        "12025-06-15T14:00:00Z",
        "+12025-06-15T14:00:00Z",
        "-2025-06-15T14:00:00Z",
        "2025-6-15T14:00:00Z",
        "2025-06-15T9:00:00Z",
        "2025/06/15T14:00:00Z",
        "2025-06-15_14:00:00Z",
        "2025-06-15  14:00:00Z",
        "2025-06-15\n14:00:00Z",
        "2025-06-15\u00a014:00:00Z",
        "2025-06-15T14:00:00 Z",
        "2025-06-15T14:00:00UTC",
        "2025-06-15T14:00:00Z[Europe/Paris]",
        "2025-06-15T14:00:00+02",
        "2025-06-15T14:00:00+0200",
        "2025-06-15T14:00:00+02:00:00",
        "2025-06-15T14:00:00+2:00",
        "2025-06-15T14:00:00\u221202:00",
        "2025-06-15T14:00:00Z ",
        " 2025-06-15T14:00:00Z",
        "2025-06-15T14:00:00Z\n",
        "2025-06-15T14:00:00Z\x00",
        "\u0662\u0660\u0662\u0665-06-15T14:00:00Z",
        "2025-06-15T14:00:0\uff10Z",
        "2025-06-15T14:00:00\ud800",
    ],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidTimestamp, match="not an RFC 3339 timestamp"):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2025-06-15T14:00:00.1234567Z", "six digits"),
        ("2025-06-15T14:00:00.0000000", "six digits"),
        ("2016-12-31T23:59:60Z", "leap second"),
        ("2016-12-31T18:59:60.5-05:00", "leap second"),
        ("2025-06-15T14:00:61Z", "outside 00:00:00"),
        ("2025-06-15T14:60:00Z", "outside 00:00:00"),
        ("2025-06-15T25:00:00Z", "outside 00:00:00"),
        ("2025-06-15T24:00:00Z", "hour 24"),
        ("2025-06-15T24:00", "hour 24"),
        ("2025-06-15T14:00:00+24:00", "offset"),
        ("2025-06-15T14:00:00-99:00", "offset"),
        ("2025-06-15T14:00:00+05:60", "offset"),
        ("2025-02-29T00:00:00Z", "not a date that exists"),
        ("2025-04-31T00:00:00", "not a date that exists"),
        ("2025-13-01T00:00:00z", "not a date that exists"),
        ("2025-00-01T00:00:00Z", "not a date that exists"),
        ("2025-06-00T00:00:00Z", "not a date that exists"),
        ("0000-01-01T00:00:00Z", "not a date that exists"),
        ("0001-01-01T00:00:00+00:01", "years 1 to 9999"),
        ("9999-12-31T23:59:59-00:01", "years 1 to 9999"),
    ],
)
def test_the_error_shows_the_text_and_says_why(text: str, reason: str) -> None:
    with pytest.raises(InvalidTimestamp, match=reason) as caught:
        parse_timestamp(text)
    assert text[:10] in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CalendarError)
    with pytest.raises(InvalidTimestamp, match=reason):
        parse_instant(text)


def test_the_error_stays_short_and_can_be_encoded() -> None:
    with pytest.raises(InvalidTimestamp) as caught:
        parse_timestamp("\ud800\x1b" + "9" * 1_000_000)
    message = str(caught.value)
    assert len(message) < 200
    assert message.encode().isascii() is False  # the mark of the cut alone
    assert message.isprintable()


@given(st.datetimes(timezones=st.just(UTC)))
@example(datetime(1, 1, 1, tzinfo=UTC))
@example(datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
def test_every_instant_survives_being_written_and_read(instant: datetime) -> None:
    text = format_timestamp(instant)
    assert parse_instant(text) == instant
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", text, re.ASCII)
    assert ("." in text) is (instant.microsecond != 0)


@given(st.datetimes())
def test_every_wall_time_survives_being_written_and_read(wall: datetime) -> None:
    assert parse_timestamp(wall.isoformat()) == wall
    assert parse_timestamp(wall.isoformat(sep=" ")).tzinfo is None


@given(st.datetimes(), st.integers(-(24 * 60 - 1), 24 * 60 - 1))
@example(datetime.fromisoformat("0001-01-01T00:00:00"), 1)
@example(datetime.fromisoformat("9999-12-31T23:59:59.999999"), -1)
def test_an_offset_is_subtracted_or_the_year_is_refused(local: datetime, minutes: int) -> None:
    text = local.isoformat() + written_offset(minutes)
    try:
        expected = local - timedelta(minutes=minutes)
    except OverflowError:
        with pytest.raises(InvalidTimestamp, match="years 1 to 9999"):
            parse_timestamp(text)
    else:
        assert parse_timestamp(text) == expected.replace(tzinfo=UTC)


@given(st.text() | st.text("0123456789-:.+TtZzW ", max_size=40))
def test_whatever_the_text_nothing_but_invalid_timestamp_is_raised(text: str) -> None:
    try:
        moment = parse_timestamp(text)
    except InvalidTimestamp as refusal:
        str(refusal).encode()
    else:
        assert text.isascii()
        assert moment.isoformat()[:10] == text[:10] or moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        (datetime(2025, 6, 15, 14, tzinfo=UTC), "2025-06-15T14:00:00Z"),
        (datetime(2025, 6, 15, 14, 0, 0, 1, tzinfo=UTC), "2025-06-15T14:00:00.000001Z"),
        (datetime(2025, 6, 15, 14, 0, 0, 500000, tzinfo=UTC), "2025-06-15T14:00:00.500000Z"),
        (datetime(7, 1, 1, tzinfo=UTC), "0007-01-01T00:00:00Z"),
        (
            datetime(2025, 6, 15, 14, tzinfo=timezone(timedelta(hours=2))),
            "2025-06-15T12:00:00Z",
        ),
        (
            datetime(1900, 1, 1, tzinfo=timezone(timedelta(seconds=1172))),
            "1899-12-31T23:40:28Z",
        ),
    ],
)
def test_an_instant_is_written_in_utc(instant: datetime, expected: str) -> None:
    assert format_timestamp(instant) == expected


def test_a_naive_datetime_is_no_instant() -> None:
    wall = datetime.fromisoformat("2025-06-15T14:00:00")
    for function in (format_timestamp, to_utc):
        with pytest.raises(InvalidTimestamp, match="no offset"):
            function(wall)


def test_a_tzinfo_without_an_offset_makes_no_instant() -> None:
    class Nowhere(tzinfo):
        def utcoffset(self, dt: datetime | None) -> None:
            return None

        def dst(self, dt: datetime | None) -> None:
            return None

        def tzname(self, dt: datetime | None) -> str:
            return "nowhere"

    with pytest.raises(InvalidTimestamp, match="no offset"):
        to_utc(datetime(2025, 6, 15, tzinfo=Nowhere()))


@given(st.datetimes(timezones=OFFSETS))
@example(datetime.min.replace(tzinfo=timezone(timedelta(minutes=1))))
@example(datetime.max.replace(tzinfo=timezone(timedelta(minutes=-1))))
def test_to_utc_keeps_the_instant_or_refuses_the_year(instant: datetime) -> None:
    try:
        converted = to_utc(instant)
    except InvalidTimestamp:
        with pytest.raises(OverflowError):
            instant.astimezone(UTC)
    else:
        assert converted == instant
        assert converted.tzinfo is UTC
