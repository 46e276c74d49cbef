"""What can be set: from the environment, each with a default."""

from collections.abc import Mapping
from pathlib import Path

import attrs
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

__all__ = ["HOST", "BadSetting", "Settings"]

HOST = "127.0.0.1"
"""The demo's tokens are public, so it is served to this machine alone."""

_ROOT = Path(__file__).resolve().parents[2]
_DEFAULT_DATABASE = _ROOT / "var" / "company_calendar.db"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}


class BadSetting(ValueError):
    """A setting can't be used; the text names it and says what to set."""


@attrs.frozen
class Settings:
    """How the demo runs."""

    port: int
    """0 takes any free port."""
    database_url: URL
    seed: bool
    """Whether it fills itself when it starts."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings in ``environment``; an empty value is the default.

        Raises:
            BadSetting: a value can't be used.
        """
        return cls(
            port=_port(environment.get("PORT") or "8000"),
            database_url=_database_url(
                environment.get("DATABASE_URL") or f"sqlite:///{_DEFAULT_DATABASE}"
            ),
            seed=_flag("SEED", environment.get("SEED") or "1"),
        )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise BadSetting(f"PORT must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _flag(name: str, text: str) -> bool:
    if text not in {"0", "1"}:
        raise BadSetting(f"{name} must be 0 or 1, not {text!r}")
    return text == "1"


def _database_url(text: str) -> URL:
    """The URL with its async driver; the folder of a SQLite file is made."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The text may hold a password, so it isn't repeated.
        raise BadSetting(
            "DATABASE_URL is no URL; write sqlite:///path/to/file.db or postgresql://host/name"
        ) from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.drivername not in _DRIVERS.values():
        raise BadSetting("DATABASE_URL must begin with sqlite:// or postgresql://")
    if "sslmode" in url.query:  # libpq's name for what asyncpg calls ssl
        mode = url.query["sslmode"]
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    if url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}:
        folder = Path(str(url.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadSetting(f"DATABASE_URL: {folder} can't be made: {error.strerror}") from None
    return url
