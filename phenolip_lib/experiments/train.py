"""Both stages as a module call, alone or under torchrun; notebooks and command line call the same function.

python -m phenolip_lib.experiments.train --params params.yaml --source open --out runs/open
torchrun --nproc-per-node 8 -m phenolip_lib.experiments.train --params params.yaml --source open --out runs/open

The source ``ontology`` is stage 1, any other is stage 2 on it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from phenolip_lib.core import runtime
from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.kept import kept
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import atomic_path, digest, read_parquet, write_json, write_parquet
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models.student import Student
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.training import distributed, stage1
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group, local_device, process_group

ONTOLOGY = "ontology"


def start(params: Params, source: str, out: Path, paths: Paths, methods: Sequence[str] = ()) -> None:
    """Train into `out`: here, or in ``runtime.processes`` of torchrun.

    With the source ``ontology`` this is the knowledge encoder, else every method with every seed of
    `params` on the source. A run that was killed goes on from its last checkpoint.

    Args:
        methods: only these.

    Raises:
        PhenoLIPError: no such method, or whatever the training reports.
    """
    if params.runtime.processes == 1:
        train(params, source, out, paths, methods)
        return
    # The processes read what this one was given, overrides and all; JSON is YAML.
    write_json(out / "params.json", params.model_dump(mode="json"))
    arguments = ["--source", source, "--out", str(out), "--root", str(paths.root)]
    arguments += [word for name in methods for word in ("--method", name)]
    distributed.launch(
        params.runtime.processes, "phenolip_lib.experiments.train", ["--params", str(out / "params.json"), *arguments]
    )


def train(params: Params, source: str, out: Path, paths: Paths, methods: Sequence[str] = ()) -> None:
    """The same in this process, which may be one of torchrun's."""
    t = params.training
    device = local_device(params.runtime.device)
    with process_group(device, local_loss=t.local_loss, gather_with_grad=t.gather_with_grad) as group:
        params = params.with_overrides({"runtime.processes": group.size})
        if source == ONTOLOGY:
            train_encoder(params, out, paths, group, device)
        else:
            train_all(Experiment(params, source, paths, group=group), out, methods)
        group.wait()


def train_all(experiment: Experiment, folder: Path, methods: Sequence[str] = ()) -> pd.DataFrame:
    """Train every method, or those named, with every seed, and save each as soon as it is done.

    Returns:
        the training history of all, also written as ``history.parquet``.
    """
    methods = methods or list(experiment.params.methods)
    for name in methods:
        experiment.params.method(name)  # of all, before the first trains
    jobs = [(folder, method, seed) for method in methods for seed in experiment.params.seeds]
    found = [history for history in experiment.side_by_side(_train_and_save, jobs, "training runs") if len(history)]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["epoch", "method", "seed"])
    if experiment.group.main:
        write_parquet(folder / "history.parquet", table)
        for _, method, seed in jobs:
            Checkpoints(experiment.of(method).run_folder(method, seed)).clear()
    return table


def _train_and_save(experiment: Experiment, job: tuple[Path, str, int]) -> pd.DataFrame:
    """One run of `train_all`: weights, history and curves are kept, so that a change of prose trains nothing again."""
    folder, method, seed = job
    own, name = experiment.of(method), f"{method}-seed{seed}"
    if own.group.size > 1:  # processes that train together meet in every step, and none of them may leave one out
        model, history = own.train(method, seed, folder / "curves" / name)
        if own.group.main:
            own.save(folder, name, model, method, seed)
        return history.assign(method=method, seed=seed)

    def write(target: Path, made: tuple[Student, pd.DataFrame]) -> None:
        own.save(target, name, made[0], method, seed)
        write_parquet(target / "history.parquet", made[1])
        if (folder / "curves" / name).is_dir():
            shutil.copytree(folder / "curves" / name, target / "curves")

    def read(place: Path) -> pd.DataFrame:
        for suffix in (".safetensors", ".json"):
            with atomic_path(folder / f"{name}{suffix}") as temporary:
                shutil.copyfile(place / f"{name}{suffix}", temporary)
        if (place / "curves").is_dir():
            shutil.copytree(place / "curves", folder / "curves" / name, dirs_exist_ok=True)
        return read_parquet(place / "history.parquet")

    # Validation is in the history, so its code counts too.
    key = digest(own.run_folder(method, seed).name, code_digest(Experiment.__module__))
    place = own.paths.cache / "trained" / f"{own.source}-{name}-{key}"
    found = kept(place, lambda: own.train(method, seed, folder / "curves" / name), write, read)
    if isinstance(found, tuple):  # nothing can be kept here
        own.save(folder, name, found[0], method, seed)
        found = found[1]
    return found.assign(method=method, seed=seed)


def train_encoder(params: Params, out: Path, paths: Paths, group: Group, device: torch.device) -> None:
    """Stage 1: writes the encoder, its attribute texts and the training history."""
    onto = Ontology.load(paths.hpo)
    config = stage1.teacher_config(params)
    runs = Checkpoints(paths.cache / "runs" / f"{ONTOLOGY}-{stage1.teacher_key(params, onto)}")
    encoder, texts, history = stage1.train(
        params, onto, paths.cache, group=group, device=device, checkpoints=runs, curves=out / "curves" / "stage1"
    )
    if group.main:
        encoder.save(out, config)
        write_parquet(out / "texts.parquet", texts)
        write_parquet(out / "history.parquet", history)
        runs.clear()


def main(arguments: list[str] | None = None) -> int:
    """Command line; a user's mistake is one line and status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m phenolip_lib.experiments.train", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--source", required=True, help="ontology (stage 1), phantom or open")
    parser.add_argument("--out", required=True, type=Path, help="folder for models, history and curves")
    parser.add_argument("--params", type=Path, help="params.yaml of the project by default")
    parser.add_argument("--method", action="append", default=[], help="only this one; repeat")
    parser.add_argument("--root", type=Path, help="the project's folder; found from here by default")
    options = parser.parse_args(arguments)
    try:
        paths = Paths(options.root)
        params = load_params(options.params or paths.params, check_ablations=True)
        runtime.configure(params.runtime.threads)
        train(params, options.source, options.out, paths, options.method)
    except PhenoLIPError as error:
        print(f"phenolip: {error}", flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
