"""The command ``calevents migrate``."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from calevents.__main__ import main
from calevents.adapters.sqlalchemy import Database, migrations
from tests.migrations.places import Place


@pytest.fixture
def url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database."""
    if dialect == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'calendar.db'}"
    return str(request.getfixturevalue("postgres_url"))


def migrate(*arguments: str) -> int:
    return main(["migrate", *arguments])


def test_it_goes_up_and_down_and_says_where_it_is(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = [f"--url={url}", "--table-prefix=cal_"]

    def current() -> str:
        assert migrate("current", *place) == 0
        return capsys.readouterr().out

    assert current() == "base\n"
    assert migrate("check", *place) == 1
    assert "add table cal_events" in capsys.readouterr().out
    assert migrate("--revision=calevents_0001", *place) == 0
    assert current() == "calevents_0001\n"
    assert migrate("upgrade", *place) == 0
    assert current() == f"{migrations.head()}\n"
    assert migrate("check", *place) == 0
    assert migrate("downgrade", "--revision=-1", *place) == 0
    assert current() == "calevents_0002\n"
    assert migrate("downgrade", "--revision=base", *place) == 0
    assert current() == "base\n"
    assert migrate("check", f"--url={url}") == 1


def test_the_url_may_come_from_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert migrate() == 0
    assert migrate("current") == 0
    assert capsys.readouterr().out == f"{migrations.head()}\n"


def test_a_first_try_is_stamped_and_then_migrated(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def first_try() -> None:
        async with Database(url) as database:
            await database.create_tables()

    asyncio.run(first_try())
    url = f"--url={url}"
    assert migrate(url) == 2
    said = capsys.readouterr().err
    assert "calevents migrate stamp" in said
    assert "host's own Alembic" in said
    assert migrate("stamp", url) == 0
    assert migrate("current", url) == 0
    assert capsys.readouterr().out == f"{migrations.head()}\n"
    assert migrate(url) == 0
    assert migrate("stamp", url) == 2
    assert f"recorded as {migrations.head()} already" in capsys.readouterr().err


def test_an_empty_database_is_not_stamped(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate("stamp", f"--url={url}") == 2
    assert "no tables yet" in capsys.readouterr().err
    assert migrate(f"--url={url}") == 0


@pytest.mark.parametrize(("there", "asked"), [(0, 4), (4, 8), (4, 0)])
def test_partitions_that_are_not_those_there_are_refused_also_at_the_head(
    there: int, asked: int, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"--url={postgres_url}"
    assert migrate(url, f"--partitions={there}") == 0
    for _ in range(2):
        assert migrate(url, f"--partitions={asked}") == 2
        said = capsys.readouterr().err
        assert said.startswith(f"calevents migrate: partitions: {asked} were asked for")
        assert f"have {there}" in said
        assert "leave the option out" in said
    assert migrate(url, f"--partitions={there}") == 0
    assert migrate(url) == 0


def test_sqlite_refuses_partitions_also_at_the_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"--url=sqlite+aiosqlite:///{tmp_path / 'calendar.db'}"
    assert migrate(url, "--partitions=0") == 0
    assert migrate(url, "--partitions=2") == 2
    assert "only PostgreSQL" in capsys.readouterr().err
    assert migrate(url, "--partitions=2", "--sql") == 2
    assert "only PostgreSQL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("action", "option"),
    [
        ("current", "--revision"),
        ("current", "--partitions"),
        ("check", "--revision"),
        ("check", "--partitions"),
        ("downgrade", "--partitions"),
        ("stamp", "--revision"),
        ("stamp", "--partitions"),
    ],
)
def test_an_option_that_an_action_has_no_use_for_is_refused(
    action: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = ["--revision=base"] if action == "downgrade" else []
    assert migrate(action, "--url=sqlite+aiosqlite://", f"{option}=2", *needed) == 2
    assert f"{option}: {action} takes none" in capsys.readouterr().err


def test_sql_for_sqlite_builds_what_a_migration_builds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    assert migrate(f"--url=sqlite+aiosqlite:///{ours}") == 0
    assert migrate("--sql", "--url=sqlite+aiosqlite://") == 0
    connection = sqlite3.connect(theirs)
    connection.executescript(capsys.readouterr().out)
    query = "SELECT name, sql FROM sqlite_master ORDER BY name"
    built = connection.execute(query).fetchall()
    assert migrate("--sql", "downgrade", "--revision=base", "--url=sqlite+aiosqlite://") == 0
    connection.executescript(capsys.readouterr().out)
    left = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    assert left == [("calevents_version",)]
    other = sqlite3.connect(ours)
    migrated = other.execute(query).fetchall()
    other.close()
    # DDL that was run and DDL that was printed differ in the whitespace at the ends of lines.
    assert [(name, (sql or "").split()) for name, sql in built] == [
        (name, (sql or "").split()) for name, sql in migrated
    ]


@pytest.mark.anyio
async def test_sql_for_postgresql_builds_what_a_migration_builds(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url)
    place = Place(engine, "calendar", "calevents_")

    async def run(sql: str) -> None:
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.execute(sql)

    for partitions in (0, 3):
        options: dict[str, Any] = {"schema": "calendar", "partitions": partitions}
        await run(migrations.offline_sql("postgresql", "calevents_0002", **options))
        await run(migrations.offline_sql("postgresql", "calevents_0002:head", **options))
        built = await place.described()
        assert await place.run(migrations.current) == migrations.head()
        assert await place.run(migrations.check) == []
        await run(migrations.offline_sql("postgresql", "head:base", schema="calendar"))
        assert await place.described() == []
        await place.database.migrate(partitions=partitions)
        assert await place.described() == built
        await run("DROP SCHEMA calendar CASCADE")
    await engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--url"),
        (["--url=nonsense"], "--url"),
        (["--url=mysql://host/name"], "mysql is not supported"),
        (["--url=sqlite:///file.db"], "sqlite+aiosqlite"),
        (["--url=sqlite+aiosqlite://", "downgrade"], "--revision"),
        (["--url=sqlite+aiosqlite://", "--revision=nope"], "nope"),
        (["--url=sqlite+aiosqlite://", "check", "--sql"], "--sql"),
        (["--url=sqlite+aiosqlite://", "stamp", "--sql"], "--sql"),
        (["--url=sqlite+aiosqlite://", "--partitions=4"], "partitions"),
        (["--url=postgresql+asyncpg://", "--partitions=-1", "--sql"], "partitions"),
        (["--url=postgresql+asyncpg://u:secret@127.0.0.1:1/x"], "can't be reached"),
    ],
)
def test_what_is_wrong_is_told(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert migrate(*arguments) == 2
    written = capsys.readouterr().err
    assert said in written
    assert written.startswith("calevents migrate: ")
    assert "secret" not in written


def test_without_alembic_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['alembic'] = None; from calevents.__main__ import main;"
        " sys.exit(main(['migrate', '--url=sqlite+aiosqlite://']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "calevents[alembic]" in done.stderr


def test_the_adapter_alone_needs_no_alembic() -> None:
    program = (
        "import sys, calevents.adapters.sqlalchemy, calevents.__main__;"
        " assert not [name for name in sys.modules if name.startswith('alembic')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
