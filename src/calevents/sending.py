"""Sending what a worker has claimed, and writing down what became of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b

from calevents.exceptions import CalendarError, StorageUnavailable
from calevents.leases import Hold, monotonic
from calevents.ledger import Claim, NotificationKey
from calevents.notification import Delivery, Message, MessageText, Outcome, Result
from calevents.ports import NotificationLedger, Notifier
from calevents.retrying import RetryPolicy
from calevents.telemetry import DispatchKind, Telemetry

__all__ = ["Sender", "idempotency_keys"]


class Sender:
    """Makes one call of the notifier for a claim, and settles it, whatever happens."""

    def __init__(
        self,
        ledger: NotificationLedger,
        notifier: Notifier,
        *,
        text: MessageText | None,
        policy: RetryPolicy,
        lease: float,
        send_timeout: float,
        telemetry: Telemetry,
        stopping: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._notifier = notifier
        self._text = text
        self._policy = policy
        self._lease = lease
        self._send_timeout = send_timeout
        self._telemetry = telemetry
        self._stopping = stopping

    async def prepare(self, claim: Claim, hold: Hold, began: float) -> Sequence[Delivery] | None:
        """What to send of a claim that was asked for at ``began``.

        ``None`` if it is too late for that; then the claim has been handed back.
        """
        self._telemetry.tell(DispatchKind.CLAIMED, claim.key, count=len(claim.deliveries))
        deliveries = self._deliveries(claim)
        # Nothing is sent at or after the start, nor late in a lease: others may soon take over.
        started = monotonic() - began >= (claim.key.start - claim.now).total_seconds()
        if self._stopping() or started or hold.left < self._lease / 2:
            await self.give_back(claim.key, claim.token)
            return None
        return deliveries

    async def send(self, claim: Claim, deliveries: Sequence[Delivery], began: float) -> None:
        """Send what was prepared of a claim, and settle it."""
        self._telemetry.tell(DispatchKind.SENDING, claim.key, count=len(deliveries))
        try:
            results = await self._call(claim, deliveries)
        except asyncio.CancelledError:
            results = [Result(Outcome.UNCERTAIN, detail="the worker was stopped")] * len(deliveries)
            await asyncio.shield(self._settle(claim, results, began))
            raise
        # What was sent is written down even if the worker is told to stop now.
        await asyncio.shield(self._settle(claim, results, began))

    async def _call(self, claim: Claim, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        unknown = None
        try:
            async with asyncio.timeout(self._send_timeout):
                results = list(await self._notifier.send(claim.event, deliveries))
            if len(results) == len(deliveries):
                self._telemetry.tell(DispatchKind.ANSWERED, claim.key, count=len(results))
                return results
            unknown = f"the notifier answered {len(results)} results for {len(deliveries)}"
            self._telemetry.tell(DispatchKind.FAILED, claim.key, detail=unknown)
        except TimeoutError:
            unknown = "the notifier didn't answer in time"
            self._telemetry.tell(DispatchKind.FAILED, claim.key, detail=unknown)
        except Exception as error:  # noqa: BLE001 - the contract: any exception is uncertain
            self._telemetry.fail(claim.key, error)
            unknown = f"the notifier raised {type(error).__name__}"
        self._telemetry.tell(DispatchKind.ANSWERED, claim.key, count=len(deliveries))
        return [Result(Outcome.UNCERTAIN, detail=unknown)] * len(deliveries)

    def _deliveries(self, claim: Claim) -> list[Delivery]:
        messages: dict[tuple[str, str], Message] = {}
        keys = idempotency_keys(claim.key)
        made = []
        for claimed in claim.deliveries:
            reader = claimed.locale, claimed.time_zone
            if reader not in messages:
                messages[reader] = self._message(claim, *reader)
            made.append(
                Delivery(
                    recipient_id=claimed.recipient_id,
                    channel=claimed.channel,
                    address=claimed.address,
                    locale=claimed.locale,
                    time_zone=claimed.time_zone,
                    attempt=claimed.attempts + 1,
                    idempotency_key=keys(claimed.recipient_id, claimed.channel),
                    message=messages[reader],
                )
            )
        return made

    def _message(self, claim: Claim, locale: str, time_zone: str) -> Message:
        from calevents.messages import english_text

        if self._text is not None:
            try:
                return self._text(claim.event, locale, time_zone, claim.now)
            except Exception as error:  # noqa: BLE001 - better in English than not at all
                self._telemetry.fail(claim.key, error)
        return english_text(claim.event, locale, time_zone, claim.now)

    async def _settle(self, claim: Claim, results: Sequence[Result], began: float) -> None:
        """Write the results down, for as long as it takes the ledger to come back."""
        settlements = self._policy.settlements(claim.deliveries, results)
        give_up = monotonic() + 10 * self._lease
        pause = 0.1
        while True:
            try:
                stored = await self._ledger.settle(claim, settlements)
            except StorageUnavailable as error:
                self._telemetry.tell(DispatchKind.UNAVAILABLE, claim.key, detail=str(error))
                if monotonic() > give_up:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, 2.0)
            else:
                break
        self._telemetry.tell(
            DispatchKind.SETTLED if stored else DispatchKind.LOST,
            claim.key,
            count=len(settlements),
            outcomes=dict(Counter(settlement.state for settlement in settlements)),
            seconds=monotonic() - began,
        )

    async def give_back(self, key: NotificationKey, token: str) -> None:
        """Hand a claim back unsent, if it was stored; otherwise its lease lapses."""
        with suppress(CalendarError):
            if await self._ledger.release(key, token):
                self._telemetry.tell(DispatchKind.RELEASED, key)


def idempotency_keys(key: NotificationKey) -> Callable[[int, str], str]:
    """Name a notification's deliveries, by recipient and channel.

    A delivery has the same name for each of its attempts, and no other has it.
    """
    text = f"{key.company_id} {key.event_id} {key.start.isoformat()} "
    begun = blake2b(text.encode(), digest_size=16, person=b"calevents")

    def name(recipient_id: int, channel: str) -> str:
        digest = begun.copy()
        digest.update(f"{recipient_id} {channel}".encode())
        return digest.hexdigest()

    return name
