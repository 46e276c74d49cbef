"""What the notification ledger keeps, and what it and the dispatcher tell each other."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal, NamedTuple

import attrs

from calevents.audience import EVERYONE, Member, audiences_of_event, sees
from calevents.event import Event
from calevents.exceptions import UnknownCountry
from calevents.notification import DEFAULT_CHANNEL, Recipient

__all__ = [
    "INTERRUPTED",
    "MOST_COUNTED",
    "NOT_A_RECIPIENT",
    "NOT_A_RECIPIENT_NOW",
    "Claim",
    "ClaimedDelivery",
    "DeliveryRecord",
    "DeliveryState",
    "Due",
    "NotificationKey",
    "NotificationState",
    "OnUncertain",
    "PushExplanation",
    "Resolution",
    "Settlement",
    "Sweep",
    "channels_of",
    "explanation",
    "visibility",
]

OnUncertain = Literal["retry", "skip"]
"""What to do with a delivery that may or may not have been taken: try it again, or leave it."""


INTERRUPTED = "the worker ended before it could record what became of the attempt"
NOT_A_RECIPIENT = "the directory named somebody whom the event isn't for"
NOT_A_RECIPIENT_NOW = "the event isn't for this recipient any more"


MOST_COUNTED = 64
"""A ledger counts the batches that wait to be claimed up to here, since there may be many."""


class NotificationState(StrEnum):
    """Where the notification of one event at one start stands."""

    WAITING = "waiting"
    """It isn't due yet, or nobody has taken it up."""
    RESOLVING = "resolving"
    """Its recipients are being written into the ledger; those that are may be sent to."""
    SENDING = "sending"
    """Every recipient is in the ledger; some deliveries aren't terminal."""
    SENT = "sent"
    """Every delivery is terminal, and the event is stamped."""
    EXPIRED = "expired"
    """The event started before anybody took the notification up; nobody was notified."""
    CANCELLING = "cancelling"
    """The event was moved, switched off or deleted; what is left is being cancelled."""
    CANCELLED = "cancelled"
    """The event was moved, switched off or deleted; nothing is left."""


class DeliveryState(StrEnum):
    """What became of one delivery. All but ``PENDING`` and ``CLAIMED`` are terminal."""

    PENDING = "pending"
    """It waits for its turn, or for its next attempt."""
    CLAIMED = "claimed"
    """A worker has it in hand. Told by explanations; stored as pending in a claimed batch."""
    SENT = "sent"
    """The provider took it."""
    REJECTED = "rejected"
    """The provider won't ever take it."""
    EXPIRED = "expired"
    """The event started first."""
    CANCELLED = "cancelled"
    """The event was moved, switched off, deleted or meant for others first. Never called."""
    UNCERTAIN = "uncertain"
    """It may or may not have been taken, and nobody will try again."""
    DEAD = "dead"
    """The provider surely didn't take it in any of the attempts."""


@attrs.frozen
class NotificationKey:
    """Which notification: an event has one for every instant at which it was ever to start."""

    company_id: int
    event_id: int
    start: datetime


@attrs.frozen
class Due:
    """A notification with something to do now."""

    key: NotificationKey
    since: datetime
    """When it became due; the order in which it is listed."""
    resolvable: bool
    """Recipients are missing, and nobody is looking for them."""
    claimable: bool
    """Deliveries wait to be sent."""
    sweepable: bool
    """What is left is to be expired, cancelled, or stamped."""
    resolving: bool
    """Somebody is looking for recipients right now; there will soon be more to claim."""


@attrs.frozen
class Resolution:
    """The right to write a notification's recipients into the ledger, page after page."""

    key: NotificationKey
    token: str
    event: Event
    after: int | None
    """The id of the last recipient that is in the ledger."""
    waiting: int = 0
    """How many batches there were to claim when the last page was recorded; from
    :data:`MOST_COUNTED` on they aren't counted."""


class ClaimedDelivery(NamedTuple):
    """One delivery of a claim. A tuple, since there may be a million of them."""

    recipient_id: int
    channel: str
    address: str | None
    locale: str
    time_zone: str
    attempts: int
    """How many attempts ended before this one."""
    doubtful: bool
    """Whether one of them may have been taken."""
    batch_id: int
    """Where the ledger keeps it."""


