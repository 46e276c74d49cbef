"""How Sphinx builds the documentation: ``make docs``."""

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))[
    "project"
]

project = "calevents"
author = "The calevents authors"
copyright = "the calevents authors"
version = release = _PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"calevents {release}"
html_show_copyright = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

# Every reference to a name of ours leads somewhere; those of other libraries are not looked up,
# so that the documentation builds without a network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!calevents\.).*"),
    # Names that a signature shows as they are written there, without their module.
    (r"py:.*", r"calevents\.[a-z_.]*\._.*"),
]
