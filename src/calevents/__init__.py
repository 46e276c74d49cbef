"""calevents: a calendar that a company and its members share, for any host application."""

from calevents.audience import Company, Explanation, Member, Reason, explain
from calevents.calendar import Calendar, Creation, Scope
from calevents.draft import EventDraft, EventPatch, ImageDraft
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
    InvalidTimestamp,
    InvalidWallTime,
    PreconditionFailed,
    StorageError,
    StorageUnavailable,
    UnknownCountry,
    UnknownTimeZone,
)
from calevents.listing import Page, Sort, View
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
