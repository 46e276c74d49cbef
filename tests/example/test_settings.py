"""What can be set, and what is said of a value that can't be used."""

from pathlib import Path

import pytest

from examples.company_calendar.settings import BadSetting, Settings


def url_of(text: str) -> str:
    settings = Settings.read({"DATABASE_URL": text})
    return settings.database_url.render_as_string(hide_password=False)


def test_defaults() -> None:
    settings = Settings.read({"PORT": "", "SEED": "", "DATABASE_URL": ""})
    assert settings == Settings.read({})
    assert settings.port == 8000
    assert settings.seed
    assert settings.database_url.drivername == "sqlite+aiosqlite"
    assert str(settings.database_url.database).endswith("/var/company_calendar.db")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@h:1/d", "postgresql+asyncpg://u:p@h:1/d"),
        ("postgres://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql://h/d?sslmode=require", "postgresql+asyncpg://h/d?ssl=require"),
        ("sqlite://", "sqlite+aiosqlite://"),
    ],
)
def test_a_url_gets_its_async_driver(given: str, used: str) -> None:
    assert url_of(given) == used


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_the_folder_of_a_file_is_made(scheme: str, tmp_path: Path) -> None:
    file = tmp_path / "new" / "demo.db"
    assert url_of(f"{scheme}:///{file}") == f"sqlite+aiosqlite:///{file}"
    assert file.parent.is_dir()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "web"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("SEED", "yes"),
        ("DATABASE_URL", "calendar.db"),
        ("DATABASE_URL", "mysql://u:secret@h/d"),
        ("DATABASE_URL", "postgresql+psycopg://u:secret@h/d"),
        ("DATABASE_URL", "postgresql://u:secret@h:port/d"),
        ("DATABASE_URL", "sqlite:////dev/null/demo.db"),
    ],
)
def test_a_bad_value_is_named_and_no_password_shown(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name) as caught:
        Settings.read({name: value})
    assert "secret" not in str(caught.value)
