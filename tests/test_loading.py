"""Loading by row: the same pictures for any number of workers, one line for a damaged one, no process left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models.features import load_pixels
from phenolip_lib.training.augment import Augment, image_seed
from phenolip_lib.training.image_loader import ImageBatches, Reader, read_pixels

SIDE = 24
ROWS = [np.array([5, 0, 3]), np.array([1, 1]), np.array([9, 8, 7, 6]), np.array([2])]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(10):
        pixels = rng.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.{'png' if i % 2 else 'jpg'}")
    return folder


@pytest.fixture
def pairs():
    table = pd.DataFrame({"image": [f"{i}.{'png' if i % 2 else 'jpg'}" for i in range(10)]})
    table[["left", "top", "right", "bottom"]] = [[0.0, 0.0, 1.0, 1.0]] * 8 + [[0.1, 0.2, 0.9, 1.0]] * 2
    table["modality"] = ["radiology", "histology"] * 5
    table["caption"] = ["left lung", "a nevus"] * 5
    return table


def read(pairs, root, rows=ROWS, epoch=0, **options):
    with ImageBatches(pairs, root, SIDE, **options) as loading:
        return list(loading.batches(rows, epoch))


def equal(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 0, "threads": 2}, {"workers": 1}, {"workers": 2}])
def test_pictures_are_those_of_load_pixels_in_the_given_order(pairs, root, options):
    oracle = [load_pixels(pairs.iloc[rows], root, SIDE) for rows in ROWS]
    assert equal(read(pairs, root, **options), oracle)


def test_augmented_pictures_do_not_depend_on_workers_batches_or_threads(pairs, root):
    options = {
        "augment": Augment({"radiology": ["rotate", "crop", "intensity", "blur"], "histology": ["rotate90"]}),
        "seed": 3,
    }
    alone = read(pairs, root, workers=0, epoch=4, **options)
    assert equal(alone, read(pairs, root, workers=2, epoch=4, **options))
    assert equal(alone, read(pairs, root, workers=0, threads=3, epoch=4, **options))
    single = read(pairs, root, [np.array([row]) for row in np.concatenate(ROWS)], workers=0, epoch=4, **options)
    assert torch.equal(torch.cat(alone), torch.cat(single))
    assert not equal(alone, read(pairs, root, workers=0, epoch=5, **options))
    assert not equal(alone, read(pairs, root, workers=0, epoch=4, **(options | {"seed": 4})))


def test_a_changed_picture_is_the_larger_picture_changed(pairs, root):
    augment = Augment({"histology": ["crop"]})
    larger = load_pixels(pairs.iloc[[9]], root, augment.reading_side("histology", SIDE))[0]
    expected = augment(larger, "histology", "a nevus", image_seed(3, 1, 9), SIDE)
    (found,) = read(pairs, root, [np.array([9])], epoch=1, workers=0, augment=augment, seed=3)
    assert torch.equal(found[0], expected)


def test_a_caption_with_a_side_is_read_from_its_own_row(pairs, root):
    pairs["modality"] = "histology"
    plain = read(pairs, root, workers=0)
    for epoch in range(3):
        changed = read(pairs, root, epoch=epoch, workers=0, augment=Augment({"histology": ["hflip"]}))
        for rows, a, b in zip(ROWS, plain, changed, strict=True):
            for row, x, y in zip(rows, a, b, strict=True):
                assert torch.equal(x, y) or (row % 2 == 1 and torch.equal(x.flip(2), y))


def test_processes_stay_between_epochs_and_end_with_the_block(pairs, root):
    with ImageBatches(pairs, root, SIDE, workers=2) as loading:
        list(loading.batches(ROWS, 0))
        first = {child.pid for child in multiprocessing.active_children()}
        again = loading.batches(ROWS, 1)
        for _ in ROWS:  # as many as asked for, and no further look
            next(again)
        again.close()
        assert {child.pid for child in multiprocessing.active_children()} == first
        assert len(first) == 2
        assert list(loading.batches([], 2)) == []
        assert equal(list(loading.batches(ROWS, 3)), read(pairs, root, workers=0))
    assert not multiprocessing.active_children()


def test_a_loop_left_early_leaves_no_process_and_may_be_begun_again(pairs, root):
    loading = ImageBatches(pairs, root, SIDE, workers=2)
    begun = loading.batches(ROWS * 3, 0)
    next(begun)
    assert multiprocessing.active_children()
    begun.close()
    assert not multiprocessing.active_children()
    assert equal(list(loading.batches(ROWS, 0)), read(pairs, root, workers=0))
    loading.close()
    loading.close()
    assert not multiprocessing.active_children()


def test_two_runs_at_once_are_an_error_and_not_a_mix(pairs, root):
    with ImageBatches(pairs, root, SIDE, workers=1) as loading:
        first = loading.batches(ROWS, 0)
        next(first)
        second = loading.batches(ROWS, 0)
        next(second)
        with pytest.raises(RuntimeError, match="later run"):
            next(first)
        assert len(list(second)) == len(ROWS) - 1


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("name", "reason"), [("gone.png", "absent"), ("broken.jpg", "unreadable")])
def test_a_picture_that_cannot_be_read_is_named_in_one_line(pairs, root, workers, name, reason):
    (root / "broken.jpg").write_bytes((root / "0.jpg").read_bytes()[:300])
    pairs.loc[7, "image"] = name
    loading = ImageBatches(pairs, root, SIDE, workers=workers)
    begun = loading.batches(ROWS, 0)
    assert len(next(begun)) == 3
    with pytest.raises(PhenoLIPError, match=rf"{name}: .*{reason}") as error:
        list(begun)
    assert "\n" not in str(error.value)
    assert not multiprocessing.active_children()


def kill_all(done=True):
    children = multiprocessing.active_children()
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    if done:  # and the signal that says so has been handled, here and nowhere else
        multiprocessing.connection.wait([child.sentinel for child in children])
        time.sleep(0.05)


def one_line():
    return pytest.raises(PhenoLIPError, match=r"^a process that .* ended \(.*use fewer loading workers, or none$")


@pytest.mark.parametrize("done", [True, False], ids=["dead", "dying"])
@pytest.mark.parametrize("when", ["in a run", "between runs"])
def test_a_killed_process_is_one_line_for_whoever_reads_on(pairs, root, when, done):
    loading = ImageBatches(pairs, root, SIDE, workers=2)
    begun = loading.batches(ROWS * 20, 0)
    if when == "between runs":
        list(begun)
        begun = loading.batches(ROWS, 1)
    else:
        next(begun)
    with one_line():
        kill_all(done)
        list(begun)
    assert not multiprocessing.active_children()
    assert equal(list(loading.batches(ROWS, 0)), read(pairs, root, workers=0))
    loading.close()


def test_a_killed_process_is_no_error_in_the_code_of_whoever_reads_or_stops_reading(pairs, root):
    for stop in (lambda loading, begun: begun.close(), lambda loading, begun: loading.close()):
        loading = ImageBatches(pairs, root, SIDE, workers=2)
        begun = loading.batches(ROWS * 20, 0)
        next(begun)
        kill_all()
        kept = sum(i % 7 for i in range(100_000))  # the step of an optimiser
        stop(loading, begun)
        assert kept
        assert not multiprocessing.active_children()


def dies(task):
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def dies_with_half_a_message_written(task):
    frame = sys._getframe()
    while "data_queue" not in frame.f_locals:
        frame = frame.f_back
    queue = frame.f_locals["data_queue"]
    if task == 3:
        with queue._wlock:
            os.write(queue._writer.fileno(), struct.pack("!i", 1000) + b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    return task


def cannot(task):
    raise {3: RuntimeError, 4: OSError}.get(task, KeyError)(f"the fault of {task}")


@pytest.mark.parametrize("read", [dies, dies_with_half_a_message_written])
def test_a_process_that_ends_while_it_is_waited_for_is_one_line(read):
    with one_line():
        list(Reader(read, 2).run(range(50)))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("task", [3, 4, 5])
def test_what_reading_raises_is_no_killed_process(workers, task):
    with pytest.raises((RuntimeError, OSError, KeyError), match=f"the fault of {task}"):
        list(Reader(cannot, workers).run([task]))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_global_random_numbers_are_left_alone(pairs, root, workers):
    torch.manual_seed(0)
    np.random.seed(0)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    read(pairs, root, workers=workers, augment=Augment())
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()


def test_read_pixels_needs_no_table(root):
    assert read_pixels(root, "1.png", 16).shape == (3, 16, 16)
    assert not torch.equal(
        read_pixels(root, "1.png", 16, augment=Augment(), seed=1),
        read_pixels(root, "1.png", 16, augment=Augment(), seed=2),
    )
