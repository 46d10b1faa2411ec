"""Maps of the encoder's space: the same every time, every term drawn, neighbours counted right."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from phenolip_lib.reporting import figures, term_map
from phenolip_lib.reporting.figures import COLORS


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def legend(figure):
    return [text.get_text() for own in figure.legends for text in own.get_texts()]


@pytest.fixture(scope="module")
def space(full):
    """Embeddings of 150 terms: at random, and near the direction of their organ system."""
    terms = full.phenotypes[:: len(full.phenotypes) // 150][:150]
    rng = np.random.default_rng(0)
    systems = term_map.first_systems(full, terms)
    centers = {system: rng.standard_normal(32) for system in sorted(set(systems))}
    noise = rng.standard_normal((len(terms), 32))
    near = np.stack([centers[system] for system in systems]) + 0.3 * noise
    both = {"untrained": noise, "knowledge": near}
    return terms, systems, {name: x / np.linalg.norm(x, axis=1, keepdims=True) for name, x in both.items()}


def test_term_space_is_the_same_every_time(full, space, tmp_path):
    terms, _, embeddings = space
    first = term_map.project(embeddings["knowledge"], seed=1)
    assert first.shape == (150, 2)
    np.testing.assert_array_equal(first, term_map.project(embeddings["knowledge"], seed=1))
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for path in files:
        figures.save(term_map.term_space(full, embeddings, terms), path)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_term_space_draws_every_term_in_the_color_of_its_system(full, space):
    terms, systems, embeddings = space
    figure = term_map.term_space(full, embeddings, terms)
    assert [axis.get_title() for axis in figure.axes] == ["untrained encoder", "knowledge encoder"]
    counts = pd.Series(systems).value_counts()
    for axis in figure.axes:
        assert sum(len(c.get_offsets()) for c in axis.collections) == len(terms)
        colors = pd.Series([to_hex(color) for c in axis.collections for color in c.get_facecolors()]).value_counts()
        assert colors[COLORS[0].lower()] == counts.iloc[0]
    assert legend(figure)[0].endswith(f"({counts.iloc[0]})")
    assert legend(figure)[-1].startswith(f"{len(counts) - 7} other systems")
    shares = [float(axis.get_xlabel().split("%")[0]) for axis in figure.axes]
    assert shares[0] < 40 < 60 < shares[1]
    assert figure.get_supxlabel() == "Stage 1 moved organ systems together."


def test_maps_of_one_number_say_that_they_say_nothing():
    assert "say nothing" in term_map.reading(76, 75)
    assert term_map.reading(60, 40) == "Stage 1 moved organ systems apart."


def test_nearest_terms_of_the_same_system_by_hand():
    embeddings = np.eye(4)[[0, 0, 1, 1]]
    rows = np.arange(4)
    assert term_map.same_nearby(embeddings, ["a", "a", "b", "b"], rows) == pytest.approx(1 / 3)
    many = np.repeat(np.eye(2), 12, axis=0)
    assert term_map.same_nearby(many, ["a"] * 12 + ["b"] * 12, np.array([0, 23])) == 1.0


def test_maps_are_turned_towards_the_first(space):
    places = np.random.default_rng(0).standard_normal((20, 2))
    places -= places.mean(axis=0)
    turned = places @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    figure = term_map.draw({"untrained": places, "knowledge": turned}, ["Abnormality of the eye"] * 20, {})
    left, right = (np.concatenate([c.get_offsets() for c in axis.collections]) for axis in figure.axes)
    np.testing.assert_allclose(left, right, atol=1e-12)
    assert legend(figure) == ["eye (20)"]


def test_a_sample_does_not_depend_on_the_order_of_the_terms(monkeypatch):
    monkeypatch.setattr(term_map, "MAX_TERMS", 5)
    terms = [f"HP:{i:07d}" for i in range(40)]
    chosen = [terms[row] for row in term_map.sample(terms)]
    backwards = terms[::-1]
    assert chosen == [backwards[row] for row in term_map.sample(backwards)]
    assert len(chosen) == 5
    assert chosen != [terms[row] for row in term_map.sample(terms, seed=1)]
