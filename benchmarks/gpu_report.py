"""What a run of the GPU benchmarks leaves behind: a CSV a part, one JSON of all with provenance, one page to read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
import torch

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.paths import find_root
from phenolip_lib.core.runtime import provenance
from phenolip_lib.core.storage import atomic_path, read_json, write_json, write_text

TITLES = {
    "checks": "Checks: the same losses, gradients and weights as on a CPU",
    "steps": "A training step beside open_clip's plain CLIP, same towers, same run",
    "finetune": "Both towers fine-tuned at 224 px: shares in per cent, mean over seeds",
}
SHOWN = ("i2t_recall@10", "t2i_recall@10", "i2p_recall@10", "p2i_recall@10", "i2p_ndcg@10")


def commit(prepared: dict) -> str:
    """Commit of the code that runs; where there is no git, that of the prepared folder."""
    try:
        command = ["git", "-C", str(find_root()), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"prepared at {prepared.get('commit', 'an unknown commit')}"


def facts(device: torch.device, prepared: dict, params: str) -> dict:
    """Provenance: commit, code, parameters, GPU, versions of torch and CUDA, and what was prepared."""
    gpu = torch.cuda.get_device_properties(device) if device.type == "cuda" else None
    return provenance(
        commit=commit(prepared),
        code=code_digest("phenolip_lib.experiments.crossval"),
        params=params,
        device=gpu.name if gpu else f"{torch.get_num_threads()} CPU threads",
        memory_gib=round(gpu.total_memory / 2**30, 1) if gpu else None,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version() if gpu else None,
        prepared={key: prepared.get(key) for key in ("commit", "source", "pairs", "release", "weights")},
    )


class Report:
    """The files of a run under `folder`; written again after every row, so that a run cut short leaves all it has.

    Parts that an earlier run left there and this one does not touch stay, with what they were made with.
    """

    def __init__(self, folder: Path, provenance: dict) -> None:
        self.folder, self.provenance = Path(folder), provenance
        file = self.folder / "gpu.json"
        self.earlier: dict[str, dict] = read_json(file, ("parts",))["parts"] if file.is_file() else {}
        self.parts: dict[str, dict] = {}

    def _part(self, name: str) -> dict:
        return self.parts.setdefault(name, {"provenance": self.provenance, "note": "", "rows": []})

    def add(self, part: str, *rows: dict) -> None:
        """Further rows of a part."""
        self._part(part)["rows"] += [{key: _plain(value) for key, value in row.items()} for row in rows]
        self.write()

    def note(self, part: str, text: str) -> None:
        """Say why a part has no, or fewer, rows."""
        self._part(part)["note"] = text
        self.write()

    @property
    def passed(self) -> bool:
        """No check failed, and no part of this run broke."""
        rows = self.parts.get("checks", {"rows": []})["rows"]
        return all(row["passed"] for row in rows) and not any("broke off" in p["note"] for p in self.parts.values())

    def write(self) -> None:
        found = {
            name: {**self.earlier, **self.parts}[name] for name in TITLES if name in {**self.earlier, **self.parts}
        }
        pages = ["# GPU benchmarks", ""]
        for name, part in found.items():
            table = pd.DataFrame(part["rows"])
            pages += [f"## {TITLES[name]}", ""]
            if len(table):
                with atomic_path(self.folder / f"{name}.csv") as temporary:
                    table.to_csv(temporary, index=False)
                shown = table.drop(columns=["torch", "device"], errors="ignore")
                shown = summary(table) if name == "finetune" else shown
                pages += [shown.astype(object).where(shown.notna(), "").to_markdown(index=False), ""]
            if part["note"]:
                pages += [part["note"], ""]
            pages += ["Made with " + "; ".join(f"{k} {v}" for k, v in sorted(part["provenance"].items())) + ".", ""]
        write_text(self.folder / "README.md", "\n".join(pages).rstrip() + "\n")
        tidy = {
            name: part | {"rows": [{k: None if v != v else v for k, v in row.items()} for row in part["rows"]]}
            for name, part in found.items()
        }
        write_json(self.folder / "gpu.json", {"parts": tidy})


def _plain(value):
    """Floats of five significant digits, the same on every machine that measures the same."""
    return float(f"{value:.5g}") if isinstance(value, float) else value


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a split and method of the long table of `gpu_finetune`, the main metrics in per cent."""
    held_out = table["task"] == "unseen"
    main = table[(held_out | (table["task"] == "retrieval")) & table["metric"].isin(SHOWN)]
    main = main.assign(split=main["split"].where(~held_out, "unseen, held-out phenotypes alone"))
    values = (100 * main.pivot_table(index=["split", "method"], columns="metric", values="value")).round(1)
    seeds = main.groupby(["split", "method"])["seed"].nunique().rename("seeds")
    return values[[name for name in SHOWN if name in values]].join(seeds).reset_index()
