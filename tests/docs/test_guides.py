"""Every block of code in the documentation does what it says."""

from pathlib import Path

import pytest

from tests.docs.examples import ROOT, Guide, unknown_blocks

PATHS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_guide(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document is one test, since its blocks build on each other."""
    assert unknown_blocks(path) == []
    monkeypatch.chdir(tmp_path)
    Guide(path).run()


# And the tests of a document would notice.


def guide(tmp_path: Path, text: str) -> Guide:
    path = tmp_path / "guide.md"
    path.write_text(text, "utf-8")
    return Guide(path)


def test_blocks_share_their_names_and_may_await(tmp_path: Path) -> None:
    guide(
        tmp_path,
        """
```python
import asyncio

lock = asyncio.Lock()
async with lock:
    print("held")
```

```output
held
```

<!-- invisible-code: python
assert not lock.locked()
-->
""",
    ).run()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("```python\nassert 1 == 2\n```", None),
        ("<!-- invisible-code: python\nassert 1 == 2\n-->", None),
        ("```python\nprint(1)\n```\n\n```output\n2\n```", "printed '1"),
        ("```python\nprint('{}')\n```\n\n```json\n[]\n```", "line 5: {}"),
        ("```json\n{,}\n```", "line 1"),
        ("```sh\nmake coffee\n```", "make coffee"),
        ("```sh\nPORT=1 rm -rf .\n```", "who is rm"),
        ('```sh\npip install "calevents[tea]"\n```', "no extras"),
        ("```sh\ncalevents dispatch --now\n```", "dispatch --now"),
        ("```sh\npython -m calevents.nothing\n```", "nothing"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, text: str, reason: str | None) -> None:
    with pytest.raises(AssertionError, match=reason):
        guide(tmp_path, text).run()


def test_an_error_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        guide(tmp_path, "One.\n\n```python\na = 1\na / 0\n```").run()
    assert raised.traceback[-1].lineno == 4  # counted from 0


def test_blocks_that_nobody_runs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "guide.md"
    path.write_text("```{toctree}\na\n```\n\n```\nb\n```\n\n```pyton\nc\n```\n", "utf-8")
    assert unknown_blocks(path) == ["guide.md:5: no language", "guide.md:9: pyton"]
