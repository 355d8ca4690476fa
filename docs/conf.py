"""Configuration of Sphinx."""

import os
import sys
from importlib.metadata import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

_info = metadata("scsalient")
project = _info["Name"]
author = "The scsalient developers"
copyright = f"2026, {author}"
version = release = _info["Version"]

extensions = [
    "mathml",
    "myst_nb",
    "returns",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "tutorials",
]

exclude_patterns = ["_build", "**.ipynb_checkpoints"]
master_doc = "index"
default_role = "literal"  # single backticks in docstrings, as in scanpy

# Our own names must resolve; those of other projects only where their inventories are at hand
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!scsalient|ContrastiveVAE|StandardVAE).*")]

# Links into other projects need their inventories, which are downloaded
if os.environ.get("SCSALIENT_DOCS_ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "python": ("https://docs.python.org/3", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable", None),
        "scvi-tools": ("https://docs.scvi-tools.org/en/stable", None),
    }

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the tutorials are in git with their outputs
html_math_renderer = "mathml"

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = True
napoleon_use_param = True

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

templates_path = ["_templates"]
html_theme = "sphinx_book_theme"
html_title = "scsalient"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # unset, the theme complains in the console
# The sidebar has the search field; a second one would take a bar of its own
html_theme_options = {"path_to_docs": "docs/", "show_navbar_depth": 1, "navbar_persistent": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
