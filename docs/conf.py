"""Settings of the documentation; ``python -m sphinx -W docs build/html`` builds it, offline."""

import unitdot

project = "unitdot"
author = "The unitdot developers"
release = version = unitdot.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
]
html_theme = "furo"
html_title = f"unitdot {version}"
html_show_copyright = False
html_copy_source = False

# Markdown
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the start page includes a part of README.md

# docstrings
autodoc_typehints = "none"  # numpydoc's sections say more
autosummary_generate = False  # the reference is one page
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False
numpydoc_validation_checks = {
    "all",
    "ES01",  # an extended summary only where there is more to say
    "SA01",  # nor a section of related functions: the reference is one page
    "GL01",  # the summary stands on the line of the opening quotes
    "RT03",  # shapes and dtypes say what is returned
}
