"""How the blocks of a document are run: its language says by whom.

=========  ====================================================================================
python     is executed, in the document's order, as one module; ``await`` works as at the prompt
           of ``python -m asyncio``
output     is what the block before it printed
json       is JSON; behind a block that printed, it is what that one printed
toml, ini  can be read
sh         each line is a command that exists, with targets, extras and options that exist
console    the same for what follows a ``$``; the rest is an illustration
text       is an illustration
=========  ====================================================================================
"""

import ast
import asyncio
import configparser
import contextlib
import importlib.util
import io
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from sybil import Document, Example
from sybil.parsers.abstract.codeblock import AbstractCodeBlockParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, FencedCodeBlockLexer

from calevents.__main__ import main

__all__ = ["Guide", "unknown_blocks"]

ROOT = Path(__file__).resolve().parents[2]

_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


class Guide:
    """One document, run from its top to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.module = ModuleType(f"guide_{re.sub(r'[^a-z]+', '_', path.stem.lower())}")
        self.module.__file__ = str(path)
        self.printed: str | None = None
        evaluators = self._evaluators()
        self.languages = frozenset(evaluators)
        parsers = [_Parser(language, evaluator) for language, evaluator in evaluators.items()]
        self.document = Document.parse(str(path), *parsers)

    def run(self) -> None:
        """Run every block."""
        # What a framework is told by name, such as a module of URLs, is this document.
        sys.modules[self.module.__name__] = self.module
        try:
            with asyncio.Runner() as self.runner:
                self.runner.get_loop()
                for example in self.document.examples():
                    example.evaluate()
        finally:
            del sys.modules[self.module.__name__]

    def _evaluators(self) -> Mapping[str, Callable[[Example], None]]:
        return {
            "python": self._python,
            "output": self._output,
            "json": self._json,
            "toml": lambda example: _read(tomllib.loads, example),
            "ini": lambda example: _read(configparser.ConfigParser().read_string, example),
            "sh": lambda example: _sh(example, example.parsed),
            "console": lambda example: _sh(
                example, "\n".join(re.findall(r"(?m)^\$ (.*(?:\\\n.*)*)", example.parsed))
            ),
            "text": lambda example: None,
        }

    def _python(self, example: Example) -> None:
        source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
        code: CodeType = compile(
            source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            answer = eval(code, vars(self.module))  # noqa: S307 - our own documents
            if answer is not None:
                self.runner.run(answer)
        self.printed = printed.getvalue()

    def _output(self, example: Example) -> None:
        assert self.printed == example.parsed, f"line {example.line}: printed {self.printed!r}"

    def _json(self, example: Example) -> None:
        value = _read(json.loads, example)
        if self.printed:
            assert json.loads(self.printed) == value, f"line {example.line}: {self.printed}"
        self.printed = None


class _Parser(AbstractCodeBlockParser):
    """Fenced blocks, and those that are hidden in a comment: ``<!-- invisible-code: python``."""

    def __init__(self, language: str, evaluator: Callable[[Example], None]) -> None:
        super().__init__(
            [
                FencedCodeBlockLexer(
                    language=r".+", mapping={"language": "arguments", "source": "source"}
                ),
                DirectiveInHTMLCommentLexer(directive="invisible-code", arguments=".+"),
            ],
            language,
            evaluator,
        )


def unknown_blocks(path: Path) -> list[str]:
    """The fenced blocks that nobody would run, each by its line and language.

    MyST's directives, ``{toctree}`` and their kin, are run by Sphinx.
    """
    known = Guide(path).languages
    found, closing = [], None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        fence = re.fullmatch(r"[ \t]*(`{3,}|~{3,})(.*)", line)
        if fence is None:
            continue
        if closing is not None:
            closing = None if fence[1].startswith(closing) and not fence[2].strip() else closing
            continue
        closing, language = fence[1], fence[2].strip()
        if language not in known and not language.startswith("{"):
            found.append(f"{path.name}:{number}: {language or 'no language'}")
    return found


def _read(parse: Callable[[str], Any], example: Example) -> Any:
    try:
        return parse(example.parsed)
    except ValueError as error:
        raise AssertionError(f"line {example.line}: {error}") from error


def _sh(example: Example, commands: str) -> None:
    for line in commands.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        if words:
            program, *arguments = words
            check = _PROGRAMS.get(Path(program).name)
            assert check is not None, f"line {example.line}: who is {program}?"
            check(arguments)


def _make(arguments: Sequence[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for argument in arguments:
        assert argument in targets or _ASSIGNMENT.fullmatch(argument), f"make {argument}"


def _pip(arguments: Sequence[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    assert arguments[0] == "install"
    for argument in arguments[1:]:
        if argument.startswith("calevents["):
            unknown = set(argument[len("calevents[") : -1].split(",")) - set(extras)
            assert not unknown, f"pip install: no extras {unknown}"


def _python(arguments: Sequence[str]) -> None:
    if arguments[:2] == ["-m", "pip"]:
        _pip(arguments[2:])
    elif arguments[:2] == ["-m", "calevents"]:
        _calevents(arguments[2:])
    elif arguments and arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]) is not None, f"python -m {arguments[1]}"
    elif arguments:
        assert (ROOT / arguments[0]).exists(), f"python {arguments[0]}"


def _calevents(arguments: Sequence[str]) -> None:
    command, *rest = arguments
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        main([command, "--help"])
    for option in rest:
        name = option.partition("=")[0]
        assert not name.startswith("-") or name in told.getvalue(), f"calevents {command} {name}"


def _module(name: str) -> Callable[[Sequence[str]], None]:
    def check(_arguments: Sequence[str]) -> None:
        assert importlib.util.find_spec(name) is not None, f"{name} isn't installed"

    return check


_PROGRAMS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "alembic": _module("alembic"),
    "calevents": _calevents,
    "curl": lambda _: None,
    "flask": _module("flask"),
    "make": _make,
    "pip": _pip,
    "psql": lambda _: None,
    "pytest": _module("pytest"),
    "python": _python,
    "uvicorn": _module("uvicorn"),
}
