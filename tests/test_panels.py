"""Cutting compound figures: boxes, caption chunks, and leaving alone what is one picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import average_precision_score

from phenolip_lib.curation.panels import classical
from phenolip_lib.phantom.atlas import DOMAINS, phenotypes
from phenolip_lib.phantom.compound import draw_compound, jpeg

# Development looked at the seeds [7, 0..] and [8, 0..]; these are others.
FIGURE_SEED, SINGLE_SEED = 4_000, 5_000
NAMES = {hpo_id: [f"Label {hpo_id[3:]}", f"Synonym {hpo_id[3:]}"] for hpo_id in phenotypes()["hpo_id"]}


def figure(modality: str, seed: int):
    rng = np.random.default_rng([FIGURE_SEED, seed])
    domain = DOMAINS[modality]
    repeats = []
    while sum(repeats) < 2 + seed % 5:
        repeats.append(min(int(rng.choice((1, 1, 1, 2, 3))), 2 + seed % 5 - sum(repeats)))
    ids = sorted(domain.findings)
    subjects = [{str(rng.choice(ids)): 0.7} if rng.random() < 0.9 else {} for _ in repeats]
    return draw_compound(rng, domain, subjects, repeats, NAMES, 112)


@pytest.fixture(scope="module")
def figures():
    return [figure(modality, seed) for modality in sorted(DOMAINS) for seed in range(15)]


# --- pictures ------------------------------------------------------------------------------------


def test_panels_of_drawn_figures_are_found_in_order(figures):
    predicted = [classical.split_panels(f.rgb) for f in figures]
    truth = [[p.box for p in f.panels] for f in figures]
    scores = classical.score(predicted, truth)
    assert scores["exact"] >= 0.96
    assert scores["precision"] >= 0.97
    assert scores["recall"] >= 0.97
    for found, real in zip(predicted, truth, strict=True):
        if classical.score([found], [real])["exact"] == 1:
            assert all(classical.panel_iou(a, b) >= 0.5 for a, b in zip(found, real, strict=True))


def test_single_pictures_are_left_whole():
    split = n = 0
    for domain in DOMAINS.values():
        subjects = [{}, *({hpo_id: 0.6} for hpo_id in sorted(domain.findings))]
        for k in range(20):
            rng = np.random.default_rng([SINGLE_SEED, k])
            rgb = domain.render(subjects[k % len(subjects)], rng, 112).to_uint8()
            for picture in (rgb, jpeg(rgb, 60)):
                split += len(classical.split_panels(picture)) > 1
                n += 1
    assert split <= 0.01 * n, f"{split} of {n} single pictures were cut"


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_picture_is_one_panel(value):
    assert classical.split_panels(np.full((50, 80, 3), value, np.uint8)) == [(0, 0, 80, 50)]


def grid(rows: int, columns: int, gutter: int, side: int = 60, ground: int = 255) -> tuple[np.ndarray, list]:
    rng = np.random.default_rng(rows * 10 + columns)
    shape = (rows * side + (rows - 1) * gutter, columns * side + (columns - 1) * gutter, 3)
    rgb, boxes = np.full(shape, ground, np.uint8), []
    for r in range(rows):
        for c in range(columns):
            x, y = c * (side + gutter), r * (side + gutter)
            rgb[y : y + side, x : x + side] = rng.integers(60, 200, (side, side, 3))
            boxes.append((x, y, x + side, y + side))
    return rgb, boxes


@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("rows, columns", [(1, 2), (2, 1), (3, 3), (1, 5)])
def test_grids_are_cut_to_the_pixel(rows, columns, ground):
    rgb, boxes = grid(rows, columns, 4, ground=ground)
    assert classical.split_panels(rgb) == boxes


def test_letters_in_a_gutter_do_not_break_it():
    rgb, boxes = grid(2, 2, 14)
    rgb[62:72, 2:9] = 0  # the letter of the lower left panel
    rgb[62:72, 78:85] = 0
    assert classical.split_panels(rgb) == boxes


def test_a_thin_line_and_a_caption_strip_are_no_panels():
    rgb, _ = grid(1, 1, 0, side=100)
    rgb[50] = 255
    assert classical.split_panels(rgb) == [(0, 0, 100, 100)]
    strip = np.full((100, 100, 3), 255, np.uint8)
    strip[:80] = rgb[:80]
    strip[88:94, 10:60:3] = 0
    assert len(classical.split_panels(strip)) == 1


def test_other_arrays_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        classical.split_panels(np.zeros((4, 4, 3)))


def test_reading_order_of_an_irregular_layout():
    large, upper, lower = (0, 0, 100, 100), (104, 0, 150, 48), (104, 52, 150, 100)
    assert classical.reading_order([lower, upper, large]) == [large, upper, lower]
    below = [(0, 104, 70, 150), (74, 104, 150, 150)]
    assert classical.reading_order([below[1], upper, below[0], lower, large]) == [large, upper, lower, *below]


# --- scores --------------------------------------------------------------------------------------


def test_scores_by_hand():
    a, b, far = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)
    assert classical.panel_iou(a, (0, 0, 10, 5)) == 0.5
    assert classical.panel_iou(a, b) == 0
    assert classical.score([[b, a]], [[a, b]]) == {"exact": 1, "precision": 1, "recall": 1, "map": 1}
    assert classical.score([[a, far], [a]], [[a, b], [a]]) == pytest.approx(
        {"exact": 0.5, "precision": 2 / 3, "recall": 2 / 3, "map": 4 / 9}
    )
    assert classical.score([[a, a]], [[a]]) == {"exact": 0, "precision": 0.5, "recall": 1, "map": 0.5}


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.2, 0.5, 0.7, 0.9])), min_size=1, max_size=12),
    st.integers(0, 3),
)
def test_average_precision_equals_scikit_learn(detections, n_missed):
    """Panels far apart, each detection right or wrong; missed ones are ranked below everything by the other library."""
    places = [(20 * k, 0, 20 * k + 10, 10) for k in range(len(detections) + n_missed)]
    found = [box if hit else (box[0], 50, box[2], 60) for box, (hit, _) in zip(places, detections, strict=False)]
    real = [box for box, (hit, _) in zip(places, detections, strict=False) if hit] + places[len(detections) :]
    if not real:
        return
    sure = [confidence for _, confidence in detections]
    ours = classical.average_precision([found], [real], [sure])
    hits = np.array([hit for hit, _ in detections], float)
    theirs = average_precision_score(hits, sure) * hits.sum() / len(real) if hits.any() else 0.0
    assert ours == pytest.approx(theirs)


def slow_average_precision(predicted, truth, confidences):
    """By the definition: cut the list of detections at each confidence, match each figure anew, add up the steps."""
    n_truth = sum(map(len, truth))
    total = recall = 0.0
    for least in sorted({c for own in confidences for c in own}, reverse=True):
        hits = n = 0
        for found, real, sure in zip(predicted, truth, confidences, strict=True):
            left = list(real)
            for c, box in sorted(zip(sure, found, strict=True), key=lambda item: -item[0]):
                if c < least:
                    continue
                n += 1
                good = [r for r in left if classical.panel_iou(box, r) >= 0.5]
                if good:
                    left.remove(max(good, key=lambda r: classical.panel_iou(box, r)))
                    hits += 1
        total += (hits / n_truth - recall) * hits / n
        recall = hits / n_truth
    return total


def test_average_precision_equals_its_definition_where_boxes_overlap():
    rng = np.random.default_rng(0)
    some = 0
    for _ in range(60):
        truth, predicted, sure = [], [], []
        for _ in range(3):
            corners = rng.integers(0, 12, (int(rng.integers(1, 5)), 2))
            truth.append([(int(x), int(y), int(x) + 10, int(y) + 10) for x, y in corners])
            shifts = rng.integers(-4, 5, (2, len(corners), 2))
            near = (corners + shifts).reshape(-1, 2)
            predicted.append([(int(x), int(y), int(x) + 10, int(y) + 10) for x, y in near])
            sure.append(rng.choice([0.3, 0.5, 0.6, 0.8, 0.9], len(near)).tolist())
        expected = slow_average_precision(predicted, truth, sure)
        assert classical.score(predicted, truth, confidences=sure)["map"] == pytest.approx(expected)
        some += 0.1 < expected < 0.9
    assert some > 20


def test_a_resized_figure_is_still_cut():
    rgb, boxes = grid(2, 2, 12)
    half = np.asarray(Image.fromarray(rgb).resize((rgb.shape[1] * 2 // 3, rgb.shape[0] * 2 // 3)))
    found = classical.split_panels(half)
    assert classical.score([found], [[tuple(v * 2 // 3 for v in box) for box in boxes]])["exact"] == 1
