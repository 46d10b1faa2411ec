"""The curation steps: each takes what the last one kept, and says of everything it drops why.

Steps: licence, picture (readable, no chart, panels cut), duplicates, caption; then `links`. A step can
be used alone; `phenokg.build` chains them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.parallel import Pool, failure, map_batches
from phenolip_lib.core.runtime import log
from phenolip_lib.core.sections import PhenoKG as Settings
from phenolip_lib.core.storage import digest
from phenolip_lib.core.union_find import UnionFind
from phenolip_lib.curation import image_step
from phenolip_lib.curation.captions import refine
from phenolip_lib.curation.captions.templates import templated_caption
from phenolip_lib.curation.duplicates import similar_pairs
from phenolip_lib.data import splits
from phenolip_lib.data.images import WHOLE
from phenolip_lib.data.labels import read_labels
from phenolip_lib.data.licences import use_allowed
from phenolip_lib.data.records import DUPLICATE, Record, Reject
from phenolip_lib.models.language_models import model_named
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.wordings import by_name
from phenolip_lib.recognition.recognizer import Recognizer


@dataclass
class Ledger:
    """What was set aside and why, and how much each step kept."""

    rejects: list[Reject] = field(default_factory=list)
    steps: list[tuple[str, int, int]] = field(default_factory=list)

    def reject(self, record_id: str, step: str, reason: str) -> None:
        self.rejects.append(Reject(record_id, step, reason))

    def count(self, step: str, n_in: int, n_out: int) -> None:
        self.steps.append((step, n_in, n_out))

    def quarantine(self) -> pd.DataFrame:
        rows = sorted((r.record_id, r.step, r.reason) for r in self.rejects)
        return pd.DataFrame(rows, columns=["record_id", "step", "reason"], dtype=str)


@dataclass
class Picture:
    """A readable picture: a record, or one panel of it, with what duplicates are found by."""

    record: Record
    origin: str
    """Id of the record it comes from."""
    bits: np.ndarray
    small: np.ndarray
    group: str
    templated: bool = False
    """Whether the caption was written from labels."""
    features: np.ndarray | None = None
    """Image features ``(width,)``, if params ask for clusters."""


def admit(found: Iterable[Record | Reject], settings: Settings, ledger: Ledger) -> list[Record]:
    """Records whose id is new and whose licence allows the use params name, sorted by id.

    Those that share a group, an article or a patient are one group from here on, also through a record that is refused.
    """
    found = list(found)
    groups = _joined([item for item in found if isinstance(item, Record)])
    unique: dict[str, Record] = {}
    for item in found:
        if isinstance(item, Reject):
            ledger.rejects.append(item)
        elif item.record_id in unique:
            ledger.reject(item.record_id, "source", "record id occurs twice")
        elif not use_allowed(item.licence, settings.use):
            ledger.reject(item.record_id, "licence", f"{item.licence} does not allow {settings.use}")
        else:
            box = item.box if settings.mask_banners else WHOLE
            unique[item.record_id] = replace(item, group=groups[item.group], box=box)
    ledger.count("source and licence", len(found), len(unique))
    return [unique[record_id] for record_id in sorted(unique)]


def _joined(records: list[Record]) -> dict[str, str]:
    """The group that each group of the records belongs to; says how many became fewer."""
    columns = ["dataset", "group", "article", "patient"]
    table = pd.DataFrame([[getattr(record, name) for name in columns] for record in records], columns=columns)
    table = table.drop_duplicates(ignore_index=True).assign(whole=lambda t: splits.whole_groups(t))
    groups = dict(zip(table["group"], table["whole"], strict=True))
    n_whole = table["whole"].nunique()
    if n_whole < len(groups):
        largest = table.drop_duplicates("group")["whole"].value_counts().iloc[0]
        log.info(
            "groups that share an article or a patient: %d became %d, one of them of %d", len(groups), n_whole, largest
        )
    return groups


def examine_pictures(
    records: list[Record], root: Path, settings: Settings, pool: Pool, ledger: Ledger
) -> list[Picture]:
    """Pictures that can be read and are no charts; compound figures in panels."""
    step = image_step.PictureStep(
        str(root), settings.split_compound, settings.min_medical, settings.panel_detector or ""
    )
    items = [image_step.item(record, root) for record in records]
    results = map_batches(
        image_step.examine,
        items,
        pool,
        name="pictures",
        key=digest(code_digest(image_step.__name__), vars(step)),
        setup=partial(image_step.start, step),
    )
    kept, n_read, n_compound, n_cut = [], 0, 0, 0
    for record, result in zip(records, results, strict=True):
        reason = failure(result)
        if reason or "reason" in result:
            ledger.reject(record.record_id, "read" if reason else result["step"], reason or result["reason"])
            n_read += not reason and result["step"] != "read"
            continue
        n_read += 1
        n_compound += record.compound
        n_cut += any(part["letter"] for part in result["parts"])
        for letter in result["charts"]:
            ledger.reject(f"{record.record_id}#{letter}", "figure type", "a panel that is a chart, diagram or text")
        for part in result["parts"]:
            bits, small = image_step.bits_of(part), image_step.small_of(part)
            kept.append(Picture(image_step.part_record(record, part), record.record_id, bits, small, record.group))
    n_medical = len({picture.origin for picture in kept})
    ledger.count("read pictures", len(records), n_read)
    ledger.count("drop charts and text", n_read, n_medical)
    ledger.count("cut compound figures", n_medical, len(kept))
    return kept


def add_features(
    found: list[Picture], root: Path, settings: Settings, cache: Path | None, device: str
) -> list[Picture]:
    """The pictures with features, if params ask for clusters.

    Raises:
        PhenoLIPError: there is no such ``phenokg.image_encoder``, or no such device.
    """
    if not found or settings.clusters is None:
        return found
    from phenolip_lib.core.runtime import pick_device
    from phenolip_lib.models.features import image_features
    from phenolip_lib.models.towers import load_towers  # slow to import, and only this step needs it

    try:
        towers = load_towers(settings.image_encoder, FEATURE_SIDE, context_length=8)
    except PhenoLIPError as error:
        raise PhenoLIPError(f"phenokg.image_encoder: {str(error).removeprefix('encoders.student: ')}") from None
    columns = ["image", "left", "top", "right", "bottom"]
    table = pd.DataFrame([(p.record.image, *map(float, p.record.box)) for p in found], columns=columns)
    features = image_features(towers, table, root, device=pick_device(device), workers=settings.workers, cache=cache)
    return [replace(picture, features=row) for picture, row in zip(found, features, strict=True)]


FEATURE_SIDE = 192
"""Pixels a side of what an image encoder of any size is shown."""


def remove_duplicates(found: list[Picture], settings: Settings, ledger: Ledger) -> list[Picture]:
    """Keep the first of each set of copies, one with a caption if there is one, with the labels of all of them.

    Copies and look-alikes (up to half as far again: neighbouring slices, the same eye) share a
    group from here on, whatever article they came from.
    """
    if not found:
        return found
    groups, copies = UnionFind(), UnionFind()
    limit = settings.duplicate_distance
    hashes, thumbnails = np.stack([p.bits for p in found]), np.stack([p.small for p in found])
    for first, second, distance in similar_pairs(hashes, thumbnails, 3 * limit // 2, settings.duplicate_correlation):
        groups.union(found[first].group, found[second].group)
        if distance <= limit:
            copies.union(first, second)
    labels: dict[int, set[str]] = {}
    names: dict[int, set[str]] = {}
    chosen: dict[int, int] = {}
    for i, picture in enumerate(found):
        same = copies.find(i)
        first = chosen.setdefault(same, i)
        if picture.record.caption.strip() and not found[first].record.caption.strip():
            chosen[same] = i
        labels.setdefault(same, set()).update(picture.record.labels)
        names.setdefault(same, set()).update(picture.record.label_names)
    kept = []
    for i, picture in enumerate(found):
        same = copies.find(i)
        if chosen[same] != i:
            name = found[chosen[same]].record.record_id
            ledger.reject(picture.record.record_id, "duplicate", f"{DUPLICATE}{name}")
            continue
        record = replace(picture.record, labels=tuple(sorted(labels[same])), label_names=tuple(sorted(names[same])))
        kept.append(replace(picture, record=record, group=groups.find(picture.group)))
    ledger.count("remove duplicates", len(found), len(kept))
    return kept


def resolve_labels(found: list[Picture], onto: Ontology, ledger: Ledger) -> list[Picture]:
    """Labels as live ids: old ids are followed, names looked up; what the ontology lacks is told."""
    named = by_name(onto)
    kept = []
    for picture in found:
        record, labels = picture.record, set()
        for hpo_id in record.labels:
            if hpo_id in onto:
                labels.add(onto.resolve(hpo_id))
            else:
                ledger.reject(record.record_id, "label", f"{hpo_id} is not in HPO {onto.release}")
        for text in record.label_names:
            for hpo_id, reason in read_labels(text, onto, named):
                if hpo_id:
                    labels.add(hpo_id)
                else:
                    ledger.reject(record.record_id, "label", reason)
        kept.append(replace(picture, record=replace(record, labels=tuple(sorted(labels)), label_names=())))
    return kept


def write_captions(
    found: list[Picture], onto: Ontology, settings: Settings, recognizer: Recognizer, cache: Path | None, ledger: Ledger
) -> list[Picture]:
    """Captions cleaned or refined; one from HPO's texts where there are only labels."""
    items = [
        refine.Item(p.record.record_id, p.record.caption, p.record.caption, p.record.context, list(p.record.labels))
        for p in found
        if p.record.caption.strip()
    ]
    captions = {item.item_id: " ".join(item.text.split()) for item in items}
    if settings.refine != "none":
        model = model_named(settings.refine)
        for outcome in refine.refine(items, model, recognizer, onto, cache):
            captions[outcome.item_id] = outcome.caption
            if model is not None and outcome.source == "rules":
                ledger.reject(outcome.item_id, "refine", f"refined caption refused: {outcome.reason}")
    kept = []
    for picture in found:
        record = picture.record
        if not captions.get(record.record_id, "").strip():
            if not record.labels:
                ledger.reject(record.record_id, "caption", "neither caption nor label")
                continue
            text = templated_caption(onto, record.record_id, list(record.labels), record.modality)
            kept.append(replace(picture, record=replace(record, caption=text), templated=True))
        else:
            kept.append(replace(picture, record=replace(record, caption=captions[record.record_id])))
    ledger.count("caption or label", len(found), len(kept))
    return kept
