"""What a client may write: drafts of events, and patches.

Both are plain documents: mappings with the keys of the v202506 contract. What JSON can't hold is
accepted from Python besides (``datetime`` for ``start`` and ``end``).
:func:`calevents.composition.compose` makes events of them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Required, TypedDict

__all__ = ["Disambiguation", "EventDraft", "EventPatch", "ImageDraft"]

Disambiguation = Literal["compatible", "raise"]
"""What to do with a wall time that doesn't exist or is ambiguous; see ``resolve_wall_time``."""


class ImageDraft(TypedDict, total=False):
    """One image of a draft or patch."""

    id: int | None
    position: int | None
    mini: str | None
    detail: str | None
    full: Required[str]


class _OptionalFields(TypedDict, total=False):
    description: str | None
    url: str | None
    venue: str | None
    color: str | None
    time_zone: str | None
    active: bool | None
    image_url: str | None
    images: Sequence[ImageDraft] | None
    countries: Sequence[str] | None
    user_id: int | None


class EventDraft(_OptionalFields):
    """A new event. ``start`` and ``end`` without an offset are wall times in ``time_zone``."""

    title: str
    start: datetime | str
    end: datetime | str


class EventPatch(_OptionalFields, total=False):
    """A JSON merge patch (RFC 7396): an absent key keeps, ``None`` clears, arrays are replaced."""

    title: str
    start: datetime | str
    end: datetime | str
