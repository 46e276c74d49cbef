"""Whom our directories find: the members of an event's countries, however those are spelled."""

import enum
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import CHAR, BigInteger, Column, Enum, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from calevents import Member, Recipient, UnknownCountry
from calevents.adapters.memory import MemoryDirectory
from calevents.adapters.sqlalchemy import SelectDirectory
from calevents.countries import country_codes, country_spellings
from calevents.ports import Directory

pytestmark = pytest.mark.anyio

BRITISH = ("GB", "gb", "Gb", "UK", "uk", "GBR", "gbr", "Gbr", "gBR")
OTHERS = ("US", "us", "AU", "AUS", "AT", "AUT", "aut", None)


class Place(enum.Enum):
    """A host's own enumeration; a database keeps the names."""

    GB = "Britain"
    AU = "Australia"


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    url = f"sqlite+aiosqlite:///{tmp_path}/host.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    engine = create_async_engine(url)
    yield engine
    await engine.dispose()


async def over_rows(
    engine: AsyncEngine, kind: Any, rows: Iterable[tuple[int, Any]]
) -> SelectDirectory:
    """A directory over a table with a country of the type ``kind``; rows are (company, country)."""
    members = Table(
        "members",
        MetaData(),
        Column("id", BigInteger, primary_key=True),
        Column("company_id", BigInteger),
        Column("country", kind),
    )
    async with engine.begin() as connection:
        await connection.run_sync(members.metadata.create_all)
        values = [
            {"id": number, "company_id": company_id, "country": country}
            for number, (company_id, country) in enumerate(rows, 1)
        ]
        await connection.execute(insert(members), values)

    def recipient(row: Any) -> Recipient:
        country = row["country"]
        return Recipient(
            id=row["id"],
            country=country.name if isinstance(country, enum.Enum) else country and country.strip(),
        )

    return SelectDirectory(
        engine,
        select(members),
        company_id=members.c.company_id,
        user_id=members.c.id,
        country=members.c.country,
        recipient=recipient,
    )


async def found(
    directory: Directory, *countries: str, company_id: int = 1, **options: Any
) -> Sequence[int]:
    options = {"limit": 1000, **options}
    recipients = await directory.recipients(company_id, countries=countries, **options)
    return [recipient.id for recipient in recipients]


def ids_of(countries: Iterable[str | None], *wanted: str) -> list[int]:
    """By the rule itself: whom a member's own country lets see the event."""
    members = [
        Member(company_id=1, id=number, country=country)
        for number, country in enumerate(countries, 1)
    ]
    return [member.id for member in members if member.country in wanted]


@pytest.mark.parametrize("kind", [String(), String(3), CHAR(3)], ids=repr)
async def test_whoever_sees_an_event_is_found_for_it(engine: AsyncEngine, kind: Any) -> None:
    countries = (*BRITISH, *OTHERS)
    # The other company has the same members, and none of them is ever answered.
    rows = [(company_id, country) for company_id in (1, 2) for country in countries]
    directory = await over_rows(engine, kind, rows)
    for wanted in (("GB",), ("US",), ("AU",), ("AT",), ("GB", "AT"), ("FR",)):
        expected = ids_of(countries, *wanted)
        assert await found(directory, *wanted) == expected, wanted
        others = [number + len(countries) for number in expected]
        assert await found(directory, *wanted, company_id=2) == others, wanted
        assert await found(directory, *wanted, company_id=3) == []
    assert len(await found(directory)) == len(countries)


@pytest.mark.parametrize("kind", [String(2), CHAR(2)], ids=repr)
async def test_a_narrow_column_takes_no_country_for_another(engine: AsyncEngine, kind: Any) -> None:
    """Cut to two letters, AUT would be Australia's AU, and SVK El Salvador's SV."""
    directory = await over_rows(engine, kind, [(1, "AU"), (1, "at"), (1, "SV"), (1, "sk")])
    assert await found(directory, "AU") == [1]
    assert await found(directory, "AT") == [2]
    assert await found(directory, "SV") == [3]
    assert await found(directory, "SK") == [4]


@pytest.mark.parametrize(
    "kind", [Enum("GB", "AU", name="place"), Enum(Place, name="place")], ids=["texts", "python"]
)
async def test_an_enumeration_is_asked_for_what_it_has_alone(
    engine: AsyncEngine, kind: Enum
) -> None:
    directory = await over_rows(engine, kind, [(1, "GB"), (1, "AU"), (1, None)])
    assert await found(directory, "GB") == [1]
    assert await found(directory, "AU", "US") == [2]
    assert await found(directory, "US") == []


async def test_pages_are_whole_across_spellings(engine: AsyncEngine) -> None:
    countries = ("US", "usa", "GB", "us", "USA", None, "Usa")
    directory = await over_rows(engine, String(3), [(1, country) for country in countries])
    assert await found(directory, "US", limit=2) == [1, 2]
    assert await found(directory, "US", after=2, limit=2) == [4, 5]
    assert await found(directory, "US", after=5, limit=2) == [7]
    assert await found(directory, "US", after=7, limit=2) == []
    assert await found(directory, "US", user_id=4) == [4]
    assert await found(directory, "US", user_id=3) == []


async def test_an_event_for_every_country_is_one_statement(engine: AsyncEngine) -> None:
    directory = await over_rows(engine, String(3), [(1, "US"), (1, "uk"), (1, None)])
    assert await found(directory, *sorted(country_codes())) == [1, 2]


async def test_countries_are_asked_for_in_any_spelling(engine: AsyncEngine) -> None:
    members = [Recipient(id=1, country="US"), Recipient(id=2, country="DE"), Recipient(id=3)]
    in_memory = MemoryDirectory({1: members, 2: [Recipient(id=1, country="US")]})
    in_rows = await over_rows(engine, String(3), [(1, "US"), (1, "DE"), (1, None)])
    for directory in (in_memory, in_rows):
        assert await found(directory, "usa") == [1]
        assert await found(directory, "Us", "deu") == [1, 2]
        assert await found(directory) == [1, 2, 3]
        with pytest.raises(UnknownCountry):
            await found(directory, "XX")


@pytest.mark.parametrize("spelling", sorted(country_spellings("GB")))
async def test_memory_finds_every_spelling(spelling: str) -> None:
    members = [Recipient(id=1, country=spelling), Recipient(id=2, country="US"), Recipient(id=3)]
    directory = MemoryDirectory({1: members, 2: [Recipient(id=4, country=spelling)]})
    assert await found(directory, "GB") == [1]
    assert await found(directory, "GB", company_id=2) == [4]
