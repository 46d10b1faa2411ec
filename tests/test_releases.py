"""What changed between releases, on toy pairs made by editing the toy's text."""

import pandas as pd
import pytest

from phenolip_lib.core.sections import Hpo
from phenolip_lib.ontology import hpo, releases
from phenolip_lib.ontology.ontology import Ontology
from tests.conftest import DATA

SPLEEN = """[Term]
id: HP:0001744
name: Splenomegaly
def: "Abnormal increased size of the spleen." []
synonym: "Large spleen" EXACT layperson []
synonym: "Big organ" BROAD []
xref: SNOMEDCT_US:16294009
xref: UMLS:C0038002
is_a: HP:0001871 ! Abnormality of blood and blood-forming tissues
is_a: HP:0001626 ! Abnormality of the cardiovascular system
"""
HEART = """[Term]
id: HP:0001627
name: Abnormal heart morphology
alt_id: HP:0002564
def: "Any structural anomaly of the heart." []
is_a: HP:0001626 ! Abnormality of the cardiovascular system
"""
OBSOLETE = "[Term]\nid: HP:0001744\nname: obsolete Splenomegaly\nis_obsolete: true\n"


@pytest.fixture
def edited(tmp_path):
    """The toy after replacements in its text, each of which must change it."""

    def make(*changes: tuple[str, str]) -> Ontology:
        text = (DATA / "toy.obo").read_text().replace("releases/toy", "releases/next")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "next.obo"
        file.write_text(text)
        return hpo.read_release(Hpo(obo=str(file), sha256=None, annotations=None), tmp_path)

    return make


def rows(table: pd.DataFrame) -> list[tuple]:
    return list(table.itertuples(index=False, name=None))


def counts(changes: releases.ReleaseDiff) -> dict[str, int]:
    table = changes.summary()
    return {change: n for change, n in zip(table["change"], table["terms"], strict=True) if n}


def test_a_release_does_not_differ_from_itself(full):
    assert counts(releases.diff(full, full)) == {}
    mapping = releases.carry(full.ids, full, full)
    assert (mapping["new_id"] == mapping["hpo_id"]).all()
    assert set(mapping["change"]) == {"kept"}
    old = releases.carry(full.replaced, full, full)
    assert dict(zip(old["hpo_id"], old["new_id"], strict=True)) == full.replaced
    assert set(old["change"]) == {"merged", "replaced"}


def test_new_renamed_moved_and_redefined_terms(toy, edited):
    new = edited(
        (SPLEEN, SPLEEN + "\n[Term]\nid: HP:0001743\nname: Abnormality of the spleen\nis_a: HP:0001871 ! x\n"),
        ("name: Cardiomegaly", "name: Enlarged heart"),
        ("name: Dextrocardia\n", "name: Dextrocardia\nis_a: HP:0000118 ! x\n"),
        ("The heart is located in the right hand side", "The heart is in the right half"),
    )
    changes = releases.diff(toy, new)
    assert (changes.old, changes.new) == ("hp/releases/toy", "hp/releases/next")
    assert rows(changes.added) == [("HP:0001743", "Abnormality of the spleen")]
    assert rows(changes.renamed) == [("HP:0001640", "Cardiomegaly", "Enlarged heart")]
    assert rows(changes.moved) == [("HP:0001651", "Dextrocardia", "HP:0001627", "HP:0000118 HP:0001627")]
    assert [row[:2] for row in rows(changes.redefined)] == [
        ("HP:0001651", "The heart is located in the right hand side of the thorax.")
    ]
    assert counts(changes) == {"added": 1, "renamed": 1, "moved": 1, "redefined": 1}


