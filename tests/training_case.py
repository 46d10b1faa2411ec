"""A small stage-2 run on towers of BiomedCLIP's kind, in this process or as a program of its own.

``python -m tests.training_case FOLDER OUT OVERRIDES [KILL_AT ...]`` trains and writes OUT; with steps
named, it kills itself with SIGKILL when it first reaches one of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import save_file
from torch import nn

from phenolip_lib.core import runtime
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.sections import Hpo
from phenolip_lib.models import student
from phenolip_lib.models.features import image_features, text_features
from phenolip_lib.models.towers import load_towers
from phenolip_lib.ontology import hpo
from phenolip_lib.training import affinity, inputs, stage2
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import local_device, process_group
from phenolip_lib.training.engine import Engine
from phenolip_lib.training.names import Names, positions
from tests.test_encoders import make_pairs, tiny_checkpoint

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"
WORDS = ("spleen", "large", "heart", "large spleen", "large heart", "heart spleen")
BASE = {
    "runtime.device": "cpu",
    "encoders.context_length": 12,
    "stage1.embed_dim": 16,
    "training.precision": "float32",
    "training.log_steps": 1,
    "stage2.batch_size": 8,
    "stage2.epochs": 3,
    "stage2.kd_ontology_batch": 4,
    "stage2.head_dropout": 0.0,
    "stage2.tower_learning_rate": 1e-3,
}
TOWERS = {"stage2.image_tower": "finetune", "stage2.text_tower": "finetune"}


def make(folder: Path) -> None:
    """A checkpoint and twenty-four pictures, once."""
    tiny_checkpoint(folder)
    make_pairs(folder, n=24)


def params(folder: Path, overrides: dict):
    student_name = {"encoders.student": f"local-dir:{folder}"}
    return load_params(ROOT / "params.yaml").with_overrides(BASE | student_name | overrides)


def data(folder: Path, settings) -> inputs.TrainingData:
    """Features of the pictures, and a teacher of random directions."""
    rng = np.random.default_rng(0)
    towers = load_towers(settings.encoders.student, settings.encoders.image_size, settings.encoders.context_length)
    pairs = pd.DataFrame(
        {"image": [f"{i}.png" for i in range(24)], "left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}
    )
    pairs["caption"] = [WORDS[i % len(WORDS)] for i in range(24)]
    pairs["phenotypes"] = [["HP:0001744"] if "spleen" in caption else ["HP:0001640"] for caption in pairs["caption"]]
    pairs["split"] = ["train"] * 20 + ["val"] * 4
    pairs["modality"] = "radiology"
    strings = np.array(WORDS, dtype=object)

    def unit(n):
        rows = rng.normal(size=(n, settings.stage1.embed_dim)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    texts = text_features(towers.text, pairs["caption"].tolist())
    return inputs.TrainingData(
        pairs,
        folder,
        image_features(towers, pairs, folder),
        texts,
        unit(24),
        strings,
        text_features(towers.text, list(WORDS)),
        unit(len(WORDS)),
        affinity.build(pairs["phenotypes"].tolist(), texts, None),
        "",
        phenotype_names(towers, pairs, unit),
    )


def phenotype_names(towers, pairs, unit) -> Names:
    """The phenotypes of the toy ontology by name."""
    toy = hpo.read_release(Hpo(obo=str(DATA / "toy.obo"), sha256=None, annotations=None), DATA)
    ids = toy.phenotypes
    plain = [toy[hpo_id].name for hpo_id in ids]
    features, shown = text_features(towers.text, plain), positions(ids, pairs["phenotypes"].tolist(), toy)
    starts = np.arange(len(ids) + 1)
    return Names(toy, ids, starts, np.array(plain, dtype=object), features, unit(len(ids)), shown)


def without_dropout(settings, seed, teacher=None):
    """The student with every dropout at zero, so that runs cut differently can be compared."""
    built = BUILD(settings, seed, teacher)
    for module in built.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return built


BUILD = student.build_student


def main(folder: str, out: str, overrides: str, *kill_at: str) -> None:
    folder, out = Path(folder), Path(out)
    settings = params(folder, json.loads(overrides))
    runtime.configure(1)
    if kill_at:
        # Once only: the mark outlives the process.
        take = Engine._step

        def step(self, batch):
            mark = out.with_suffix(f".killed{self.step_number}")
            if str(self.step_number) in kill_at and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return take(self, batch)

        Engine._step = step
    else:
        stage2.build_student = without_dropout
    device = local_device("cpu")
    t = settings.training
    with process_group(device, local_loss=t.local_loss, gather_with_grad=t.gather_with_grad) as group:
        model, history = stage2.train(
            settings,
            data(folder, settings),
            None,
            seed=0,
            group=group,
            device=device,
            checkpoints=Checkpoints(out.with_suffix(".state")),
        )
        if group.main:
            save_file({key: value.contiguous() for key, value in model.state_dict().items()}, out)
            history.to_json(out.with_suffix(".history.json"), double_precision=15)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except PhenoLIPError as error:
        sys.exit(f"phenolip: {error}")
