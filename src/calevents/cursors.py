"""Cursors: where a page of a list ended, as an opaque text.

A cursor holds a position, and a digest over it and the scope: enough to tell one that was mangled
or belongs elsewhere. It is no secret and grants nothing; the visibility predicate is part of every
query.
"""

import binascii
import struct
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from calevents.audience import Company, Viewer
from calevents.exceptions import InvalidQuery
from calevents.listing import Position, Sort

__all__ = ["cursor_after", "position_at"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PAYLOAD = struct.Struct(">qq")
_DIGEST_SIZE = 6


def cursor_after(position: Position, viewer: Viewer, sort: Sort) -> str:
    """The cursor for what comes behind ``position`` in a list of ``viewer``."""
    payload = _PAYLOAD.pack((position.start - _EPOCH) // _MICROSECOND, position.id)
    text = binascii.b2a_base64(payload + _digest(payload, viewer, sort), newline=False)
    return text.decode("ascii").translate(_TO_URL).rstrip("=")


def position_at(value: object, viewer: Viewer, sort: Sort) -> Position:
    """The position that a cursor of this list names.

    Raises:
        InvalidQuery: the text is no cursor, or one of another scope or order.
    """
    try:
        text = str(value).translate(_FROM_URL)
        data = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
        payload, digest = data[: _PAYLOAD.size], data[_PAYLOAD.size :]
        microseconds, event_id = _PAYLOAD.unpack(payload)
        start = _EPOCH + microseconds * _MICROSECOND
    except (ValueError, struct.error, OverflowError):
        digest = None
    if digest is None or digest != _digest(payload, viewer, sort):
        raise InvalidQuery("cursor", "must be a next_cursor of this same list; start without one")
    return Position(start, event_id)


def _digest(payload: bytes, viewer: Viewer, sort: Sort) -> bytes:
    who = "company" if isinstance(viewer, Company) else f"user {viewer.id}"
    scope = f"{viewer.company_id} {who} {sort}".encode()
    return blake2b(payload + scope, digest_size=_DIGEST_SIZE, person=b"calevents").digest()


_TO_URL = str.maketrans("+/", "-_")
_FROM_URL = str.maketrans("-_", "+/")
