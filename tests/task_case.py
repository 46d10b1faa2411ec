"""A small benchmark with embeddings of our own making, for the tests of classification tasks."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from phenolip_lib.core.params import load_params
from phenolip_lib.core.sections import Evaluation
from phenolip_lib.evaluation.benchmark import Benchmark

HPO = ["HP:0001640", "HP:0002107", "HP:0002202", "HP:0001166", "HP:0002943", "HP:0009777", "HP:0033609"]
FACE = ["HP:0000316", "HP:0000343", "HP:0000369", "HP:0000445"]


def settings_of(**changes):
    own = load_params(Path(__file__).parent.parent / "params.yaml").evaluation
    return Evaluation(**{**own.model_dump(), **changes})


def pairs_of(n=240, seed=0, dataset="ham10000", modality="radiology", phenotypes=HPO, classes=("nv", "mel", "bcc")):
    """`n` pairs, one in seven with two phenotypes; two pairs a group."""
    rng = np.random.default_rng(seed)
    own = [sorted(rng.choice(phenotypes, 2 if i % 7 == 0 else 1, replace=False)) for i in range(n)]
    split = np.array(["train", "train", "val", "test", "test"])[np.arange(n) // 2 % 5]
    return pd.DataFrame(
        {
            "pair_id": [f"{dataset}/p{i:03d}" for i in range(n)],
            "caption": [f"caption {i}" for i in range(n)],
            "templated": False,
            "modality": modality,
            "dataset": dataset,
            "class_name": rng.choice(list(classes), n),
            "group": [f"{dataset}/g{i // 2}" for i in range(n)],
            "split": split,
            "phenotypes": own,
        }
    )


def unit(rng, n, dim=24):
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def embedded_of(pairs, onto, seed=0, noise=0.8, dim=24):
    """Images near the mean of their phenotypes' and class's directions; any text has an embedding."""
    rng = np.random.default_rng(seed)
    kept: dict[str, np.ndarray] = {}

    def text(texts):
        for t in texts:
            if t not in kept:
                own = np.random.default_rng(abs(hash_of(t)))
                near = [v for name, v in directions.items() if name in t]
                kept[t] = unit(own, 1, dim)[0] * 0.4 + (near[0] if near else 0)
                kept[t] /= np.linalg.norm(kept[t])
        return np.stack([kept[t] for t in texts])

    words = sorted({onto[h].name for own in pairs["phenotypes"] for h in own})
    words += ["melanocytic nevus", "melanoma", "basal cell carcinoma"]
    directions = dict(zip(words, unit(rng, len(words), dim), strict=True))
    known = {"nv": "melanocytic nevus", "mel": "melanoma", "bcc": "basal cell carcinoma"}
    images = []
    for own, label in zip(pairs["phenotypes"], pairs["class_name"], strict=True):
        x = sum(directions[onto[h].name] for h in own) + noise * unit(rng, 1, dim)[0]
        images.append(x + (directions[known[label]] if label in known else 0))
    images = np.array(images, dtype=np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    return SimpleNamespace(images=images, captions=unit(rng, len(pairs), dim), text=text)


def hash_of(text):
    return int.from_bytes(text.encode()[:24].ljust(24, b"\0"), "little") % (2**32) + len(text)


def bench_of(pairs, onto, **changes):
    return Benchmark(pairs, onto, settings_of(**changes))