def test_a_merged_term_is_no_obsolete_one_and_its_children_did_not_move(toy, edited):
    """HP:0001627 goes into its parent; what was merged into it before follows."""
    new = edited(
        (HEART, "[Term]\nid: HP:0002564\nname: obsolete Heart\nis_obsolete: true\nreplaced_by: HP:0001627\n"),
        ("is_a: HP:0001627", "is_a: HP:0001626"),
        ("id: HP:0001626\n", "id: HP:0001626\nalt_id: HP:0001627\n"),
    )
    changes = releases.diff(toy, new)
    successor = ("HP:0001626", "Abnormality of the cardiovascular system")
    assert rows(changes.merged) == [("HP:0001627", "Abnormal heart morphology", *successor)]
    assert counts(changes) == {"merged": 1}
    mapping = releases.carry(["HP:0002564", "HP:0001627"], toy, new)
    assert rows(mapping[["new_id", "change"]]) == [("HP:0001626", "merged")] * 2


@pytest.mark.parametrize(
    ("stanza", "change", "reason"),
    [
        (OBSOLETE + "replaced_by: HP:0001903\n", "replaced", ""),
        (OBSOLETE, "lost", "obsolete in HPO hp/releases/next without a single successor"),
        (
            OBSOLETE + "consider: HP:0001903\n",
            "lost",
            "obsolete in HPO hp/releases/next without a single successor; consider HP:0001903",
        ),
        (
            OBSOLETE + "replaced_by: HP:0001903\nreplaced_by: HP:0001640\n",
            "lost",
            "obsolete in HPO hp/releases/next without a single successor; consider HP:0001640 HP:0001903",
        ),
        ("", "lost", "not in HPO hp/releases/next"),
    ],
    ids=["successor", "none", "hint", "split", "absent"],
)
def test_terms_that_are_gone(toy, edited, stanza, change, reason):
    new = edited((SPLEEN, stanza))
    new_id, name = ("HP:0001903", "Anemia") if change == "replaced" else ("", "")
    changes = releases.diff(toy, new)
    assert rows(changes.obsolete) == [("HP:0001744", "Splenomegaly", new_id, name, reason)]
    kind = "obsolete, without" if change == "lost" else "obsolete, with a successor"
    assert counts(changes) == {"obsolete": 1, kind: 1}
    assert rows(releases.carry(["HP:0001744"], toy, new)) == [("HP:0001744", new_id, change, reason)]


def test_an_id_is_read_as_the_old_release_reads_it(toy, edited):
    """HP:0002564 was merged into HP:0001627, and is a term of its own again."""
    new = edited(
        ("alt_id: HP:0002564\n", ""),
        (SPLEEN, SPLEEN + "\n[Term]\nid: HP:0002564\nname: Heart thing\nis_a: HP:0001626 ! x\n"),
    )
    assert new["HP:0002564"].name == "Heart thing"
    assert rows(releases.carry(["HP:0002564"], toy, new)) == [("HP:0002564", "HP:0001627", "merged", "")]


def test_a_graph_is_carried_and_what_is_lost_is_told(toy, edited):
    new = edited((SPLEEN, OBSOLETE), ("name: Anemia\n", "name: Anaemia\n"))
    pairs = pd.DataFrame(
        {
            "pair_id": ["a", "b", "c"],
            "group": ["1", "1", "2"],
            "phenotypes": [["HP:0001744", "HP:0009999", "HP:0001640"], ["HP:0001903"], ["HP:0001744"]],
        },
        index=[5, 6, 7],
    )
    before = pairs.copy(deep=True)
    carried, lost = releases.carry_table(pairs, "phenotypes", toy, new)
    assert carried["phenotypes"].to_dict() == {5: ["HP:0001640"], 6: ["HP:0001903"], 7: []}
    assert [row[:2] for row in rows(lost)] == [(5, "HP:0001744"), (7, "HP:0001744")]
    assert lost["reason"].str.startswith("obsolete in HPO hp/releases/next").all()
    pd.testing.assert_frame_equal(pairs, before)

    assert sorted(h for own in carried["phenotypes"] for h in own if h in new) == ["HP:0001640", "HP:0001903"]


def test_an_empty_table_is_carried(toy):
    carried, lost = releases.carry_table(pd.DataFrame({"phenotypes": []}, dtype=object), "phenotypes", toy, toy)
    assert carried.empty
    assert lost.empty
