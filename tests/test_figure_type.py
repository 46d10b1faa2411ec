"""Charts are told from medical images, on pictures and styles the coefficients were not made from."""

import matplotlib
import numpy as np
import pytest
from PIL import Image

from benchmarks.refit_figure_type import KINDS, draw_chart, fit, phantom_pictures
from phenolip_lib.core.storage import read_json
from phenolip_lib.curation import figure_type
from phenolip_lib.curation.figure_type import COEFFICIENTS, MEASURES, measures
from phenolip_lib.reporting.figures import use_style
from tests.test_sources import REAL

UNSEEN = 90_000
"""Seeds from here on drew nothing the coefficients were made from."""


def test_charts_are_refused():
    refused = {
        kind: sum(figure_type.figure_type(draw_chart(kind, UNSEEN + k))[0] == "chart" for k in range(5))
        for kind in KINDS
    }
    assert min(refused.values()) >= 3, refused
    assert sum(refused.values()) >= 0.93 * 5 * len(KINDS), refused


def test_phantom_pictures_are_kept():
    labels = [figure_type.figure_type(image)[0] for image in phantom_pictures(1, UNSEEN)]
    assert labels.count("chart") <= 0.02 * len(labels)


@pytest.mark.parametrize("folder", ["medpix-2.0", "ham10000", "idrid", "chula-rbc-12"])
def test_real_images_are_hardly_ever_refused(folder):
    files = sorted((REAL / folder).rglob("*.jpg"))[::25]
    if not files:
        pytest.skip("no real images here")
    refused = 0
    for file in files:
        with Image.open(file) as image:
            refused += figure_type.figure_type(image)[0] == "chart"
    assert refused <= 0.02 * len(files)


def test_a_style_that_was_never_trained_on_is_refused_too():
    held_out = ("survival", "flow chart", "table")
    charts = [draw_chart(kind, k) for kind in KINDS if kind not in held_out for k in range(5)]
    model = fit(phantom_pictures(1, 0), charts, {})
    x = np.array([measures(draw_chart(kind, UNSEEN + k)) for kind in held_out for k in range(5)])
    assert (figure_type._probability(x, model) < 0.5).mean() >= 0.9


def test_a_blank_page_and_odd_sizes_have_measures():
    for size in [(8, 8), (600, 9), (9, 600)]:
        for mode in ("RGB", "L", "RGBA"):
            row = measures(Image.new(mode, size))
            assert row.shape == (len(MEASURES),)
            assert np.isfinite(row).all()
    assert figure_type.figure_type(Image.new("RGB", (300, 300), "white"))[0] == "chart"


def test_a_chart_is_the_same_whatever_style_the_notebook_has():
    plain = draw_chart("bar", UNSEEN)
    with matplotlib.rc_context():
        use_style()
        styled = draw_chart("bar", UNSEEN)
    np.testing.assert_array_equal(np.asarray(styled), np.asarray(plain))


def test_mirroring_does_not_matter_much():
    image = draw_chart("bar", UNSEEN)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert measures(mirrored) == pytest.approx(measures(image), abs=0.05)


def test_probability_is_scikit_learns():
    """The plain formula against the library's, on the same coefficients."""
    from sklearn.linear_model import LogisticRegression

    model = read_json(COEFFICIENTS)
    assert model["measures"] == list(MEASURES)
    x = np.array([measures(draw_chart(kind, UNSEEN)) for kind in KINDS])
    library = LogisticRegression()
    library.classes_, library.coef_ = np.array([0, 1]), np.array([model["weights"]])
    library.intercept_ = np.array([model["intercept"]])
    z = (x - np.array(model["mean"])) / np.array(model["scale"])
    assert figure_type._probability(x, model) == pytest.approx(library.predict_proba(z)[:, 1])
