"""The classroom profile: params.yaml made small enough for one lesson, and the way back.

One seed, three methods, one ablation, no other splits. Everything else stays as it is, and the same code runs.
"""

from __future__ import annotations

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.storage import write_text
from phenolip_lib.pipeline.edit import exchange

CLASSROOM, FULL = "classroom", "full"
NAMES = (CLASSROOM, FULL)


def classroom(params: Params) -> dict[str, Any]:
    """The keys that the profile changes, and their values: the baseline, the paper's method and the one recommended."""
    e = params.evaluation
    methods = list(dict.fromkeys([e.baseline, e.headline, params.tour.methods[-1]]))
    return {
        "seeds": params.seeds[:1],
        "methods": {name: params.methods[name] for name in methods},
        "medfilip.run": {
            source: ["filip"] if "filip" in params.medfilip.methods else names[:1]
            for source, names in params.medfilip.run.items()
        },
        "medfilip.beside": methods,
        "arl.run": {source: [names[0], params.arl.baseline] for source, names in params.arl.run.items()},
        "evaluation.folds": dict.fromkeys(e.folds, 0),
        "evaluation.unseen_share": dict.fromkeys(e.unseen_share, 0.0),
        "evaluation.cross_validated": methods,
        "evaluation.resamples": 1000,
        "evaluation.probe_seeds": e.probe_seeds[:1],
        "tour.methods": [e.baseline, params.tour.methods[-1]],
        "ablations.run": params.ablations.run[:1],
    }


def use(name: str, path: Path) -> str:
    """Write a profile into a params file; the first keeps the file beside it, for the way back. Returns what was done.

    The way back sets the keys of the profile to what they were and leaves every other change where it is.

    Raises:
        PhenoLIPError: the profile is in use already, or none is; values that cannot be exchanged.
    """
    kept = path.with_name(f"{path.stem}.{FULL}{path.suffix}")
    if name == CLASSROOM:
        if kept.is_file():
            raise PhenoLIPError(f"{path.name}: {CLASSROOM} is in use; `phenolip use {FULL}` is the way back")
        values = classroom(load_params(path))
        before = path.read_bytes().decode()
        write_text(kept, before)  # first, so that the file as it was is never nowhere
        try:
            exchange(path, values)
        except PhenoLIPError:
            kept.unlink()
            raise
        return f"{path.name}: one seed, three methods, one ablation; `phenolip use {FULL}` is the way back"
    if not kept.is_file():
        raise PhenoLIPError(f"{path.name}: there is no {kept.name}, so no profile to go back from")
    before = load_params(kept)
    tree, keys = before.model_dump(mode="json"), classroom(before)
    values = {key: reduce(getitem, key.split("."), tree) for key in keys}
    exchange(path, values, kept.read_bytes().decode("utf-8-sig"))
    kept.unlink()
    return f"{path.name}: as it was before `phenolip use {CLASSROOM}`"
