"""The learned panel detector: the model's own boxes in whole pixels, none twice, in reading order."""

import numpy as np
import pytest
import torch
import transformers

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.curation.panels import classical
from phenolip_lib.curation.panels.detr import DetrPanels

WIDTH, HEIGHT = 90, 60


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny detector with random weights, whose seven queries answer with as many boxes."""
    folder = tmp_path_factory.mktemp("yolos")
    torch.manual_seed(0)
    config = transformers.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[32, 48],
        patch_size=16,
        num_detection_tokens=7,
        num_labels=1,
        initializer_range=0.5,
    )
    model = transformers.YolosForObjectDetection(config)
    torch.nn.init.normal_(model.vit.embeddings.detection_tokens)  # queries begin as equals; here they differ
    model.save_pretrained(folder)
    transformers.YolosImageProcessor(size={"height": 32, "width": 48}, do_pad=False).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def raw(checkpoint, rgb):
    """Confidence and corners of every query, from the model's centres and sides by hand."""
    model = transformers.YolosForObjectDetection.from_pretrained(checkpoint).eval()
    inputs = transformers.YolosImageProcessor.from_pretrained(checkpoint)(images=rgb, return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs)
    sure = out.logits.softmax(-1)[0, :, :-1].max(-1).values.tolist()
    return [
        (c, ((x - w / 2) * WIDTH, (y - h / 2) * HEIGHT, (x + w / 2) * WIDTH, (y + h / 2) * HEIGHT))
        for c, (x, y, w, h) in zip(sure, out.pred_boxes[0].tolist(), strict=True)
    ]


def test_detections_are_the_models_clipped_and_ranked(checkpoint, rgb):
    expected = []
    for confidence, (x0, y0, x1, y1) in raw(checkpoint, rgb):
        box = (max(x0, 0), max(y0, 0), min(x1, WIDTH), min(y1, HEIGHT))
        expected.append((confidence, tuple(map(round, box))))
    expected.sort(key=lambda item: -item[0])
    expected = [
        item for k, item in enumerate(expected) if all(classical.panel_iou(item[1], o) <= 0.5 for _, o in expected[:k])
    ]
    found = DetrPanels(checkpoint, threshold=0.0).detect(rgb)
    assert len(found) == len(expected) > 1
    assert min(v for _, corners in raw(checkpoint, rgb) for v in corners) < 0, "nothing was clipped"
    assert [confidence for _, confidence in found] == pytest.approx([c for c, _ in expected], abs=1e-5)
    assert np.abs(np.array([box for box, _ in found]) - np.array([box for _, box in expected])).max() <= 1


def test_it_stands_in_for_the_classical_cutter(checkpoint, rgb):
    boxes = DetrPanels(checkpoint, threshold=0.0)(rgb)
    assert boxes == classical.reading_order(boxes)
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= WIDTH
        assert 0 <= y0 < y1 <= HEIGHT
        assert {type(v) for v in (x0, y0, x1, y1)} == {int}


def test_the_threshold_drops_the_less_sure(checkpoint, rgb):
    every = DetrPanels(checkpoint, 0.0).detect(rgb)
    middle = (every[0][1] + every[1][1]) / 2
    assert DetrPanels(checkpoint, middle).detect(rgb) == every[:1]


def test_other_arrays_and_checkpoints_are_refused(checkpoint, tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        DetrPanels(checkpoint)(np.zeros((4, 4, 3)))
    with pytest.raises(PhenoLIPError, match=r"panel_detector.*cannot be loaded"):
        DetrPanels(str(tmp_path))


class Fixed(torch.nn.Module):
    """Stands in for a head of the detector and gives each query the same every time."""

    def __init__(self, rows):
        super().__init__()
        self.rows = torch.tensor([rows])

    def forward(self, hidden):
        return self.rows


@pytest.fixture(scope="module")
def detr(tmp_path_factory):
    """A random DETR of a few thousand weights, saved as transformers saves one."""
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        num_labels=1,
        num_queries=4,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
    )
    folder = tmp_path_factory.mktemp("detr")
    transformers.DetrForObjectDetection(config).save_pretrained(folder)
    transformers.DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    return folder


def test_a_detector_gives_boxes_in_reading_order(detr):
    detector = DetrPanels(str(detr))
    rgb = np.random.default_rng(0).integers(0, 255, (80, 120, 3)).astype(np.uint8)
    # Right and left half, the left half again a little less sure, and one that is too unsure.
    centres = [[0.75, 0.5, 0.5, 1.0], [0.25, 0.5, 0.5, 1.0], [0.25, 0.5, 0.48, 1.0], [0.5] * 4]
    detector.model.bbox_predictor = Fixed(torch.logit(torch.tensor(centres)).tolist())
    detector.model.class_labels_classifier = Fixed([[4.0, 0.0], [3.0, 0.0], [2.0, 0.0], [-2.0, 0.0]])
    assert detector(rgb) == [(0, 0, 60, 80), (60, 0, 120, 80)]
    found = detector.detect(rgb)
    assert [box for box, _ in found] == [(60, 0, 120, 80), (0, 0, 60, 80)]
    assert [score for _, score in found] == pytest.approx([1 / (1 + np.exp(-4)), 1 / (1 + np.exp(-3))])


def test_a_detector_that_finds_nothing_leaves_the_figure_whole(detr):
    rgb = np.zeros((50, 80, 3), np.uint8)
    assert DetrPanels(str(detr), threshold=1.0)(rgb) == [(0, 0, 80, 50)]
    with pytest.raises(ValueError, match="uint8"):
        DetrPanels(str(detr))(np.zeros((4, 4, 3)))
