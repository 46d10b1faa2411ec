"""What the model chooses from: phenotypes with their text embeddings and their places in the ontology."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import digest, digest_arrays
from phenolip_lib.models.features import cached
from phenolip_lib.models.phenolip import PhenoLIP
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, Ontology


class Candidates:
    """Phenotypes by position.

    Args:
        ids: HPO ids, each once.
        vectors: their text embeddings ``(n, embed_dim)``.
    """

    def __init__(self, onto: Ontology, ids: Sequence[str], vectors: np.ndarray) -> None:
        self.onto, self.ids, self.vectors = onto, list(ids), vectors
        self.position = {hpo_id: i for i, hpo_id in enumerate(self.ids)}
        self._paths: dict[str, list[tuple[str, ...]]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def by_system(self) -> dict[str, list[int]]:
        """Positions of the candidates at or below each organ system (child of HP:0000118) that has any."""
        below = {system: self.onto.descendants(system) for system in self.onto.children[PHENOTYPIC_ABNORMALITY]}
        found = {system: [i for i, hpo_id in enumerate(self.ids) if hpo_id in own] for system, own in below.items()}
        return {system: positions for system, positions in found.items() if positions}

    def systems(self) -> list[tuple[str, str, int]]:
        """(id, name, number of candidates) of the organ systems that have candidates, by name."""
        items = ((system, self.onto[system].name, len(own)) for system, own in self.by_system.items())
        return sorted(items, key=lambda item: item[1])

    def listed(self, system: str = "") -> list[int]:
        """Positions of the candidates of an organ system, of all without one.

        Raises:
            PhenoLIPError: not an organ system with candidates.
        """
        if not system:
            return list(range(len(self)))
        if system not in self.by_system:
            raise PhenoLIPError(f"{system} is no organ system with candidates; there are {', '.join(self.by_system)}")
        return self.by_system[system]

    def path(self, hpo_id: str, system: str = "") -> tuple[str, ...]:
        """Names from an organ system to a term, the given system if it is above; empty outside of phenotypes."""
        if hpo_id not in self._paths:
            self._paths[hpo_id] = system_paths(self.onto, hpo_id)
        found = self._paths[hpo_id]
        own = [path for path in found if path[0] == system] or found
        return tuple(self.onto[item].name for item in own[0]) if own else ()


def system_paths(onto: Ontology, hpo_id: str) -> list[tuple[str, ...]]:
    """A shortest path of ids from each organ system above a term down to it, the shortest first."""
    systems = set(onto.children[PHENOTYPIC_ABNORMALITY])
    below: dict[str, str] = {hpo_id: ""}
    queue, found = deque([hpo_id]), []
    while queue:
        item = queue.popleft()
        if item in systems:
            path, step = [], item
            while step:
                path.append(step)
                step = below[step]
            found.append(tuple(path))
        for parent in onto.parents.get(item, ()):
            if parent not in below:
                below[parent] = item
                queue.append(parent)
    return sorted(found, key=lambda path: (len(path), path))


def embed_phenotypes(model: PhenoLIP, names: Sequence[str], cache: Path | None = None) -> np.ndarray:
    """`PhenoLIP.embed_names` under the prompts of all images.

    Args:
        cache: where they are kept, by the names and the model's weights.
    """

    if cache is None:
        return model.embed_names(names)
    state = model.towers.model.text.state_dict()
    weights = digest_arrays(*(state[key].cpu().numpy() for key in sorted(state)))
    key = digest("demo phenotypes", weights, list(names), code_digest(__name__))
    return cached(cache, key, len(names), lambda: model.embed_names(names))
