"""Recipients read from the host's own tables."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Enum, RowMapping, Select
from sqlalchemy.ext.asyncio import AsyncEngine

from calevents.adapters.sqlalchemy.errors import translated
from calevents.countries import country_code, country_spellings
from calevents.notification import Recipient

__all__ = ["SelectDirectory"]


class SelectDirectory:
    """A :class:`~calevents.ports.Directory` over a ``select`` of the host's own members.

    ``recipient`` makes a recipient of each row; the select must hold what it reads. The three
    columns are compared, ``user_id`` is ordered by: give them an index on (company, id), and one
    on (company, country, id) if companies are large.

    ``country`` may hold any code that ``Member`` takes: two letters or three (``US``, ``USA``), in
    either case, ``UK`` for ``GB``; not names, numbers, or codes with spaces around them. Of an
    ``Enum`` those that it has are looked for. Nobody whose country is ``NULL`` is found for an
    event that is for countries.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        members: Select[Any],
        *,
        company_id: ColumnElement[int],
        user_id: ColumnElement[int],
        country: ColumnElement[str] | ColumnElement[str | None],
        recipient: Callable[[RowMapping], Recipient],
    ) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._members = members
        self._company_id = company_id
        self._user_id = user_id
        self._country = country
        self._recipient = recipient

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
        query = self._members.where(self._company_id == company_id)
        if countries:
            query = query.where(self._country.in_(self._spellings(countries)))
        if user_id is not None:
            query = query.where(self._user_id == user_id)
        if after is not None:
            query = query.where(self._user_id > after)
        with translated():
            async with self._engine.connect() as connection:
                result = await connection.execute(query.order_by(self._user_id).limit(limit))
                return [self._recipient(row) for row in result.mappings()]

    def _spellings(self, countries: Sequence[str]) -> list[str]:
        """All that the column may hold for ``countries``: a plain list, which an index serves."""
        texts = {text for code in countries for text in country_spellings(country_code(code))}
        kind = self._country.type
        if isinstance(kind, Enum):
            texts.intersection_update(kind.enums)  # a database refuses what its type doesn't have
        return sorted(texts)
