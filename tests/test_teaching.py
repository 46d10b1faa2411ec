"""The teaching cells of notebooks 3 to 5 on small fixtures, what they draw, and which examples they take."""

import ast
import re
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation import metrics, resampling
from phenolip_lib.evaluation.tasks.retrieval import retrieval
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder, make_projection
from phenolip_lib.models.towers import load_text_tower
from phenolip_lib.ontology.similarity import lin
from phenolip_lib.reporting import distilled, pictures, teaching, tour
from phenolip_lib.reporting.examples import four_pairs, with_others
from phenolip_lib.training import affinity, attribute_texts, losses, metric_losses
from phenolip_lib.training.names import positions
from tests import training_case
from tests.conftest import ROOT
from tests.task_case import bench_of, embedded_of, pairs_of

CHAPTERS = {3: "03_stage1_knowledge_encoder", 4: "04_stage2_pretraining", 5: "05_evaluation"}


def cells(chapter, kind="code"):
    notebook = nbformat.read(ROOT / "notebooks" / f"{CHAPTERS[chapter]}.ipynb", as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == kind}


def execute(source, names):
    """What a cell shows: the value of its last line, if that is an expression."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(last, "cell", "eval"), names)


def taught(chapter, names):
    """Run the imports of a notebook and its teaching cells; what each of these showed."""
    imports = [n for n in ast.walk(ast.parse(cells(chapter)["cell-02"])) if isinstance(n, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), "imports", "exec"), own := {})
    names |= {name: value for name, value in own.items() if name not in names}
    teach = {name: source for name, source in cells(chapter).items() if name.startswith("hand-")}
    return {name: execute(source, names) for name, source in teach.items()}


# --- the cells --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chapter3(full, params):
    encoder = KnowledgeEncoder(load_text_tower("minilm-l6-v2"), make_projection("residual", 384, 384), 48)
    nn.init.normal_(encoder.projection.mlp[2].weight, std=0.05)
    texts = attribute_texts.attribute_texts(full, ["name", "synonym"], 0.0, 0)
    names = {"onto": full, "texts": texts, "encoder": encoder, "params": params, "p": params.stage1}
    return names, taught(3, names)


@pytest.fixture(scope="module")
def chapter4(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chapter4")
    training_case.make(folder)
    params = training_case.params(folder, {})
    data = training_case.data(folder, params)
    kinds = [["HP:0001640"], ["HP:0001651"], ["HP:0001903"], ["HP:0001744", "HP:0001903"]]
    pairs = data.pairs.assign(
        pair_id=[f"p{i:02d}" for i in range(24)], group=[f"g{i // 2}" for i in range(24)], licence="CC0-1.0",
        templated=False, phenotypes=[kinds[i % 4] for i in range(24)], dataset="toys",
    )  # fmt: skip
    found = pairs["phenotypes"].tolist()
    relations = affinity.build(found, data.texts, toy)
    data = replace(data, pairs=pairs, relations=relations)
    data = replace(data, names=replace(data.names, shown=positions(data.names.ids, found, toy)))
    history = pd.DataFrame(
        [
            {"epoch": 1, "method": m, "seed": s, "logit_scale": 14.0, "logit_scale_kd": 15.0, "val_i2p_recall@10": v}
            for m, values in {"clip": (0.2, 0.3), "phenolip": (0.25, 0.4)}.items()
            for s, v in enumerate(values)
        ]
    )
    teacher = SimpleNamespace(projection=nn.Linear(4, 4).requires_grad_(False))
    paths = SimpleNamespace(data=lambda source: folder)
    experiment = SimpleNamespace(onto=toy, teacher=teacher, pairs=pairs, source="phantom", paths=paths)
    names = {"experiment": experiment, "data": data, "params": params, "p": params.stage2}
    names |= {"history": history, "source": "phantom"}
    return names, taught(4, names)


@pytest.fixture(scope="module")
def chapter5(full):
    pairs = pairs_of(n=120)
    bench, embedded = bench_of(pairs, full, candidates=40), embedded_of(pairs, full)
    experiment = SimpleNamespace(onto=full, pairs=pairs, bench=bench)
    outcomes = [
        retrieval(bench, embedded_of(pairs, full, seed=seed, noise=noise)).assign(method=method, seed=seed)
        for method, noise in (("clip", 3.0), ("phenolip", 0.5))
        for seed in (0, 1)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tour, "trained", lambda experiment, folder, methods: {methods[0]: (None, embedded)})
        names = {"experiment": experiment, "bench": bench, "outcomes": pd.concat(outcomes), "source": "phantom"}
        names |= {"headline": "phenolip", "baseline": "clip", "paths": SimpleNamespace(stage2=str)}
        yield names, taught(5, names)


def test_chapter_3_shows_two_texts_of_a_term_and_what_is_masked(chapter3):
    names, shown = chapter3
    assert len(names["eight"]) == 8
    assert names["same"].sum() == 8
    figures = [name for name, value in shown.items() if isinstance(value, Figure)]
    assert figures == ["hand-cosines", "hand-near"]
    assert names["without_near"] < names["by_hand"]  # fewer negatives, no larger loss
    assert names["hidden"].sum() == 16  # both pairs of near terms, two texts each, both ways


def test_chapter_4_four_pairs_of_which_two_show_one_phenotype(chapter4):
    names, shown = chapter4
    assert names["shared"][0, 1]
    assert names["shared"].sum() == 4 + 2
    assert names["loss_masked"] < names["loss_m"]
    reached = shown["hand-weights"]
    assert reached.loc["image head", "loss_kd"] == reached.loc["τ of L_m", "loss_kd"] == 0
    assert (reached.loc["text head"] > 0).all()
    assert shown["hand-steps"]["loss_m"].is_monotonic_decreasing
    first, last = (panel.texts for panel in shown["hand-cosines"].axes)
    assert len(first) == len(last) == 16


def test_chapter_4_says_what_the_table_of_the_run_says(chapter4):
    _, shown = chapter4
    assert shown["hand-brought"][["difference", "lowest", "highest"]].to_numpy().tolist() == [[7.5, 5.0, 10.0]]
    assert "I2P R@10 +7.5 points (every seed up)" in shown["hand-brought-told"].data
    assert shown["hand-temperatures"].loc["phenolip"].tolist() == [round(1 / 14, 4), round(1 / 15, 4)]


def test_chapter_5_ties_count_against_the_model_and_patients_are_drawn(chapter5):
    names, shown = chapter5
    assert len(names["ranks"]) == 5
    assert names["ranks"][0] > 1  # its name stands there twice
    narrow, wide = (np.ptp(names["middle"][title]) for title in reversed(names["middle"]))
    assert narrow < wide
    assert shown["hand-holm"]["below 0.05"].sum() == 1
    assert len(names["flipped"]) == 2**12


BREAKS = [
    (3, "hand-loss", metric_losses, "two_view"), (3, "hand-near-loss", metric_losses, "two_view"),
    (4, "hand-infonce", losses, "clip_loss"), (4, "hand-mask-loss", losses, "clip_loss"),
    (4, "hand-kd", losses, "clip_loss"), (4, "hand-soft", affinity.Affinity, "semantic"),
    (5, "hand-rank", metrics, "mutual_ranks"), (5, "hand-bca", resampling, "group_bootstrap"),
    (5, "hand-flip", resampling, "sign_flip_p"), (5, "hand-holm", resampling, "holm"),
]  # fmt: skip


@pytest.mark.parametrize("chapter, cell, place, name", BREAKS, ids=[f"{c}-{cell}" for c, cell, *_ in BREAKS])
def test_a_cell_notices_if_the_library_computes_something_else(chapter, cell, place, name, request, monkeypatch):
    names, _ = request.getfixturevalue(f"chapter{chapter}")
    real = getattr(place, name)

    def off(*args, **options):
        found = real(*args, **options)
        return tuple(part + 1 for part in found) if isinstance(found, tuple) else found + 0.1

    monkeypatch.setattr(place, name, off)
    with pytest.raises(AssertionError):
        execute(cells(chapter)[cell], dict(names))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_teaching_cells_are_short_and_explained(chapter):
    code, text = cells(chapter), cells(chapter, "markdown")
    teach = {name: source for name, source in code.items() if name.startswith("hand-")}
    assert {name: len(s.splitlines()) for name, s in teach.items() if len(s.splitlines()) > 12} == {}
    assert len(text) >= 0.8 * len(code)
    rooms = set(re.findall(r"from phenolip_lib\.(\w+)", code["cell-02"]))
    assert len(rooms) <= 4, rooms


# --- what they draw ---------------------------------------------------------------------------------


def test_every_number_stands_in_its_cell_and_what_takes_no_part_is_hatched():
    matrix = np.array([[0.5, -0.25], [np.nan, 1.0]])
    figure = teaching.matrices({"a": matrix, "b": np.eye(2)}, ["one", "two"], label="cosine", framed=np.eye(2))
    left, right = figure.axes
    assert [(text.get_position(), text.get_text()) for text in left.texts] == [
        ((0, 0), "0.50"), ((1, 0), "−0.25"), ((1, 1), "1.00"),
    ]  # fmt: skip
    hatched = [patch for patch in left.patches if isinstance(patch, Rectangle) and patch.get_hatch()]
    assert [patch.get_xy() for patch in hatched] == [(-0.5, 0.5)]
    framed = [patch for patch in left.patches if patch.get_linewidth() == 2]
    assert [patch.get_xy() for patch in framed] == [(-0.46, -0.46), (0.54, 0.54)]
    assert left.images[0].get_clim() == right.images[0].get_clim()  # one scale of colours
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["one", "two"]
    assert figure.get_supxlabel() == "cosine"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_matrix_is_drawn(value):
    figure = teaching.matrices({"a": np.full((3, 8), value)}, list("abc"), list("12345678"), label="x")
    image = figure.axes[0].images[0]
    assert np.isfinite(image.norm(value))
    assert {text.get_text() for text in figure.axes[0].texts} == {f"{value:.2f}"}


def test_text_and_ground_differ_over_the_whole_scale():
    figure = teaching.matrices({"a": np.linspace(-1, 1, 40)[None]}, ["a"], [str(i) for i in range(40)], label="x")
    image = figure.axes[0].images[0]
    for text, value in zip(figure.axes[0].texts, np.linspace(-1, 1, 40), strict=True):
        red, green, blue = image.cmap(image.norm(value))[:3]
        light = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
        ink = 1.0 if to_hex(text.get_color()) == "#ffffff" else 0.0
        assert (max(light, ink) + 0.05) / (min(light, ink) + 0.05) > 4.5  # WCAG's contrast of small text


def test_shares_of_a_histogram_sum_to_100_and_marks_stand_where_they_should():
    figure = teaching.histograms({"a": [0, 0, 1], "b": [0.5]}, "x", {"a": [0.2, 0.8], "b": [0.5]}, "ends")
    for axis in figure.axes:
        assert sum(bar.get_height() for bar in axis.patches) == pytest.approx(100)
    assert [line.get_xdata()[0] for line in figure.axes[0].lines] == [0.2, 0.8]
    bars = [bar for bar in figure.axes[0].patches if bar.get_height()]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx([0, 1])
    assert teaching.histograms({"a": [2.0, 2.0]}, "x", {"a": [2.0]}, "all").axes[0].patches


def test_only_what_may_be_passed_on_is_shown(chapter4):
    experiment = chapter4[0]["experiment"]
    closed = SimpleNamespace(**vars(experiment) | {"pairs": experiment.pairs.assign(licence="NOASSERTION")})
    for case, n in ((experiment, 2), (closed, 0)):
        before = plt.get_fignums()
        axes = pictures.captioned(case, [0, 1], 4).axes
        assert plt.get_fignums() == before  # a figure left open appears in a notebook twice
        assert len(axes) == 4
        assert sum(bool(axis.images) for axis in axes) == n
        assert sum(bool(axis.get_title()) for axis in axes) == n


# --- which examples ---------------------------------------------------------------------------------


def table(*rows):
    """Pairs from (id, phenotypes), each in a group of its own, that may all be passed on."""
    ids, phenotypes = zip(*rows, strict=True)
    same = {"split": "train", "licence": "CC0-1.0", "templated": False, "caption": "x"}
    return pd.DataFrame({"pair_id": ids, "phenotypes": phenotypes, "group": ids, **same})


HEART, SIDE, BLOOD = ["HP:0001640"], ["HP:0001651"], ["HP:0001903"]


def test_the_examples_are_twins_a_near_one_and_a_distant_one(toy):
    pairs = table(("a", BLOOD), ("b", HEART), ("c", SIDE), ("d", HEART))
    assert pairs["pair_id"].iloc[four_pairs(pairs, toy)].tolist() == ["b", "d", "c", "a"]
    assert lin(toy, HEART, SIDE) > lin(toy, HEART, BLOOD)
    again = pairs.sample(frac=1, random_state=3).reset_index(drop=True)
    assert again["pair_id"].iloc[four_pairs(again, toy)].tolist() == ["b", "d", "c", "a"]


def test_what_may_be_shown_and_has_a_caption_of_its_own_comes_first(toy):
    pairs = table(("a", HEART), ("b", HEART), ("c", HEART), ("d", HEART), ("e", SIDE), ("f", BLOOD))
    pairs.loc[0, "licence"], pairs.loc[1, "templated"] = "NOASSERTION", True
    assert pairs["pair_id"].iloc[four_pairs(pairs, toy)].tolist() == ["c", "d", "e", "f"]
    pairs.loc[3, "group"] = "c"  # one patient twice is no second case
    assert pairs["pair_id"].iloc[four_pairs(pairs, toy)].tolist()[:2] == ["c", "b"]


@pytest.mark.parametrize("own", [[HEART] * 4, [HEART, SIDE, BLOOD, ["HP:0001744"]]], ids=["all alike", "none alike"])
def test_without_twins_or_without_others_four_are_found_all_the_same(toy, own):
    pairs = table(*zip("abcd", own, strict=True))
    assert sorted(four_pairs(pairs, toy)) == [0, 1, 2, 3]


def test_the_examples_are_of_training_and_too_few_is_one_line(toy):
    pairs = table(("a", HEART), ("b", HEART), ("c", SIDE), ("d", []), ("e", BLOOD), ("f", BLOOD))
    pairs.loc[5, "split"] = "test"
    assert sorted(four_pairs(pairs, toy)) == [0, 1, 2, 4]
    with pytest.raises(PhenoLIPError, match="^3 training pairs have a phenotype; the examples take four"):
        four_pairs(pairs.drop(index=4), toy)


@pytest.mark.parametrize("n", [4, 7, 40])
def test_others_train_beside_the_examples_and_other_splits_stay(n):
    pairs = pd.DataFrame({"split": ["train"] * 20 + ["val"] * 5})
    found = with_others(np.array([3, 9, 1, 2]), pairs, n)["split"]
    assert (found[[1, 2, 3, 9]] == "train").all()
    assert (found == "train").sum() == min(n, 20)
    assert (found[20:] == "val").all()


def test_what_the_teacher_brought_takes_the_last_epoch_of_methods_that_differ_in_it_alone(params):
    rows = [
        (1, "clip", 0, 0.9),
        (2, "clip", 0, 0.5),
        (2, "clip", 1, 0.5),
        (2, "phenolip", 0, 0.4),
        (2, "phenolip", 1, 0.6),
    ]
    history = pd.DataFrame(rows, columns=["epoch", "method", "seed", "val_t2i_recall@10"])
    gain = distilled.validation_gain(history, params)
    assert gain.to_dict("records") == [
        {"method": "phenolip", "without": "clip", "metric": "t2i_recall@10", "difference": 0.0, "lowest": -10.0,
         "highest": 10.0, "seeds": 2}
    ]  # fmt: skip
    assert "T2I R@10 +0.0 points (undecided)" in distilled.in_words(gain, "open")
    alone = distilled.validation_gain(history[history["method"] == "clip"], params)
    assert distilled.in_words(alone, "open") == "No method was trained both with the teacher and without it."
