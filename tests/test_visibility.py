"""What a picture can show: the table names real branches, and nothing that is drawn is hidden."""

import pytest

from phenolip_lib.curation import visibility
from phenolip_lib.curation.visibility import filter_visible, visible, visible_terms
from phenolip_lib.data.records import MODALITIES
from phenolip_lib.phantom.atlas import phenotypes

FEVER, PAIN, VOICE, SEIZURE, HIGH_GLUCOSE = "HP:0001945", "HP:0012531", "HP:0001608", "HP:0001250", "HP:0003074"


def test_every_branch_is_in_the_ontology_under_that_name(full):
    v = visibility
    for branch in (v.NEVER_SEEN, v.SEEN_NEVERTHELESS, v.DEEP, *v.HIDDEN.values(), *v.SHOWN.values()):
        assert {hpo_id: full[hpo_id].name for hpo_id in branch} == branch


def test_all_phenotypes_of_the_atlas_can_be_seen(full):
    table = phenotypes()
    hidden = [(h, m) for h, m in table.itertuples(index=False, name=None) if not visible(full, h, m)]
    assert hidden == []


@pytest.mark.parametrize("modality", MODALITIES)
def test_no_picture_shows_what_is_felt_heard_or_measured(full, modality):
    assert filter_visible(full, [FEVER, PAIN, VOICE, SEIZURE, HIGH_GLUCOSE], modality)[0] == []


@pytest.mark.parametrize(
    "name, where, elsewhere",
    [
        ("Pleural effusion", "radiology", "hematology"),
        ("Retinal hemorrhage", "ophthalmology", "radiology"),
        ("Schistocytosis", "hematology", "radiology"),
        ("Cafe-au-lait spot", "dermatology", "radiology"),
        ("Long philtrum", "face", "radiology"),
        ("Hepatic steatosis", "pathology", "face"),
        ("Nemaline bodies", "histology", "radiology"),
        ("Cerebral edema", "radiology", "dermatology"),
        ("Meningioma", "radiology", "ophthalmology"),
    ],
)
def test_modalities_show_their_own(full, name, where, elsewhere):
    hpo_id = full.find(name, 1)["hpo_id"][0]
    assert full[hpo_id].name == name
    assert visible(full, hpo_id, where)
    assert visible(full, hpo_id, "other")
    assert not visible(full, hpo_id, elsewhere)


def test_the_table_is_the_rule_for_each_term(full):
    """One modality against a walk up from each term."""
    from phenolip_lib.curation.visibility import NEVER_SEEN, SEEN_NEVERTHELESS

    shown = visible_terms(full, "other")
    for hpo_id in full.phenotypes[::37]:
        above = full.ancestors(hpo_id)
        denied = any(branch in above for branch in NEVER_SEEN)
        excepted = any(branch in above for branch in SEEN_NEVERTHELESS)
        assert (hpo_id in shown) == (not denied or excepted)


def test_old_ids_resolve_and_unknown_things_are_refused(full):
    old, new = next((old, new) for old, new in sorted(full.replaced.items()) if new == "HP:0001744")
    assert visible(full, old, "radiology") == visible(full, new, "radiology")
    with pytest.raises(KeyError):
        visible(full, "HP:9999999", "radiology")
    with pytest.raises(ValueError, match="ultrasound"):
        visible_terms(full, "ultrasound")
