"""The last curation step: which phenotypes each picture shows, from its labels or from its text."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pandas as pd

from phenolip_lib.core.parallel import Pool, failure, map_batches
from phenolip_lib.core.sections import PhenoKG as Settings
from phenolip_lib.curation.steps import Ledger, Picture
from phenolip_lib.curation.visibility import filter_visible
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.recognizer import Recognizer

MENTION_COLUMNS = ["pair_id", "field", "start", "end", "hpo_id", "surface", "negated", "uncertain", "family"]
MANY_TEXTS = 20_000
"""From so many on, worker processes read them with dictionaries of their own, which take seconds to make."""


def recognise(batch: list[dict], recognizer: Recognizer) -> list[list]:
    """The per-record step over texts: mentions of caption and context as rows."""
    return [
        [
            [name, m.start, m.end, m.hpo_id, m.surface, m.negated, m.uncertain, m.family]
            for name in ("caption", "context")
            for m in recognizer(one[name])
        ]
        for one in batch
    ]


def link(
    found: list[Picture], onto: Ontology, settings: Settings, recognizer: Recognizer, pool: Pool, ledger: Ledger
) -> tuple[list[list[str]], pd.DataFrame]:
    """Phenotypes of each picture, and all mentions they come from.

    A picture has the labels its data set asserts; without any, what its text affirms and a picture
    of its modality can show.
    """
    items = [
        {"caption": p.record.caption, "context": p.record.context if settings.link == "caption+context" else ""}
        for p in found
    ]
    here = pool if pool.engine != "processes" or len(items) > MANY_TEXTS else replace(pool, engine="serial")
    setup = partial(_same, recognizer) if here.engine == "serial" else partial(Recognizer, onto)
    results = map_batches(recognise, items, here, name="links", key=recognizer.fingerprint, setup=setup)
    phenotypes, rows, n_removed = [], [], 0
    for picture, mentions in zip(found, results, strict=True):
        record = picture.record
        if reason := failure(mentions):
            ledger.reject(record.record_id, "links", reason)
            mentions = []
        rows += [(record.record_id, *mention) for mention in mentions]
        affirmed = sorted({m[3] for m in mentions if not (m[5] or m[6] or m[7])})
        if record.labels:
            phenotypes.append(list(record.labels))
            continue
        removed: list[str] = []
        if settings.visible_only:
            affirmed, removed = filter_visible(onto, affirmed, record.modality)
        for hpo_id in removed:
            ledger.reject(record.record_id, "visibility", f"{onto[hpo_id].name} cannot be seen in {record.modality}")
        n_removed += len(removed)
        phenotypes.append(list(affirmed))
    n_links = sum(map(len, phenotypes))
    ledger.count("links that a picture can show", n_links + n_removed, n_links)
    return phenotypes, pd.DataFrame(rows, columns=MENTION_COLUMNS)


def _same(value):
    return value
