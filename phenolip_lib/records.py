"""The one record every source yields: an image, what is written about it, where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

MODALITIES = (
    "dermatology",
    "pathology",
    "radiology",
    "hematology",
    "histology",
    "ophthalmology",
    "face",
    "other",
)
"""The image domains of the published zero-shot table, facial photographs, and what a source cannot tell."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a source, as the source describes it, before any curation.

    A source does not interpret: `labels` holds only what the data set asserts about exactly this
    image through an explicit label map; terms found in text are linked later.
    """

    record_id: str
    """Unique within the source, e.g. ``medpix-2.0/MPX1009_synpic46283``."""
    dataset: str
    """Name of the data set, e.g. ``ham10000``."""
    image: str
    """Path of the image file relative to the source's root folder, with ``/``."""
    modality: str
    """One of `MODALITIES`."""
    group: str
    """Patient, case, lesion or article: records of one group never cross a split."""
    licence: str
    """Licence of this record, as an SPDX id where one exists."""
    url: str
    """Where the record comes from."""
    caption: str = ""
    """Text about this image; empty when the data set has labels only."""
    context: str = ""
    """Text about the same case or article that need not describe this image."""
    labels: tuple[str, ...] = field(default=())
    """HPO ids asserted by the data set for this image, sorted."""
    class_name: str = ""
    """The data set's own class of this image (target of linear probes); empty if it has none."""
    compound: bool = False
    """Whether the image is a figure of several labelled panels under one caption."""
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """The part of the file that is the picture: left, top, right, bottom as fractions. A source
    narrows it to keep burned-in banners out."""
    official_split: str = ""
    """The data set's own split, for reference; ours is made by `phenolip_lib.splits`."""

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ValueError(f"{self.record_id}: modality {self.modality!r} is not one of {MODALITIES}")
