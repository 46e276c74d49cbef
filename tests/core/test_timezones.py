"""Names of time zones, their canonical names, and wall times in them."""

import pickle
import struct
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from dateutil import tz
from hypothesis import assume, example, given
from hypothesis import strategies as st

from calevents import timezones
from calevents.exceptions import (
    CalendarError,
    InvalidTimestamp,
    InvalidWallTime,
    UnknownTimeZone,
)
from calevents.timezones import canonical_name, resolve_wall_time, wall_time, zone

DATABASE = files("tzdata") / "zoneinfo"
IANA_NAMES = sorted((files("tzdata") / "zones").read_text("utf-8").split())
PLACES = sorted(set(IANA_NAMES) - {"Factory"})
LISTED = sorted(
    line.split("\t")[2]
    for line in (DATABASE / "zone.tab").read_text("utf-8").splitlines()
    if not line.startswith("#")
)
RAILS = timezones._facts("rails_zones.json")
WINDOWS = timezones._facts("windows_zones.json")
CANONICAL = sorted({canonical_name(name) for name in PLACES})


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def spelled(text: str) -> Iterator[str]:
    yield from (text, text.lower(), text.upper(), text.swapcase())


# Names


def test_every_iana_name_in_any_case() -> None:
    assert len(PLACES) > 590
    for name in PLACES:
        assert len({canonical_name(spelling) for spelling in spelled(name)}) == 1


def test_every_rails_name_in_any_case() -> None:
    assert len(RAILS) == 154
    for name, target in RAILS.items():
        assert {canonical_name(spelling) for spelling in spelled(name)} == {canonical_name(target)}


def test_every_windows_name_in_any_case() -> None:
    assert len(WINDOWS) == 142
    for name, target in WINDOWS.items():
        assert {canonical_name(spelling) for spelling in spelled(name)} == {canonical_name(target)}


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Eastern Time (US & Canada)", "America/New_York"),
        ("eastern time (us & canada)", "America/New_York"),
        ("Pacific Time (Canada)", "America/Vancouver"),
        ("Kyiv", "Europe/Kyiv"),
        ("Nuku'alofa", "Pacific/Tongatapu"),
        ("International Date Line West", "Etc/GMT+12"),
        ("Singapore", "Asia/Singapore"),
        ("Eastern Standard Time", "America/New_York"),
        ("EASTERN STANDARD TIME", "America/New_York"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Alberta Standard Time", "America/Edmonton"),
        ("British Columbia Standard Time", "America/Vancouver"),
        ("Manitoba Standard Time", "America/Winnipeg"),
        ("UTC+12", "Etc/GMT-12"),
        ("utc+13", "Etc/GMT-13"),
        ("UTC-11", "Etc/GMT+11"),
        ("UTC-09", "Etc/GMT+9"),
        # the old name that CLDR keeps for each of these is canonicalised
        ("India Standard Time", "Asia/Kolkata"),
        ("FLE Standard Time", "Europe/Kyiv"),
        ("Greenland Standard Time", "America/Nuuk"),
        ("US Eastern Standard Time", "America/Indiana/Indianapolis"),
        ("Argentina Standard Time", "America/Argentina/Buenos_Aires"),
        ("Nepal Standard Time", "Asia/Kathmandu"),
        ("Myanmar Standard Time", "Asia/Yangon"),
        # an IANA name comes before the other two
        ("GMT", "UTC"),
        ("UTC", "UTC"),
    ],
)
def test_names_of_rails_and_windows_end_in_a_canonical_name(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "Nowhere",
        "Europe",
        "Europe/",
        "Europe/Pariss",
        " Europe/Paris",
        "Europe/Paris ",
        "Europe/Paris\n",
        "Europe/Paris\x00",
        "Europe//Paris",
        "Europe\\Paris",
        "Europe/paris/",
        "Factory",
        "factory",
        "localtime",
        "posixrules",
        "posix",
        "right",
        "posix/Europe/Paris",
        "right/Europe/Paris",
        "leapseconds",
        "tzdata.zi",
        "zone.tab",
        "zone1970.tab",
        "zonenow.tab",
        "iso3166.tab",
        "zones",
        "__init__.py",
        "+05:30",
        "-08:00",
        "+0530",
        "+05",
        "Z",
        "UTC+3",
        "UTC+03:00",
        "UTC-3",
        "GMT+3",
        "Etc/GMT+13",
        "Etc/GMT-15",
        "Etc/GMT+05",
        "EST5",
        "EST5EDT4",
        "EST5EDT,M3.2.0,M11.1.0",
        "CET-1CEST",
        "<+03>-3",
        ":Europe/Paris",
        "/usr/share/zoneinfo/Europe/Paris",
        "/etc/localtime",
        "../zoneinfo/Europe/Paris",
        "Europe/../Europe/Paris",
        "./UTC",
        "C:\\zones\\UTC",
        "file:///etc/passwd",
        "Etc/Unknown",
        "SystemV/EST5EDT",
        "US/Pacific-New",
        "Asia/Kol\u212aata",
        "Europe/\u0130stanbul",
        "as\u0131a/baku",
        "Z\u00fcrich",
        "\ud800",
    ],
)
def test_anything_else_is_unknown(name: str) -> None:
    for function in (canonical_name, zone):
        with pytest.raises(UnknownTimeZone) as caught:
            function(name)
        assert repr(name) in str(caught.value)
        assert "IANA" in str(caught.value)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, CalendarError)
    with pytest.raises(UnknownTimeZone):
        resolve_wall_time(wall("2025-06-15T14:00"), name)
    with pytest.raises(UnknownTimeZone):
        wall_time(datetime(2025, 6, 15, tzinfo=UTC), name)


