"""What is kept lies under a key of every parameter that the code which made it reads."""

import warnings

import numpy as np
import pytest

from phenolip_lib.core.params import Params
from phenolip_lib.core.sections import Section
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.models.towers import load_towers
from phenolip_lib.training import inputs, stage1, stage2
from phenolip_lib.training.attribute_texts import attribute_texts
from tests.test_encoders import make_pairs

SMALL = {"stage1.batch_size": 4, "stage1.epochs": 1, "encoders.image_size": 64, "stage2.epochs": 1}
FREE = {"runtime.workers", "training.loader_workers"}
"""Results do not depend on them."""


@pytest.fixture
def read(monkeypatch):
    """Dotted names of the parameters that are read from now on."""
    seen, plain = set(), Section.__getattribute__

    def look(self, name):
        if name in type(self).model_fields:
            seen.add(f"{type(self).__name__.lower()}.{name}")
        return plain(self, name)

    def unseen(params, overrides, make=Params.with_overrides):
        """Making parameters checks them all."""
        before = set(seen)
        made = make(params, overrides)
        seen.intersection_update(before)
        return made

    monkeypatch.setattr(Section, "__getattribute__", look)
    monkeypatch.setattr(Params, "with_overrides", unseen)
    return seen


def varied(params, name):
    """The same parameters with another value at a dotted name, whether it is allowed or not."""
    section, field = name.split(".")
    value = params.model_dump()[section][field]
    other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else f"{value} not"
    return params.model_copy(update={section: getattr(params, section).model_copy(update={field: other})})


def missing(params, names, key):
    """Names whose change the key does not tell."""
    own = {name for name in names if not name.startswith("params.")} - FREE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are not allowed
        return sorted(name for name in own if key(varied(params, name)) == key(params))


def test_a_teachers_key_holds_what_training_it_reads(params, toy, read):
    kinds = [params.with_overrides(SMALL | {"stage1.tower": kind}) for kind in ("frozen", "finetune")]
    read.clear()
    for p in kinds:
        stage1.train(p, toy, None)
    assert {"stage1.loss", "encoders.teacher", "training.precision", "runtime.device"} <= read
    assert missing(kinds[0], read, lambda own: stage1.teacher_key(own, toy)) == []


@pytest.mark.parametrize("tower", ["frozen", "finetune"])
def test_a_students_key_holds_what_training_it_reads(params, toy, tmp_path, tower, read):
    p = params.with_overrides(
        SMALL
        | {
            "stage2.image_tower": tower,
            "stage2.text_tower": tower,
            "stage2.batch_size": 4,
            "stage2.early_stopping": 1,
            "stage2.ontology_weight": 1.0,
            "stage2.names_weight": 1.0,
        }
    )
    teacher = stage1.train(p.with_overrides({"stage1.epochs": 0}), toy, None)[0]
    read.clear()
    pairs = make_pairs(tmp_path).assign(caption="a large spleen", split=["train"] * 5 + ["val"], templated=False)
    pairs["phenotypes"], pairs["modality"] = [["HP:0001744"]] * 6, "radiology"
    towers = load_towers(p.encoders.student, p.encoders.image_size, p.encoders.context_length)
    texts = attribute_texts(toy, ["name"], 0.0, 0)
    data = inputs.prepare(p, pairs, tmp_path, towers, teacher, texts, None, toy)

    def validate(model):
        images, _ = inputs.student_features(p, model, data, np.array([5]))
        return {"val_score": float(images[5].mean()) * len(Benchmark(pairs, toy, p.evaluation, "val").candidates)}

    stage2.train(p, data, teacher, 0, validate)
    assert {"stage2.objective", "encoders.context_length", "stage1.max_tokens", "evaluation.candidates"} <= read
    assert missing(p, read, lambda own: stage2.run_key(own, 0, "content")) == []
