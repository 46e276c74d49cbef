"""What calevents needs of the world, as protocols. Adapters implement them; hosts may too.

The docstrings are contracts. :mod:`calevents.testing` checks them: an adapter that passes its
suites behaves like ours.

Every method that does I/O is async, may be called concurrently, and raises
:class:`~calevents.exceptions.StorageUnavailable` when the storage can't be reached or is busy past
its time-out; then nothing was written.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import attrs

from calevents.audience import Viewer
from calevents.event import Event
from calevents.listing import EventQuery
from calevents.notification import Delivery, Recipient, Result

__all__ = ["Clock", "Directory", "EventRepository", "IdempotencyKey", "Notifier"]


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

        Of all members those in one of ``countries`` (alpha-2), if there are any, or the one with
        ``user_id``, if it is given. An empty answer ends the paging. A member who joins behind
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
