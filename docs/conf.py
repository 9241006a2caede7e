"""How the documentation is built: make docs."""

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
