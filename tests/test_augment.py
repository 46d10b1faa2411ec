"""Augmentation: what each modality bears, sides named in captions, equal seeds give equal pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import MODALITIES
from phenolip_lib.training.augment import ANATOMY, MARGIN, OPERATIONS, Augment, build, image_seed, names_side

SIDE = 32


@pytest.fixture(autouse=True)
def _one_thread():
    """As in a loading process; on so small pictures threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def quarters(side: int = SIDE) -> torch.Tensor:
    """A picture that none of the eight states of a square maps onto itself: one bright and one grey quarter."""
    picture = torch.full((3, side, side), 20, dtype=torch.uint8)
    picture[:, : side // 2, : side // 2] = 230
    picture[:, : side // 2, side // 2 :] = 120
    return picture


def states(picture: torch.Tensor) -> list[torch.Tensor]:
    return [torch.rot90(p, k, (1, 2)) for p in (picture, picture.flip(2)) for k in range(4)]


def state_of(picture: torch.Tensor) -> int:
    """Which of the eight states of `quarters` a changed picture is nearest to."""
    wanted = [s.float() - s.float().mean() for s in states(quarters(picture.shape[-1]))]
    own = picture.float() - picture.float().mean()
    return int(np.argmax([float((own * w).sum()) for w in wanted]))


def seen(augment: Augment, modality: str, caption: str, n: int = 120) -> set[int]:
    return {state_of(augment(quarters(), modality, caption, seed, SIDE)) for seed in range(n)}


UPRIGHT, MIRRORED = 0, 4


@pytest.mark.parametrize("modality", ["radiology", "ophthalmology", "other"])
def test_where_sides_matter_nothing_is_mirrored_or_turned(modality):
    assert seen(Augment(), modality, "pneumonia") == {UPRIGHT}


@pytest.mark.parametrize("modality", ["dermatology", "pathology", "histology", "hematology"])
def test_skin_and_slides_take_all_eight_states(modality):
    assert seen(Augment(), modality, "nevus") == set(range(8))


def test_a_face_is_mirrored_and_never_upside_down():
    assert seen(Augment(), "face", "ptosis") == {UPRIGHT, MIRRORED}


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize(
    "caption", ["a mass of the LEFT lobe", "Right-sided ptosis", "OD: drusen", "RLQ pain", "arm (L)"]
)
def test_a_caption_that_names_a_side_keeps_the_picture_as_it_is(modality, caption):
    everything = Augment({modality: list(OPERATIONS)})
    assert seen(everything, modality, caption, n=30) == {UPRIGHT}
    assert len(seen(everything, modality, "no word of it", n=30)) > 2


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("left", True),
        ("Leftward shift", True),
        ("leftsided", True),
        ("dextrocardia", True),
        ("levoscoliosis", True),
        ("situs inversus", True),
        ("nodule at 3 o'clock", True),
        ("LLL consolidation", True),
        ("lower lid", True),
        ("bilateral ptosis", False),
        ("copyright", False),
        ("cleft palate", False),
        ("bright spots", False),
        ("upset", False),
        ("stop", False),
        ("L4 vertebra", False),
        ("", False),
        ("levocardia", True),
        ("laevocardia", True),
        ("RMLO view", True),
        ("counter-clockwise", True),
        ("superotemporal", True),
        ("inferotemporal drusen", True),
        ("a nodule (R)", True),
        ("5 o’clock", True),
    ],
)
def test_words_that_name_a_side(caption, expected):
    assert names_side(caption) is expected


