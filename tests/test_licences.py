"""Licence texts as they occur in articles and tables, and what each licence allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.licences import PERMISSIONS, UNKNOWN, USES, spdx, use_allowed
from phenolip_lib.data.records import Record

TEXTS = {
    "CC BY-NC-SA": "CC-BY-NC-SA",
    "CC BY-NC-SA 4.0": "CC-BY-NC-SA-4.0",
    "cc-by-nc": "CC-BY-NC",
    "CC BY 4": "CC-BY-4.0",
    "CC-BY-4.0": "CC-BY-4.0",
    "CC BY-NC-ND license": "CC-BY-NC-ND",
    "cc by nc nd, version 3.0": "CC-BY-NC-ND-3.0",
    "Creative Commons Attribution 4.0": "CC-BY-4.0",
    "Creative Commons Attribution 4.0 International License": "CC-BY-4.0",
    "Creative Commons Attribution-NonCommercial-ShareAlike 3.0 Unported": "CC-BY-NC-SA-3.0",
    "the Creative Commons Attribution Non Commercial No Derivatives licence": "CC-BY-NC-ND",
    "https://creativecommons.org/licenses/by-nc/4.0/": "CC-BY-NC-4.0",
    "http://creativecommons.org/licenses/by/2.0": "CC-BY-2.0",
    "creativecommons.org/licenses/by-nd/4.0/legalcode": "CC-BY-ND-4.0",
    "https://creativecommons.org/licenses/by-sa/": "CC-BY-SA",
    "http://creativecommons.org/licences/by/4.0/": "CC-BY-4.0",
    "https://creativecommons.org/licenses/by%2Dnc/4.0/": "CC-BY-NC-4.0",
    "creativecommons.org/licenses/by-\nnc-nd/ 4.0": "CC-BY-NC-ND-4.0",
    "creativecommons.org/licenses/by/4.0/ and no others": "CC-BY-4.0",
    "Creative Commons Attribution-NonCommercial-NonDerivs 3.0": "CC-BY-NC-ND-3.0",
    "Creative Commons Attribution \u2013 Non\u2011Commercial \u2013 No Derivatives": "CC-BY-NC-ND",
    "Creative Commons Attribution Non\u00adCommercial": "CC-BY-NC",
    "CC\u2011BY\u2010NC 4.0": "CC-BY-NC-4.0",
    "https://creativecommons.org/publicdomain/zero/1.0/": "CC0-1.0",
    "https://creativecommons.org/publicdomain/mark/1.0/": "CC-PDM-1.0",
    "CC0": "CC0-1.0",
    "CC0-1.0": "CC0-1.0",
    "CC0 1.0 Universal": "CC0-1.0",
    "Creative Commons Zero": "CC0-1.0",
    "Creative Commons Attribution License 4.0; the CC0 waiver holds for the data": "CC-BY-4.0",
    "CC0 creativecommons.org/publicdomain/zero/1.0/ data, creativecommons.org/licenses/by/4.0/ text": "CC-BY-4.0",
    "public domain": "LicenseRef-public-domain",
    "This is in the public-domain.": "LicenseRef-public-domain",
    "This figure is not in the public domain": UNKNOWN,
    "MIT": "MIT",
    "MIT License": "MIT",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "LicenseRef-NLM-MedPix": "LicenseRef-NLM-MedPix",
    "": UNKNOWN,
    "NOASSERTION": UNKNOWN,
    "All rights reserved": UNKNOWN,
    "NO-CC CODE": UNKNOWN,
    "submitted to MIT students": UNKNOWN,
    "CC BY-ND-SA 4.0": UNKNOWN,
    "CC BYTES 4.0": UNKNOWN,
}


@pytest.mark.parametrize("text, expected", TEXTS.items())
def test_free_texts_become_spdx(text, expected):
    assert spdx(text) == expected


def test_nothing_stated_is_no_assertion():
    assert spdx(None) == UNKNOWN


@given(st.text(max_size=60) | st.sampled_from(sorted(TEXTS)))
def test_normalising_twice_changes_nothing_and_a_guess_never_frees(text):
    once = spdx(text)
    assert spdx(once) == once
    if once == UNKNOWN:
        assert not use_allowed(once, "commercial")


@pytest.mark.parametrize(
    "licence, redistribution, commercial",
    [
        ("CC0-1.0", True, True),
        ("CC-BY-4.0", True, True),
        ("CC-BY", True, True),
        ("CC-BY-SA-3.0", True, True),
        ("CC-BY-NC-4.0", True, False),
        ("CC-BY-NC-SA", True, False),
        ("CC-BY-ND-4.0", False, True),
        ("CC-BY-NC-ND-4.0", False, False),
        ("MIT", True, True),
        ("Apache-2.0", True, True),
        ("LicenseRef-public-domain", True, True),
        ("LicenseRef-NLM-MedPix", False, False),
        (UNKNOWN, False, False),
        ("something else", False, False),
        ("", False, False),
    ],
)
def test_permissions(licence, redistribution, commercial):
    assert use_allowed(licence, "any")
    assert use_allowed(licence, "redistribution") is redistribution
    assert use_allowed(licence, "commercial") is commercial


def test_the_table_knows_only_declared_uses():
    assert set().union(*PERMISSIONS.values()) == set(USES) - {"any"}
    with pytest.raises(PhenoLIPError, match="unknown use 'sale' of data; there are any"):
        use_allowed("MIT", "sale")


def test_records_keep_only_text_that_can_be_written():
    record = Record(
        "d/1", "d", "a.png", "other", "g", "MIT", "", caption="a\ud800b\0c", context="\ud83d\ude00 \u00e9\udfff"
    )
    assert (record.caption, record.context) == ("a\ufffdbc", "\U0001f600 \u00e9\ufffd")
    record.caption.encode()
