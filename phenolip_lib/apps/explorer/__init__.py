"""The explorer: one HTML file to walk the ontology, its images, and what the knowledge encoder finds near.

Everything is inside the file (`page`): the ontology and the tables as gzipped JSON (`payload`), the
neighbours of every term by Lin's similarity and by the encoder (`neighbours`), and thumbnails of those
pictures whose licence lets them be passed on (`images`). It opens from disk, needs no network, and shows
data as text only. Equal inputs give equal bytes.
"""

from phenolip_lib.apps.explorer.page import build, write

__all__ = ["build", "write"]
