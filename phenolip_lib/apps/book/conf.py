"""Settings of Sphinx for the book, and its formulae: MathML made while the page is built, so that no script is needed.

`site` adds the title and the pages from elsewhere.
"""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml

from phenolip_lib.core.errors import PhenoLIPError

project = "PhenoLIP"
extensions = ["myst_nb"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 4

templates_path, html_static_path = ["assets"], ["assets/book.css", "assets/book.js"]
html_css_files, html_js_files = ["book.css"], ["book.js"]
html_theme = "furo"
html_math_renderer = "mathml"
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "extras.html",
        "sidebar/scroll-end.html",
    ]
}
pygments_dark_style = "a11y-high-contrast-dark"
html_copy_source = html_show_copyright = html_use_index = False
html_show_search_summary = False  # a page read from disk may not fetch the others


def setup(app) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(_mathml, None), block_renderers=(_mathml, None))


def _mathml(translator, node: nodes.Element) -> None:
    """Write a formula.

    Raises:
        PhenoLIPError: it is not LaTeX that can be read.
    """
    block = isinstance(node, nodes.math_block)
    try:
        markup = tex2mathml(node.astext().strip(), as_block=block)
    except MathError as error:
        page = translator.builder.current_docname
        raise PhenoLIPError(f"{page}.ipynb: formula {node.astext().strip()!r} cannot be read: {error}") from None
    translator.body.append(f'<div class="formula">{markup}</div>' if block else markup)
    raise nodes.SkipNode
