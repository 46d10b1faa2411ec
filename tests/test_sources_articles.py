"""Articles of PMC Open Access: figures, texts and licences, and articles that cannot be read."""

import gzip
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
from phenolip_lib.data.sources import jats, jats_text, open_records, pmc_oa
from phenolip_lib.data.sources.jats_text import text_of

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
        "pmc-oa/PMC123/unread/s1": "figure in supplementary material, which is not read",
        "pmc-oa/PMC123/unread/f9": "figure in a sub-article, which is not read",
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


@settings(max_examples=150)
@given(st.data())
def test_damage_anywhere_in_an_article_is_told_in_one_line(data):
    content = bytearray(article())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        outcome = " ".join(figure.name for figure in jats.parse(bytes(content))[0].figures)
        words = r".+"
    except PhenoLIPError as error:
        outcome, words = str(error), r"no JATS article|article is not valid XML: (\w+|entity &\w+;)"
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


# --- as publishers write -------------------------------------------------------------------------


def figures(body: str, **options) -> list[jats.Figure]:
    return list(jats.parse(article(f"<body>{body}</body>", **options))[0].figures)


def fig(caption: str, name: str = "f1", href: str = "x.g001") -> str:
    return f'<fig id="{name}">{caption}<graphic xlink:href="{href}"/></fig>'


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Lateral view with <italic>severe</italic> kyphosis", "Lateral view with severe kyphosis"),
        (
            "<title>Spine</title>Lateral <bold>view</bold>, severe<p>Kyphosis</p>end",
            "Spine. Lateral view, severe. Kyphosis. end",
        ),
        ("<title>Only a title</title>", "Only a title"),
        ("<label>Figure 9</label><p>Text</p>", "Text"),
        (
            "<p>A <named-content>named</named-content> <ext-link xlink:href='u'>link</ext-link> <![CDATA[a < b]]></p>",
            "A named link a < b",
        ),
        ("<p>scoliosis<sup><xref>12</xref></sup> seen</p>", "scoliosis [12] seen"),
        ("<p>scoliosis<xref ref-type='bibr' rid='b'><sup>12</sup></xref>and</p>", "scoliosis [12] and"),
        (
            "<p>scoliosis<xref ref-type='bibr' rid='b'>1</xref>,<xref ref-type='bibr' rid='c'>2</xref></p>",
            "scoliosis [1], [2]",
        ),
        ("<p>scoliosis<sup>12,13</sup> and kyphosis.<sup>4</sup> Then</p>", "scoliosis [12,13] and kyphosis. [4] Then"),
        ("<p>scoliosis<sup>[<xref>12</xref>]</sup></p>", "scoliosis [12]"),
        (
            "<p>scoliosis [<xref ref-type='bibr'>1</xref>] (Figure<xref ref-type='fig'>2</xref>A)</p>",
            "scoliosis [1] (Figure 2A)",
        ),
        ("<p>patients<sup>a</sup> and 1<sup>st</sup></p>", "patients [a] and 1st"),
        ("<p>10<sup>9</sup>/L, 10<sup>\u22123</sup>, 3 cm<sup>2</sup></p>", "10^9/L, 10^\u22123, 3 cm2"),
        ("<p>CD4<sup>+</sup>, Ca<sup>2+</sup>, <sup>18</sup>F, H<sub>2</sub>O</p>", "CD4+, Ca2+, 18F, H2O"),
        ("<p><mml:msup><mml:mn>10</mml:mn><mml:mn>9</mml:mn></mml:msup>/L</p>", "10^9/L"),
        ("<p>MRI<sup>4</sup> in men<sup>12</sup>, CT<sup>3,5</sup></p>", "MRI [4] in men [12], CT [3,5]"),
        ("<p>COVID-19<sup>12</sup> in 2019<sup>4,5</sup>.<sup>6</sup></p>", "COVID-19 [12] in 2019 [4,5]. [6]"),
        ("<p>COVID-19<xref rid='b'>12</xref>, ataxia<sup>(3)</sup>is</p>", "COVID-19 12, ataxia (3) is"),
        (
            "<p>10<sup>9/L</sup>, 10<sup>5\u20136</sup>, 2<sup>n</sup>, kg/mm<sup>2</sup>, 20<sup>th</sup></p>",
            "10^9/L, 10^5\u20136, 2^n, kg/mm2, 20th",
        ),
        (
            "<p>Tc<sup>99m</sup>, Ga<sup>68</sup>, CD20<sup>hi</sup>, SO4<sup>2\u2212</sup></p>",
            "Tc99m, Ga68, CD20hi, SO42\u2212",
        ),
        (
            "<p><mml:mfrac><mml:mn>1</mml:mn><mml:mn>2</mml:mn></mml:mfrac> cm, <mml:msubsup><mml:mi>x</mml:mi>"
            "<mml:mn>1</mml:mn><mml:mn>2</mml:mn></mml:msubsup></p>",
            "1/2 cm, x1^2",
        ),
        (
            "<p>A <inline-formula><tex-math>\\documentclass{a}\\begin{document}$$\\frac{1}{2} \\times 10^{9}\\,"
            "\\mathrm{cm} \\leq \\mu_{x}$$\\end{document}</tex-math></inline-formula></p>",
            "A 1/2 ×10^9 cm ≤μx",
        ),
        ("<p>A <inline-formula><tex-math>\\beta</tex-math></inline-formula>-helix</p>", "A β-helix"),
        ("Lateral <italic xml:lang='la'>genu</italic> valgum", "Lateral genu valgum"),
        ("<p xml:lang='es'>Columna</p><p xml:lang='en'>Spine</p>", "Spine"),
        ("<p>One</p></caption><caption xml:lang='es'><p>Uno</p>", "One"),
    ],
)
def test_the_text_of_a_caption(caption, expected):
    assert figures(fig(f"<caption>{caption}</caption>"))[0].caption == expected


