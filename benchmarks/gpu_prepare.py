"""Prepare the GPU benchmarks on a machine with a network: `build/gpu`, to be carried to one that has none.

    python -m benchmarks.gpu_prepare --source open

Needs `build/hpo`, `build/stage1` and `build/<source>/phenokg` (`phenolip run ...` or `dvc repro`).
Pairs are chosen by whole groups until the folder is full: first those with a caption that somebody wrote, then those
whose caption is a template. Pictures are cut to their panel and squashed to 224 px.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from benchmarks.gpu_folder import LIMIT, MIB, PACKED, pack, rare_rows_alike, size_of, write_manifest, write_tar
from benchmarks.gpu_report import commit
from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import atomic_folder
from phenolip_lib.data.images import WHOLE, read_image
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.models import towers as encoders
from phenolip_lib.models.preprocess import SQUASH
from phenolip_lib.ontology.ontology import TABLES, Ontology

SIDE = 224
QUALITY = 85
CARRIED = (
    "annotated-types",
    "defusedxml",
    "ftfy",
    "ImageHash",
    "mypy_extensions",
    "open_clip_torch",
    "pandera",
    "pyahocorasick",
    "pydantic",
    "pydantic_core",
    "PyStemmer",
    "ruamel.yaml",
    "typeguard",
    "typing-inspect",
    "typing-inspection",
    "typing_extensions",
    "wcwidth",
)
"""Distributions whose wheels are carried, in the versions of the lock."""
THERE = (
    "huggingface_hub",
    "matplotlib",
    "numpy",
    "packaging",
    "pandas",
    "pillow",
    "pyarrow",
    "PyYAML",
    "regex",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tabulate",
    "threadpoolctl",
    "timm",
    "tokenizers",
    "torch",
    "torchvision",
    "tqdm",
    "transformers",
)
"""What the GPU machine must have; too large to be carried, or part of what it has anyway."""
PLATFORMS = ("2_28", "2_27", "2_17", "2_5", "2_12")
PYTHON = "3.12"


def pins(root: Path, names: tuple[str, ...]) -> list[str]:
    """``name==version`` of each, as the project's lock has them.

    Raises:
        PhenoLIPError: the lock does not have one.
    """
    lines = [
        line
        for file in ("requirements.lock", "requirements-unbound.txt")
        for line in (root / file).read_text(encoding="utf-8").splitlines()
        if "==" in line
    ]
    known = {line.partition("==")[0].lower().replace("_", "-"): line.split()[0] for line in lines}
    if absent := [name for name in names if name.lower().replace("_", "-") not in known]:
        raise PhenoLIPError(f"requirements.lock has no {', '.join(absent)}")
    return [known[name.lower().replace("_", "-")] for name in names]


def fetch_wheels(folder: Path, wanted: list[str]) -> None:
    """Wheels of exactly these, for Linux on x86-64.

    Raises:
        PhenoLIPError: pip does not find one.
    """
    platforms = [f"--platform=manylinux_{version}_x86_64" for version in PLATFORMS]
    platforms += ["--platform=manylinux2014_x86_64", "--platform=manylinux1_x86_64"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        folder,
        f"--python-version={PYTHON}",
        "--implementation=cp",
        *platforms,
        *wanted,
    ]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise PhenoLIPError(f"wheels for the GPU machine cannot be had: {said[-1].removeprefix('ERROR: ')}")


def used_tokens(tokenizer, texts: list[str]) -> set[int]:
    """Ids that occur in the texts, raw or as a student cleans them, and the special ones."""
    clean = open_clip.tokenizer.get_clean_fn("whitespace")
    unique = sorted({*texts, *map(clean, texts)})
    found = set(tokenizer.all_special_ids)
    for start in range(0, len(unique), 1000):
        found.update(i for ids in tokenizer(unique[start : start + 1000])["input_ids"] for i in ids)
    return found


def towers(texts: list[str], scratch: Path) -> dict[str, Path | bytes]:
    """The packaged towers as files of a project, packed: see `gpu_folder`."""
    files: dict[str, Path | bytes] = {}
    for name, (package, relative) in encoders.PACKAGED_TEXT.items():
        source, place = encoders._packaged(encoders.PACKAGED_TEXT, name), f"packages/{package}"
        tokenizer, state = encoders._tokenizer(str(source)), load_file(source / "model.safetensors")
        (key,) = [key for key in state if key.endswith("word_embeddings.weight")]
        used = used_tokens(tokenizer, texts)
        state[key] = rare_rows_alike(state[key], used, tokenizer.unk_token_id)
        pack(state, scratch / f"{name}.{PACKED}")
        kept = [
            p
            for p in source.iterdir()
            if p.name in ("config.json", "vocab.txt")
            or p.name.startswith("tokenizer")
            or p.name == "special_tokens_map.json"
        ]
        files |= {f"{place}/{relative}/{path.name}": path for path in kept}
        files |= {
            f"{place}/__init__.py": b"",
            f"{place}/{relative}/model.safetensors.{PACKED}": scratch / f"{name}.{PACKED}",
        }
    for name, (package, relative) in encoders.PACKAGED_VISION.items():
        state = torch.load(encoders._packaged(encoders.PACKAGED_VISION, name), map_location="cpu", weights_only=True)
        # The library leaves the classifier out as well.
        state = {key: value for key, value in state.items() if not key.startswith(("classifier", "_fc", "fc"))}
        pack(state, scratch / f"{name}.{PACKED}")
        files |= {
            f"packages/{package}/__init__.py": b"",
            f"packages/{package}/{relative}.{PACKED}": scratch / f"{name}.{PACKED}",
        }
    return files


def picture(row, root: Path) -> bytes:
    """The pair's panel at `SIDE` px as a JPEG; in grey if it has no colour."""
    image = SQUASH(read_image(root, row.image, (row.left, row.top, row.right, row.bottom)), SIDE)
    pixels = np.asarray(image.convert("RGB")).astype(int)
    if int((pixels.max(axis=2) - pixels.min(axis=2)).max()) <= 8:
        image = image.convert("L")
    data = io.BytesIO()
    image.save(data, "JPEG", quality=QUALITY, optimize=True)
    return data.getvalue()


