"""What every source yields: a record of an image, its text and its origin, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from phenolip_lib.data.labels import stated

MODALITIES = ("dermatology", "pathology", "radiology", "hematology", "histology", "ophthalmology", "face", "other")
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
    """Path of the image file relative to the source's root folder, with ``/``; a picture within an
    archive is ``archive::member``, see `phenolip_lib.data.archives`."""
    modality: str
    """One of `MODALITIES`."""
    group: str
    """Patient, case, lesion or article: records of one group never cross a split, nor do those that share an `article`
    or a `patient` of the data set, whatever their groups. One that ends in a word for the unknown (``clinic/NA``) is
    none, and the record is its own."""
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
    """The data set's own split, for reference; ours is made by `phenolip_lib.data.splits`."""
    label_names: tuple[str, ...] = ()
    """Names of phenotypes asserted for this image by a data set that gives names and no ids; curation
    looks them up among the ontology's names and synonyms."""
    article: str = ""
    """PMCID or case id, where one exists."""
    patient: str = ""
    """The data set's own patient id, where it has one."""
    figure: str = ""
    """Label of the figure within its article, e.g. ``Figure 2``."""

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            # The path stays as it is, or the file could not be found.
            if isinstance(value, str) and part.name != "image":
                object.__setattr__(self, part.name, storable(value))
        for name in ("article", "patient"):
            object.__setattr__(self, name, stated(getattr(self, name)))
        if not stated(self.group.split("/", 1)[-1]):
            object.__setattr__(self, "group", self.record_id)
        object.__setattr__(self, "label_names", tuple(storable(name) for name in self.label_names))
        if self.modality not in MODALITIES:
            raise ValueError(f"{self.record_id}: modality {self.modality!r} is not one of {MODALITIES}")


DUPLICATE = "duplicate of "
"""What the quarantine says of a copy, before the id of the picture that was kept."""


@dataclass(frozen=True, slots=True)
class Reject:
    """An item that was set aside, and why; sources use the step ``source``."""

    record_id: str
    step: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "record_id", storable(self.record_id))
        object.__setattr__(self, "reason", storable(self.reason))


def storable(text: str) -> str:
    """Text that can be written as UTF-8: lone surrogates become U+FFFD, NULs vanish."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")
