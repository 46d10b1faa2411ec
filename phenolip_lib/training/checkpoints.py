"""The state of a run on disk, so that it goes on after a kill as if nothing had happened.

A checkpoint is ``<step>.safetensors`` and ``<step>.json``. The JSON comes last and holds the hash
of the tensors and of its other values, so a checkpoint is either whole or ignored; a write that fails leaves
the earlier ones as they were and costs time, not the run. Nothing is ever unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.kept import spared
from phenolip_lib.core.runtime import log
from phenolip_lib.core.storage import atomic_path, digest, read_json, sha256_file, write_json
from phenolip_lib.models.weights import read_weights


class Checkpoints:
    """The newest checkpoints of one run.

    Args:
        folder: of this run alone; None keeps nothing.
        keep: how many are kept; two, so that one is left if the newest is damaged.
    """

    def __init__(self, folder: Path | None, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any], last: bool = False) -> None:
        """Write one checkpoint and drop those that are too old; the last one of a run needs no other.

        Where it cannot be written, e.g. as the disk is full, the run goes on and earlier ones stay.
        """
        if self.folder is None:
            return
        path = self.folder / f"{step:09d}.safetensors"
        with spared(self.folder):
            with atomic_path(path) as temporary:
                save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary)
            whole = {"sha256": sha256_file(path), "step": step, **state}
            write_json(path.with_suffix(".json"), {"state": whole, "hash": digest(whole)})
            for old in self.steps()[: -1 if last else -self.keep]:
                for suffix in (".json", ".safetensors"):
                    (self.folder / f"{old:09d}{suffix}").unlink(missing_ok=True)

    def steps(self) -> list[int]:
        """Steps with a finished checkpoint, ascending."""
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdigit())

    def latest(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The newest whole checkpoint; a damaged one is passed over, and what a killed run left half written goes."""
        if self.folder is None:
            return None
        with spared(self.folder):
            for left in self.folder.glob(".*"):
                left.unlink(missing_ok=True)
        for step in reversed(self.steps()):
            path = self.folder / f"{step:09d}.safetensors"
            try:
                found = read_json(path.with_suffix(".json"), ("state", "hash"))
                state = found["state"]
                if digest(state) == found["hash"] and sha256_file(path) == state["sha256"]:
                    return read_weights(path), state
            except (OSError, PhenoLIPError):
                pass
            log.info("checkpoint %s is damaged; trying an earlier one", path)
        return None

    def clear(self) -> None:
        """Remove all; called when the run has ended and its model is saved."""
        if self.folder is None or not self.folder.is_dir():
            return
        with spared(self.folder):
            for path in self.folder.iterdir():
                if path.suffix in (".json", ".safetensors"):
                    path.unlink()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()


def flat_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The moments of an optimizer as named tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{key}": torch.as_tensor(value)
        for index, values in state.items()
        for key, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `flat_optimizer` took; learning rates come from the schedule."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
