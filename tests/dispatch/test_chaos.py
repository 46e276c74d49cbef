"""A short run of the long proof; ``make chaos`` has the whole of it."""

import pytest

from chaos.__main__ import main


@pytest.mark.parametrize(
    ("database", "start"), [("sqlite", "--execute"), ("postgresql", "--workers=3")]
)
def test_every_promise_is_kept(
    database: str, start: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Through kills, a freeze, a deploy and a change under way.

    On SQLite the workers are started by their command line.
    """
    arguments = f"--database {database} --rounds 4 --kills 1 --workers 2 --lease 2 --seed 1 {start}"
    status = main(arguments.split())
    said = capfd.readouterr().out
    assert status == 0, said
    assert " lost  0\n" in said
    assert " unstamped  0\n" in said


def test_skipping_repeats_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever is killed."""
    status = main(
        ["--policy", "skip", "--rounds", "2", "--kills", "2", "--workers", "2", "--seed", "2"]
    )
    said = capfd.readouterr().out
    assert status == 0, said
    assert " repeated  0, " in said
