"""Every error that calevents raises.

All inherit from :class:`CalendarError`, and each also from the builtin that a caller would expect
(``ValueError`` for bad input, ``LookupError`` for something that isn't there, and so on), so that
a host can catch either.
"""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = [
    "CalendarError",
    "ConcurrentWrite",
    "EventNotFound",
    "Fault",
    "Forbidden",
    "IdempotencyKeyInFlight",
    "IdempotencyKeyReused",
    "InvalidEvent",
    "InvalidQuery",
    "InvalidRecipient",
    "InvalidTimestamp",
    "InvalidWallTime",
    "PreconditionFailed",
    "StorageError",
    "StorageUnavailable",
    "UnknownCountry",
    "UnknownTimeZone",
]


class CalendarError(Exception):
    """The root of every error that calevents raises on purpose."""


# Bad input


class InvalidTimestamp(CalendarError, ValueError):
    """A text is not a timestamp of the RFC 3339 profile, or lies outside the years 1–9999."""


class InvalidWallTime(CalendarError, ValueError):
    """A wall time doesn't exist, is ambiguous, or has no instant within the years 1–9999."""


class UnknownTimeZone(CalendarError, ValueError):
    """A text names no IANA, Rails or Windows time zone."""


class UnknownCountry(CalendarError, ValueError):
    """A text is no ISO 3166-1 alpha-2 or alpha-3 code."""


class Fault(NamedTuple):
    """One thing that is wrong with an event's document."""

    pointer: str
    """Where: a JSON Pointer (RFC 6901) into the document, such as ``/images/0/full``."""
    code: str
    """What, for programs: ``required``, ``type``, ``length``, ``unknown`` …"""
    detail: str
    """What, for people: names the fault and the fix."""


class InvalidEvent(CalendarError, ValueError):
    """A document can't become an event; :attr:`faults` holds every reason at once."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in self.faults))


class InvalidQuery(CalendarError, ValueError):
    """A listing was asked for with a parameter that is unknown or has a bad value."""

    def __init__(self, parameter: str, detail: str) -> None:
        self.parameter = parameter
        self.detail = detail
        super().__init__(f"{parameter}: {detail}")


class InvalidRecipient(CalendarError, ValueError):
    """The host's directory made a recipient that no ledger could keep.

    The text says which field of which recipient, and what kind of value it has; it never shows a
    value that may be an address or a token.
    """


# What may not be done


class EventNotFound(CalendarError, LookupError):
    """No event with this id is visible in this scope.

    The same error whether the id never existed, was deleted, or belongs to somebody else.
    """

    def __init__(self, event_id: int) -> None:
        self.event_id = event_id
        super().__init__("no such event")


class Forbidden(CalendarError, PermissionError):
    """The event is visible in this scope, but only those who created it may change it."""


class PreconditionFailed(CalendarError):
    """The event has changed since the version that the caller named (RFC 9110, section 13.1.1)."""


class ConcurrentWrite(CalendarError):
    """Other writers kept changing the event while this write was tried; try again."""


class IdempotencyKeyReused(CalendarError, ValueError):
    """The idempotency key was used before, with another document."""


class IdempotencyKeyInFlight(CalendarError):
    """The first request with this idempotency key hasn't ended yet."""


# What storage can meet


class StorageError(CalendarError):
    """The storage failed in a way that trying again won't mend."""


class StorageUnavailable(StorageError, ConnectionError):
    """The storage can't be reached, or was busy past its time-out. Nothing was written."""

    def __init__(
        self, message: str = "the storage is unavailable", *, retry_after: int = 1
    ) -> None:
        self.retry_after = retry_after
        """Seconds after which it makes sense to try again."""
        super().__init__(message)
