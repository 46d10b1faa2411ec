"""Which localisation examples are drawn, and that pictures are drawn only where they may be."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from phenolip_lib.reporting.localisation_figures import _draw, examples, typical


def outcomes_of():
    rows = []
    for dataset, n in (("small", 3), ("large", 6)):
        for i in range(n):
            for seed in range(2):
                for method in ("clip", "phenolip"):
                    value = (i if method == "phenolip" else n - i) / 10 + seed / 100
                    rows.append((method, seed, dataset, "pixel_ap_contrast", f"{dataset}/{i} HP:0001744", value))
    return pd.DataFrame(rows, columns=["method", "seed", "dataset", "metric", "query", "value"])


def test_the_query_in_the_middle_is_shown_largest_data_set_first():
    found = typical(outcomes_of().sample(frac=1, random_state=0), "phenolip", "pixel_ap_contrast")
    assert list(found.items()) == [("large", "large/2 HP:0001744"), ("small", "small/1 HP:0001744")]


def test_a_source_without_masks_says_so():
    figure = examples(None, None, outcomes_of().iloc[:0], ["clip", "phenolip"])
    assert "no test picture" in figure.texts[0].get_text()
    plt.close(figure)


def test_a_picture_that_may_not_be_shown_is_a_plain_ground():
    figure, axis = plt.subplots()
    mask, heat = np.zeros((10, 20), bool), np.random.default_rng(0).random((10, 20))
    mask[2:4, 2:4] = True
    _draw(axis, None, mask, heat)
    ground, shown = (np.asarray(image.get_array()) for image in axis.images)
    assert len(np.unique(ground)) == 1
    np.testing.assert_array_equal(shown, heat)
    plt.close(figure)
