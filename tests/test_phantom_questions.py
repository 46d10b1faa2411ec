"""Questions about the atlas: each answer is true by the atlas's own tables and masks, and guessing does not pay."""

import hashlib
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.questions.phantom import questions
from phenolip_lib.data.questions.table import COLUMNS
from phenolip_lib.phantom.atlas import DOMAINS, build, phenotypes
from phenolip_lib.phantom.captions import in_sentence
from phenolip_lib.phantom.facts import ORGANS, side
from phenolip_lib.phantom.names import caption_names
from phenolip_lib.phantom.questions import NO_FINDING, WORDINGS
from tests.test_phantom import SMALL


@pytest.fixture(scope="module")
def names(full):
    return caption_names(full, phenotypes()["hpo_id"])


@pytest.fixture(scope="module")
def root(names, tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas") / "phantom"
    build(folder, names, workers=1, **SMALL | {"normal_share": 0.15, "seed": 5})
    return folder


@pytest.fixture(scope="module")
def tables(root):
    read = {name: pd.read_csv(root / f"{name}.csv", dtype=str, keep_default_na=False) for name in ("figures", "panels")}
    return read["figures"], read["panels"].set_index(["figure_id", "panel"])


@pytest.fixture(scope="module")
def pairs(tables):
    figures, _ = tables
    own = figures[figures["duplicate_of"] == ""]
    splits = own["article_id"].map(lambda a: ("train", "val", "test")[hashlib.sha256(a.encode()).digest()[0] % 3])
    table = pd.DataFrame(
        {"pair_id": "phantom/" + own["figure_id"], "dataset": "phantom", "image": own["image"], "split": splits}
    )
    return pd.concat([table, table.iloc[:1].assign(pair_id="phantom/F00000#b"), table.iloc[:1].assign(dataset="x")])


@pytest.fixture(scope="module")
def found(pairs, root, names):
    return questions(pairs, root, names)


def called(question: str, kind: str, names: dict) -> set[str]:
    """The findings that a question may speak of, found by reading its wording backwards."""
    groups = [kind] if kind != "finding" else ["finding", "second finding"]
    found = set()
    for wording in (w for group in groups for w in WORDINGS[group]):
        before, _, after = wording.partition("{name}")
        if match := re.fullmatch(f"{re.escape(before)}(.*){re.escape(after)}", question):
            found |= {h for h, own in names.items() if match[1] in [in_sentence(name) for name in own]}
    return found


def test_every_answer_is_what_the_atlas_says(found, tables, root, names):
    figures, panels = tables
    modality = figures.set_index("figure_id")["modality"]
    for row in found.table.itertuples():
        figure_id = row.image_id.removeprefix("phantom/")
        panel = panels.loc[(figure_id, "a")]
        shown = [name for name in panel["findings"].split(";") if name]
        severities = dict(zip(shown, map(float, filter(None, panel["severities"].split(";"))), strict=True))
        domain = DOMAINS[modality[figure_id]]
        about = called(row.question, row.kind, names) & set(domain.findings)
        if row.kind == "modality":
            assert row.answer == domain.views[0]
        elif row.kind == "organ":
            organ = ORGANS.get(domain.modality)
            assert row.answer == organ if organ else row.answer in ("chest", "hand")
        elif row.kind == "number":
            assert row.answer == str(len(shown))
        elif row.kind == "presence":
            assert about
            assert row.answer == ("yes" if about & set(shown) else "no")
        elif row.kind == "finding":
            others = [name for name in shown if name not in about]
            assert row.answer in ([names[name][0] for name in others] if shown else [NO_FINDING])
        elif row.kind == "severity":
            (hpo_id,) = about & set(shown)
            degree = severities[hpo_id]
            assert row.answer == ("mild" if degree < 0.4 else "moderate" if degree < 0.7 else "marked")
        else:
            assert row.kind == "side"
            (hpo_id,) = about & set(shown)
            mask = np.asarray(Image.open(root / f"masks/{figure_id}.png")) >> shown.index(hpo_id) & 1
            left, right = mask[:, :32].sum(), mask[:, 32:].sum()
            assert row.answer == ("left" if left > 8 * right else "right" if right > 8 * left else "both")


def test_the_table_has_split_and_image_of_the_pair(found, pairs, tables, root):
    table = found.table
    assert table.columns.tolist() == COLUMNS
    assert table["question_id"].is_unique
    assert table["question_id"].is_monotonic_increasing
    own = pairs[pairs["dataset"] == "phantom"].set_index("pair_id")
    assert (table["split"].to_numpy() == own.loc[table["image_id"], "split"].to_numpy()).all()
    assert (table["image_path"].to_numpy() == own.loc[table["image_id"], "image"].to_numpy()).all()
    figures, _ = tables
    n_compound = ((figures["compound"] == "1") & (figures["duplicate_of"] == "")).sum()
    assert found.skipped == {"a figure of several panels": n_compound + 1}
    assert table["image_id"].nunique() == len(own) - n_compound - 1
    assert table["kind"].nunique() == 7


def test_denied_findings_are_as_many_as_shown_and_could_be_seen(found, tables, names):
    presence = found.table[found.table["kind"] == "presence"]
    counts = presence["answer"].value_counts()
    assert counts["no"] <= counts["yes"] <= 1.02 * counts["no"]
    assert presence["closed"].all()
    figures, panels = tables
    modality = figures.set_index("figure_id")["modality"]
    for row in presence[presence["answer"] == "no"].itertuples():
        figure_id = row.image_id.removeprefix("phantom/")
        domain = DOMAINS[modality[figure_id]]
        shown = panels.loc[(figure_id, "a"), "findings"].split(";")
        about = called(row.question, row.kind, names) & set(domain.findings)
        assert any(domain.compatible(hpo_id, own) for hpo_id in about for own in shown)


def test_questions_do_not_depend_on_the_order_of_pairs_and_every_wording_occurs(found, pairs, root, names):
    again = questions(pairs.sample(frac=1, random_state=1), root, lambda hpo_id: names[hpo_id])
    pd.testing.assert_frame_equal(again.table, found.table)
    for kind, wordings in WORDINGS.items():
        for wording in wordings:
            pattern = re.escape(wording).replace(r"\{name\}", ".+")
            assert found.table["question"].str.fullmatch(pattern).any(), (kind, wording)


def test_sides_of_masks():
    mask = np.zeros((30, 30), bool)
    assert side(mask) == ""
    mask[5:15, 2:8] = True
    assert (side(mask), side(mask[:, ::-1])) == ("left", "right")
    assert side(mask | mask[:, ::-1]) == "both"
    middle = np.zeros((30, 30), bool)
    middle[:, 12:18] = True
    assert side(middle) == ""


def test_an_absent_atlas_a_damaged_one_and_a_missing_name_are_said(pairs, root, names, tmp_path):
    with pytest.raises(PhenoLIPError, match="the atlas is not drawn yet"):
        questions(pairs, tmp_path, names)
    with pytest.raises(PhenoLIPError, match="'HP:[0-9]+', which no name is given for"):
        questions(pairs, root, {})
    for name in ("figures", "panels", "mentions"):
        (tmp_path / f"{name}.csv").write_text((root / f"{name}.csv").read_text())
    with pytest.raises(PhenoLIPError, match=r"the atlas is damaged \(.*masks.*run `phenolip run atlas`"):
        questions(pairs, tmp_path, names)
    (tmp_path / "panels.csv").write_text("a,b\n1,2\n")
    with pytest.raises(PhenoLIPError, match="the atlas is damaged"):
        questions(pairs, tmp_path, names)
