"""How the documentation is built: make docs."""

from typing import Any

from sphinx.util.inspect import signature, stringify_signature

import embudo

project, author, release = "embudo", "The embudo developers", embudo.__version__
copyright = "the embudo developers, BSD-3-Clause"
extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode"),
    *("numpydoc", "sphinx_gallery.gen_gallery"),
]
html_theme = "furo"
exclude_patterns = ["examples/*.ipynb", "examples/*.py", "**/sg_execution_times.rst", "sg_execution_times.rst"]
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings give types
numpydoc_show_class_members = False
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing", "ref.ref", "config.cache"]  # links to files beside docs/, and to scikit-learn
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "show_memory": False,
    "write_computation_times": False,
}


def of_init(app: Any, what: str, name: str, kind: Any, options: Any, text: str, returns: str) -> tuple[str, str] | None:
    """Return the arguments of `__init__` where `__new__`, which autodoc looks at first, only checks their names."""
    if what != "class" or not hasattr(kind, "get_params"):
        return None
    return stringify_signature(signature(kind), show_annotation=False, show_return_annotation=False), ""


def setup(app: Any) -> None:
    """Let classes of parameters be shown with them."""
    app.connect("autodoc-process-signature", of_init)