def test_quarter_turns_lose_no_pixel():
    augment, picture = (
        Augment({"histology": ["rotate90"]}),
        torch.arange(3 * 16 * 16).reshape(3, 16, 16).to(torch.uint8),
    )
    found = [augment(picture, "histology", "", seed, 16) for seed in range(200)]
    counts = [sum(torch.equal(f, s) for f in found) for s in states(picture)]
    assert sum(counts) == 200
    assert min(counts) > 8  # each has 25 on the average


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**64 - 1),
    modality=st.sampled_from(MODALITIES),
    height=st.integers(17, 60),
    width=st.integers(17, 60),
    strength=st.floats(0, 2),
    names=st.sets(st.sampled_from(sorted(OPERATIONS))),
)
def test_any_picture_comes_out_square_and_equal_for_equal_seeds(seed, modality, height, width, strength, names):
    augment = Augment({modality: sorted(names)}, strength)
    picture = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, height, width), dtype=np.uint8))
    before, state = picture.clone(), torch.get_rng_state()
    first = augment(picture, modality, "x", seed, 24)
    assert (first.dtype, first.shape) == (torch.uint8, (3, 24, 24))
    assert torch.equal(first, augment(picture, modality, "x", seed, 24))
    assert torch.equal(picture, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_other_seeds_give_other_pictures():
    results = [
        Augment()(quarters(), "radiology", "", image_seed(0, epoch, row), SIDE) for epoch in (0, 1) for row in (0, 1)
    ]
    assert len({r.numpy().tobytes() for r in results}) == 4


def test_an_operation_more_leaves_the_draws_of_the_others():
    picture = quarters(64)
    alone = Augment({"face": ["crop"]})(picture, "face", "left", 7, SIDE)
    assert torch.equal(alone, Augment({"face": ["hflip", "crop"]})(picture, "face", "left", 7, SIDE))
    toned = Augment({"face": ["crop", "intensity"]})(picture, "face", "left", 7, SIDE)
    table = {}
    for before, after in zip(alone.flatten().tolist(), toned.flatten().tolist(), strict=True):
        assert table.setdefault(before, after) == after


def test_changes_stay_mild():
    picture = torch.full((3, SIDE, SIDE), 128, dtype=torch.uint8)
    for name in ("color", "intensity"):
        levels = [float(Augment({"face": [name]})(picture, "face", "", s, SIDE).float().mean()) for s in range(200)]
        assert 85 < min(levels) < 115 < 140 < max(levels) < 172


def test_grey_stays_grey_and_hues_stay():
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 40, 40), dtype=np.uint8)).expand(3, 40, 40)
    red = torch.tensor([180, 60, 60], dtype=torch.uint8)[:, None, None].expand(3, 40, 40)
    for seed in range(20):
        for modality in MODALITIES:
            result = Augment()(grey.contiguous(), modality, "", seed, SIDE)
            assert (result.float() - result.float().mean(0)).abs().max() <= 1
            r, g, b = Augment()(red.contiguous(), modality, "", seed, SIDE)[:, 5, 5].tolist()
            assert r > g + 60
            assert abs(g - b) <= 1


def test_no_strength_leaves_the_picture_but_for_its_size():
    picture = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8))
    assert torch.equal(Augment(strength=0.0)(picture, "radiology", "", 3, SIDE), picture)


def test_pictures_are_read_larger_only_where_a_crop_follows():
    augment = Augment({"face": ["crop"], "other": ["hflip"]})
    assert augment.reading_side("face", 224) == round(224 * MARGIN) == 256
    assert augment.reading_side("other", 224) == augment.reading_side("radiology", 224) == 224


def test_every_modality_has_a_default():
    assert set(ANATOMY) == set(MODALITIES)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"radiolgy": ["crop"]}, "unknown modality 'radiolgy'; did you mean 'radiology'?"),
        ({"face": ["hflp"]}, "unknown operation 'hflp'; did you mean 'hflip'?"),
        ({"face": ["zzzz"]}, "unknown operation 'zzzz'; there are rotate90"),
        ("anatomie", "unknown preset 'anatomie'; did you mean 'anatomy'?"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(setting, message):
    with pytest.raises(PhenoLIPError, match=message.replace("?", r"\?")):
        build(setting)


def test_presets():
    assert build({}) is None
    assert build("anatomy").operations("face") == ("hflip", "rotate", "crop", "color")
    with pytest.raises(PhenoLIPError, match="strength 3"):
        build("anatomy", 3.0)
    with pytest.raises(PhenoLIPError, match="unknown modality 'photograph'"):
        build("anatomy")(quarters(), "photograph", "", 0, SIDE)
