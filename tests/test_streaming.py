"""Streaming of shards: every process its own part, equal numbers of batches, exact resumption, one line for damage."""

from __future__ import annotations

import io
import json
import multiprocessing
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.graph.exports import shards
from phenolip_lib.training.augment import Augment
from phenolip_lib.training.image_loader import ImageBatches
from phenolip_lib.training.shards import samples
from phenolip_lib.training.streaming import ShardStream, buffer_shuffle, rows_of

SIDE = 16
N = 43


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(N):
        Image.fromarray(rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def pairs():
    table = pd.DataFrame({"pair_id": [f"set/{i:03d}.a" for i in range(N)], "image": [f"{i}.png" for i in range(N)]})
    table[["left", "top", "right", "bottom"]] = [[0.0, 0.0, 1.0, 1.0]] * N
    table["caption"] = [("left nevus", "nevus")[i % 2] for i in range(N)]
    table["modality"] = [("dermatology", "radiology", "face")[i % 3] for i in range(N)]
    table["split"] = ["train"] * (N - 3) + ["val"] * 3
    table[["dataset", "group", "licence", "url"]] = ["set", "g", "CC0-1.0", ""]
    table["phenotypes"] = [["HP:0003764"]] * N
    table["asserted"], table["templated"] = True, False
    return table.sample(frac=1, random_state=1).reset_index(drop=True)


@pytest.fixture(scope="module")
def exported(pairs, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "shards"
    shards.write(pairs, root, folder, per_shard=7)
    return folder


def stream(folder, split="train", epoch=0, start=0, **options):
    with ShardStream(folder, split, SIDE, options.pop("batch_size", 3), **{"workers": 0, **options}) as own:
        return list(own.epoch(epoch, start))


def equal(a, b):
    return len(a) == len(b) and all(i == j and torch.equal(x, y) for (i, x), (j, y) in zip(a, b, strict=True))


def ids(batches):
    return [pair_id for batch, _ in batches for pair_id in batch]


def test_an_epoch_is_every_picture_of_the_split_once(pairs, root, exported):
    batches = stream(exported, batch_size=4)
    train = pairs[pairs["split"] == "train"]
    assert sorted(ids(batches)) == sorted(train["pair_id"])
    with ImageBatches(pairs, root, SIDE, workers=0) as loading:
        oracle = loading.batches([rows_of(pairs, batch) for batch, _ in batches], 0)
        for (_, pixels), expected in zip(batches, oracle, strict=True):
            assert torch.equal(pixels, expected)


def test_results_do_not_depend_on_workers(exported, pairs):
    options = {"augment": Augment(), "pairs": pairs, "shuffle_buffer": 10, "seed": 2}
    alone = stream(exported, **options)
    assert all(equal(alone, stream(exported, workers=workers, **options)) for workers in (1, 2))
    assert not multiprocessing.active_children()


def test_epochs_and_seeds_differ_and_repeat(exported):
    runs = [ids(stream(exported, epoch=epoch, seed=seed)) for epoch in (0, 1) for seed in (0, 1)]
    assert len({tuple(run) for run in runs}) == 4
    assert ids(stream(exported, epoch=1, seed=1)) == runs[3]


@pytest.mark.parametrize("world", [1, 2, 3, 5, 9])
def test_processes_are_disjoint_have_equal_steps_and_leave_out_less_than_a_batch(exported, world):
    left_out = set()
    for epoch in range(6):
        parts = [stream(exported, epoch=epoch, rank=rank, world=world) for rank in range(world)]
        assert {len(part) for part in parts} == {40 // (3 * world)}
        assert all(len(batch) == len(pixels) == 3 for part in parts for batch, pixels in part)
        together = [pair_id for part in parts for pair_id in ids(part)]
        assert len(set(together)) == len(together) > 40 - 3 * world
        left_out |= {f"set/{i:03d}.a" for i in range(40)} - set(together)
    assert len(left_out) > 40 % (3 * world)  # others each time


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rank", [0, 1])
def test_resumption_gives_what_an_unbroken_run_gives(exported, workers, rank):
    options = {"rank": rank, "world": 2, "augment": Augment(), "shuffle_buffer": 8, "epoch": 3}
    whole = stream(exported, **options)
    for start in (1, 4, len(whole)):
        assert equal(stream(exported, start=start, workers=workers, **options), whole[start:])


def test_resumption_reads_no_picture_before_its_step(exported, monkeypatch):
    read = []
    monkeypatch.setattr(
        "phenolip_lib.training.streaming.read_pixels",
        lambda *names, **_: read.append(names) or torch.zeros(3, SIDE, SIDE, dtype=torch.uint8),
    )
    (last,) = stream(exported, start=12)
    assert len(read) == len(last[0]) == 3


def test_shards_are_read_nearly_front_to_back(exported):
    with ShardStream(exported, "train", SIDE, 4, workers=0, shuffle_buffer=1) as own:
        order = own.order(0).ravel()
        assert (np.diff(order) == 1).sum() >= 40 - 1 - 6  # 6 shards, one of them cut by the turn of the ring
    with ShardStream(exported, "train", SIDE, 4, workers=0, shuffle_buffer=40) as own:
        assert (np.diff(own.order(0).ravel()) == 1).sum() < 8


@settings(max_examples=100)
@given(n=st.integers(1, 60), buffer=st.integers(1, 80), seed=st.integers(0, 99))
def test_the_shuffle_buffer_permutes_and_lets_none_leave_early(n, buffer, seed):
    numbers = np.arange(n)
    result = buffer_shuffle(numbers, buffer, np.random.default_rng(seed))
    assert sorted(result) == list(range(n))
    assert all(place >= number - buffer + 1 for place, number in enumerate(result))
    assert (numbers == np.arange(n)).all()
    if buffer == 1:
        assert (result == numbers).all()


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    world=st.integers(1, 4),
    batch_size=st.integers(1, 4),
    buffer=st.integers(0, 20),
    seed=st.integers(0, 9),
)
def test_any_shards_are_shared_out_evenly(counts, world, batch_size, buffer, seed):
    entries = [{"shard": str(i), "samples": n, "sha256": ""} for i, n in enumerate(counts)]
    options = {"seed": seed, "world": world, "workers": 0, "shuffle_buffer": buffer, "verify": False}
    with pytest.MonkeyPatch.context() as patch:
        found = (Path(), [entry["shard"] for entry in entries], entries)
        patch.setattr("phenolip_lib.training.streaming.find_shards", lambda *_: found)
        if sum(counts) < batch_size * world:
            with pytest.raises(PhenoLIPError, match=f"needs {batch_size * world}"):
                ShardStream("x", None, SIDE, batch_size, **options)
            return
        orders = [ShardStream("x", None, SIDE, batch_size, rank=rank, **options).order(1) for rank in range(world)]
    assert {order.shape for order in orders} == {(sum(counts) // (batch_size * world), batch_size)}
    together = np.concatenate(orders).ravel().tolist()
    assert len(set(together)) == len(together) > sum(counts) - batch_size * world
    assert set(together) <= set(range(sum(counts)))


def test_empty_shards_do_no_harm(tmp_path):
    for number, n in enumerate((0, 3, 0, 2, 0)):
        foreign(tmp_path / f"{number}.tar", n, 10 * number)
    found = ids(stream(tmp_path, None, batch_size=1))
    assert sorted(found) == [f"webdataset/{s}/part/{10 * s + i:04d}" for s, n in ((1, 3), (3, 2)) for i in range(n)]


def test_a_side_in_the_caption_rules_with_and_without_the_table(exported, pairs):
    augment = Augment(dict.fromkeys(("dermatology", "face", "radiology"), ["hflip"]))
    sided = set(pairs.loc[pairs["caption"] == "left nevus", "pair_id"])
    plain = {i: p for batch, pixels in stream(exported, batch_size=1) for i, p in zip(batch, pixels, strict=True)}
    for table in (None, pairs):
        found = [
            b for epoch in range(4) for b in stream(exported, batch_size=1, epoch=epoch, augment=augment, pairs=table)
        ]
        flipped = {i for (i,), pixels in found if torch.equal(pixels[0], plain[i].flip(2))}
        assert len(flipped) > 8
        assert not flipped & sided
    changed = pairs.assign(caption="the right side")
    for (i,), pixels in stream(exported, batch_size=1, augment=augment, pairs=changed):
        assert torch.equal(pixels[0], plain[i])


def test_changes_are_those_of_loading_by_row(exported, pairs, root):
    batches = stream(exported, epoch=2, augment=Augment(), pairs=pairs, seed=5)
    with ImageBatches(pairs, root, SIDE, workers=0, augment=Augment(), seed=5) as loading:
        oracle = loading.batches([rows_of(pairs, batch) for batch, _ in batches], 2)
        assert all(torch.equal(pixels, expected) for (_, pixels), expected in zip(batches, oracle, strict=True))


def add(archive, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def picture(value=0, kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (value, 0, 0)).save(buffer, format=kind)
    return buffer.getvalue()


def foreign(path, n, start=0):
    """A shard as others write it: no pair ids, one file that belongs to no sample."""
    with tarfile.open(path, "w") as archive:
        add(archive, "README.txt", b"x")
        for i in range(start, start + n):
            add(archive, f"part/{i:04d}.{('jpg', 'PNG', 'jpeg')[i % 3]}", picture(i, "PNG" if i % 3 == 1 else "JPEG"))
            if i % 2:
                add(archive, f"part/{i:04d}.txt", "a caption of é".encode())
            else:
                add(archive, f"part/{i:04d}.json", b'{"caption": "left", "modality": "face"}')


def test_shards_of_others_by_pattern_and_folder(tmp_path):
    for number in range(3):
        foreign(tmp_path / f"cc-train-{number}.tar", 5, 5 * number)
    foreign(tmp_path / "cc-val-0.tar", 5, 100)
    batches = stream(str(tmp_path / "cc-train-*.tar"), None, batch_size=5, augment=Augment())
    assert sorted(ids(batches)) == [f"webdataset/cc-train-{i // 5}/part/{i:04d}" for i in range(15)]
    assert len(ids(stream(tmp_path, None, batch_size=5))) == 20


def test_samples_are_those_of_the_webdataset_library(tmp_path, exported):
    webdataset = pytest.importorskip("webdataset", reason="the library is an oracle only")
    foreign(tmp_path / "a.tar", 6)
    with webdataset.TarWriter(str(tmp_path / "b.tar")) as sink:
        for i in range(4):
            sink.write({"__key__": f"k{i}", "jpg": picture(i, "JPEG"), "json": {"pair_id": str(i)}, "txt": "word"})
    for path in (tmp_path / "a.tar", tmp_path / "b.tar", exported / "train" / "000001.tar"):
        oracle = [s for s in webdataset.WebDataset(str(path), shardshuffle=False) if {"jpg", "jpeg", "png"} & set(s)]
        assert [sample.key for sample in samples(path)] == [s["__key__"] for s in oracle]
    assert sorted(ids(stream(str(tmp_path / "b.*"), None, batch_size=2))) == ["0", "1", "2", "3"]


def test_a_shard_may_be_a_link(tmp_path, exported):
    (tmp_path / "linked.tar").symlink_to(exported / "train" / "000000.tar")
    assert len(ids(stream(tmp_path, None, batch_size=7))) == 7


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_is_named_in_one_line_and_leaves_no_process(tmp_path, workers):
    foreign(tmp_path / "a.tar", 5)
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        add(archive, "x.jpg", picture(1, "JPEG")[:200])
    with pytest.raises(PhenoLIPError, match=r"b\.tar::x\.jpg: .*unreadable") as error:
        stream(tmp_path, None, batch_size=1, workers=workers)
    assert "\n" not in str(error.value)
    assert not multiprocessing.active_children()
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        add(archive, "x.jpg", picture())
        add(archive, "x.json", b"[1")
    with pytest.raises(PhenoLIPError, match=r"b\.tar::x\.json: not a JSON object"):
        stream(tmp_path, None, batch_size=1, workers=workers)
    for cut in (0, 700, 2560, 3000, 4000):
        (tmp_path / "b.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:cut])
        with pytest.raises(PhenoLIPError, match=r"b\.tar: not a tar, or one that was cut off"):
            stream(tmp_path, None, workers=workers)
    (tmp_path / "b.tar").write_bytes(b"x" * 512 + bytes(2048))
    with pytest.raises(PhenoLIPError, match=r"b\.tar: not an archive"):
        stream(tmp_path, None, workers=workers)
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        add(archive, "x.jpg", picture())
        add(archive, "x.png", picture())
    with pytest.raises(PhenoLIPError, match=r"b\.tar: sample x has 2 pictures"):
        stream(tmp_path, None, workers=workers)


def test_shards_that_are_not_what_the_index_lists_are_refused(tmp_path, pairs, root):
    folder = tmp_path / "shards"
    shards.write(pairs, root, folder, per_shard=20)
    second = folder / "train" / "000001.tar"
    content = second.read_bytes()
    second.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
    with pytest.raises(PhenoLIPError, match=r"000001\.tar: is not what index.json lists"):
        stream(folder)
    with pytest.raises(PhenoLIPError, match=r"000001\.tar: is not what index.json lists"):
        ShardStream(folder, "train", SIDE, 1, rank=1, world=2)
    ShardStream(folder, "train", SIDE, 1, rank=0, world=2)
    foreign(second, 3)
    with pytest.raises(PhenoLIPError, match=r"000001\.tar: 3 samples, 20 are listed"):
        stream(folder, verify=False)
    second.unlink()
    with pytest.raises(PhenoLIPError, match=r"index.json and the shards differ: train/000001\.tar"):
        stream(folder)
    (folder / "index.json").write_text(json.dumps({"version": 2}))
    with pytest.raises(PhenoLIPError, match=r"index\.json: not an index"):
        stream(folder)


def test_unknown_ids_and_too_few_samples_are_one_clear_line(tmp_path, exported, pairs):
    with pytest.raises(PhenoLIPError, match=r"set/\d{3}\.a: a sample of the shards that the table of pairs"):
        stream(exported, pairs=pairs.iloc[:20])
    with pytest.raises(PhenoLIPError, match="40 samples; a batch of 11 in each of 4 processes needs 44"):
        ShardStream(exported, "train", SIDE, 11, world=4)
    for where, split in ((tmp_path, "train"), (tmp_path / "*.tar", None), (exported, "trian")):
        with pytest.raises(PhenoLIPError, match="no shards"):
            ShardStream(where, split, SIDE, 1)


def test_rows_of_ids(pairs):
    assert (pairs["pair_id"].iloc[rows_of(pairs, ["set/004.a", "set/002.a"])] == ["set/004.a", "set/002.a"]).all()