def test_figures_within_a_figure_have_its_caption_and_their_own():
    inner = fig("<caption><p>Front.</p></caption>", "f1a", "a") + fig("<caption><p>Back.</p></caption>", "f1b", "b")
    both = figures(
        f'<p>See <xref ref-type="fig" rid="f1">1</xref></p><fig id="f1"><caption><p>Spine.</p></caption>{inner}</fig>'
    )
    assert [(f.name, f.caption, f.graphics, f.context) for f in both] == [
        ("f1a", "Spine. Front.", (("a",),), "See 1"),
        ("f1b", "Spine. Back.", (("b",),), "See 1"),
    ]


GROUP = "<caption><p>Spine.</p></caption>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<fig id="f1"><label>1</label><p>Front.</p><graphic xlink:href="a"/></fig>', [("a", "Front.")]),
        (
            f'<fig id="f1">{GROUP}<legend>Front.</legend><graphic xlink:href="a"/>Late</fig>',
            [("a", "Spine. Front. Late")],
        ),
        ('<fig id="f1">Lateral <graphic xlink:href="a"/>view</fig>', [("a", "Lateral view")]),
        (f'<fig-group id="f1">{GROUP}<graphic xlink:href="a"/></fig-group>', [("a", "Spine.")]),
        (
            f'<fig-group id="f1">{GROUP}<graphic xlink:href="a"/><fig><p>Back.</p><graphic xlink:href="b"/></fig>'
            "</fig-group>",
            [("a", "Spine."), ("b", "Spine. Back.")],
        ),
        (
            f'<fig id="f1">{GROUP}<graphic xlink:href="a"><caption><p>Front.</p></caption></graphic>'
            '<graphic xlink:href="b"><caption><p>Back.</p></caption></graphic></fig>',
            [("a", "Spine. Front."), ("b", "Spine. Back.")],
        ),
        (f'<fig id="f1">{GROUP}<media mimetype="image" xlink:href="a"/></fig>', [("a", "Spine.")]),
        (f'<fig id="f1">{GROUP}<p><inline-graphic xlink:href="a"/></p></fig>', [("a", "Spine.")]),
    ],
)
def test_what_a_figure_says_and_shows_in_other_places(tmp_path, body, expected):
    unpacked(tmp_path, {"a.nxml": article(f"<body>{body}</body>"), "a.jpg": jpg(), "b.jpg": jpg(1)})
    records, rejects = read(tmp_path)
    assert [(r.image.rpartition("/")[2][:1], r.caption) for r in records.values()] == expected
    assert rejects == {}


