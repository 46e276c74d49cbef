"""What a host relies on: names, documentation, light imports, and the builtin that an error is."""

import ast
import builtins
import importlib
import inspect
import pkgutil
import subprocess
import sys
from importlib.resources import files
from types import ModuleType

import pytest

import calevents
from calevents import exceptions

# What `import calevents` must not load: the adapters' libraries, and what the common path of the
# core doesn't need.
HEAVY = frozenset(
    {
        "aiosqlite",
        "alembic",
        "anyio",
        "apprise",
        "asyncio",
        "asyncpg",
        "psycopg",
        "babel",
        "dateutil",
        "importlib.resources",
        "json",
        "logging",
        "msgspec",
        "requests",
        "sqlalchemy",
        "starlette",
        "tzdata",
        "zoneinfo",
    }
)
# What a caller expects of each error, whether or not they know calevents.
BUILTINS: dict[str, type[BaseException] | None] = {
    "CalendarError": None,
    "ConcurrentWrite": None,
    "EventNotFound": LookupError,
    "Forbidden": PermissionError,
    "IdempotencyKeyInFlight": None,
    "IdempotencyKeyReused": ValueError,
    "InvalidEvent": ValueError,
    "InvalidQuery": ValueError,
    "InvalidRecipient": ValueError,
    "InvalidTimestamp": ValueError,
    "InvalidWallTime": ValueError,
    "PreconditionFailed": None,
    "StorageError": None,
    "StorageUnavailable": ConnectionError,
    "UnknownCountry": ValueError,
    "UnknownTimeZone": ValueError,
}


def _public_modules() -> list[str]:
    return sorted(
        module.name
        for module in pkgutil.walk_packages(calevents.__path__, "calevents.")
        # What Alembic runs as scripts is no module to import.
        if not any(part.startswith("_") for part in module.name.split("."))
        and ".migrations." not in module.name
    )


MODULES = _public_modules()


def _loaded_by(code: str) -> set[str]:
    """The modules that a fresh Python has loaded after ``code``."""
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import calevents",
        "from calevents import Calendar, Company, EventDraft, Member, StorageUnavailable",
    ],
)
def test_importing_calevents_loads_no_librarys_adapter_and_nothing_heavy(code: str) -> None:
    loaded = _loaded_by(code) - _loaded_by("")  # a site-packages file may load things of its own
    assert loaded & HEAVY == set()
    assert {name for name in loaded if name.startswith("calevents.adapters")} == set()


def test_naming_everything_loads_no_adapter() -> None:
    """What is loaded late belongs to the core too."""
    loaded = _loaded_by("import calevents\nfor name in calevents.__all__: getattr(calevents, name)")
    third_party = HEAVY & {
        "alembic",
        "anyio",
        "apprise",
        "babel",
        "msgspec",
        "sqlalchemy",
        "starlette",
    }
    assert loaded & third_party == set()
    assert {name for name in loaded if name.startswith("calevents.adapters")} == set()


def test_the_public_names_are_all_there() -> None:
    for name in calevents.__all__:
        assert getattr(calevents, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = calevents.nothing


def test_what_is_imported_is_exported() -> None:
    """The names in ``__all__`` are those that the package's source imports from itself."""
    tree = ast.parse((files("calevents") / "__init__.py").read_text("utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("calevents.")
        for alias in node.names
    }
    assert imported == set(calevents.__all__)


def test_every_error_is_exported() -> None:
    assert set(exceptions.__all__) <= set(calevents.__all__)


def _sort_key(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions: the order that the linter keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", ["calevents", *MODULES])
def test_a_module_says_what_it_is_and_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    if name == "calevents.adapters":
        return
    public = module.__all__
    assert sorted(public, key=_sort_key) == list(public)
    assert len(set(public)) == len(public)
    for exported in public:
        assert hasattr(module, exported), f"{name}.__all__ names {exported}, which isn't there"


def _public_objects() -> list[tuple[str, object]]:
    found: dict[str, object] = {}
    modules: list[ModuleType] = [importlib.import_module(name) for name in ["calevents", *MODULES]]
    for module in modules:
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return sorted(found.items(), key=lambda item: item[0])


def _undocumented(name: str, value: object) -> list[str]:
    missing = [] if (inspect.getdoc(value) or "").strip() else [name]
    if not inspect.isclass(value) or name.startswith("calevents.testing."):
        return missing  # a contract's tests say what they check in their names
    for member, attribute in vars(value).items():
        function = getattr(attribute, "fget", getattr(attribute, "func", attribute))
        if (
            not member.startswith("_")
            and inspect.isfunction(function)
            and not (function.__doc__ or "").strip()
        ):
            missing.append(f"{name}.{member}")
    return missing


def test_every_public_object_is_documented() -> None:
    missing = [
        missed
        for name, value in _public_objects()
        if name.startswith("calevents.")
        for missed in _undocumented(name, value)
    ]
    assert missing == []


def test_every_error_is_the_builtin_that_a_caller_expects() -> None:
    errors = {
        name: value
        for name in exceptions.__all__
        if inspect.isclass(value := getattr(exceptions, name)) and issubclass(value, BaseException)
    }
    assert set(errors) == set(BUILTINS)
    for name, error in errors.items():
        assert issubclass(error, exceptions.CalendarError)
        of_python = {
            parent
            for parent in error.__mro__
            if parent.__module__ == "builtins"
            and parent not in {Exception, BaseException, object, OSError}
        }
        expected = BUILTINS[name]
        assert of_python == ({expected} if expected else set()), name
        assert expected is None or hasattr(builtins, expected.__name__)


def test_type_checkers_are_told_that_there_are_types() -> None:
    assert (files("calevents") / "py.typed").is_file()
