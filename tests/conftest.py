"""What every test module may ask for."""

import pytest

pytest_plugins = ["tests.postgres"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio: the database drivers are asyncio's alone."""
    return "asyncio"
