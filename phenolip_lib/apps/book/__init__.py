"""The executed notebooks of a report as a static book: Sphinx with myst-nb and the theme Furo; nothing is run again.

A book shows what `phenolip run report` collected and computes no number of its own. It needs no network and no
server: fonts are the reader's, formulae are MathML, the search index is a script beside the pages. Equal reports
give equal bytes.

Also tried on the same notebooks: MkDocs with Material and mkdocs-jupyter (16 MB instead of 7.5, since pictures are
embedded in the pages, and its maintainers announce the end of Material), and Sphinx with the PyData and Book themes
(2.9 and 3.7 MB of theme instead of 0.4).
"""

from phenolip_lib.apps.book.site import build

__all__ = ["build"]
