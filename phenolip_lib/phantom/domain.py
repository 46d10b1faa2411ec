"""How a modality of the atlas is written down: normal anatomy, findings that change it, a drawing.

A modality module makes one `Domain`::

    fundus = Domain("ophthalmology", views=("fundus photograph",))

    @fundus.anatomy
    def normal(rng):                      # a healthy subject, with the variation health has
        return {"cup_ratio": rng.uniform(0.2, 0.4), "haemorrhages": 0, ...}

    @fundus.finding("HP:0000505")         # a phenotype: a few lines that change the anatomy
    def optic_cup(anatomy, severity, rng):
        anatomy["cup_ratio"] = 0.55 + 0.35 * severity

    @fundus.drawing
    def draw(anatomy, rng, size):         # -> Canvas, with the pixels of each finding marked
        ...

The drawing reads the anatomy only; a finding never paints by itself, so findings combine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phenolip_lib.phantom.canvas import Canvas

Anatomy = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """A phenotype of the atlas and the change of anatomy that produces it."""

    hpo_id: str
    apply: Callable[[Anatomy, float, np.random.Generator], None]
    excludes: frozenset[str] = frozenset()
    """HPO ids that cannot be seen in the same picture (microcytes beside macrocytes)."""
    sites: tuple[str, ...] = ()
    """Words a caption may use for where the finding is; empty if the modality says it."""


@dataclass
class Domain:
    """One modality of the atlas: its views, its findings and how it is drawn."""

    modality: str
    views: tuple[str, ...]
    """What a caption calls the picture, e.g. ``("frontal chest radiograph", "chest X-ray")``."""
    findings: dict[str, Finding] = field(default_factory=dict)
    _normal: Callable[[np.random.Generator], Anatomy] | None = None
    _draw: Callable[[Anatomy, np.random.Generator, int], Canvas] | None = None

    def anatomy(self, function):
        """Register the healthy anatomy: ``f(rng) -> dict``."""
        self._normal = function
        return function

    def drawing(self, function):
        """Register the drawing: ``f(anatomy, rng, size) -> Canvas``."""
        self._draw = function
        return function

    def finding(self, hpo_id: str, excludes: tuple[str, ...] = (), sites: tuple[str, ...] = ()):
        """Register a phenotype: ``f(anatomy, severity, rng)`` changes the anatomy in place."""

        def register(function):
            if hpo_id in self.findings:
                raise ValueError(f"{hpo_id} is already drawn in {self.modality}")
            self.findings[hpo_id] = Finding(hpo_id, function, frozenset(excludes), sites)
            return function

        return register

    def compatible(self, first: str, second: str) -> bool:
        """Whether two findings may be seen in one picture."""
        return (
            first != second
            and second not in self.findings[first].excludes
            and first not in self.findings[second].excludes
        )

    def render(self, severities: Mapping[str, float], rng: np.random.Generator, size: int) -> Canvas:
        """Draw a subject with the given findings.

        Args:
            severities: HPO id -> severity in [0, 1]; empty draws a healthy subject.
            rng: source of all variation; the same state gives the same picture.
            size: side of the picture in pixels.

        Returns:
            the picture; ``canvas.masks`` has one mask for every finding asked for.
        """
        anatomy = self._normal(rng)
        for hpo_id in sorted(severities):
            self.findings[hpo_id].apply(anatomy, float(severities[hpo_id]), rng)
        canvas = self._draw(anatomy, rng, size)
        # A finding may bring marks of its own that the subject was not asked to have.
        canvas.masks = {hpo_id: canvas.masks.get(hpo_id, np.zeros((size, size), bool)) for hpo_id in severities}
        return canvas
