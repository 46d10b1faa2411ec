"""Plain radiographs: frontal chest films and hand films.

A radiograph is a map of how much the body attenuates the beam: bone more than soft tissue, air
hardly at all. `chest` and `hand` draw this map; here one of them is taken and put on film. A finding
fixes the view it is seen in, so findings of different views exclude each other.
"""

from __future__ import annotations

from functools import wraps

import numpy as np

from phenolip_lib.phantom import chest, hand
from phenolip_lib.phantom.canvas import Canvas
from phenolip_lib.phantom.domain import Domain

domain = Domain("radiology", views=("radiograph", "X-ray", "plain film", "plain radiograph"))

VIEWS = {"chest": chest, "hand": hand}


@domain.anatomy
def normal(rng):
    """A healthy chest and a healthy hand; the view says which of them is taken."""
    return {"view": "chest" if rng.random() < 0.55 else "hand", **chest.normal(rng), **hand.normal(rng)}


def _seen_in(name, change):
    """The change of anatomy that a finding makes, seen in the view of that name."""

    @wraps(change)
    def apply(anatomy, severity, rng):
        anatomy["view"] = name
        change(anatomy, severity, rng)

    return apply


for _name, _module in VIEWS.items():
    _others = [hpo_id for other in VIEWS.values() if other is not _module for hpo_id in other.view.findings]
    for _hpo_id, _finding in _module.view.findings.items():
        _register = domain.finding(_hpo_id, excludes=(*_finding.excludes, *_others), sites=_finding.sites)
        _register(_seen_in(_name, _finding.apply))


@domain.drawing
def draw(anatomy, rng, size):
    canvas = Canvas(size)
    attenuation = VIEWS[anatomy["view"]].attenuation(canvas, anatomy, rng)
    # Film: exposure shifts, kilovoltage sets the contrast, and the curve saturates at both ends.
    exposed = (attenuation - rng.uniform(0.44, 0.50)) * rng.uniform(4.8, 6.5)
    canvas.rgb[:] = (rng.uniform(0.88, 1.0) / (1.0 + np.exp(-exposed)))[..., None]
    canvas.expose(rng, blur=rng.uniform(0.0012, 0.003), noise=0.0)
    canvas.add(rng.uniform(0.008, 0.028) * rng.standard_normal((size, size)))  # one grain for all channels
    return canvas
