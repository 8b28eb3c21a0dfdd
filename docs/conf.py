"""Settings of Sphinx for this folder; ``nox -s docs`` builds it."""

import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

import ffnn_xp

project = "ffnn_xp"
author = "the ffnn_xp founders"
project_copyright = author
version = release = ffnn_xp.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

default_role = "py:obj"  # `names` in docstrings link to what they name
autodoc_typehints = "none"  # the docstrings say it in words
autosummary_generate = False
numpydoc_show_class_members = False
python_maximum_signature_line_length = 88

html_math_renderer = "mathml"  # equations need no script and no network
html_theme = "furo"
pygments_style, pygments_dark_style = "friendly", "github-dark"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_title = f"ffnn_xp {release}"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def links(app, page, text):
    """Make links to files outside of this folder downloads: they are no pages."""
    outside = "../" * (page.count("/") + 1)
    text[0] = re.sub(rf"\]\((?={re.escape(outside)}\w[^)]*\.(ipynb|md|png|py)\))", "](path:", text[0])


def mathml(latex, display):
    """Write an equation as MathML, with a space between log and what has no parenthesis."""
    return re.sub(r"(<mi>log</mi>)(?=<m[isf])", r'\1<mspace width="0.17em" />', convert(latex, display=display))


def inline_math(translator, node):
    """Write an equation in a line of text."""
    translator.body.append(mathml(node.astext(), "inline"))
    raise SkipNode


def display_math(translator, node):
    """Write an equation in a line of its own, which scrolls where the window is too narrow."""
    translator.body.append(f'<div class="equation">{mathml(node.astext(), "block")}</div>')
    raise SkipNode


def setup(app):
    """Add these functions to Sphinx."""
    app.connect("source-read", links)
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
