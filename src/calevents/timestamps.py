"""Timestamps in the RFC 3339 profile: text to :class:`~datetime.datetime` and back.

Accepted are ``2025-06-15T14:00:00Z`` and its kin (RFC 3339, section 5.6): ``T``, ``t`` or a space
between date and time; seconds optional; a fraction of one to six digits optional; ``Z``, ``z`` or
``±HH:MM`` optional. Nothing else of ISO 8601 is: no week dates, ordinal dates, basic format, hours
with a fraction, or ``24:00``. Leap seconds are refused, because :class:`~datetime.datetime` has
none.
"""

import re
from datetime import UTC, datetime
from functools import cache

from calevents._quote import quote
from calevents.exceptions import InvalidTimestamp

__all__ = ["format_timestamp", "parse_instant", "parse_timestamp", "to_utc"]

# `datetime.fromisoformat` accepts far more than RFC 3339, and more with each Python. This pattern
# decides what a timestamp is; `fromisoformat` only reads it, and knows how long each month is.
_TIMESTAMP = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]"
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)

# The same shape with any digits: only to say what is wrong with a text that was refused.
_SHAPE = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?)?"
    r"(?:[Zz]|[+-](?P<offset>[0-9]{2}:[0-9]{2}))?"
)


def parse_timestamp(text: str) -> datetime:
    """Read a timestamp.

    With ``Z`` or an offset the answer is an instant: aware, in UTC. ``-00:00`` counts as UTC (RFC
    3339, section 4.3). Without one it is a wall time: naive, for
    :func:`~calevents.timezones.resolve_wall_time`.

    Raises:
        InvalidTimestamp: the text is not of the profile, names a date that doesn't exist, or its
            instant lies outside the years 1 to 9999 in UTC.
    """
    match = _timestamp().fullmatch(text)
    if match is None:
        raise InvalidTimestamp(f"{quote(text)} {_fault(text)}")
    try:
        moment = datetime.fromisoformat(text[:-1] + "Z" if text[-1] == "z" else text)
    except ValueError as error:
        raise InvalidTimestamp(f"{quote(text)} is not a date that exists: {error}") from None
    return moment if match[1] is None else to_utc(moment)


def parse_instant(text: str) -> datetime:
    """Read a timestamp that must carry ``Z`` or an offset; the answer is aware, in UTC.

    Raises:
        InvalidTimestamp: as :func:`parse_timestamp`, and when there is no offset.
    """
    moment = parse_timestamp(text)
    if moment.tzinfo is None:
        raise InvalidTimestamp(f"{quote(text)} has no offset; add Z or one such as +02:00")
    return moment


def format_timestamp(instant: datetime) -> str:
    """Write an aware datetime in UTC, as ``2025-06-15T14:00:00Z``.

    The year has four digits, and a fraction is written, with six digits, only when it isn't zero.

    Raises:
        InvalidTimestamp: the datetime is naive, or lies outside the years 1 to 9999 in UTC.
    """
    return to_utc(instant).isoformat()[:-6] + "Z"


def to_utc(instant: datetime) -> datetime:
    """The same instant in UTC.

    Raises:
        InvalidTimestamp: the datetime is naive, or lies outside the years 1 to 9999 in UTC.
    """
    if instant.tzinfo is UTC:
        return instant
    if instant.utcoffset() is None:
        raise InvalidTimestamp(f"{instant.isoformat()} has no offset, so it is not an instant")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidTimestamp(
            f"{instant.isoformat()} lies outside the years 1 to 9999 in UTC"
        ) from None


@cache
def _timestamp() -> re.Pattern[str]:
    return re.compile(_TIMESTAMP)  # here, for an import would spend half a millisecond on it


def _fault(text: str) -> str:
    shape = re.fullmatch(_SHAPE, text)
    if shape is None:
        return "is not an RFC 3339 timestamp such as 2025-06-15T14:00:00Z"
    if shape["fraction"] and len(shape["fraction"]) > 6:
        return "has more than six digits of a second; microseconds are the finest"
    if shape["second"] == "60":
        return "is a leap second; these are not accepted, write second 59 or the next minute"
    if shape["hour"] == "24":
        return "has hour 24; write 00:00 of the next day"
    if shape["hour"] > "23" or shape["minute"] > "59" or (shape["second"] or "") > "59":
        return "has a time outside 00:00:00 to 23:59:59"
    return "has an offset outside -23:59 to +23:59"