CAPTIONS = '<caption xml:lang="es"><p>Columna</p></caption><caption xml:lang="en-US"><p>Spine</p></caption>'


@pytest.mark.parametrize(("language", "expected"), [("en", "Spine"), ("es", "Columna"), ("fr", "Columna")])
def test_of_captions_in_several_languages_that_of_the_params_is_taken(tmp_path, language, expected):
    unpacked(tmp_path, {"a.nxml": article(f"<body>{fig(CAPTIONS)}</body>"), **FILES})
    assert [record.caption for record in pmc_oa.records(tmp_path, language)] == [expected]
    assert [r.caption for r in open_records(tmp_path, ["pmc-oa"], language)] == [expected]


@pytest.mark.parametrize(("stated", "wanted"), [("eng", "en"), ("en-GB", "en"), ("spa", "es"), ("xyz", "xyz")])
def test_languages_are_known_by_either_code(stated, wanted):
    captions = f'<caption xml:lang="fre"><p>Dos</p></caption><caption xml:lang="{stated}"><p>Back</p></caption>'
    (figure,) = jats.parse(article(f"<body>{fig(captions)}</body>"), wanted)[0].figures
    assert figure.caption == "Back"


@pytest.mark.parametrize(
    ("language", "expected"), [("en", ["Spine"]), ("es", ["Columna"]), ("fr", ["Columna", "Spine"])]
)
def test_a_picture_with_a_figure_in_each_language_is_one(language, expected):
    one, two = (
        f'<fig xml:lang="{c}"><p>{t}</p><graphic xlink:href="a"/></fig>'
        for c, t in (("es", "Columna"), ("en", "Spine"))
    )
    assert [f.caption for f in jats.parse(article(f"<body>{one}{two}</body>"), language)[0].figures] == expected


def test_a_figure_that_only_a_translation_has_is_told(tmp_path):
    body = f"""<body>{fig("<label>Figura 1</label><caption><p>Coluna</p></caption>")}</body>
    <sub-article article-type="translation" xml:lang="en"><body><fig id="e1"><label>Figure 1</label><p>Spine</p></fig>
    <fig id="e7"><label>Figure 7</label><p>Heart</p></fig></body></sub-article>"""
    unpacked(tmp_path, {"a.nxml": article(body).replace(b"<article xmlns", b'<article xml:lang="pt" xmlns'), **FILES})
    records, rejects = read(tmp_path)
    assert [record.caption for record in records.values()] == ["Spine"]
    assert rejects == {"pmc-oa/PMC123/e7": "figure has no graphic"}


@pytest.mark.parametrize("same", ["picture", "number", "place"])
def test_a_translation_gives_the_captions(same):
    href = "x.g001" if same == "picture" else "x.g001-en"
    label, theirs = ("Figura 1", "Figure 1") if same == "number" else ("", "")
    english = f"<label>{theirs}</label><caption><p>Spine</p></caption>"
    body = f"""<body>{fig(f"<label>{label}</label><caption><p>Coluna</p></caption>")}</body>
    <sub-article article-type="translation" xml:lang="en"><body>
    <p>See <xref ref-type="fig" rid="e1">it</xref></p>{fig(english, "e1", href)}</body></sub-article>"""
    content = article(body).replace(b"<article xmlns", b'<article xml:lang="pt" xmlns')
    (english,), (portuguese,) = (jats.parse(content, language)[0].figures for language in ("en", "pt"))
    assert (english.name, english.caption, english.context) == ("f1", "Spine", "See it")
    assert (portuguese.caption, portuguese.graphics) == ("Coluna", (("x.g001",),))


