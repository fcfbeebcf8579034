"""Configuration of the documentation site; see `make docs`.

The source directory is the repository, so that links between pages are the same on GitHub and on the site.
"""

import importlib.metadata
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "extensions"))

project = "ZFScope"
author = "the ZFScope authors"
project_copyright = "ZFScope, licensed under Apache-2.0"
version = release = importlib.metadata.version("zfscope")
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "mathml",
    "navigation",
    "reference",
    "search",
]

root_doc = "docs/index"
# Folders at the top that contain pages; Sphinx does not descend into others.
_SOURCES = {"docs", "examples", "model_store"}
include_patterns = [
    "docs/**.md",
    "docs/**.ipynb",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "examples/*/README.md",
    "model_store/*/*/README.md",
]
exclude_patterns = [
    f"{path.name}/**" for path in ROOT.iterdir() if path.is_dir() and path.name not in _SOURCES
]

# Anchors of headings are those of GitHub.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True

# Two hyphens are the beginning of an option, not a dash.
smartquotes = False

# Notebooks are shown with their stored outputs; `make notebooks` runs them.
nb_execution_mode = "off"

html_theme = "furo"
html_title = "ZFScope"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "redirect.html"}
templates_path = ["templates"]
html_copy_source = False
html_show_sphinx = False
# The site must work from file://, where a page cannot read another one to show its text in a search.
html_show_search_summary = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#8a3d00", "color-brand-content": "#0b5cad"},
    "dark_css_variables": {"color-brand-primary": "#ffb27a", "color-brand-content": "#7cc0ff"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
