"""What becomes of a delivery after an attempt: done, over, or tried again, and when."""

import math
import random
from collections.abc import Sequence

import attrs

from calevents.ledger import ClaimedDelivery, DeliveryState, OnUncertain, Settlement
from calevents.notification import Outcome, Result

__all__ = ["RetryPolicy"]

_LONGEST_DELAY = 86_400.0
_LONGEST_DETAIL = 500
_SENT = Settlement(DeliveryState.SENT)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often, and after how long, a delivery is tried again."""

    on_uncertain: OnUncertain
    max_attempts: int
    backoff: float
    """Seconds before the second attempt, at the most; doubled for each further one."""
    longest_backoff: float
    """Seconds between two attempts, at the most, unless the provider asks for more."""

    def settlements(
        self, deliveries: Sequence[ClaimedDelivery], results: Sequence[Result]
    ) -> list[Settlement]:
        """What to write about each delivery, for the notifier's result for it."""
        delays: dict[tuple[int, int], float] = {}
        settlements = []
        for delivery, result in zip(deliveries, results, strict=True):
            if result.outcome is Outcome.ACCEPTED and result.detail is None:
                settlements.append(_SENT)
            else:
                settlements.append(self._settlement(delivery, result, delays))
        return settlements

    def _settlement(
        self, delivery: ClaimedDelivery, result: Result, delays: dict[tuple[int, int], float]
    ) -> Settlement:
        outcome, attempt = result.outcome, delivery.attempts + 1
        detail = None if result.detail is None else _printable(result.detail)
        doubtful = delivery.doubtful or outcome is Outcome.UNCERTAIN
        if outcome is Outcome.ACCEPTED:
            return Settlement(DeliveryState.SENT, detail=detail)
        last = attempt >= self.max_attempts
        if outcome is Outcome.UNCERTAIN and self.on_uncertain == "skip":
            last = True
        if outcome is not Outcome.REJECTED and not last:
            # One draw for all that wait alike: they stay together in one batch.
            asked = _seconds(result.retry_after)
            if (attempt, asked) not in delays:
                most = min(self.longest_backoff, self.backoff * 2.0 ** min(attempt - 1, 30))
                jitter = random.uniform(0, most)  # noqa: S311 - no secret
                delays[attempt, asked] = asked + jitter
            return Settlement(
                DeliveryState.PENDING, delays[attempt, asked], detail, doubtful=doubtful
            )
        if doubtful:
            return Settlement(DeliveryState.UNCERTAIN, detail=detail, doubtful=True)
        rejected = outcome is Outcome.REJECTED
        return Settlement(DeliveryState.REJECTED if rejected else DeliveryState.DEAD, detail=detail)


def _seconds(retry_after: float | None) -> int:
    """What the provider asked for, in whole seconds; nonsense counts as nothing."""
    if retry_after is None or not retry_after > 0:
        return 0
    return math.ceil(min(retry_after, _LONGEST_DELAY))


def _printable(detail: str) -> str:
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in detail[:_LONGEST_DETAIL]
    )
