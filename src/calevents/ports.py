"""What calevents needs of the world, as protocols. Adapters implement them; hosts may too.

The docstrings are contracts. :mod:`calevents.testing` checks them: an adapter that passes its
suites behaves like ours.

Every method that does I/O is async, may be called concurrently, and raises
:class:`~calevents.exceptions.StorageUnavailable` when the storage can't be reached or is busy past
its time-out; then nothing was written.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

import attrs

from calevents.audience import Viewer
from calevents.event import Event
from calevents.ledger import (
    Claim,
    Due,
    NotificationKey,
    OnUncertain,
    PushExplanation,
    Resolution,
    Settlement,
    Sweep,
)
from calevents.listing import EventQuery
from calevents.notification import Delivery, Recipient, Result

__all__ = [
    "Clock",
    "Directory",
    "EventRepository",
    "IdempotencyKey",
    "LeaseRenewal",
    "NotificationLedger",
    "Notifier",
    "RepresentingRepository",
]


class Clock(Protocol):
    """Tells the time of every answer."""

    def __call__(self) -> datetime:
        """The present instant, timezone-aware, in UTC."""


@attrs.frozen(kw_only=True)
class IdempotencyKey:
    """A client's word that requests with the same key are the same request."""

    key: str
    fingerprint: str
    """Digest of the document; another one under the same key is an error."""
    now: datetime
    expired_before: datetime
    """Keys stored at or before this instant are forgotten."""


class EventRepository(Protocol):
    """Keeps events. Every call has a tenant; no call reaches another tenant's events.

    A write and all that it implies (audiences, the notification to arm or cancel, the idempotency
    key) are one transaction: all of it is stored or nothing.
    """

    async def get(self, viewer: Viewer, event_id: int) -> Event | None:
        """The event, if ``viewer`` sees it (:func:`calevents.audience.sees`), else ``None``."""

    async def list(self, viewer: Viewer, query: EventQuery, now: datetime) -> Sequence[Event]:
        """The first ``query.limit`` events that ``viewer`` sees and that match at ``now``.

        Ordered by ``start``, then ``id``; both descending for ``Sort.START_DESCENDING``. Exactly
        those for which :func:`calevents.audience.sees` and :func:`calevents.listing.matches` hold.
        """

    async def create(
        self, viewer: Viewer, event: Event, idempotency_key: IdempotencyKey | None = None
    ) -> Event:
        """Store ``event``, and answer it.

        If ``viewer`` (a company as such, or one user) has used the key before, nothing is stored
        and the event that was answered then is answered again, as it was then, even if it was
        changed or deleted since.

        Raises:
            ConcurrentWrite: the id is taken in this company; nothing was stored.
            IdempotencyKeyReused: the key was used with another fingerprint.
            IdempotencyKeyInFlight: another transaction is using the key right now.
        """

    async def replace(self, before: Event, after: Event) -> Event | None:
        """Store ``after`` in the place of ``before``, and answer it as stored.

        ``None``, and nothing stored, if ``before`` isn't there any more in its version. While
        ``start`` is unchanged, the stored ``notification_sent_at`` is kept whatever ``after`` says
        (a push may be completed between the caller's read and this write); when it moves, it is
        cleared.
        """

    async def delete(self, event: Event) -> bool:
        """Delete ``event`` if it is still stored in this version; say whether it was."""

    async def purge_idempotency_keys(self, before: datetime, *, limit: int) -> int:
        """Forget at most ``limit`` keys of all tenants that were stored at or before ``before``.

        Answers how many; 0 when none are left.
        """


class RepresentingRepository(EventRepository, Protocol):
    """A repository that can represent a list without making events of it, which is quicker.

    Nobody has to: without this method, a list is represented event by event.
    """

    async def list_represented(
        self, viewer: Viewer, query: EventQuery, now: datetime
    ) -> Sequence[dict[str, Any]]:
        """What :meth:`list` answers, each event as ``represent_natively(event, now)`` gives it."""