@pytest.mark.parametrize(("language", "expected"), [("en", "Spine"), ("pt", "Coluna"), ("fr", "Coluna")])
def test_a_group_of_one_figure_in_two_languages_is_one(language, expected):
    body = """<fig-group id="g"><fig id="p" xml:lang="pt"><caption><p>Coluna</p></caption></fig>
    <fig id="e" xml:lang="en"><caption><p>Spine</p></caption><graphic xlink:href="x.g001"/></fig></fig-group>"""
    (figure,) = jats.parse(article(body), language)[0].figures
    assert (figure.caption, figure.graphics) == (expected, (("x.g001",),))


def test_articles_of_a_set_are_read_one_by_one(tmp_path):
    one, two = (article(f"<body>{fig('')}</body>", pmc=f"PMC{n}").decode().partition("?>")[2] for n in (1, 2))
    one, two = (text[text.index("<article") :] for text in (one, two))
    for name, text in {
        "set": "<pmc-articleset>{}</pmc-articleset>",
        "oai": "<a><b><metadata>{}</metadata></b></a>",
    }.items():
        folder = tmp_path / name
        unpacked(folder, {"a.xml": text.format(one + "<article><front/></article>" + two).encode(), **FILES}, "set")
        records, rejects = read(folder)
        assert set(records) == {"pmc-oa/PMC1/f1", "pmc-oa/PMC2/f1"}
        assert rejects == {"pmc-oa/set/a.xml (2)": "no JATS article"}


def test_what_is_no_article_in_a_set_is_told(tmp_path):
    text = article(f"<body>{fig('')}</body>").decode()
    content = f'<pmc-articleset><Reply Id="5" error="not found"/>{text[text.index("<article") :]}</pmc-articleset>'
    unpacked(tmp_path, {"a.xml": content.encode(), **FILES}, "set")
    records, rejects = read(tmp_path)
    assert (list(records), rejects) == (["pmc-oa/PMC123/f1"], {"pmc-oa/set/a.xml": "no JATS article"})


def test_articles_of_a_set_without_ids_and_versions_within_one_are_told_apart(tmp_path):
    def part(text: str, pmc: str = "", version: str = "") -> str:
        ids = f'<article-id pub-id-type="pmc">{pmc}</article-id>' if pmc else ""
        head = f"<front><article-meta>{ids}{version}</article-meta></front>"
        return f"<article>{head}<body>{fig(f'<caption><p>{text}</p></caption>').replace('xlink:', '')}</body></article>"

    parts = part("a") + part("b") + part("old", "7", VERSION.format(1)) + part("new", "7", VERSION.format(2))
    unpacked(tmp_path, {"a.xml": f"<pmc-articleset>{parts}</pmc-articleset>".encode(), **FILES}, "PMC9")
    records, rejects = read(tmp_path)
    assert sorted(record.caption for record in records.values()) == ["a", "b", "new"]
    assert list(rejects) == ["pmc-oa/PMC9/a.xml (3)"]


VERSION = "<article-version>{}</article-version>"


@pytest.mark.parametrize("told", ["folder", "folder_v", "bare", "element", "alternatives", "words", "minor", "id"])
def test_the_newest_version_of_an_article_is_read(tmp_path, told):
    for n in (1, 2, 10):
        pmc, version = f"PMC1033.{n}" if told == "id" else "PMC1033"[3 * (told == "bare") :], VERSION.format(n)
        more = {
            "element": version,
            "alternatives": f"<article-version-alternatives><article-version>VoR</article-version>{version}"
            "</article-version-alternatives>",
            "words": VERSION.format(f"Version {n}.0"),
            "minor": VERSION.format(f"1.{n}"),
        }.get(told, "")
        content = article(f"<body>{fig(f'<caption><p>v{n}</p></caption>')}</body>", pmc=pmc, permissions=more)
        folder = {"folder": f"PMC1033.{n}", "bare": f"PMC1033.{n}", "folder_v": f"PMC1033_v{n}"}.get(told, f"{n % 10}")
        unpacked(tmp_path, {"a.xml": content, **FILES}, folder)
    records, rejects = read(tmp_path)
    assert [record.caption for record in records.values()] == ["v10"]
    assert len(rejects) == 2
    assert all("PMC1033 is read from pmc-oa/" in reason for reason in rejects.values())


