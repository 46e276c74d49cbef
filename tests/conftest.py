"""What every test module may ask for."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres"]

# As the core's tests have it in their environment: a slow machine isn't a wrong result.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio: the database drivers are asyncio's alone."""
    return "asyncio"
