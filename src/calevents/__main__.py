"""The command line: ``python -m calevents`` or ``calevents``."""

import argparse
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answer its exit status."""
    parser = argparse.ArgumentParser(prog="calevents", description="Company calendar events.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_dispatch(commands)
    _add_migrate(commands)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


def _add_dispatch(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "dispatch",
        help="send due notifications until SIGTERM or SIGINT",
        description=(
            "Run a dispatcher as a worker process. SIGTERM and SIGINT stop it: it finishes the "
            "calls in progress and hands everything else back. A second signal doesn't wait."
        ),
    )
    parser.add_argument(
        "dispatcher",
        metavar="MODULE:NAME",
        help="a Dispatcher, or a callable without arguments that answers one or an async context "
        "manager that enters into one",
    )
    parser.add_argument(
        "--log-level",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="what is written to standard error (default: INFO)",
    )
    parser.set_defaults(run=_dispatch)


def _dispatch(options: argparse.Namespace) -> int:
    import asyncio
    import logging

    from calevents.worker import SpecificationError, load, work

    logging.basicConfig(
        level=options.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        specified = load(options.dispatcher)
    except SpecificationError as error:
        print(f"calevents dispatch: {error}", file=sys.stderr)
        return 2
    asyncio.run(work(specified))
    return 0


def _add_migrate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    import os

    parser = commands.add_parser(
        "migrate",
        help="create and change the tables in a SQL database",
        description=(
            "Bring the tables of the SQLAlchemy adapter to a revision, all of the way or not at "
            "all. Several processes may do so at once: one does, the others wait for it."
        ),
    )
    parser.add_argument(
        "action",
        nargs="?",
        default="upgrade",
        choices=("upgrade", "downgrade", "current", "check", "stamp"),
        help="upgrade (the default) and downgrade go to a revision; current says at which one the "
        "tables are; check says how they differ from what this release needs, and fails if they "
        "do; stamp records once that tables made by create_tables() are at the newest revision",
    )
    parser.add_argument(
        "--url",
        default=os.environ.get("DATABASE_URL"),
        help="the database, such as postgresql+asyncpg://host/name or sqlite+aiosqlite:///file.db "
        "(default: the environment variable DATABASE_URL, which keeps a password out of sight)",
    )
    parser.add_argument("--schema", help="the schema of the tables (default: the connection's)")
    parser.add_argument(
        "--table-prefix", help="what the tables' names begin with (default: calevents_)"
    )
    parser.add_argument(
        "--revision", help="where to go (default for upgrade: head; base is before the first)"
    )
    parser.add_argument(
        "--partitions",
        type=int,
        help="create each table with so many hash partitions by company_id; PostgreSQL alone",
    )
    parser.add_argument(
        "--lock-timeout",
        type=float,
        metavar="SECONDS",
        help="how long a statement waits for a table's lock; PostgreSQL alone (default: 5)",
    )
    parser.add_argument(
        "--sql", action="store_true", help="print the SQL instead of running it on the database"
    )
    parser.set_defaults(run=_migrate)


def _migrate(options: argparse.Namespace) -> int:
    from importlib import import_module

    from calevents.exceptions import CalendarError

    try:
        # By name, for the core knows no adapter.
        run = import_module("calevents.adapters.sqlalchemy.migrations.cli").run
        status: int = run(options)
    except ModuleNotFoundError as error:
        # The driver's module may be missing too; its extra has the driver's name.
        message = f"{error}; install calevents[alembic] and the database's driver"
    except (CalendarError, ValueError) as error:
        message = str(error)
        # What the driver said, which names neither a password nor a row.
        cause = getattr(error.__cause__, "orig", error.__cause__)
        if isinstance(error, CalendarError) and cause is not None:
            message = f"{message}: {cause}"
    else:
        return status
    print(f"calevents migrate: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
