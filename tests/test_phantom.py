"""The phantom atlas: equal bytes for equal seeds, and a truth that can be trusted."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import MODALITIES
from phenolip_lib.data.sources import phantom
from phenolip_lib.phantom import captions, frames
from phenolip_lib.phantom.atlas import DOMAINS, build, phenotypes
from phenolip_lib.phantom.captions import in_sentence, write_caption
from phenolip_lib.phantom.compound import draw_compound
from phenolip_lib.phantom.names import caption_names
from phenolip_lib.phantom.plan import long_tail

SMALL = {
    "subjects_per_finding": 2,
    "size": 64,
    "compound_share": 0.15,
    "duplicate_share": 0.1,
    "normal_share": 0.1,
    "second_finding_share": 0.3,
    "seed": 11,
}


@pytest.fixture(scope="module")
def names(full):
    return caption_names(full, phenotypes()["hpo_id"])


@pytest.fixture(scope="module")
def root(names, tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas") / "phantom"
    build(folder, names, workers=1, **SMALL)
    return folder


@pytest.fixture(scope="module")
def tables(root):
    return {
        name: pd.read_csv(root / f"{name}.csv", keep_default_na=False, dtype={"findings": str, "severities": str})
        for name in ("figures", "panels", "mentions")
    }


def fingerprint(folder) -> str:
    tree = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        tree.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return tree.hexdigest()


# --- what is drawn -------------------------------------------------------------------------------


def test_every_finding_is_a_live_leaf_phenotype(full):
    table = phenotypes()
    assert set(table["modality"]) == set(MODALITIES) - {"other"}
    assert table["hpo_id"].is_unique
    for hpo_id in table["hpo_id"]:
        assert hpo_id in full.phenotypes, f"{hpo_id} is not a live term under Phenotypic abnormality"
        assert full.resolve(hpo_id) == hpo_id
        assert len(full.descendants(hpo_id) - {hpo_id}) <= 12, f"{full[hpo_id].name} is not specific enough"


@pytest.mark.parametrize("modality", sorted(DOMAINS))
def test_every_finding_can_be_seen(modality):
    domain = DOMAINS[modality]
    for k, hpo_id in enumerate(sorted(domain.findings)):
        canvas = domain.render({hpo_id: 0.5}, np.random.default_rng(k), 96)
        assert canvas.masks[hpo_id].any(), hpo_id
        assert canvas.to_uint8().shape == (96, 96, 3)


def test_the_tail_is_long_and_keeps_its_mean():
    counts = long_tail(80, 32)
    assert counts.mean() == pytest.approx(32, rel=0.02)
    assert counts.max() == 64
    assert counts.min() >= 8
    assert (np.diff(counts) <= 0).all()


# --- the folder ----------------------------------------------------------------------------------


def test_equal_seeds_give_equal_bytes_for_any_number_of_workers(root, names, tmp_path):
    build(tmp_path / "again", names, workers=2, **SMALL)
    assert fingerprint(tmp_path / "again") == fingerprint(root)


def test_another_seed_gives_another_atlas_and_replaces_the_old_one(names, tmp_path):
    few = SMALL | {"subjects_per_finding": 1, "size": 48}
    prints = set()
    for seed in (1, 2):
        build(tmp_path / "phantom", names, workers=1, **(few | {"seed": seed}))
        prints.add(fingerprint(tmp_path / "phantom"))
    assert len(prints) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["phantom"]


def test_tables_and_files_agree(root, tables):
    figures, panels = tables["figures"], tables["panels"]
    assert figures["figure_id"].is_unique
    assert {p.stem for p in (root / "images").iterdir()} == set(figures["figure_id"])
    assert set(panels["figure_id"]) == set(figures["figure_id"])
    assert set(figures["modality"]) == set(MODALITIES) - {"other"}
    assert set(";".join(panels["findings"]).split(";")) - {""} == set(phenotypes()["hpo_id"])
    sizes = {f: Image.open(root / "images" / f"{f}.png").size for f in figures["figure_id"]}
    for row in panels.itertuples():
        width, height = sizes[row.figure_id]
        assert 0 <= row.x0 < row.x1 <= width
        assert 0 <= row.y0 < row.y1 <= height
    compound = set(figures.loc[figures["compound"] == 1, "figure_id"])
    n_panels = panels["figure_id"].value_counts()
    assert all((n_panels[f] > 1) == (f in compound) for f in n_panels.index)


def test_masks_show_the_findings_where_the_panels_are(root, tables):
    for figure_id, panels in tables["panels"].groupby("figure_id"):
        findings = sorted({f for own in panels["findings"] for f in own.split(";") if f})
        path = root / "masks" / f"{figure_id}.png"
        assert path.exists() == bool(findings)
        if not findings:
            continue
        mask = np.asarray(Image.open(path))
        assert int(mask.max()) < 2 ** len(findings)
        for row in panels.itertuples():
            part = mask[row.y0 : row.y1, row.x0 : row.x1]
            present = {f for k, f in enumerate(findings) if (part >> k & 1).any()}
            assert present <= set(row.findings.split(";"))
            # At this tiny size a mild finding may be smaller than a pixel.
            strong = zip(row.findings.split(";"), row.severities.split(";"), strict=True)
            if row.findings:
                assert {f for f, s in strong if float(s) > 0.5 and len(findings) == 1} <= present


def test_duplicates_look_like_their_originals(root, tables):
    figures = tables["figures"].set_index("figure_id")
    copies = figures[figures["duplicate_of"] != ""]
    assert 0.08 <= len(copies) / len(figures) <= 0.12
    originals = figures.loc[copies["duplicate_of"]]
    assert (originals["duplicate_of"] == "").all()
    assert (originals["modality"].to_numpy() == copies["modality"].to_numpy()).all()
    assert 0 < (originals["article_id"].to_numpy() != copies["article_id"].to_numpy()).mean() < 1

    def small(image):
        return np.asarray(Image.open(root / image).convert("L").resize((12, 12)), dtype=float).ravel()

    for copy, original in zip(copies["image"], originals["image"], strict=True):
        assert (root / copy).read_bytes() != (root / original).read_bytes()
        assert np.corrcoef(small(copy), small(original))[0, 1] > 0.9


# --- captions ------------------------------------------------------------------------------------


def test_mentions_are_where_the_tables_say(tables, names):
    text = tables["figures"].set_index("figure_id")["caption"]
    panels = tables["panels"].groupby("figure_id")["findings"].agg(";".join)
    for m in tables["mentions"].itertuples():
        assert text[m.figure_id][m.start : m.end] == m.surface
        assert m.surface.lower() in {name.lower() for name in names[m.hpo_id]}
        assert (m.hpo_id in panels[m.figure_id]) == (not m.negated)
    named = tables["mentions"].query("negated == 0").groupby("figure_id")["hpo_id"].agg(set)
    for figure_id, own in panels.items():
        assert set(own.split(";")) - {""} == named.get(figure_id, set())


def test_captions_of_a_healthy_subject_affirm_nothing(tables):
    healthy = tables["panels"].groupby("figure_id")["findings"].agg("".join)
    healthy = healthy.index[healthy == ""]
    assert len(healthy)
    mentions = tables["mentions"]
    assert mentions.loc[mentions["figure_id"].isin(healthy), "negated"].eq(1).all()


def written(names, n=60):
    for modality, domain in sorted(DOMAINS.items()):
        ids = sorted(domain.findings)
        for k in range(n):
            rng = np.random.default_rng([3, k])
            shown = {ids[k % len(ids)]: rng.random()} if k % 8 else {}
            yield (modality, shown, *write_caption(rng, domain, shown, names))


def test_captions_are_of_bearable_length_and_never_only_a_label(names):
    lengths, openings, label = [], set(), []
    for _, shown, caption, mentions in written(names):
        lengths.append(len(caption.split()))
        openings.add(caption.split()[0])
        for m in mentions:
            assert len(names[m.hpo_id][0]) + 10 < len(caption)
            assert m.negated == (m.hpo_id not in shown)
            if len(names[m.hpo_id]) > 1:
                label.append(caption[m.start : m.end].lower() == names[m.hpo_id][0].lower())
        assert caption[0].isupper() or caption[0].isdigit()
        assert "{" not in caption
        assert ".." not in caption
        assert "  " not in caption
    assert min(lengths) >= captions.MIN_WORDS
    assert max(lengths) <= captions.MAX_WORDS
    assert max(lengths) > 40
    assert len(openings) > 25
    assert np.mean(label) < 0.25
    assert len(frames.MAIN_FRAMES) >= 25


@pytest.mark.parametrize(
    "name, written",
    [
        ("Drusen", "drusen"),
        ("Howell-Jolly bodies", "Howell-Jolly bodies"),
        ("MCV decreased", "MCV decreased"),
        ("Type I fibers", "type I fibers"),
        ("Lisch nodules", "Lisch nodules"),
        ("Beau's lines", "Beau's lines"),
        ("Long, slender fingers", "long, slender fingers"),
        ("3-4 syndactyly", "3-4 syndactyly"),
    ],
)
def test_names_inside_a_sentence(name, written):
    assert in_sentence(name) == written


def test_nobody_rules_out_what_the_view_cannot_show(names):
    domain = DOMAINS["radiology"]
    for k in range(200):
        rng = np.random.default_rng(k)
        shown = str(rng.choice(sorted(domain.findings)))
        _, mentions = write_caption(rng, domain, {shown: 0.5}, names)
        assert all(domain.compatible(shown, m.hpo_id) for m in mentions if m.negated)


# --- compound figures ----------------------------------------------------------------------------


def test_compound_figures_know_their_panels(names):
    domain = DOMAINS["hematology"]
    first, second = sorted(domain.findings)[:2]
    for seed in range(12):
        rng = np.random.default_rng(seed)
        figure = draw_compound(rng, domain, [{first: 0.9}, {}, {second: 0.9}], (2, 1, 1), names, 64)
        assert [p.label for p in figure.panels] == list("abcd")
        assert [sorted(p.findings) for p in figure.panels] == [[first], [first], [], [second]]
        assert [m.hpo_id for m in figure.mentions] == [first, second]
        x0, y0, x1, y1 = figure.panels[2].box
        assert not figure.mask[y0:y1, x0:x1].any()
        areas = np.zeros(figure.mask.shape, int)
        for p in figure.panels:
            areas[p.box[1] : p.box[3], p.box[0] : p.box[2]] += 1
        assert areas.max() == 1


def test_a_figure_of_seven_panels_is_refused(names):
    with pytest.raises(ValueError, match="7 panels"):
        draw_compound(np.random.default_rng(0), DOMAINS["face"], [{}], (7,), names, 64)


# --- the source ----------------------------------------------------------------------------------


def test_records_carry_what_is_known_of_the_whole_picture(root, tables):
    figures = tables["figures"].set_index("figure_id")
    findings = tables["panels"].groupby("figure_id")["findings"].first()
    records = list(phantom.records(root))
    assert len(records) == len(figures)
    classes = set()
    for r in records:
        figure_id = r.record_id.removeprefix("phantom/")
        row = figures.loc[figure_id]
        assert (r.group, r.caption, r.modality, r.compound) == (
            row["article_id"],
            row["caption"],
            row["modality"],
            bool(row["compound"]),
        )
        assert r.licence == "CC0-1.0"
        if r.compound:
            assert (r.labels, r.class_name) == ((), "")
            continue
        own = tuple(f for f in findings[figure_id].split(";") if f)
        assert r.labels == own
        assert r.class_name == {0: "normal", 1: own[0] if own else ""}.get(len(own), "")
        classes.add(r.class_name)
    assert {"", "normal"} <= classes


def test_an_atlas_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PhenoLIPError, match="phenolip run atlas"):
        list(phantom.records(tmp_path / "none"))


def test_an_ontology_without_a_drawn_phenotype_is_refused(names, tmp_path):
    fewer = dict(names)
    fewer.pop("HP:0001640")
    with pytest.raises(PhenoLIPError, match="HP:0001640"):
        build(tmp_path / "x", fewer, workers=1, **SMALL)
