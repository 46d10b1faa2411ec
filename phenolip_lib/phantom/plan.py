"""Which figures the atlas has: subjects on a long tail, compound figures, articles and near duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from phenolip_lib.phantom.compound import LAYOUTS, MAX_FINDINGS
from phenolip_lib.phantom.domain import Domain

Domains = Mapping[str, Domain]
ARTICLE_SIZES = (0.45, 0.30, 0.15, 0.10)
"""Shares of articles with 1, 2, 3 and 4 figures."""
TAIL_EXPONENT = 0.75


@dataclass(frozen=True)
class Plan:
    """A figure before it is drawn."""

    modality: str
    subjects: tuple[tuple[str, ...], ...]
    """Findings of each subject."""
    repeats: tuple[int, ...] = (1,)
    """Pictures of each subject; more than one in all makes a compound figure."""
    figure_id: str = ""
    article_id: str = ""
    duplicate_of: str = ""

    @property
    def compound(self) -> bool:
        return sum(self.repeats) > 1


def plan_figures(
    domains: Domains,
    rng: np.random.Generator,
    *,
    subjects_per_finding: int,
    compound_share: float,
    duplicate_share: float,
    normal_share: float,
    second_finding_share: float,
) -> list[Plan]:
    """All figures, sorted by their ids; the arguments are those of `phenolip_lib.phantom.atlas.build`."""
    subjects = _subjects(rng, domains, subjects_per_finding, normal_share, second_finding_share)
    return _articles(rng, _figures(rng, subjects, compound_share), duplicate_share)


def long_tail(n: int, mean: float) -> np.ndarray:
    """Numbers of subjects by rank: a power law held between twice and a quarter of `mean`, its mean."""
    ranks = np.arange(1, n + 1) ** -TAIL_EXPONENT
    low, high = 0.0, 8.0 * mean * n
    for _ in range(60):
        scale = (low + high) / 2
        counts = np.clip(scale * ranks, mean / 4, 2 * mean)
        low, high = (scale, high) if counts.mean() < mean else (low, scale)
    return np.maximum(np.round(counts), 1).astype(int)


def _subjects(
    rng: np.random.Generator, domains: Domains, mean: int, normal_share: float, second_share: float
) -> dict[str, list[tuple[str, ...]]]:
    """Findings of every subject, by modality, in random order."""
    ids = sorted(hpo_id for domain in domains.values() for hpo_id in domain.findings)
    counts = dict(zip(rng.permutation(ids), long_tail(len(ids), mean), strict=True))
    subjects: dict[str, list[tuple[str, ...]]] = {}
    for modality, domain in sorted(domains.items()):
        own: list[tuple[str, ...]] = []
        for first in sorted(domain.findings):
            others = [f for f in sorted(domain.findings) if domain.compatible(first, f)]
            for _ in range(counts[first]):
                second = [str(rng.choice(others))] if others and rng.random() < second_share else []
                own.append(tuple(sorted([first, *second])))
        own += [()] * round(len(own) * normal_share / (1 - normal_share))
        subjects[modality] = [own[i] for i in rng.permutation(len(own))]
    return subjects


def _figures(rng: np.random.Generator, subjects: dict[str, list[tuple[str, ...]]], compound_share: float) -> list[Plan]:
    """Share the subjects out among single and compound figures."""
    plans = []
    for modality, queue in subjects.items():
        queue = list(queue)
        while queue:
            if rng.random() >= compound_share:
                plans.append(Plan(modality, (queue.pop(),)))
                continue
            n_panels = int(rng.choice(sorted(LAYOUTS)))
            chosen, repeats = [], []
            while queue and sum(repeats) < n_panels:
                if len({f for subject in (*chosen, queue[-1]) for f in subject}) > MAX_FINDINGS:
                    break
                chosen.append(queue.pop())
                # Now and then several pictures of one subject, which share their piece of the caption.
                repeats.append(min(int(rng.choice((1, 2, 3), p=(0.8, 0.12, 0.08))), n_panels - sum(repeats)))
            if sum(repeats) == 1:  # the last subject of the modality
                repeats = [2]
            plans.append(Plan(modality, tuple(chosen), tuple(repeats)))
    return plans


def _articles(rng: np.random.Generator, plans: list[Plan], duplicate_share: float) -> list[Plan]:
    """Group figures of a modality into articles, add near duplicates, and number all in random order."""
    grouped: list[Plan] = []
    n_articles = 0
    for modality in sorted({plan.modality for plan in plans}):
        own = [plan for plan in plans if plan.modality == modality]
        own = [own[i] for i in rng.permutation(len(own))]
        while own:
            n = int(rng.choice(len(ARTICLE_SIZES), p=ARTICLE_SIZES)) + 1
            grouped += [replace(plan, article_id=str(n_articles)) for plan in own[:n]]
            own, n_articles = own[n:], n_articles + 1
    singles = [i for i, plan in enumerate(grouped) if not plan.compound]
    n_copies = min(round(len(grouped) * duplicate_share / (1 - duplicate_share)), len(singles))
    originals = sorted(int(i) for i in rng.permutation(singles)[:n_copies])
    # Half of the copies are printed in another article: only their pixels tell where they belong.
    articles = [grouped[i].article_id if rng.random() < 0.5 else str(rng.integers(n_articles)) for i in originals]
    # Numbers tell nothing: neither modality nor article nor which of two copies is the original.
    figure_ids = [f"F{i:05d}" for i in rng.permutation(len(grouped) + n_copies)]
    article_ids = [f"A{i:05d}" for i in rng.permutation(n_articles)]
    done = [
        replace(p, figure_id=figure_ids[i], article_id=article_ids[int(p.article_id)]) for i, p in enumerate(grouped)
    ]
    for k, (i, article) in enumerate(zip(originals, articles, strict=True)):
        done.append(
            replace(
                done[i],
                figure_id=figure_ids[len(grouped) + k],
                article_id=article_ids[int(article)],
                duplicate_of=done[i].figure_id,
            )
        )
    return sorted(done, key=lambda plan: plan.figure_id)