@pytest.mark.parametrize(
    "name",
    [
        "ACT",
        "AET",
        "AGT",
        "ART",
        "AST",
        "BET",
        "BST",
        "CAT",
        "CNT",
        "CST",
        "CTT",
        "EAT",
        "ECT",
        "IET",
        "IST",
        "JST",
        "MIT",
        "NET",
        "NST",
        "PLT",
        "PNT",
        "PRT",
        "PST",
        "SST",
        "VST",
        "EDT",
        "CDT",
        "MDT",
        "PDT",
        "CEST",
        "EEST",
        "MEZ",
        "MSK",
    ],
)
def test_abbreviations_that_iana_does_not_have_are_unknown(name: str) -> None:
    for spelling in (name, name.lower()):
        with pytest.raises(UnknownTimeZone):
            canonical_name(spelling)


def test_names_that_clients_make_up_are_not_remembered() -> None:
    before = len(timezones._names())
    for number in range(1000):
        with pytest.raises(UnknownTimeZone):
            canonical_name(f"Europe/Paris{number}")
        letters = enumerate("asia/tokyo")
        canonical_name("".join(c.upper() if number >> i & 1 else c for i, c in letters))
    assert len(timezones._names()) == before
    assert timezones._rules.cache_info().currsize <= len(CANONICAL)


def test_a_long_name_makes_a_short_error() -> None:
    with pytest.raises(UnknownTimeZone) as caught:
        canonical_name("A" * 1_000_000)
    assert len(str(caught.value)) < 200


@given(st.text())
def test_whatever_the_name_nothing_but_unknown_time_zone_is_raised(name: str) -> None:
    try:
        assert canonical_name(name) in CANONICAL
    except UnknownTimeZone as refusal:
        str(refusal).encode()


# Canonical names, as ECMA-402 has them


def test_a_canonical_name_is_its_own() -> None:
    for name in CANONICAL:
        assert canonical_name(name) == name