def chosen(pairs: pd.DataFrame, sizes: np.ndarray, room: int) -> np.ndarray:
    """Positions of the pairs that fit into `room` bytes, whole groups, written captions first; always the same."""
    table = pd.DataFrame(
        {"group": pairs["group"].to_numpy(), "size": sizes, "templated": pairs["templated"].to_numpy()}
    )
    groups = table.groupby("group").agg(size=("size", "sum"), templated=("templated", "all")).reset_index()
    groups["draw"] = groups["group"].map(lambda group: hashlib.sha256(str(group).encode()).hexdigest())
    groups = groups.sort_values(["templated", "draw"])
    kept = set(groups.loc[groups["size"].cumsum() <= room, "group"])
    return np.flatnonzero(table["group"].isin(kept))


def prepare(paths: Paths, source: str, out: Path, limit: float = LIMIT, wheels: bool = True) -> dict:
    """Make the folder `out` anew.

    Args:
        limit: MiB it may have.
        wheels: carry the wheels of `CARRIED` as well.

    Returns:
        its manifest.

    Raises:
        PhenoLIPError: a stage has not run, wheels cannot be had, or nothing fits.
    """
    onto, pairs = Ontology.load(paths.hpo), load_pairs(paths.phenokg(source))
    mentions = pd.read_parquet(paths.phenokg(source) / "mentions.parquet")
    if not (paths.stage1 / "texts.parquet").is_file():
        raise PhenoLIPError(f"{paths.stage1}: there is no knowledge encoder; run `dvc repro stage1`")
    texts = [*pd.read_parquet(paths.stage1 / "texts.parquet")["text"], *pairs["caption"], *onto.tables["terms"]["name"]]
    with atomic_folder(out) as folder, tempfile.TemporaryDirectory() as scratch:
        wanted = pins(paths.root, CARRIED)
        if wheels:
            fetch_wheels(folder / "wheels", wanted)
        files: dict[str, Path | bytes] = {"params.yaml": paths.params, "dvc.yaml": b"stages: {}\n"}
        files |= {f"build/hpo/{n}": paths.hpo / n for n in ("release.json", *(f"{name}.parquet" for name in TABLES))}
        files |= {f"build/stage1/{n}": paths.stage1 / n for n in ("config.json", "model.safetensors", "texts.parquet")}
        write_tar(folder / "project.tar.bz2", files | towers(texts, Path(scratch)))

        with ThreadPoolExecutor(2) as pool:
            jpegs = list(pool.map(partial(picture, root=paths.data(source)), pairs.itertuples(index=False)))
        # A file of a tar takes a header and whole blocks; tables at their full length are the most they can be.
        sizes = np.array([512 + -(-len(data) // 512) * 512 for data in jpegs])
        tables = {"pairs": pairs, "mentions": mentions}
        room = int(limit * MIB) - size_of(folder) - sum(len(_parquet(t)) for t in tables.values()) - 64 * 1024
        rows = chosen(pairs, sizes, room)
        if len(rows) < 2:
            raise PhenoLIPError(f"{limit:g} MiB leave {room / MIB:.1f} MiB for pictures, which is not enough; raise it")
        own = pairs.iloc[rows].reset_index(drop=True)
        names = [f"pictures/{number:05d}.jpg" for number in range(len(own))]
        place = f"build/{source}/phenokg"
        own = own.assign(image=names, **dict(zip(("left", "top", "right", "bottom"), WHOLE, strict=True)))
        content = {f"data/{source}/{name}": jpegs[row] for name, row in zip(names, rows, strict=True)}
        content[f"{place}/pairs.parquet"] = _parquet(own)
        content[f"{place}/mentions.parquet"] = _parquet(mentions[mentions["pair_id"].isin(own["pair_id"])])
        write_tar(folder / "pictures.tar", content)
        counts = own.groupby(["dataset", "split"]).size()
        facts = {
            "source": source,
            "release": onto.release,
            "commit": commit({}),
            "pairs": len(own),
            "pairs_of": len(pairs),
            "by_dataset_and_split": {f"{dataset} {split}": int(n) for (dataset, split), n in counts.items()},
            "pictures": f"{SIDE} px, JPEG quality {QUALITY}",
            "wheels": wanted if wheels else [],
            "weights": "rounded to bfloat16; unused tokens as unknown",
            "expects": list(THERE),
        }
        return write_manifest(folder, facts, limit)


def _parquet(table: pd.DataFrame) -> bytes:
    data = io.BytesIO()
    table.to_parquet(data, index=False, compression="zstd")
    return data.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="open")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--limit", type=float, default=LIMIT, help="MiB the folder may have")
    given = parser.parse_args()
    try:
        paths = Paths()
        made = prepare(paths, given.source, paths.root / given.out, given.limit)
    except PhenoLIPError as error:
        sys.exit(f"phenolip: {error}")
    print(f"{given.out}: {made['pairs']} of {made['pairs_of']} pairs, {made['bytes'] / MIB:.1f} MiB")
    for name, file in made["files"].items():
        if file["bytes"] > MIB:
            print(f"  {name}: {file['bytes'] / MIB:.1f} MiB")


if __name__ == "__main__":
    main()
