"""Masks of pictures: the atlas's bits, a panel's window, segmented pictures that duplicate a graded one."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data import masks
from phenolip_lib.data.masks import COLUMNS, GRID, load_masked, shrunk
from phenolip_lib.data.sources import idrid

NOTHING = pd.DataFrame(columns=["record_id", "step", "reason"]).astype(str)
SPLEEN, LUNG = "HP:0001744", "HP:0002088"


def pairs_of(*rows):
    return pd.DataFrame(list(rows), columns=COLUMNS)


def pair(record_id, dataset, image="x.png", box=(0.0, 0.0, 1.0, 1.0), group="g", split="test", panel=""):
    return (record_id + panel, record_id, dataset, "radiology", image, *box, group, split)


@pytest.fixture
def atlas(tmp_path):
    """A figure of two panels; the spleen is in the left one, a lung finding in both."""
    (tmp_path / "masks").mkdir()
    panels = pd.DataFrame({"figure_id": ["F1", "F1", "F2"], "findings": [f"{LUNG};{SPLEEN}", LUNG, ""]})
    panels.to_csv(tmp_path / "panels.csv", index=False)
    first, second = sorted([SPLEEN, LUNG])
    bits = np.zeros((60, 120), np.uint8)
    bits[10:20, 10:20] |= 1 << [first, second].index(SPLEEN)
    bits[30:40, 30:100] |= 1 << [first, second].index(LUNG)
    Image.fromarray(bits).save(tmp_path / "masks" / "F1.png")
    return tmp_path


def test_bits_of_the_atlas_are_cut_to_the_panel(atlas):
    left = pair("phantom/F1", "phantom", box=(0, 0, 0.5, 1), panel="/a")
    right = pair("phantom/F1", "phantom", box=(0.5, 0, 1, 1), panel="/b")
    found = load_masked(pairs_of(right, left, pair("phantom/F2", "phantom")), atlas, NOTHING)
    assert list(found.rows["pair_id"]) == ["phantom/F1/a", "phantom/F1/b"]  # F2 is healthy and has no mask
    assert [set(own) for own in found.masks] == [{SPLEEN, LUNG}, {LUNG}]
    assert found.masks[0][SPLEEN].shape == (60, 60)
    assert np.argwhere(found.masks[0][SPLEEN]).min(axis=0).tolist() == [10, 10]
    assert found.masks[0][LUNG].sum() == 10 * 30
    assert found.masks[1][LUNG].sum() == 10 * 40


def test_training_pictures_are_not_asked_for(atlas):
    table = pairs_of(pair("phantom/F1", "phantom", split="train"))
    assert not len(load_masked(table, atlas, NOTHING))
    assert len(load_masked(table, atlas, NOTHING, splits=("train",))) == 1


def test_a_source_without_masks_has_none(atlas):
    assert not len(load_masked(pairs_of(pair("ham10000/1", "ham10000")), atlas, NOTHING))


@pytest.fixture
def fundus(tmp_path):
    part_a = tmp_path / idrid.SEGMENTATION
    for place in idrid.SETS.values():
        (tmp_path / idrid.GRADING / "1. Original Images" / place).mkdir(parents=True)
        (part_a / "1. Original Images" / place).mkdir(parents=True)
    tables = tmp_path / idrid.GRADING / "2. Groundtruths"
    tables.mkdir()
    for name in ("a. IDRiD_Disease Grading_Training", "b. IDRiD_Disease Grading_Testing"):
        (tables / f"{name} Labels.csv").write_text("Image name,Retinopathy grade,Risk of macular edema \n")
    lesions = part_a / "2. All Segmentation Groundtruths" / idrid.SETS["train"] / "1. Microaneurysms"
    lesions.mkdir(parents=True)
    mask = np.zeros((20, 30), np.uint8)
    mask[4, 7] = 255
    for name in ("IDRiD_01", "IDRiD_02"):
        Image.fromarray(mask).save(lesions / f"{name}_MA.tif")
        Image.new("RGB", (30, 20)).save(part_a / "1. Original Images" / idrid.SETS["train"] / f"{name}.jpg")
    return tmp_path


def test_a_duplicate_counts_in_the_split_of_the_pair_that_was_kept(fundus):
    kept = [
        pair("idrid/grading/train/IDRiD_001", "idrid", group="idrid/a", split="test"),
        pair("idrid/grading/train/IDRiD_002", "idrid", group="idrid/b", split="train"),
    ]
    aside = pd.DataFrame(
        {
            "record_id": ["idrid/segmentation/train/IDRiD_01", "idrid/segmentation/train/IDRiD_02"],
            "step": "dedup",
            "reason": [f"duplicate of idrid/grading/train/IDRiD_00{k}" for k in (1, 2)],
        }
    )
    found = load_masked(pairs_of(*kept), fundus, aside)
    assert len(found) == 1  # the other picture was trained on under its graded copy
    row = found.rows.iloc[0]
    assert (row["record_id"], row["group"], row["split"]) == ("idrid/segmentation/train/IDRiD_01", "idrid/a", "test")
    assert (fundus / row["image"]).is_file()
    (mask,) = found.masks[0].values()
    assert np.argwhere(mask).tolist() == [[4, 7]]


def test_what_was_set_aside_for_another_reason_stays_aside(fundus):
    aside = pd.DataFrame({"record_id": ["idrid/segmentation/train/IDRiD_01"], "step": "images", "reason": "too small"})
    assert not len(load_masked(pairs_of(pair("idrid/grading/train/IDRiD_001", "idrid")), fundus, aside))


def test_a_damaged_mask_is_named(atlas):
    (atlas / "masks" / "F1.png").write_text("no image")
    with pytest.raises(PhenoLIPError, match=r"F1.png: not a mask that can be read"):
        load_masked(pairs_of(pair("phantom/F1", "phantom")), atlas, NOTHING)


def test_no_pixel_of_a_finding_is_lost_when_shrunk():
    rng = np.random.default_rng(0)
    for shape in ((300, 700), (700, 300), (GRID, GRID), (50, 20)):
        mask = np.zeros(shape, bool)
        spots = [tuple(rng.integers(0, shape)) for _ in range(5)]
        for spot in spots:
            mask[spot] = True
        small = shrunk(mask)
        assert max(small.shape) == min(GRID, max(shape))
        for y, x in spots:
            r, c = int(y * small.shape[0] / shape[0]), int(x * small.shape[1] / shape[1])
            assert small[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].any()
        assert small.sum() <= 5 * 4


def test_every_reader_is_of_a_dataset_that_exists():
    from phenolip_lib.data.sources import phantom

    assert set(masks.READERS) == {idrid.NAME, phantom.DATASET}
