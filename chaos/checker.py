"""Reads the history of a round: what the ledger says against what the sink saw."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

import attrs
from sqlalchemy import select

from calevents.adapters.sqlalchemy import Database
from calevents.ledger import DeliveryState, NotificationState
from chaos.sink import Call

__all__ = ["Expectation", "Figures", "check"]

_TERMINAL = frozenset(DeliveryState) - {DeliveryState.PENDING, DeliveryState.CLAIMED}


@attrs.define
class Expectation:
    """What is to become of one event's push."""

    company_id: int
    event_id: int
    start: datetime
    """The start at the end of the round."""
    recipients: Collection[int]
    """Who has to be in the ledger at the end; nobody, if the event is gone."""
    stamped: bool = True
    may_expire: bool = False
    """Whether the event starts while it is being pushed."""
    came_back: bool = False
    """Whether it was withdrawn for a while: what was in doubt then stays uncertain."""
    cancelled_at: float | None = None
    """When what was cancelled had been committed, by the machine's monotonic clock."""
    cancelled_start: datetime | None = None
    """The start whose push was cancelled, wholly or for those in ``excluded``."""
    excluded: Collection[int] | None = None


@attrs.define
class Figures:
    """What is counted; of one round, or of all of them."""

    recipients: int = 0
    calls: int = 0
    lost: int = 0
    """Recipients who weren't called and of whom the ledger doesn't say so."""
    repeated: int = 0
    """Accepted calls beyond the first for one idempotency key."""
    bound: int = 0
    """The most that may be repeated, or left uncertain: the claims that kills and freezes hit."""
    uncertain: int = 0
    unstamped: int = 0
    after_cancel: int = 0
    """Calls of claims that were asked for when the cancelling had been committed."""
    after_start: int = 0
    """Calls of claims that were asked for when the event had started."""
    complaints: list[str] = attrs.field(factory=list)

    def add(self, other: "Figures") -> None:
        """Add another round's."""
        for field in attrs.fields(Figures):
            name = field.name
            setattr(self, name, getattr(self, name) + getattr(other, name))


async def check(
    database: Database,
    expectations: Sequence[Expectation],
    calls: Sequence[Call],
    *,
    policy: str,
    bound: int,
    started: dict[int, float],
) -> Figures:
    """Compare; ``started`` says when events started, by the machine's monotonic clock."""
    figures = Figures(calls=len(calls), bound=bound)
    for expected in expectations:
        mine = [
            call
            for call in calls
            if (call.company_id, call.event_id) == (expected.company_id, expected.event_id)
        ]
        await _check_rows(database, expected, mine, policy, figures)
        _check_calls(expected, mine, started.get(expected.event_id), figures)
    accepted = Counter(call.key for call in calls if call.accepted)
    figures.repeated = sum(number - 1 for number in accepted.values())
    if figures.repeated > (bound if policy == "retry" else 0):
        figures.complaints.append(f"{figures.repeated} calls repeated, {bound} allowed")
    if figures.uncertain > bound:
        figures.complaints.append(f"{figures.uncertain} deliveries uncertain, {bound} allowed")
    for name in ("lost", "unstamped", "after_cancel", "after_start"):
        if getattr(figures, name):
            figures.complaints.append(f"{name}: {getattr(figures, name)}")
    return figures


async def _check_rows(
    database: Database,
    expected: Expectation,
    calls: Sequence[Call],
    policy: str,
    figures: Figures,
) -> None:
    deliveries, events = database.tables.deliveries.c, database.tables.events.c
    rows_of = select(deliveries.starts_at, deliveries.recipient_id, deliveries.state).where(
        deliveries.company_id == expected.company_id, deliveries.event_id == expected.event_id
    )
    stamp_of = select(events.notification_sent_at).where(
        events.company_id == expected.company_id, events.id == expected.event_id
    )
    notifications = database.tables.notifications.c
    state_of = select(notifications.state).where(
        notifications.company_id == expected.company_id,
        notifications.event_id == expected.event_id,
        notifications.starts_at == expected.start,
    )
    async with database.reading() as connection:
        rows = (await connection.execute(rows_of)).all()
        stamp = (await connection.execute(stamp_of)).scalar()
        closed_as = (await connection.execute(state_of)).scalar()
    # It started before any worker took it up, and was closed as a whole.
    missed = expected.may_expire and closed_as == NotificationState.EXPIRED
    figures.recipients += len(rows)
    accepted = {(call.start, call.recipient_id) for call in calls if call.accepted}
    states = {(start, recipient): DeliveryState(state) for start, recipient, state in rows}
    for delivery, state in states.items():
        figures.uncertain += state is DeliveryState.UNCERTAIN
        if state not in _TERMINAL:
            figures.lost += 1
            figures.complaints.append(f"{delivery} of {expected.event_id} is {state}")
        elif state is DeliveryState.SENT and delivery not in accepted:
            figures.lost += 1
            figures.complaints.append(f"{delivery} of {expected.event_id} is sent without a call")
        elif delivery in accepted and state in {
            DeliveryState.CANCELLED, DeliveryState.EXPIRED, DeliveryState.DEAD,
            DeliveryState.REJECTED,
        }:  # fmt: skip
            figures.lost += 1
            figures.complaints.append(f"{delivery} of {expected.event_id} was called, is {state}")
    right = {DeliveryState.SENT}
    if policy == "skip" or expected.may_expire or expected.came_back:
        right.add(DeliveryState.UNCERTAIN)
    if expected.may_expire:
        right.add(DeliveryState.EXPIRED)
    for recipient in expected.recipients:
        found = states.get((expected.start, recipient))
        if found not in right and not (missed and found is None):
            figures.lost += 1
            figures.complaints.append(f"{recipient} of {expected.event_id} is {found}")
    if expected.stamped and stamp is None and not missed:
        figures.unstamped += 1


def _check_calls(
    expected: Expectation, calls: Sequence[Call], started: float | None, figures: Figures
) -> None:
    for call in calls:
        if started is not None and call.asked > started:
            figures.after_start += 1
        if (
            expected.cancelled_at is not None
            and call.start == expected.cancelled_start
            and call.asked > expected.cancelled_at
            and (expected.excluded is None or call.recipient_id in expected.excluded)
        ):
            figures.after_cancel += 1