@pytest.mark.parametrize(
    ("href", "file"),
    [
        ("GR2.TIF", "gr2.tif"),
        ("Fig%203.png", "Fig 3.png"),
        ("Fig 3.png", "Fig%203.png"),
        ("gr5.eps", "gr5.jpg"),
        ("gr5", "GR5.JPG"),
        ("images/gr5.jpg", "gr5.jpg"),
        ("gr5.jpg", "images/gr5.jpg"),
        ("https://example.org/media/gr5.jpg?download=1", "gr5.jpg"),
        ("Abbildung-\u00e4.png", "Abbildung-a\u0308.png"),
        ("pone.0012345.g001", "pone.0012345.g001.tif"),
        ("Fig%25203.png", "Fig 3.png"),
        ("Fig+3.png", "Fig_3.png"),
        ("Fig\u00a03\u20111.png", "fig 3-1.PNG"),
        ("gr%E9.jpg", "gr\u00e9.jpg"),
        ("a&amp;amp;b.jpg", "a&b.jpg"),
        ("gr5.tif", "gr5.tif.jpg"),
        ("gr5.TIFF.jpg", "gr5.jpg"),
        ("./gr5.pptx", "gr5.jpg"),
        ("gr5.", "gr5.jpg"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_names_of_pictures_that_differ_in_spelling(tmp_path, href, file, packed):
    files = {"a.nxml": article(f"<body>{fig('', href=href)}</body>"), file: jpg(), "other.jpg": jpg(1)}
    if packed:
        package(tmp_path / "pmc-oa" / "PMC123.tar.gz", files)
    else:
        unpacked(tmp_path, files)
    records, rejects = read(tmp_path)
    assert [record.image.endswith(file) for record in records.values()] == [True]
    assert rejects == {}


def test_an_exact_name_goes_before_other_spellings_and_two_formats_are_one_picture(tmp_path):
    two = '<fig id="f1"><graphic xlink:href="A.tif"/><graphic xlink:href="A.jpg"/></fig>' + fig("", "f2", "a.jpg")
    unpacked(tmp_path, {"x.nxml": article(f"<body>{two}</body>"), "A.jpg": jpg(1), "a.jpg": jpg(2)})
    assert [r.image.rpartition("/")[2] for r in read(tmp_path)[0].values()] == ["A.jpg", "a.jpg"]


def test_a_graphic_outside_of_a_figure_is_a_record_with_a_caption_and_else_a_reject(tmp_path):
    loose = '<p><graphic xlink:href="x.g001"><caption><p>Spine</p></caption></graphic><graphic xlink:href="b"/></p>'
    loose += '<table-wrap><graphic xlink:href="t"/></table-wrap>'
    unpacked(tmp_path, {"x.nxml": article(f"<body>{loose}</body>"), **FILES})
    records, rejects = read(tmp_path)
    assert [record.caption for record in records.values()] == ["Spine"]
    assert list(rejects.values()) == [f"graphic outside of a figure, in {where}" for where in ("p", "table-wrap")]


def test_pictures_in_parts_that_are_not_read_and_in_lines_are_told(tmp_path):
    body = '<p><inline-graphic xlink:href="a"/><media xlink:href="b.JPG"/><media xlink:href="c.mp4"/></p>'
    body += '<supplementary-material xlink:href="s.png"><graphic xlink:href="d"/></supplementary-material>'
    body = f"<body>{body}</body><sub-article><p><graphic xlink:href='e'/></p>{fig('', 'f9')}</sub-article>"
    unpacked(tmp_path, {"x.nxml": article(body), **FILES})
    records, rejects = read(tmp_path)
    assert (records, {name.rpartition("/")[2]: reason for name, reason in rejects.items()}) == (
        {},
        {
            "inline-graphic-1": "inline graphic outside of a figure, in p",
            "media-1": "media outside of a figure, in p",
            "supplementary-material-1": "picture in supplementary material, which is not read",
            "graphic-1": "picture in supplementary material, which is not read",
            "graphic-2": "picture in a sub-article, which is not read",
            "f9": "figure in a sub-article, which is not read",
        },
    )


SUBSET = """[<!NOTATION tiff SYSTEM "viewer"><!ENTITY pic1 SYSTEM "x.g001.tif" NDATA tiff><!-- ]> -->
<!ENTITY % more SYSTEM "http://example.org/x.ent"> %more; <!ENTITY own "text ]">]>"""


def test_a_document_type_with_pictures_and_entities_of_its_own_is_put_aside(tmp_path):
    content = article(f"<body>{fig('<caption><p>Alpha &alpha;</p></caption>', href='pic1')}</body>").decode()
    content = content.replace('"JATS-archivearticle1.dtd">', f'"JATS-archivearticle1.dtd" {SUBSET}')
    unpacked(tmp_path, {"a.nxml": content.encode(), **FILES})
    assert [(r.caption, r.image[-10:]) for r in read(tmp_path)[0].values()] == [("Alpha \u03b1", "x.g001.jpg")]
    with pytest.raises(PhenoLIPError, match="not valid XML: entity &own;"):
        jats.parse(content.replace("&alpha;", "&own;").encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.encode("utf-16"),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("UTF-8", "ISO-8859-1").encode("latin-1"),
        lambda text: gzip.compress(text.encode(), mtime=0),
        lambda text: text.replace('version="1.0"', 'version="1.1"').encode(),
        lambda text: text[text.index("<article") :].encode(),
        lambda text: text.replace("xlink:", "xl:").replace("xmlns:xlink", "xmlns:xl").encode(),
        lambda text: text.replace("<article ", '<article xmlns="http://jats.nlm.nih.gov/ns" ').encode(),
        lambda text: text.replace('xmlns:xlink="http://www.w3.org/1999/xlink"', "").encode(),
        lambda text: text.replace("UTF-8", "UTF-16").encode(),
    ],
    ids=["UTF-16", "mark", "Latin-1", "packed", "XML 1.1", "bare", "prefix", "namespace", "undeclared", "converted"],
)
def test_encodings_and_namespaces(change):
    caption = "<caption><p>M\u00e9ni\u00e8re&nbsp;x</p></caption>"
    text = article(f"<body>{fig(caption)}</body>").decode()
    (figure,) = jats.parse(change(text))[0].figures
    assert (figure.caption, figure.graphics) == ("M\u00e9ni\u00e8re x", (("x.g001",),))


WORDS = "distributed under the terms of the Creative Commons Attribution License"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (f"<copyright-statement>An article {WORDS}</copyright-statement>", "CC-BY"),
        (f"<permissions><copyright-statement>An article {WORDS}</copyright-statement></permissions>", "CC-BY"),
        (
            '<license><p>Under <ext-link xlink:href="http://creativecommons.org/licenses/by/2.0"/></p></license>',
            "CC-BY-2.0",
        ),
        ('<permissions><license license-type="cc-by-nc"/></permissions>', "CC-BY-NC"),
        ("<copyright-statement>(c) 2004 the authors</copyright-statement>", "NOASSERTION"),
    ],
)
def test_licences_of_articles_before_jats(place, expected):
    assert figures(fig(""), permissions=place)[0].licence == expected


@pytest.mark.parametrize("kind", ["references", "ranges"])
def test_references_cost_a_step_each(monkeypatch, kind):
    """A text is made once for each paragraph and each reference in it."""
    made = []
    monkeypatch.setattr(jats_text, "text_of", lambda element: made.append(element) or text_of(element))
    drawn = "".join(fig("", f"f{i}", f"g{i}") for i in range(2000))
    one = '<xref ref-type="fig" rid="f{0}">{0}</xref>{1} '
    refs = "".join(one.format(i, "") for i in range(2000))
    if kind == "ranges":
        refs = "".join(one.format(0, "-") + one.format(1999, ",") for _ in range(500))
    found = figures(f"<p>{refs}</p>{drawn}")
    assert len(found) == 2000
    assert all(figure.context.count("\n") == 0 and figure.context for figure in found)
    assert len(made) < 2 * 2000 + 20
