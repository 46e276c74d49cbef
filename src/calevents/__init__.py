"""calevents: a calendar that a company and its members share, for any host application.

What writes, represents, pushes or explains is loaded when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

from calevents.audience import Company, Member
from calevents.calendar import Calendar, Creation, Scope
from calevents.event import NOTICE, Event, Image, Status
from calevents.exceptions import (
    CalendarError,
    ConcurrentWrite,
    EventNotFound,
    Fault,
    Forbidden,
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    InvalidEvent,
    InvalidQuery,
    InvalidRecipient,
    InvalidTimestamp,
    InvalidWallTime,
    PreconditionFailed,
    StorageError,
    StorageUnavailable,
    UnknownCountry,
    UnknownTimeZone,
)
from calevents.listing import Page, Sort, View

if TYPE_CHECKING:
    from calevents.dispatcher import DispatchDetails, Dispatcher
    from calevents.draft import EventDraft, EventPatch, ImageDraft
    from calevents.explanation import Explanation, Reason, explain
    from calevents.notification import Delivery, Message, Outcome, Recipient, Result
    from calevents.representation import represent

__all__ = [
    "NOTICE",
    "Calendar",
    "CalendarError",
    "Company",
    "ConcurrentWrite",
    "Creation",
    "Delivery",
    "DispatchDetails",
    "Dispatcher",
    "Event",
    "EventDraft",
    "EventNotFound",
    "EventPatch",
    "Explanation",
    "Fault",
    "Forbidden",
    "IdempotencyKeyInFlight",
    "IdempotencyKeyReused",
    "Image",
    "ImageDraft",
    "InvalidEvent",
    "InvalidQuery",
    "InvalidRecipient",
    "InvalidTimestamp",
    "InvalidWallTime",
    "Member",
    "Message",
    "Outcome",
    "Page",
    "PreconditionFailed",
    "Reason",
    "Recipient",
    "Result",
    "Scope",
    "Sort",
    "Status",
    "StorageError",
    "StorageUnavailable",
    "UnknownCountry",
    "UnknownTimeZone",
    "View",
    "explain",
    "represent",
]

_LOADED_WHEN_ASKED_FOR = {
    "Delivery": "calevents.notification",
    "DispatchDetails": "calevents.dispatcher",
    "Dispatcher": "calevents.dispatcher",
    "EventDraft": "calevents.draft",
    "EventPatch": "calevents.draft",
    "Explanation": "calevents.explanation",
    "ImageDraft": "calevents.draft",
    "Message": "calevents.notification",
    "Outcome": "calevents.notification",
    "Reason": "calevents.explanation",
    "Recipient": "calevents.notification",
    "Result": "calevents.notification",
    "explain": "calevents.explanation",
    "represent": "calevents.representation",
}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LOADED_WHEN_ASKED_FOR[name]), name)
    globals()[name] = value
    return value
