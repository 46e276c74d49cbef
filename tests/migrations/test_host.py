"""A host's own Alembic, with tables of its own in the same database."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, text

from calevents import Calendar, StorageError
from calevents.adapters.sqlalchemy import migrations
from calevents.testing.events import NOON
from tests.migrations.places import Place

pytestmark = pytest.mark.anyio

INI = """
[alembic]
script_location = %(here)s/migrations
path_separator = newline
version_locations =
    %(here)s/migrations/versions
    calevents.adapters.sqlalchemy.migrations:versions
calevents_schema = {schema}
calevents_table_prefix = cal_
calevents_partitions = {partitions}
"""

ENV = """
import asyncio
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.ext.asyncio import create_async_engine

metadata = MetaData()
Table("members", metadata, Column("id", Integer, primary_key=True))

def include_name(name, kind, parents):
    return kind != "table" or not name.startswith("cal_")

def run(connection):
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        include_name=include_name,
    )
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine({url!r})
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(main())
"""

REVISION = '''
"""Members."""
import sqlalchemy as sa
from alembic import op
revision = "a1"
down_revision = None

def upgrade():
    op.create_table("members", sa.Column("id", sa.Integer, primary_key=True))

def downgrade():
    op.drop_table("members")
'''

MEMBERS = 'Table("members", metadata, Column("id", Integer, primary_key=True))'
TEAMS = MEMBERS.replace("members", "teams")

MAKO = """
import sqlalchemy as sa
from alembic import op
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}

def upgrade():
    ${upgrades or "pass"}

def downgrade():
    ${downgrades or "pass"}
"""

Alembic = Callable[..., str]


@pytest.fixture
async def host(usual: Place, tmp_path: Path) -> Place:
    """Give a host with an Alembic environment, and where it puts calevents' tables."""
    server = usual.engine.dialect.name == "postgresql"
    schema = "calendar" if server else None
    if server:
        async with usual.engine.begin() as connection:
            await connection.execute(text("CREATE SCHEMA calendar"))
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    ini = INI.format(schema=schema or "", partitions=3 if server else 0)
    (tmp_path / "alembic.ini").write_text(ini)
    url = usual.engine.url.render_as_string(hide_password=False)
    (folder / "env.py").write_text(ENV.format(url=url))
    (folder / "versions" / "a1_members.py").write_text(REVISION)
    return Place(usual.engine, schema, "cal_")


@pytest.fixture
def alembic(host: Place, tmp_path: Path) -> Alembic:
    """Give the host's command."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "alembic", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


async def test_the_revisions_are_a_branch_of_the_host_s(host: Place, alembic: Alembic) -> None:
    alembic("upgrade", "heads")
    assert "No new upgrade operations detected" in alembic("check")
    current = alembic("current")
    assert "a1 (head)" in current
    assert f"{migrations.head()} (head)" in current
    assert await host.run(migrations.check) == []
    company = Calendar(host.database.repository).company(1)
    event = await company.create({"title": "Ours", "start": NOON, "end": NOON.replace(hour=13)})

    alembic("downgrade", "calevents@calevents_0001")
    assert (await company.get(event.id)) == event
    alembic("upgrade", "calevents@head")
    assert await host.run(migrations.check) == []
    alembic("downgrade", "calevents@base")
    assert await host.tables() == {}
    assert "a1 (head)" in alembic("current")


async def test_a_host_goes_on_with_a_branch_that_has_a_name(
    host: Place, alembic: Alembic, tmp_path: Path
) -> None:
    """What the guide tells to call, for what is ambiguous with two heads."""
    versions = tmp_path / "migrations" / "versions"
    first = versions / "a1_members.py"
    first.write_text(first.read_text() + '\nbranch_labels = ("host",)\n')
    (tmp_path / "migrations" / "script.py.mako").write_text(MAKO)
    env = tmp_path / "migrations" / "env.py"
    alembic("upgrade", "heads")
    env.write_text(env.read_text().replace(MEMBERS, f"{MEMBERS}\n{TEAMS}"))
    alembic("revision", "--head=host@head", "--autogenerate", "--rev-id=a2", "-m", "teams")
    assert "create_table('teams'" in (versions / "a2_teams.py").read_text()
    alembic("upgrade", "host@head")
    assert "a2 (head)" in alembic("current")
    alembic("downgrade", "host@-1")
    assert "a2" not in alembic("current")
    assert await host.run(migrations.check) == []


async def test_a_host_s_first_revision_is_written_into_its_own_folder(
    host: Place, alembic: Alembic, tmp_path: Path
) -> None:
    """Also after calevents' branch was listed; the same command without options writes there."""
    versions = tmp_path / "migrations" / "versions"
    (versions / "a1_members.py").unlink()
    (tmp_path / "migrations" / "script.py.mako").write_text(MAKO)
    alembic("upgrade", "heads")
    options = ["--head=base", "--version-path=migrations/versions", "--branch-label=host"]
    alembic("revision", *options, "--rev-id=a1", "-m", "members")
    assert [path.name for path in versions.glob("*.py")] == ["a1_members.py"]
    alembic("upgrade", "heads")
    alembic("revision", "--head=host@head", "--rev-id=a2", "-m", "teams")
    assert (versions / "a2_teams.py").exists()


async def test_tables_made_without_a_migration_are_stamped_by_the_host_s_command(
    host: Place, alembic: Alembic, tmp_path: Path
) -> None:
    ini = tmp_path / "alembic.ini"
    ini.write_text(ini.read_text().replace("calevents_partitions = 3", ""))
    await host.database.create_tables()
    alembic("stamp", "calevents@head")
    alembic("upgrade", "heads")
    current = alembic("current")
    assert "a1 (head)" in current
    assert f"{migrations.head()} (head)" in current
    alembic("downgrade", "calevents@calevents_0001")
    alembic("upgrade", "calevents@head")
    assert await host.run(migrations.check) == []


async def test_tables_of_the_host_s_alembic_are_left_to_its_command(
    host: Place, alembic: Alembic
) -> None:
    alembic("upgrade", "heads")
    with pytest.raises(StorageError, match="the host's own Alembic did, go on with its command"):
        await host.database.migrate()
    assert await host.run(migrations.current) is None


async def test_a_host_may_call_the_functions_in_its_own_transaction(usual: Place) -> None:
    metadata = MetaData()
    members = Table("members", metadata, Column("id", Integer, primary_key=True))

    async def migrate(*, fail: bool) -> None:
        async with usual.database.transaction() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.run_sync(migrations.upgrade)
            await connection.execute(members.insert().values(id=1))
            if fail:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await migrate(fail=True)
    assert await usual.described(version_table=True) == [], "all of it was taken back"
    await migrate(fail=False)
    assert await usual.run(migrations.check) == []
    assert await usual.run(migrations.current) == migrations.head()


async def test_a_transaction_keeps_its_own_lock_timeout(postgres_url: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL lock_timeout = '7s'"))
        await connection.run_sync(migrations.upgrade)
        assert (await connection.scalar(text("SHOW lock_timeout"))) == "7s"
    await engine.dispose()
