"""Recipients kept in memory."""

from collections.abc import Iterable, Mapping, Sequence

from calevents.countries import country_code
from calevents.notification import Recipient

__all__ = ["MemoryDirectory"]


class MemoryDirectory:
    """A :class:`~calevents.ports.Directory` over recipients that are given by company."""

    def __init__(self, recipients: Mapping[int, Iterable[Recipient]]) -> None:
        self._recipients = {
            company_id: sorted(members, key=lambda member: member.id)
            for company_id, members in recipients.items()
        }

    async def recipients(
        self,
        company_id: int,
        *,
        countries: Sequence[str] = (),
        user_id: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> Sequence[Recipient]:
        """See :meth:`calevents.ports.Directory.recipients`."""
        within = {country_code(country) for country in countries}
        wanted = [
            member
            for member in self._recipients.get(company_id, ())
            if (after is None or member.id > after)
            and (user_id is None or member.id == user_id)
            and (not within or member.country in within)
        ]
        return wanted[:limit]
