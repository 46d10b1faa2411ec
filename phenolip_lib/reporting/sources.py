"""What reports and pages say of each source beside its name."""

from __future__ import annotations

from phenolip_lib.core.names import ONTOLOGY

HEADINGS = {
    ONTOLOGY: "The ontology and the knowledge encoder",
    "phantom": "Synthetic images: the phantom atlas",
    "open": "Real images: MedPix 2.0, HAM10000, IDRiD and Chula-RBC-12",
}
"""Of a report."""
LICENCES = {"phantom": "synthetic images: CC0", "open": "images: as each data set states"}
COMMANDS = {"phantom": "make repro", "open": "make repro SOURCE=open DATA=path/to/folder"}
"""What makes the report of each source."""
