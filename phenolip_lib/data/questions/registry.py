"""Sets of questions by the name of their folder. Adding one is a module and a line in `SETS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.questions import pathvqa, slake, vqa_med_2019, vqa_rad
from phenolip_lib.data.questions.table import QuestionSet

SETS: dict[str, Callable[[Path], QuestionSet]] = {
    module.NAME: module.load for module in (pathvqa, slake, vqa_med_2019, vqa_rad)
}


def load(name: str, root: Path) -> QuestionSet:
    """The set of that name below the data root.

    Raises:
        PhenoLIPError: no set has the name, or its folder is absent or damaged.
    """
    if name not in SETS:
        raise PhenoLIPError(f"no set of questions is named {name!r}; there are {', '.join(sorted(SETS))}")
    return SETS[name](Path(root))


def present(root: Path) -> dict[str, QuestionSet]:
    """Every set whose folder lies below `root`, sorted by name."""
    return {name: load(name, root) for name in sorted(SETS) if (Path(root) / name).is_dir()}
