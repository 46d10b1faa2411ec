"""Articles of PMC Open Access: figures, texts and licences, and articles that cannot be read."""

import io
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.images import read_image
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources import jats, pmc_oa

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving DTD v1.3//EN" "JATS-archivearticle1.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML"
 xmlns:ali="http://www.niso.org/schemas/ali/1.0/">"""
META = """<front><article-meta><article-id pub-id-type="pmid">77</article-id>
<article-id pub-id-type="pmc">{pmc}</article-id><article-id pub-id-type="doi">10.1/x</article-id>
{permissions}</article-meta></front>"""
CC_BY = '<permissions><license xlink:href="https://creativecommons.org/licenses/by/4.0/"/></permissions>'
BODY = """<body>
<p>Seen in <xref ref-type="fig" rid="f1">Fig. 1</xref> &nbsp;and
<list><list-item><p>inner <xref ref-type="fig" rid="f1 f2">both</xref>.</p></list-item></list>
<fig id="f1"><label>Figure&#160;1</label><caption><title>Chest <italic>CT</italic></title>
<p>(a) Large sp<sc>leen</sc>, H<sub>2</sub>O &#60; 5<inline-formula><alternatives><tex-math>\\documentclass</tex-math>
<mml:math><mml:mi>x</mml:mi><mml:mo>=</mml:mo><mml:mn>1</mml:mn></mml:math></alternatives></inline-formula>.</p>
<p>(b) Normal <xref ref-type="fig" rid="f2">liver</xref>.</p></caption><graphic xlink:href="x.g001"/></fig></p>
<boxed-text><fig id="f2"><label>Figure 2</label><caption><p>Box</p></caption>
<permissions><copyright-statement>Reprinted from elsewhere</copyright-statement></permissions>
<alternatives><graphic xlink:href="none.svg"/><graphic xlink:href="x.g002.tif"/></alternatives></fig></boxed-text>
<supplementary-material><fig id="s1"><graphic xlink:href="x.g001"/></fig></supplementary-material>
</body>
<floats-group><fig-group id="g"><caption><p>Two views</p></caption>
<fig id="f3"><label>A</label><caption><p>Front.</p></caption><graphic xlink:href="x.g001.jpg"/>
<graphic xlink:href="x.g004"/></fig></fig-group>
<fig id="f4"><caption><p>Nothing to see.</p></caption></fig></floats-group>
<sub-article><body><fig id="f9"><graphic xlink:href="x.g001"/></fig></body></sub-article>"""


def article(body: str = BODY, pmc: str = "PMC123", permissions: str = CC_BY) -> bytes:
    return f"{HEAD}{META.format(pmc=pmc, permissions=permissions)}{body}</article>".encode()


def jpg(value: int = 90, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (value, 60, 60)).save(buffer, kind)
    return buffer.getvalue()


FILES = {"x.g001.jpg": jpg(10), "x.g001.gif": jpg(200, "GIF"), "x.g002.png": jpg(20, "PNG")}


def package(path: Path, files: dict[str, bytes], folder: str = "PMC123") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def unpacked(root: Path, files: dict[str, bytes], folder: str = "PMC123") -> None:
    for name, content in files.items():
        path = root / "pmc-oa" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(root: Path) -> tuple[dict[str, Record], dict[str, str]]:
    found = list(pmc_oa.records(root))
    records = {r.record_id: r for r in found if isinstance(r, Record)}
    rejects = {r.record_id: r.reason for r in found if isinstance(r, Reject)}
    assert len(records) + len(rejects) == len(found)
    assert all(r.step == "source" for r in found if isinstance(r, Reject))
    return records, rejects


def test_a_range_of_figures_means_those_between_too(tmp_path):
    figures = "".join(
        f"<fig id='F{i}'><caption><p>Film {i}.</p></caption><graphic xlink:href='x.g002'/></fig>" for i in (1, 2, 3, 4)
    )
    text = "<p>See Figs <xref ref-type='fig' rid='F1'>1</xref>\u2013<xref ref-type='fig' rid='F3'>3</xref>.</p>"
    unpacked(tmp_path, {"a.nxml": article(f"<body>{text}{figures}</body>"), **FILES})
    records, _ = read(tmp_path)
    assert [bool(record.context) for record in records.values()] == [True, True, True, False]


def test_an_article_as_efetch_gives_it(tmp_path):
    whole = article().decode()
    start = whole.index("<article")
    wrapped = f"{whole[:start]}<pmc-articleset>{whole[start:]}</pmc-articleset>"
    unpacked(tmp_path, {"a.nxml": wrapped.encode(), **FILES})
    assert "pmc-oa/PMC123/f1" in read(tmp_path)[0]


@pytest.mark.parametrize("packed", [True, False])
def test_figures_of_an_article(tmp_path, packed):
    files = {"a.nxml": article(), **FILES}
    if packed:
        package(tmp_path / "pmc-oa" / "oa_package" / "00" / "PMC123.tar.gz", files)
    else:
        unpacked(tmp_path, files)
    records, rejects = read(tmp_path)
    assert list(records) == ["pmc-oa/PMC123/f1", "pmc-oa/PMC123/f2", "pmc-oa/PMC123/f3"]
    assert rejects == {
        "pmc-oa/PMC123/f3/2": "picture 'x.g004' is not in the package",
        "pmc-oa/PMC123/f4": "figure has no graphic",
    }
    one, two, three = records.values()
    assert one.caption == "Chest CT. (a) Large spleen, H2O < 5 x=1. (b) Normal liver."
    assert one.context == "Seen in Fig. 1 and inner both.\ninner both."
    assert two.context == "inner both."  # captions of other figures are no context
    assert (one.compound, two.compound, one.figure) == (True, False, "Figure 1")
    assert (one.licence, two.licence) == ("CC-BY-4.0", "NOASSERTION")
    assert (one.group, one.article, one.modality) == ("PMC123", "PMC123", "other")
    assert one.url == "https://pmc.ncbi.nlm.nih.gov/articles/PMC123/"
    assert three.caption == "Two views Front."
    assert [read_image(tmp_path, r.image).getpixel((5, 5))[0] // 10 for r in (one, two)] == [1, 2]


@pytest.mark.parametrize(
    "text, expected",
    [
        ('<license xlink:href="http://creativecommons.org/licenses/by-nc-nd/3.0/"/>', "CC-BY-NC-ND-3.0"),
        (
            "<license><ali:license_ref>https://creativecommons.org/licenses/by-nc/4.0/</ali:license_ref></license>",
            "CC-BY-NC-4.0",
        ),
        (
            '<license license-type="open-access"><license-p>Free, see <ext-link xlink:href='
            '"http://creativecommons.org/licenses/by/2.0">it</ext-link>; data are CC0.</license-p></license>',
            "CC-BY-2.0",
        ),
        (
            "<license><license-p>Creative Commons Attribution-NonCommercial-ShareAlike 4.0.</license-p></license>",
            "CC-BY-NC-SA-4.0",
        ),
        ('<license xlink:href="https://creativecommons.org/publicdomain/zero/1.0/"/>', "CC0-1.0"),
        ("<license><license-p>All rights reserved.</license-p></license>", "NOASSERTION"),
        ("<copyright-statement>(c) 2020</copyright-statement>", "NOASSERTION"),
    ],
)
def test_licences(tmp_path, text, expected):
    fig = '<body><fig id="f1"><caption><p>C</p></caption><graphic xlink:href="x.g001"/></fig></body>'
    unpacked(tmp_path, {"a.xml": article(fig, permissions=f"<permissions>{text}</permissions>"), **FILES})
    assert read(tmp_path)[0]["pmc-oa/PMC123/f1"].licence == expected


def test_ids_with_and_without_a_prefix_or_none(tmp_path):
    fig = '<body><fig><graphic xlink:href="x.g001"/></fig><fig><graphic xlink:href="x.g002"/></fig></body>'
    unpacked(tmp_path, {"a.nxml": article(fig, pmc="456"), **FILES}, "one")
    unpacked(tmp_path, {"a.nxml": article(fig, pmc=""), **FILES}, "two")
    records, _ = read(tmp_path)
    assert list(records) == [
        "pmc-oa/PMC456/figure-1",
        "pmc-oa/PMC456/figure-2",
        "pmc-oa/PMID77/figure-1",
        "pmc-oa/PMID77/figure-2",
    ]
    assert records["pmc-oa/PMID77/figure-1"].url == "https://doi.org/10.1/x"


LAUGHS = b"""<!DOCTYPE article [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><article><front/><p>&b;</p></article>"""
OUTSIDE = b"""<!DOCTYPE article [<!ENTITY a SYSTEM "file:///etc/passwd">]><article><p>&a;</p></article>"""
BAD = {
    "cut": article()[:900],
    "laughs": LAUGHS,
    "outside": OUTSIDE,
    "text": b"no xml at all",
    "empty": b"",
    "nul": article().replace(b"Large", b"\0"),
    "unicode": article().replace(b"Large", b"\xff\xfe\xed\xa0\x80"),
    "surrogate": article().replace(b"Large", b"&#xD800;"),
    "encoding": article().replace(b"UTF-8", b"klingon"),
    "entity": article().replace(b"&nbsp;", b"&nosuchentity;"),
    "deep": article("<p>" * 20000 + "</p>" * 20000),
    "html": b"<html><body/></html>",
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_article_is_a_reject_and_the_others_go_on(tmp_path, name):
    unpacked(tmp_path, {"a.nxml": BAD[name], **FILES}, "PMC100")
    package(tmp_path / "pmc-oa" / "PMC200.tar.gz", {"a.nxml": BAD[name], **FILES})
    unpacked(tmp_path, {"a.nxml": article(), **FILES}, "PMC300")
    records, rejects = read(tmp_path)
    assert {r.image.partition("/")[2].partition("/")[0] for r in records.values()} == {"PMC300"}
    words = "no JATS article" if name == "html" else "article is not valid XML: "
    assert rejects["pmc-oa/PMC100/a.nxml"].startswith(words)
    assert rejects["pmc-oa/PMC200.tar.gz::PMC123/a.nxml"].startswith(words)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_anywhere_in_an_article_is_told_in_one_line(data):
    content = bytearray(article())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        outcome = " ".join(figure.name for figure in jats.parse(bytes(content)).figures)
        words = r".+"
    except PhenoLIPError as error:
        outcome, words = str(error), r"no JATS article|article is not valid XML: \w+"
    assert re.fullmatch(words, outcome)


def test_packages_that_cannot_be_read(tmp_path):
    package(tmp_path / "pmc-oa" / "PMC1.tar.gz", FILES)
    (tmp_path / "pmc-oa" / "PMC2.tar.gz").write_text("no archive")
    unpacked(tmp_path, FILES, "PMC3")
    _, rejects = read(tmp_path)
    assert rejects == {
        "pmc-oa/PMC1.tar.gz": "package holds no article XML",
        "pmc-oa/PMC2.tar.gz": "not an archive that can be read (ReadError)",
        "pmc-oa/PMC3": "pictures without an article's XML",
    }


def test_a_picture_outside_of_the_package_is_not_taken(tmp_path):
    fig = '<body><fig id="f1"><graphic xlink:href="../../secret"/></fig></body>'
    (tmp_path / "secret.jpg").write_bytes(jpg())
    unpacked(tmp_path, {"a.nxml": article(fig), "x.jpg": jpg()})
    assert read(tmp_path) == ({}, {"pmc-oa/PMC123/f1": "picture '../../secret' is not in the package"})
    package(tmp_path / "pmc-oa" / "PMC9.tar.gz", {"a.nxml": article(fig, pmc="9"), "../../../secret.jpg": jpg()})
    with pytest.raises(PhenoLIPError, match="member leads out of its archive"):
        read_image(tmp_path, read(tmp_path)[0]["pmc-oa/PMC9/f1"].image)


def test_a_missing_folder_says_what_belongs_there(tmp_path):
    with pytest.raises(PhenoLIPError, match=r"pmc-oa is missing; put PMC Open Access packages .* out of open.datasets"):
        list(pmc_oa.records(tmp_path))
