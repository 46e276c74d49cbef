"""What an event is, and what the clock says of it. Pure: every rule takes ``now``."""

from datetime import datetime, timedelta
from enum import StrEnum

import attrs

__all__ = ["NOTICE", "Event", "Image", "Status", "status_at"]

NOTICE = timedelta(hours=1)
"""How long before its start an event is *starting soon*, and may be notified."""


class Status(StrEnum):
    """Where an event stands in its life."""

    STARTING_SOON = "STARTING SOON"
    IN_PROGRESS = "IN PROGRESS"
    CONCLUDED = "CONCLUDED"


_STARTING_SOON = Status.STARTING_SOON
_IN_PROGRESS = Status.IN_PROGRESS
_CONCLUDED = Status.CONCLUDED


def status_at(start: datetime, end: datetime, now: datetime) -> Status | None:
    """The status at ``now`` of an event over the half-open interval ``[start, end)``.

    ``None`` until one hour before ``start``. All three are timezone-aware.
    """
    # Differences of instants, not ``start - NOTICE``: that one overflows in the year 1.
    if now < start:
        return _STARTING_SOON if start - now <= NOTICE else None
    return _IN_PROGRESS if now < end else _CONCLUDED


@attrs.frozen(kw_only=True)
class Image:
    """One picture of an event, in three sizes."""

    id: int
    """Assigned by the library; kept when a client sends it back."""
    position: int
    """Images are ordered by it, ascending."""
    mini: str
    detail: str
    full: str
    """Absolute ``http`` or ``https`` URLs. What the client leaves out is ``full``."""


@attrs.frozen(kw_only=True)
class Event:
    """An event as it is stored. Instants are timezone-aware, in UTC.

    An event is for one user (``user_id``), for the members of ``countries``, or, with neither,
    for every member of the company. A *personal* event is one that a user made for themselves.
    """

    id: int
    """Assigned by the library, greater than 0, never used again."""
    company_id: int
    """The company that it belongs to. Nothing of it is ever shown to another one."""
    user_id: int | None = None
    """The one user whom it is for."""
    personal: bool = False
    """Whether the user ``user_id`` made it, rather than the company. The company never sees it."""
    title: str
    description: str | None = None
    url: str | None = None
    venue: str | None = None
    color: str | None = None
    """``#RRGGBB``, upper case."""
    start: datetime
    end: datetime
    """The event takes place in ``[start, end)``; ``end > start``."""
    start_wall: datetime | None = None
    end_wall: datetime | None = None
    """The wall times (naive, in ``time_zone``) that the client wrote, where it wrote no instants.

    They let a host find events that a later change of a zone's rules has moved.
    """
    time_zone: str = "UTC"
    """The zone's name as the client wrote it."""
    canonical_time_zone: str = "UTC"
    """The primary IANA name of ``time_zone``."""
    active: bool = True
    """The stored flag. See :meth:`is_active` for what members are told."""
    images: tuple[Image, ...] = ()
    """Ordered by position."""
    countries: tuple[str, ...] = ()
    """ISO 3166-1 alpha-2 codes, unique, in the order given."""
    notification_sent_at: datetime | None = None
    """When the push for the present ``start`` was completed."""
    version: int = 1
    """Grows by one with every change by a client; guards against lost updates."""
    created_at: datetime
    updated_at: datetime

    def status(self, now: datetime) -> Status | None:
        """See :func:`status_at`."""
        return status_at(self.start, self.end, now)

    def is_active(self, now: datetime) -> bool:
        """Whether it is in the active view: the stored flag is on and it hasn't ended."""
        return self.active and now < self.end

    def is_due(self, now: datetime) -> bool:
        """Whether its push is to go out at ``now``; never at or after ``start``."""
        return (
            self.active
            and self.notification_sent_at is None
            and self.status(now) is Status.STARTING_SOON
        )