class Directory(Protocol):
    """The host's users. calevents stores none of them."""

    async def recipients(
        self,
        company_id: int,
        *,
        countries: Sequence[str] = (),
        user_id: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> Sequence[Recipient]:
        """At most ``limit`` members of the company, ordered by id, with ids greater than ``after``.

        Of all members those in one of ``countries`` (alpha-2, in upper case; a store that spells
        them otherwise finds them all the same), if there are any, or the one with ``user_id``, if
        it is given. An empty answer ends the paging. A member who joins behind
        ``after`` while pages are read may or may not be in them; nobody is in two.
        """


class Notifier(Protocol):
    """Sends pushes."""

    @property
    def claim_size(self) -> int:
        """How many deliveries one call takes; at most so many are uncertain after a crash."""

    async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        """Make each delivery once, without retries of its own, and say what became of each.

        One result per delivery, in their order. Retrying is the ledger's work: the same delivery
        comes again with the same ``idempotency_key`` and a greater ``attempt``. An exception counts
        as ``UNCERTAIN`` for all; a cancelled call may have sent any of them.
        """


class LeaseRenewal(Protocol):
    """The one thing that is done to a ledger from a thread of its own."""

    async def renew(self, key: NotificationKey, token: str, *, lease: float) -> bool:
        """Let the claim last ``lease`` seconds from now; ``False`` if it isn't held any more."""


class NotificationLedger(LeaseRenewal, Protocol):
    """What is to be pushed, to whom, and what became of it.

    The repository that it belongs to arms and withdraws notifications in the transactions that
    write events; the ledger reads the events, and stamps ``notification_sent_at`` without changing
    their version. It tells the time by one clock of its own (a database's), never by a caller's:
    durations are given in seconds.

    A worker makes up a token for each resolution and claim. Every later write names it, and does
    nothing if it isn't the one that is stored: after a lease has lapsed and somebody else has taken
    over, nothing of the first worker counts.

    What crosses tenants is :meth:`due`, :meth:`expire_missed` and :meth:`purge` alone.
    """

    async def due(self, *, after: Due | None = None, limit: int) -> Sequence[Due]:
        """At most ``limit`` notifications with something to do now, oldest first, behind ``after``.

        Due is what starts within :data:`~calevents.event.NOTICE` and hasn't started, and whatever
        was begun and isn't closed. What waits for a later attempt is listed with all flags off.
        The cost follows what is listed, not what is stored.
        """

    async def expire_missed(self, *, limit: int) -> int:
        """Close at most ``limit`` notifications that started before anybody took them up."""

    async def begin(self, key: NotificationKey, *, token: str, lease: float) -> Resolution | None:
        """Take up, or take over, the search for recipients, where it was left.

        ``None`` if somebody else has it, if nothing is missing, or if the event has started and
        nobody ever began. A search that was begun is completed even after the start, so that
        nobody is lost silently.
        """

    async def record(
        self,
        resolution: Resolution,
        recipients: Sequence[Recipient],
        *,
        batch_size: int,
        lease: float,
    ) -> Resolution | None:
        """Write a page of recipients down, one delivery for each of their channels.

        ``recipients`` isn't empty. Deliveries are put into batches of ``batch_size``. Those that
        are there stay as they are, except that ``CANCELLED`` ones become pending again. After the
        start they are recorded as ``EXPIRED``; those of recipients whom the event isn't for, as
        ``CANCELLED``. The answer tells how many batches wait to be claimed; ``None``, and nothing
        is written, if the resolution is no longer held.
        """

    async def resolved(self, resolution: Resolution) -> bool:
        """Note that all recipients are written down; ``False`` if it is no longer held."""

    async def suspend(self, resolution: Resolution) -> bool:
        """Give the search back, for anybody to continue; ``False`` if it is no longer held."""

    async def claim(
        self,
        key: NotificationKey,
        *,
        token: str,
        worker: str,
        limit: int,
        lease: float,
        on_uncertain: OnUncertain,
        max_attempts: int,
    ) -> Claim | None:
        """Take at most ``limit`` deliveries in hand, for ``lease`` seconds.

        The intent is stored when this returns. Start, flag and audience are read again: nothing is
        claimed of an event that has started, is switched off or was moved, and deliveries to those
        whom it isn't for any more become ``CANCELLED``. A claim without deliveries is over; there
        may be more to claim. ``None`` if there is nothing to claim now.

        Deliveries in a claim whose lease has lapsed count as attempted. With ``skip`` they become
        ``UNCERTAIN``; with ``retry`` they do so if that was attempt ``max_attempts``, and are
        claimed again otherwise.
        """

    async def release(self, key: NotificationKey, token: str) -> bool:
        """Give a claim back of which nothing was sent; ``False`` if it isn't held any more."""

    async def settle(self, claim: Claim, settlements: Sequence[Settlement]) -> bool:
        """Write down what became of the claim, one settlement for each delivery, in their order.

        It ends the claim. ``False``, and nothing is written, if it isn't held any more.
        """

    async def sweep(self, key: NotificationKey) -> Sweep:
        """Do a bounded part of what is left to expire or cancel; close what has nothing left.

        Nothing is taken from a worker that has it in hand. A notification is closed as ``SENT``,
        and the event stamped, when all recipients are written down and every delivery is terminal.
        """

    async def explain(self, company_id: int, event_id: int, recipient_id: int) -> PushExplanation:
        """Why this user was or wasn't pushed."""

    async def purge(self, before: datetime, *, limit: int) -> int:
        """Forget notifications that are closed and started before ``before``.

        At most about ``limit`` rows at a time; the answer is how many, 0 when none are left.
        """

    def detached(self) -> AbstractAsyncContextManager[LeaseRenewal] | None:
        """The same ledger for another thread's event loop, with connections of its own.

        ``None`` where there can be none.
        """