def test_a_name_of_zone_tab_is_primary_and_so_are_the_fixed_offsets_of_etc() -> None:
    assert {canonical_name(name) for name in LISTED} == set(LISTED)
    fixed = {f"Etc/GMT+{hours}" for hours in range(1, 13)}
    fixed |= {f"Etc/GMT-{hours}" for hours in range(1, 15)}
    assert set(CANONICAL) == set(LISTED) | fixed | {"UTC"}


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("America/New_York", "America/New_York"),
        ("US/Eastern", "America/New_York"),
        ("us/eastern", "America/New_York"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("Europe/Kiev", "Europe/Kyiv"),
        ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
        ("Pacific/Johnston", "Pacific/Honolulu"),
        ("PRC", "Asia/Shanghai"),
        ("GB-Eire", "Europe/London"),
        ("Turkey", "Europe/Istanbul"),
        ("Europe/Nicosia", "Asia/Nicosia"),
        ("CET", "Europe/Brussels"),
        ("EET", "Europe/Athens"),
        ("MET", "Europe/Brussels"),
        ("WET", "Europe/Lisbon"),
        ("EST", "America/Panama"),
        ("MST", "America/Phoenix"),
        ("HST", "Pacific/Honolulu"),
    ],
)
def test_links_are_followed(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


@pytest.mark.parametrize(
    "name",
    [
        "Europe/Amsterdam",
        "Europe/Copenhagen",
        "Europe/Oslo",
        "Europe/Stockholm",
        "Europe/Luxembourg",
        "Europe/Bratislava",
        "Atlantic/Reykjavik",
        "Africa/Accra",
        "America/Montserrat",
        "Asia/Kuwait",
        "Pacific/Midway",
    ],
)
def test_a_link_that_zone_tab_lists_stays(name: str) -> None:
    assert f" {name}\n" in (DATABASE / "tzdata.zi").read_text("utf-8"), "no longer a link"
    assert canonical_name(name) == name


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Iceland", "Atlantic/Reykjavik"),
        ("Africa/Asmera", "Africa/Asmara"),
        ("Africa/Timbuktu", "Africa/Bamako"),
        ("America/Coral_Harbour", "America/Atikokan"),
        ("America/Virgin", "America/St_Thomas"),
        ("Antarctica/South_Pole", "Antarctica/McMurdo"),
        ("Atlantic/Jan_Mayen", "Arctic/Longyearbyen"),
        ("Pacific/Ponape", "Pacific/Pohnpei"),
        ("Pacific/Truk", "Pacific/Chuuk"),
        ("Pacific/Yap", "Pacific/Chuuk"),
    ],
)
def test_a_link_into_another_country_goes_to_its_own(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


@pytest.mark.parametrize(
    ("name", "canonical", "instant", "shown"),
    [
        # where the zone of that name in the database differs from the place that it is pinned to
        ("EST5EDT", "America/New_York", "1950-07-01T12:00Z", "1950-07-01T08:00"),
        ("CST6CDT", "America/Chicago", "1936-07-01T12:00Z", "1936-07-01T07:00"),
        ("MST7MDT", "America/Denver", "1920-07-01T12:00Z", "1920-07-01T06:00"),
        ("PST8PDT", "America/Los_Angeles", "1948-06-01T12:00Z", "1948-06-01T05:00"),
    ],
)
def test_pinned_names_follow_their_place(
    name: str, canonical: str, instant: str, shown: str
) -> None:
    assert canonical_name(name) == canonical
    assert zone(name) is zone(canonical)
    assert wall_time(wall(instant), name) == wall(shown)


@pytest.mark.parametrize(
    "name",
    [
        "UTC",
        "GMT",
        "Etc/UTC",
        "Etc/GMT",
        "Etc/UCT",
        "UCT",
        "Zulu",
        "Etc/Zulu",
        "Universal",
        "Etc/Universal",
        "Greenwich",
        "Etc/Greenwich",
        "GMT0",
        "GMT+0",
        "GMT-0",
        "Etc/GMT0",
        "Etc/GMT+0",
        "Etc/GMT-0",
        "utc",
        "gmt",
    ],
)
def test_utc_gmt_and_their_kin_are_utc(name: str) -> None:
    assert canonical_name(name) == "UTC"
    assert wall_time(datetime(2025, 6, 15, tzinfo=UTC), name) == wall("2025-06-15T00:00")


# Rules


def test_every_name_has_rules_under_its_canonical_name() -> None:
    for name in [*PLACES, *RAILS, *WINDOWS]:
        rules = zone(name)
        assert rules.key == canonical_name(name)
        assert zone(rules.key) is rules


@pytest.fixture
def misleading_system(tmp_path: Path) -> Iterator[None]:
    """A system whose zone data calls Tokyo's rules Vancouver's."""
    (tmp_path / "America").mkdir()
    (tmp_path / "America" / "Vancouver").write_bytes((DATABASE / "Asia" / "Tokyo").read_bytes())
    zoneinfo.reset_tzpath([tmp_path])
    timezones._rules.cache_clear()
    yield
    zoneinfo.reset_tzpath()
    timezones._rules.cache_clear()


@pytest.mark.usefixtures("misleading_system")
def test_rules_come_from_the_package_not_from_the_system() -> None:
    # British Columbia ended the change of clocks in 2026: only a database of that year knows.
    instant = datetime(2026, 12, 15, 20, tzinfo=UTC)
    system = zoneinfo.ZoneInfo.no_cache("America/Vancouver")
    assert instant.astimezone(system).isoformat() == "2026-12-16T05:00:00+09:00"
    assert wall_time(instant, "America/Vancouver") == wall("2026-12-15T13:00")


def test_rules_cannot_be_pickled_so_that_nobody_stores_them() -> None:
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(zone("America/Vancouver"))


# Wall times


class Period(NamedTuple):
    """A stretch of POSIX time, half-open, with one offset; all in seconds."""

    since: float
    until: float
    offset: int


def periods(name: str) -> list[Period]:
    """The explicit transitions of a zone, read from its TZif file (RFC 9636) by other means."""
    data = DATABASE.joinpath(*name.split("/")).read_bytes()
    header = ">4s1s15x6I"
    size = struct.calcsize(header)
    _, _, isut, isstd, leap, times, types, chars = struct.unpack_from(header, data)
    at = size + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    magic, version, isut, isstd, leap, times, types, chars = struct.unpack_from(header, data, at)
    assert magic == b"TZif"
    assert version >= b"2"
    at += size
    moments = struct.unpack_from(f">{times}q", data, at)
    indices = struct.unpack_from(f">{times}B", data, at + times * 8)
    at += times * 9
    offsets = [struct.unpack_from(">i", data, at + 6 * index)[0] for index in range(types)]
    edges = [float("-inf"), *moments, float("inf")]
    return [
        Period(since, until, offset)
        for (since, until), offset in zip(
            pairwise(edges), [offsets[0], *(offsets[index] for index in indices)], strict=True
        )
    ]


def seconds(moment: datetime) -> int:
    return (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def instants_by_brute_force(local: int, history: list[Period]) -> list[int]:
    """Every instant at which clocks show ``local``, by trying each offset the zone ever had."""
    return [
        local - period.offset
        for period in history
        if period.since <= local - period.offset < period.until
    ]


def across_the_gap(local: int, history: list[Period]) -> int:
    """The instant of a skipped wall time by the offset that ended where the gap begins."""
    (before,) = (
        before
        for before, after in pairwise(history)
        if before.until + before.offset <= local < after.since + after.offset
    )
    return local - before.offset


@pytest.mark.parametrize("name", CANONICAL)
def test_around_every_transition_of_every_zone(name: str) -> None:
    history = periods(name)
    for before, after in pairwise(history):
        edges = sorted({int(before.until) + before.offset, int(after.since) + after.offset})
        probes = {edge + step for edge in edges for step in (-86_400, -3600, -1, 0, 1, 3600)}
        probes.add(sum(edges) // len(edges))
        for local in probes:
            # After the last of them a rule in the file's footer goes on.
            if local >= history[-1].since - 100_000 and after is history[-1]:
                continue
            shown = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=local)
            shown = shown.replace(tzinfo=None)
            found = instants_by_brute_force(local, history)
            expected = min(found) if found else across_the_gap(local, history)
            assert seconds(resolve_wall_time(shown, name)) == expected, shown
            if len(found) == 1:
                assert seconds(resolve_wall_time(shown, name, disambiguation="raise")) == expected
            else:
                with pytest.raises(InvalidWallTime, match="twice" if found else "skip"):
                    resolve_wall_time(shown, name, disambiguation="raise")


ZONES = st.sampled_from(CANONICAL)
NEAR = st.datetimes(datetime.fromisoformat("1850-01-01"), datetime.fromisoformat("2400-01-01"))


@given(NEAR, ZONES)
def test_in_a_gap_the_offset_before_it_in_an_overlap_the_first(shown: datetime, name: str) -> None:
    instant = resolve_wall_time(shown, name)
    assert instant.tzinfo is UTC
    rules = zone(name)
    offsets = {
        (instant + timedelta(hours=hours)).astimezone(rules).utcoffset() for hours in range(-48, 49)
    }
    candidates = sorted(
        candidate
        for candidate in (shown.replace(tzinfo=UTC) - offset for offset in offsets if offset)
        if wall_time(candidate, name) == shown
    )
    if candidates:
        assert instant == candidates[0]
    else:
        assert instant == tz.resolve_imaginary(shown.replace(tzinfo=rules)).astimezone(UTC)


@given(NEAR, ZONES)
def test_what_clocks_show_resolves_to_that_instant_or_to_the_first_that_shows_it(
    moment: datetime, name: str
) -> None:
    instant = moment.replace(tzinfo=UTC)
    shown = wall_time(instant, name)
    assert shown.tzinfo is None
    assert shown.fold == 0
    resolved = resolve_wall_time(shown, name)
    assert resolved <= instant
    assert wall_time(resolved, name) == shown
    local = shown.replace(tzinfo=zone(name))
    if local.utcoffset() == local.replace(fold=1).utcoffset():
        assert resolve_wall_time(shown, name, disambiguation="raise") == resolved == instant
    else:
        with pytest.raises(InvalidWallTime, match="twice"):
            resolve_wall_time(shown, name, disambiguation="raise")


@pytest.mark.parametrize(
    ("name", "shown", "instant"),
    [
        # the hour that New York skips and the one that it repeats: RFC 5545's own examples
        ("America/New_York", "2007-03-11T02:30:00", "2007-03-11T07:30:00Z"),
        ("America/New_York", "2007-11-04T01:30:00", "2007-11-04T05:30:00Z"),
        ("America/New_York", "2026-03-08T01:59:59.999999", "2026-03-08T06:59:59.999999Z"),
        ("America/New_York", "2026-03-08T02:00:00", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-03-08T02:59:59.999999", "2026-03-08T07:59:59.999999Z"),
        ("America/New_York", "2026-03-08T03:00:00", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T00:59:59.999999", "2026-11-01T04:59:59.999999Z"),
        ("America/New_York", "2026-11-01T01:00:00", "2026-11-01T05:00:00Z"),
        ("America/New_York", "2026-11-01T01:59:59.999999", "2026-11-01T05:59:59.999999Z"),
        ("America/New_York", "2026-11-01T02:00:00", "2026-11-01T07:00:00Z"),
        # half an hour
        ("Australia/Lord_Howe", "2025-10-05T02:15:00", "2025-10-04T15:45:00Z"),
        ("Australia/Lord_Howe", "2025-04-06T01:45:00", "2025-04-05T14:45:00Z"),
        # a day that was left out
        ("Pacific/Apia", "2011-12-29T23:59:59", "2011-12-30T09:59:59Z"),
        ("Pacific/Apia", "2011-12-30T00:00:00", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00Z"),
        ("Pacific/Apia", "2011-12-31T00:00:00", "2011-12-30T10:00:00Z"),
        ("Pacific/Kwajalein", "1993-08-21T12:00:00", "1993-08-22T00:00:00Z"),
        ("Pacific/Kiritimati", "1994-12-31T12:30:00", "1994-12-31T22:30:00Z"),
        # a day that came twice
        ("America/Juneau", "1867-10-19T12:00:00", "1867-10-18T20:57:41Z"),
        # winter time that is the exception, in the law's words
        ("Europe/Dublin", "2026-03-29T01:30:00", "2026-03-29T01:30:00Z"),
        ("Europe/Dublin", "2026-10-25T01:30:00", "2026-10-25T00:30:00Z"),
        # midnight that does not exist
        ("America/Sao_Paulo", "2018-11-04T00:00:00", "2018-11-04T03:00:00Z"),
        # no change of clocks
        ("Asia/Kolkata", "2025-06-15T19:30:00", "2025-06-15T14:00:00Z"),
        ("UTC", "2025-06-15T14:00:00", "2025-06-15T14:00:00Z"),
        ("UTC+12", "2025-06-16T02:00:00", "2025-06-15T14:00:00Z"),
        # local mean time, to the second
        ("Europe/Amsterdam", "1800-01-01T00:00:00", "1799-12-31T23:42:30Z"),
    ],
)
def test_wall_times_of_note(name: str, shown: str, instant: str) -> None:
    assert resolve_wall_time(wall(shown), name) == wall(instant)


@pytest.mark.parametrize(
    ("name", "shown", "why"),
    [
        ("America/New_York", "2026-03-08T02:00:00", "skip"),
        ("America/New_York", "2026-03-08T02:59:59.999999", "skip"),
        ("America/New_York", "2026-11-01T01:00:00", "twice"),
        ("America/New_York", "2026-11-01T01:59:59.999999", "twice"),
        ("Australia/Lord_Howe", "2025-10-05T02:15:00", "skip"),
        ("Australia/Lord_Howe", "2025-04-06T01:45:00", "twice"),
        ("Pacific/Apia", "2011-12-30T12:00:00", "skip"),
        ("America/Juneau", "1867-10-19T12:00:00", "twice"),
    ],
)
def test_raise_refuses_and_names_what_clocks_do(name: str, shown: str, why: str) -> None:
    with pytest.raises(InvalidWallTime, match=why) as caught:
        resolve_wall_time(wall(shown), name, disambiguation="raise")
    assert shown in str(caught.value)
    assert name in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CalendarError)


@pytest.mark.parametrize(
    "shown",
    [
        "2026-03-08T01:59:59.999999",
        "2026-03-08T03:00:00",
        "2026-11-01T00:59:59.999999",
        "2026-11-01T02:00:00",
    ],
)
def test_raise_accepts_the_microsecond_beside_a_gap_and_an_overlap(shown: str) -> None:
    compatible = resolve_wall_time(wall(shown), "America/New_York")
    strict = resolve_wall_time(wall(shown), "America/New_York", disambiguation="raise")
    assert strict == compatible


@pytest.mark.parametrize("disambiguation", ["earlier", "later", "", None])
def test_another_disambiguation_is_refused(disambiguation: Literal["raise"]) -> None:
    with pytest.raises(ValueError, match="disambiguation"):
        resolve_wall_time(wall("2025-06-15T14:00"), "UTC", disambiguation=disambiguation)


def test_the_fold_is_not_looked_at() -> None:
    shown = wall("2026-11-01T01:30:00")
    assert resolve_wall_time(shown.replace(fold=1), "America/New_York") == resolve_wall_time(
        shown, "America/New_York"
    )
    gap = wall("2026-03-08T02:30:00")
    assert resolve_wall_time(gap.replace(fold=1), "America/New_York") == resolve_wall_time(
        gap, "America/New_York"
    )


def test_an_aware_datetime_is_no_wall_time() -> None:
    with pytest.raises(InvalidWallTime, match="has an offset"):
        resolve_wall_time(datetime(2025, 6, 15, tzinfo=UTC), "UTC")


def test_a_naive_datetime_is_no_instant() -> None:
    with pytest.raises(InvalidTimestamp, match="no offset"):
        wall_time(wall("2025-06-15T14:00"), "UTC")


FIRST = wall("0001-01-01T00:00:00")
LAST = wall("9999-12-31T23:59:59.999999")
FAR = st.datetimes(FIRST, FIRST + timedelta(hours=27)) | st.datetimes(
    LAST - timedelta(hours=27), LAST
)


@given(FAR, ZONES, st.sampled_from(["compatible", "raise"]))
@example(FIRST, "Asia/Tokyo", "raise")
@example(LAST, "America/New_York", "raise")
@example(LAST, "UTC", "raise")
def test_at_both_ends_of_the_calendar_an_instant_or_a_clear_error(
    shown: datetime, name: str, disambiguation: Literal["compatible", "raise"]
) -> None:
    offset = shown.replace(tzinfo=zone(name)).utcoffset()
    assert offset is not None
    try:
        expected = shown - offset
    except OverflowError:
        with pytest.raises(InvalidWallTime, match="years 1 to 9999") as caught:
            resolve_wall_time(shown, name, disambiguation=disambiguation)
        assert name in str(caught.value)
    else:
        instant = resolve_wall_time(shown, name, disambiguation=disambiguation)
        assert instant == expected.replace(tzinfo=UTC)
        assert wall_time(instant, name) == shown


@given(FAR, ZONES)
@example(FIRST, "America/New_York")
@example(LAST, "Asia/Tokyo")
def test_at_both_ends_of_the_calendar_a_wall_time_or_a_clear_error(
    moment: datetime, name: str
) -> None:
    # No zone changes its offset near either end, so that of a day further in is the same.
    inward = timedelta(days=2 if moment.year == 1 else -2)
    offset = (moment + inward).replace(tzinfo=UTC).astimezone(zone(name)).utcoffset()
    assert offset is not None
    try:
        expected = moment + offset
    except OverflowError:
        with pytest.raises(InvalidWallTime, match="years 1 to 9999") as caught:
            wall_time(moment.replace(tzinfo=UTC), name)
        assert name in str(caught.value)
    else:
        assert wall_time(moment.replace(tzinfo=UTC), name) == expected


@given(st.lists(ZONES, min_size=2, max_size=2, unique=True), NEAR)
def test_zones_do_not_mix(names: list[str], moment: datetime) -> None:
    instant = moment.replace(tzinfo=UTC)
    first, second = (wall_time(instant, name) for name in names)
    assume(first != second)
    assert instant.astimezone(zone(names[0])) == instant.astimezone(zone(names[1]))
