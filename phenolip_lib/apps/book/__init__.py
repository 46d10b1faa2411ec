"""The executed notebooks of a report as a static book: Sphinx with myst-nb and the theme Furo; nothing is run again.

A book shows what `phenolip run report` collected and computes no number of its own. It needs no network and no
server: fonts are the reader's, formulae are MathML, the search index is a script beside the pages. Equal reports
give equal bytes.
"""

from phenolip_lib.apps.book.site import build

__all__ = ["build"]