@attrs.frozen
class Claim:
    """The right to make these deliveries, once, until the lease ends."""

    key: NotificationKey
    token: str
    event: Event
    """The event as it was when the claim was made."""
    now: datetime
    """The ledger's clock when the claim was made."""
    deliveries: Sequence[ClaimedDelivery]


@attrs.frozen
class Settlement:
    """What is to be written about one delivery after its attempt."""

    state: DeliveryState
    """A terminal state, or ``PENDING`` for another attempt."""
    delay: float = 0.0
    """For ``PENDING``: seconds until the next attempt."""
    detail: str | None = None
    doubtful: bool = False
    """Whether this attempt or an earlier one may have been taken."""


@attrs.frozen
class Sweep:
    """What a sweep did."""

    swept: int = 0
    """Deliveries that became terminal."""
    closed: NotificationState | None = None
    """The state in which the notification ended, if it did."""


@attrs.frozen(kw_only=True)
class DeliveryRecord:
    """One row of the ledger, without the address."""

    start: datetime
    """The start that the push was for."""
    recipient_id: int
    channel: str
    state: DeliveryState
    attempts: int
    """Attempts that ended."""
    detail: str | None
    created_at: datetime
    finished_at: datetime | None
    """When it became terminal."""


@attrs.frozen
class PushExplanation:
    """Why a user was or wasn't pushed for an event."""

    state: NotificationState | None
    """The state of the notification for the event's present start; ``None`` where there is none,
    because the event is switched off, deleted, or was purged."""
    deliveries: tuple[DeliveryRecord, ...]
    """What the ledger holds for the user: every start and channel, the latest start first."""
    detail: str
    """The reason in a sentence, for a person in support."""


def channels_of(recipient: Recipient) -> Iterable[tuple[str, str | None]]:
    """The channels that ``recipient`` is delivered to on, each with its address."""
    return recipient.addresses.items() if recipient.addresses else ((DEFAULT_CHANNEL, None),)


def visibility(event: Event) -> Callable[[int, str | None], bool]:
    """Whether a recipient with this id and country may be pushed ``event``.

    :func:`calevents.audience.sees`, asked once for each country rather than for each of a million
    recipients.
    """
    if EVERYONE in audiences_of_event(event):
        return lambda _recipient_id, _country: True
    known: dict[str | None, bool] = {}

    def visible(recipient_id: int, country: str | None) -> bool:
        if event.user_id is not None:
            return recipient_id == event.user_id and sees(
                Member(company_id=event.company_id, id=recipient_id), event
            )
        if country not in known:
            try:
                member = Member(company_id=event.company_id, id=recipient_id, country=country)
            except UnknownCountry:
                known[country] = False
            else:
                known[country] = sees(member, event)
        return known[country]

    return visible


_PUSHES = {
    None: "The event has no notification: it is switched off, was deleted, or was purged.",
    NotificationState.WAITING: "The notification isn't due yet, or no worker has taken it up.",
    NotificationState.RESOLVING: "The recipients are being looked for; the user isn't among those "
    "found so far.",
    NotificationState.EXPIRED: "The event started before a worker took its notification up.",
    NotificationState.CANCELLING: "The notification is being cancelled.",
    NotificationState.CANCELLED: "The event was moved, switched off or deleted before it was "
    "notified.",
}
_DELIVERIES = {
    DeliveryState.PENDING: "It waits for its turn or its next attempt",
    DeliveryState.CLAIMED: "A worker has it in hand",
    DeliveryState.SENT: "The provider took it",
    DeliveryState.REJECTED: "The provider refused it for good",
    DeliveryState.EXPIRED: "The event started before it was sent",
    DeliveryState.CANCELLED: "It was cancelled before it was sent",
    DeliveryState.UNCERTAIN: "It may or may not have arrived",
    DeliveryState.DEAD: "Every attempt failed",
}


def explanation(
    state: NotificationState | None,
    start: datetime | None,
    deliveries: tuple[DeliveryRecord, ...],
) -> PushExplanation:
    """Say why a user was or wasn't pushed; ``start`` is the event's present one, if it has one."""
    present = [record for record in deliveries if record.start == start] or deliveries
    if present:
        detail = " ".join(
            f"On {record.channel}: {_DELIVERIES[record.state]} "
            f"(attempts that ended: {record.attempts})."
            for record in present
        )
    else:
        detail = _PUSHES.get(state, "The event's notification didn't reach this user: they weren't "
        "among its recipients.")  # fmt: skip
    return PushExplanation(state, deliveries, detail)
