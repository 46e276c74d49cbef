"""Names of time zones, and wall times in them.

Zone data comes from the ``tzdata`` package that is installed beside calevents, never from the
operating system: every host then agrees on the rules, and an update is a matter of ``pip``.

A name is, in order of look-up, one of the IANA time zone database, of Ruby on Rails (``Eastern
Time (US & Canada)``) or of Windows (``Eastern Standard Time``, by CLDR's ``windowsZones`` for
territory 001), in any case. Whatever is not on that list is unknown, and no file is opened for it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Literal

from calevents._quote import quote
from calevents.exceptions import InvalidWallTime, UnknownTimeZone
from calevents.timestamps import to_utc

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["canonical_name", "resolve_wall_time", "wall_time", "zone"]

# What ECMA-402 answers where following the links of the database alone would not do.
_PRIMARY = {
    # Zones of their own in some builds of the database, links in others.
    "CST6CDT": "America/Chicago",
    "EST5EDT": "America/New_York",
    "MST7MDT": "America/Denver",
    "PST8PDT": "America/Los_Angeles",
    # Links into another country go to the zone of their own.
    "Africa/Asmera": "Africa/Asmara",
    "Africa/Timbuktu": "Africa/Bamako",
    "America/Coral_Harbour": "America/Atikokan",
    "America/Virgin": "America/St_Thomas",
    "Antarctica/South_Pole": "Antarctica/McMurdo",
    "Atlantic/Jan_Mayen": "Arctic/Longyearbyen",
    "Iceland": "Atlantic/Reykjavik",
    "Pacific/Ponape": "Pacific/Pohnpei",
    "Pacific/Truk": "Pacific/Chuuk",
    "Pacific/Yap": "Pacific/Chuuk",
}
_UTC = frozenset({"Etc/GMT", "Etc/UTC", "GMT", "UTC"})

# A zone that the database has for computers whose place nobody has set yet; not a place.
_NOT_A_PLACE = "Factory"


def canonical_name(name: str) -> str:
    """The primary IANA name of a time zone, as ECMA-402 defines it.

    Links are followed (``US/Eastern`` is ``America/New_York``), but a name that ``zone.tab`` lists
    for a country is primary itself (``Europe/Amsterdam`` stays). UTC, GMT and their ``Etc/`` kin
    are ``UTC``. Names of Rails and Windows end in the same place.

    Raises:
        UnknownTimeZone: no such name; also for fixed offsets, POSIX strings and paths.
    """
    names = _names()
    canonical = names.get(name)
    # ASCII first: the Kelvin sign becomes "k" in lower case, and would pass for it.
    if canonical is None and name.isascii():
        canonical = names.get(name.lower())
    if canonical is None:
        raise UnknownTimeZone(
            f"{quote(name)} is not a time zone; give an IANA name such as America/New_York"
        )
    return canonical


def zone(name: str) -> "ZoneInfo":
    """The rules of a time zone, from the ``tzdata`` package; its key is the canonical name.

    The object can't be pickled: keep the name, and ask again.

    Raises:
        UnknownTimeZone: as :func:`canonical_name`.
    """
    return _rules(canonical_name(name))


def resolve_wall_time(
    wall: datetime,
    time_zone: str,
    *,
    disambiguation: Literal["compatible", "raise"] = "compatible",
) -> datetime:
    """The instant, in UTC, at which clocks in a time zone show a wall time.

    Where clocks skip the wall time, ``"compatible"`` takes the offset from before the gap; where
    they show it twice, the first time (RFC 5545, section 3.3.5, and Temporal's ``compatible``).
    ``"raise"`` refuses both. The ``fold`` of ``wall`` is not looked at.

    Raises:
        InvalidWallTime: ``wall`` is aware, its instant lies outside the years 1 to 9999, or
            ``"raise"`` was asked for and the wall time is skipped or ambiguous.
        UnknownTimeZone: as :func:`canonical_name`.
    """
    if disambiguation not in ("compatible", "raise"):
        raise ValueError(f"disambiguation is 'compatible' or 'raise', not {disambiguation!r}")
    if wall.tzinfo is not None:
        raise InvalidWallTime(f"{wall.isoformat()} has an offset, so it is not a wall time")
    rules = zone(time_zone)
    # PEP 495: fold=0 is the first of two occurrences and, in a gap, the offset from before it.
    local = wall.replace(tzinfo=rules, fold=0)
    try:
        instant = local.astimezone(UTC)
    except OverflowError:
        raise InvalidWallTime(
            f"{wall.isoformat()} in {rules.key} lies outside the years 1 to 9999 in UTC"
        ) from None
    if disambiguation == "raise":
        from dateutil import tz

        if not tz.datetime_exists(local):
            raise InvalidWallTime(
                f"{wall.isoformat()} does not exist in {rules.key}: clocks skip it"
            )
        if tz.datetime_ambiguous(local):
            raise InvalidWallTime(
                f"{wall.isoformat()} is ambiguous in {rules.key}: clocks show it twice"
            )
    return instant


def wall_time(instant: datetime, time_zone: str) -> datetime:
    """What clocks in a time zone show at an instant: a naive datetime, with ``fold`` 0.

    Raises:
        InvalidTimestamp: ``instant`` is naive, or lies outside the years 1 to 9999 in UTC.
        InvalidWallTime: the wall time lies outside the years 1 to 9999.
        UnknownTimeZone: as :func:`canonical_name`.
    """
    rules = zone(time_zone)
    in_utc = to_utc(instant)
    try:
        return in_utc.astimezone(rules).replace(tzinfo=None, fold=0)
    except OverflowError:
        raise InvalidWallTime(
            f"{in_utc.isoformat()} lies outside the years 1 to 9999 in {rules.key}"
        ) from None


# Keyed by canonical names alone, so that it holds no more than the database has.
@cache
def _rules(canonical: str) -> "ZoneInfo":
    from importlib.resources import files
    from zoneinfo import ZoneInfo

    with files("tzdata").joinpath("zoneinfo", *canonical.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=canonical)


@cache
def _names() -> dict[str, str]:
    """Every accepted name, as it is usually written and in lower case, with its canonical name.

    The table is complete from the start: names that clients make up are never remembered.
    """
    names = dict(_iana_names())
    for path in ("rails_zones.json", "windows_zones.json"):
        for name, target in _facts(path).items():
            names.setdefault(name, names[target])
    for name, canonical in tuple(names.items()):
        names.setdefault(name.lower(), canonical)
    return names


def _iana_names() -> Iterator[tuple[str, str]]:
    from importlib.resources import files

    database = files("tzdata") / "zoneinfo"
    zones = set()
    links = {}
    for line in (database / "tzdata.zi").read_text("utf-8").splitlines():
        if line.startswith("Z "):
            zones.add(line.split(maxsplit=2)[1])
        elif line.startswith("L "):
            _, target, link = line.split()
            links[link] = target
    listed = {
        line.split("\t")[2]
        for line in (database / "zone.tab").read_text("utf-8").splitlines()
        if not line.startswith("#")
    }
    zones.discard(_NOT_A_PLACE)
    for name in zones | links.keys():
        primary = _PRIMARY.get(name, name)
        while primary in links and primary not in listed:
            primary = links[primary]
        yield name, "UTC" if primary in _UTC else primary


def _facts(path: str) -> dict[str, str]:
    import json
    from importlib.resources import files

    facts: dict[str, str] = json.loads((files("calevents") / "data" / path).read_text("ascii"))
    return facts
