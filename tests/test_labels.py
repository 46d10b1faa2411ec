"""Labels as people write them, on the toy ontology's names and on those of HPO that hold commas."""

import pytest

from phenolip_lib.data.labels import read_labels, split_labels
from phenolip_lib.ontology.wordings import by_name

HEART, SPLEEN, MILD = "HP:0001640", "HP:0001744", "HP:0001256"


@pytest.fixture(scope="module")
def named(full):
    return by_name(full)


def found(text, onto, named):
    ids, names = split_labels([text])
    return [one for label in (*ids, *names) for one in read_labels(label, onto, named)]


@pytest.mark.parametrize(
    "text, want",
    [
        ("HP:0001640", [HEART]),
        ("hp_0001640", [HEART]),
        ("HP0001640", [HEART]),
        ("HP\uff1a0001640", [HEART]),
        ("http://purl.obolibrary.org/obo/HP_0001640", [HEART]),
        ("<https://hpo.jax.org/browse/term/HP:0001640>", [HEART]),
        ("https://hpo.jax.org/browse/term/HP:0001640#genes", [HEART]),
        ("https://example.org/term?id=HP:0001640&lang=en", [HEART]),
        ("https://www.ebi.ac.uk/ols4/classes/http%253A%252F%252Fpurl.obolibrary.org%252Fobo%252FHP_0001640", [HEART]),
        ("[Cardiomegaly](https://hpo.jax.org/app/browse/term/HP:0001640)", [HEART]),
        ("HP-0001640", [HEART]),
        ("HPO:0001640", [HEART]),
        ("HP:0001640 (present)", [HEART]),
        ("no ear lobe (HP:0000387)", ["HP:0000387"]),
        ("Cardiomegaly / splenomegaly", [HEART, SPLEEN]),
        ("Cardiomegaly and Splenomegaly", [HEART, SPLEEN]),
        ("Cardiomegaly\tSplenomegaly", [HEART, SPLEEN]),
        ("Cardiomegaly (HP:0001640)", [HEART]),
        ("HP:0001640 ! Cardiomegaly", [HEART]),
        ("big heart (HP:0001640)", [HEART]),
        ("HP:0001640,HP:0001744", [HEART, SPLEEN]),
        ("HP:0001640 HP:0001744", [HEART, SPLEEN]),
        ("Cardiomegaly, Splenomegaly", [HEART, SPLEEN]),
        ("Cardiomegaly|splenomegaly ; \n", [HEART, SPLEEN]),
        ("['Cardiomegaly', 'HP:0001744']", [HEART, SPLEEN]),
        ("Intellectual disability, mild", [MILD]),
        ("Cardiomegaly, Intellectual disability,mild, Splenomegaly", [HEART, MILD, SPLEEN]),
        ("Cardiomegaly, Intellectual disability, mild (HP:0001256), Splenomegaly (HP:0001744)", [HEART, MILD, SPLEEN]),
        ("None; NA, -", []),
    ],
)
def test_ids_addresses_names_and_lists(text, want, full, named):
    assert found(text, full, named) == [(hpo_id, "") for hpo_id in want]


@pytest.mark.parametrize(
    "text, want, reason",
    [
        ("Cardiomegaly, big nonsense", [HEART], "'big nonsense' names no phenotype of HPO"),
        ("Splenomegaly (HP:0001640)", [], "'Splenomegaly (HP:0001640)' contradicts itself: HP:0001640 is Cardiomegaly"),
        ("HP:9999999, HP:0001640", [HEART], "HP:9999999 is not in HPO"),
        ("NOT HP:0001640", [], "'NOT HP:0001640' says that it is absent"),
        ("HP:0001640 (absent), Splenomegaly", [SPLEEN], "'HP:0001640 (absent)' says that it is absent"),
        ("HP:0001640=0", [], "'HP:0001640=0' says that it is absent"),
        ("no cardiomegaly (HP:0001640)", [], "'no cardiomegaly (HP:0001640)' says that it is absent"),
        ("no cardiomegaly", [], "'no cardiomegaly' names no phenotype"),
        ("Cardiomegaly / big nonsense", [], "'Cardiomegaly / big nonsense' names no phenotype"),
        ("HP:00016401", [], "'HP:00016401' names no phenotype"),
        ("something (odd)", [], "'something (odd)' names no phenotype"),
    ],
)
def test_what_is_no_label_is_said_and_the_rest_stays(text, want, reason, full, named):
    result = found(text, full, named)
    assert [hpo_id for hpo_id, _ in result if hpo_id] == want
    (said,) = [words for hpo_id, words in result if not hpo_id]
    assert said.startswith(reason)
