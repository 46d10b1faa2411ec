"""The book of a report, made of tiny executed notebooks, read back with other parsers."""

import base64
import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import bs4
import nbformat.v4 as nbf
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from phenolip_lib.apps import book
from phenolip_lib.apps.book import links, markdown, outputs, search
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.paths import Paths
from tests.committed import committed


def png(width: int = 6, height: int = 4) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def result(**data):
    return nbf.new_output("execute_result", {key.replace("_", "/"): value for key, value in data.items()})


def cell(source: str, *shown, tags=()):
    return nbf.new_code_cell(source, outputs=list(shown), execution_count=1, metadata={"tags": list(tags)})


def notebook(path: Path, title: str, *cells) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first = f"# {title}\n\n**Question.** Why *{title}*, and is $x^2$ more?\n\n**You will learn** it."
    texts = [nbf.new_markdown_cell(own) if isinstance(own, str) else own for own in (first, *cells)]
    path.write_text(json.dumps(nbf.new_notebook(cells=[*texts, cell("1 + 1", result(text_plain="2"))])))


def table(folder: Path, name: str, caption: str, frame: pd.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.md").write_text(f"{caption}\n\n| a |\n| --- |\n")


FRAME = pd.DataFrame({"method": ["clip", "phenolip"], "I2T R@10": ["80.7 ± 2.0", "79.7 ± 1.0"], "seeds": [3, 3]})


@pytest.fixture
def project(tmp_path) -> Paths:
    root = tmp_path / "project"
    ontology, phantom = root / "reports" / "ontology", root / "reports" / "phantom"
    for path in (ontology, phantom):
        path.mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).touch()
    notebook(
        ontology / "notebooks" / "01_hpo_parsing.ipynb", "1 · The ontology",
        "## Results\n\nHepatosplenomegaly is rare.", "## Results\n\nSo is [the rest](03_stage1.ipynb#Second-part).",
    )  # fmt: skip
    notebook(ontology / "notebooks" / "03_stage1.ipynb", "3 · Stage 1", "## Second part\n\nThe encoder.")
    notebook(
        phantom / "notebooks" / "02_phenokg.ipynb", "2 · PhenoKG",
        cell('source = "phantom"', tags=["parameters"]),
        "## Scores\n\nOf [retrieval](../tables/retrieval.csv), [a file](../../data/phantom/records.csv).",
        cell('write_table(frame, out / "tables", "retrieval", x) if x else None', result(text_html=FRAME.to_html())),
        cell('figures.save(bars, out / "recall_bars.png")', result(image_png=png(), text_plain="<Figure>")),
    )  # fmt: skip
    table(ontology / "tables", "terms", "Terms of HPO.", pd.DataFrame({"terms": [10]}))
    table(phantom / "tables", "retrieval", "Recall in percent.", FRAME)
    (ontology / "README.md").write_text("# Ontology\n\n## 01 hpo parsing\n\nTerms of HPO.\n\n| terms |\n")
    (phantom / "README.md").write_text("# Synthetic images\n")
    return Paths(root)


def soup(path: Path) -> bs4.BeautifulSoup:
    return bs4.BeautifulSoup(path.read_text(), "html.parser")


def index_of(site: Path) -> list[dict]:
    text = (site / "assets" / "search-index.js").read_text()
    return json.loads(text.removeprefix(f"window.{search.VARIABLE} = ").rstrip().removesuffix(";"))


# --- the whole ----------------------------------------------------------------------------------


def test_chapters_of_both_folders_follow_each_other_by_number(project):
    site = book.build("phantom", project)
    assert site == project.reports / "book" / "phantom"
    page, read = "index.html", []
    while page:
        read.append(page)
        following = soup(site / page).find("a", rel="next")
        page = following["href"] if following else None
    assert read == ["index.html", "01_hpo_parsing.html", "02_phenokg.html", "03_stage1.html", "tables.html"]
    back = soup(site / "tables.html").find("a", rel="prev")
    assert back["href"] == "03_stage1.html"


def test_every_page_has_the_contents_with_itself_marked_and_the_sections_of_all(project):
    site = book.build("phantom", project)
    for path in sorted(site.glob("*.html")):
        contents = soup(path).find(id="page-contents")
        assert [link["href"] for link in contents.select('[aria-current="page"]')] == [path.name]
        names = [link.get_text(" ", strip=True) for link in contents.find_all("a")]
        assert names == [
            "Title page", "1 The ontology", "Results", "Results", "2 PhenoKG", "Scores", "3 Stage 1", "Second part",
            "Tables",
        ]  # fmt: skip


def test_the_title_page_asks_each_chapters_question(project):
    page = soup(book.build("phantom", project) / "index.html")
    assert page.h1.get_text() == "Synthetic images"
    questions = [item.find("p") for item in page.select(".chapters > li")]
    assert [q.em.get_text() for q in questions] == ["1 · The ontology", "2 · PhenoKG", "3 · Stage 1"]
    assert all(q.find("math") and "Question" not in q.get_text() for q in questions)
    assert page.select_one(".chapters .cover")["href"] == "02_phenokg.html#figure-recall-bars"


def test_equal_reports_give_equal_bytes_whoever_builds_them(project, tmp_path):
    first = book.build("phantom", project, tmp_path / "first")
    second = book.build("phantom", Paths(shutil.copytree(project.root, tmp_path / "elsewhere")))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes(), file


def test_a_table_has_its_caption_and_the_reports_own_csv(project):
    site = book.build("phantom", project)
    shown = soup(site / "02_phenokg.html").find(id="table-retrieval")
    assert shown.figcaption.get_text(" ", strip=True) == "Recall in percent. CSV"
    file = site / shown.figcaption.a["href"]
    assert file.read_bytes() == (project.report("phantom") / "tables" / "retrieval.csv").read_bytes()


def test_the_list_of_tables_has_each_once_below_its_chapter(project):
    table(project.report("phantom") / "tables", "zzz", "Of nobody.", pd.DataFrame({"a": [1], "b": [2]}))
    page = soup(book.build("phantom", project) / "tables.html")
    found = {item["id"]: item.find_previous("h2").get_text(strip=True) for item in page.select("ul.tables > li")}
    # `terms` is shown in no cell: the report's README says which notebook wrote it
    assert found == {
        "table-terms": "1 · The ontology", "table-retrieval": "2 · PhenoKG", "table-zzz": "In no chapter",
    }  # fmt: skip
    assert "1 row, 2 columns: a, b" in page.find(id="table-zzz").get_text()


def test_pictures_are_files_with_words_and_a_size(project):
    site = book.build("phantom", project)
    image = soup(site / "02_phenokg.html").find(id="figure-recall-bars").img
    assert image["alt"] == "Scores: recall bars"
    assert (image["width"], image["height"], image["loading"]) == ("6", "4", "lazy")
    assert (site / image["src"]).read_bytes() == base64.b64decode(png())


def test_a_cell_of_parameters_is_labelled(project):
    page = soup(book.build("phantom", project) / "02_phenokg.html")
    assert [label.get_text() for label in page.select(".label")] == ["parameters"]


def test_an_extra_page_is_copied_and_in_the_contents(project, tmp_path):
    extra = tmp_path / "explorer.html"
    extra.write_text('<a href="index.html#chapters">back</a>')
    site = book.build("phantom", project, extra={"PhenoKG explorer": extra})
    assert (site / "explorer.html").read_bytes() == extra.read_bytes()
    contents = soup(site / "tables.html").find(id="page-contents")
    assert contents.find("a", href="explorer.html").get_text() == "PhenoKG explorer"


# --- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, command", [("phantom", "`make repro`"), ("open", "`make repro SOURCE=open DATA=path/to/folder`")]
)
def test_without_executed_notebooks_it_says_what_makes_them(project, source, command):
    shutil.rmtree(project.report("phantom"))
    with pytest.raises(PhenoLIPError, match=f"no executed notebook in .*{source}/notebooks") as caught:
        book.build(source, project)
    assert command in str(caught.value)
    assert not (project.reports / "book").exists()


def test_a_source_that_is_none_is_refused(project):
    with pytest.raises(PhenoLIPError, match="no source 'ontology'.*phantom, open"):
        book.build("ontology", project)


def test_a_notebook_without_outputs_is_named(project):
    path = project.report("phantom") / "notebooks" / "04_stage2.ipynb"
    path.write_text(json.dumps(nbf.new_notebook(cells=[nbf.new_code_cell("1 + 1")])))
    with pytest.raises(PhenoLIPError, match="04_stage2.ipynb: has no outputs"):
        book.build("phantom", project)


def test_a_file_that_is_no_notebook_is_named(project):
    (project.report("phantom") / "notebooks" / "04_stage2.ipynb").write_text("{}")
    with pytest.raises(PhenoLIPError, match="04_stage2.ipynb: not a notebook"):
        book.build("phantom", project)


def test_a_formula_that_cannot_be_read_is_named_with_its_notebook(project):
    notebook(project.report("phantom") / "notebooks" / "04_stage2.ipynb", "4", r"Then $\left( x$.")
    with pytest.raises(PhenoLIPError, match=r"04_stage2.ipynb: formula .*left.* cannot be read"):
        book.build("phantom", project)


def test_a_broken_link_stops_the_book_and_leaves_the_old_one(project, tmp_path):
    site = book.build("phantom", project)
    before = (site / "index.html").read_bytes()
    extra = tmp_path / "explorer.html"
    extra.write_text('<a href="05_evaluation.html">gone</a>')
    with pytest.raises(PhenoLIPError, match=r"book of phantom: explorer.html: 05_evaluation.html: no such file"):
        book.build("phantom", project, extra={"Explorer": extra})
    assert (site / "index.html").read_bytes() == before
    assert not (site / "explorer.html").exists()


def test_an_extra_page_must_be_there_and_may_hide_no_other(project, tmp_path):
    with pytest.raises(PhenoLIPError, match="no such file to put into the book as 'Explorer'"):
        book.build("phantom", project, extra={"Explorer": tmp_path / "explorer.html"})
    (tmp_path / "tables.html").touch()
    with pytest.raises(PhenoLIPError, match="has a page tables.html already"):
        book.build("phantom", project, extra={"Explorer": tmp_path / "tables.html"})


# --- markdown -----------------------------------------------------------------------------------


def rendered(source: str, resolve=lambda url: None) -> tuple[bs4.BeautifulSoup, markdown.Renderer]:
    renderer = markdown.Renderer(resolve, markdown.Anchors())
    return bs4.BeautifulSoup(markdown.render(source, renderer), "html.parser"), renderer


def test_formulae_become_mathml_and_code_stays_as_it_is():
    page, _ = rendered("At $p < 0.05$, `$x$` and\n\n```\n$$ y $$\n```\n\n$$ IC(t) = -\\ln p(t) $$\n")
    assert [formula["display"] for formula in page.find_all("math")] == ["inline", "block"]
    assert [code.get_text().strip() for code in page.find_all("code")] == ["$x$", "$$ y $$"]
    assert "$" not in page.find("p").get_text().replace("$x$", "")


@pytest.mark.parametrize("latex", [r"a < b", r"\frac{1}{2B} \sum_i x_i^+", r"\mathrm{MICA}(a, b)", r"\rho \ne 0"])
def test_mathml_is_well_formed(latex):
    assert ElementTree.fromstring(markdown.mathml(latex, "inline")).tag.endswith("math")


@pytest.mark.parametrize(
    "latex, reason",
    [
        (r"\simgic(A, B)", r"the command \\simgic is not known"),
        (r"\text{<script>alert(1)</script>}", "has markup in it: script"),
        (r"\text{a & b}", "cannot be read"),
        (r"{", "cannot be read"),
    ],
)
def test_what_the_converter_would_pass_on_is_an_error(latex, reason):
    with pytest.raises(PhenoLIPError, match=reason):
        markdown.mathml(latex, "block")


def test_headings_have_anchors_of_their_words_and_no_two_are_equal():
    page, renderer = rendered("# Title\n## A `near` miss\n## A near miss\n### $\\rho$ of *all*\n## ...")
    anchors = [section.anchor for section in renderer.sections]
    assert anchors == ["title", "a-near-miss", "a-near-miss-2", "ρ-of-all", "section"]
    assert [heading["id"] for heading in page.find_all(["h1", "h2", "h3"])] == anchors
    assert [section.level for section in renderer.sections] == [1, 2, 2, 3, 2]


@given(st.lists(st.text(alphabet="aB -_2é.", max_size=6), max_size=12))
def test_anchors_are_unique_and_a_slug_is_its_own(texts):
    anchors = markdown.Anchors()
    given_out = [anchors(text) for text in texts]
    assert len(set(given_out)) == len(given_out)
    assert all(markdown.slug(anchor) == anchor for anchor in given_out)


def test_a_link_to_nowhere_keeps_its_words_only():
    places = {"here.html?a=1&b=2": "there.html?a=1&b=2"}
    page, _ = rendered("See [this `one`](gone.md) and [that](here.html?a=1&b=2).", places.get)
    assert [(link["href"], link.get_text()) for link in page.find_all("a")] == [("there.html?a=1&b=2", "that")]
    assert page.get_text().strip() == "See this one and that."


def test_html_in_markdown_is_text_except_plain_tags():
    source = (
        "x<sub>1</sub> <script>alert(1)</script> <b onclick='y()'>b</b>\n\n"
        "<details><summary>More</summary>\n\nThe **rest**.\n\n</details>\n\n<!-- note -->\n\n"
        "<iframe src='z'></iframe>\n"
    )
    page, _ = rendered(source)
    assert {tag.name for tag in page.find_all(True)} == {"p", "sub", "details", "summary", "strong"}
    assert page.details.strong.get_text() == "rest"
    assert "<script>alert(1)</script>" in page.get_text()
    assert "note" not in page.get_text()


def test_links_between_notebooks_lead_to_chapters_and_tables(project):
    site = book.build("phantom", project)
    first, second = soup(site / "01_hpo_parsing.html").article, soup(site / "02_phenokg.html").article
    assert first.find("a", string="the rest")["href"] == "03_stage1.html#second-part"
    assert second.find("a", string="retrieval")["href"] == "tables.html#table-retrieval"
    assert second.find("a", string="a file") is None


# --- outputs ------------------------------------------------------------------------------------

CELLS = {
    "numbers": st.integers(-999, 999).map(str)
    | st.sampled_from(["-", "1.5 ± 0.2", "44.3 [1.0, 2.0]", "+5.9 [4.3, 7.9]", "1,213", "1e-05", "97%", "> 3,000"]),
    "words": st.sampled_from(["phenolip", "HP:0001744", "3 seeds", "<b>x</b>", "i2t_recall@10"]),
}


@given(st.data(), st.lists(st.sampled_from(["numbers", "words"]), min_size=1, max_size=4), st.integers(1, 5))
def test_columns_of_numbers_are_set_right_and_cells_keep_their_text(data, kinds, rows):
    columns = [data.draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)) for kind in kinds]
    frame = pd.DataFrame(dict(enumerate(columns)))
    page = bs4.BeautifulSoup(outputs.tidy(frame.to_html()), "html.parser")
    for row, line in zip(page.select("tbody tr"), zip(*columns, strict=True), strict=True):
        assert [td.get_text() for td in row.find_all("td")] == list(line)
        assert [td.get("class") == "number" or td.get("class") == ["number"] for td in row.find_all("td")] == [
            kind == "numbers" for kind in kinds
        ]
        assert not row.find_all("th")  # positions 0, 1, 2, ... are no labels
    assert len(page.select("thead th.number")) == kinds.count("numbers")


def test_labels_of_rows_stay_and_so_do_levels():
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"]))
    page = bs4.BeautifulSoup(outputs.tidy(frame.to_html()), "html.parser")
    assert [th.get_text() for th in page.select("tbody th")] == ["x", "y"]
    levels = pd.DataFrame(np.ones((2, 2)), columns=pd.MultiIndex.from_tuples([("u", "v"), ("u", "w")]))
    page = bs4.BeautifulSoup(outputs.tidy(levels.to_html()), "html.parser")
    assert page.find("th", colspan="2").get_text() == "u"
    assert len(page.select("td.number")) == 4


class Tags(HTMLParser):
    """Every tag and attribute, by another parser than the one that cleans."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


NASTY = (
    "<style>p{color:red}</style><p onclick='x()' style='color:red'>a</p><script>alert(1)</script><!-- c -->",
    "<svg onload=x()><text>b</text></svg><a href='javascript:x()'>link</a><iframe src=//e.org></iframe>",
    "<img src=x onerror=x()><img src='https://example.org/a.png' alt='far'><math><mtext><style><img src=x onerror=y()>",
    "<table class='dataframe' border=1><tr><td rowspan=2 onmouseover=x()>1</td></tr></table><<script>script>x</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt; <noscript><p title='</noscript><img src=x onerror=z()>'>",
)


@pytest.mark.parametrize("markup", NASTY)
def test_html_of_outputs_keeps_harmless_tags_only(markup):
    found = Tags(outputs.tidy(markup))
    assert found.tags <= set(outputs.ALLOWED) - {"img"}
    assert found.attributes <= {"class", "rowspan"}


def test_scripts_in_cells_never_reach_a_page_as_scripts(project):
    cells = [cell("x", result(text_html=markup)) for markup in NASTY]
    cells += [cell("x", result(text_plain="<script>1</script>")), cell("x", nbf.new_output("stream", text="<script>2"))]
    notebook(project.report("phantom") / "notebooks" / "04_stage2.ipynb", "4 <script>3</script>", *NASTY, *cells)
    site = book.build("phantom", project)
    for path in site.glob("*.html"):
        scripts = soup(path).find_all("script")
        assert all(tag["src"].startswith("assets/") and not tag.get_text() for tag in scripts)
        assert not {name for name in Tags(path.read_text()).attributes if name.startswith("on")}


def test_long_logs_are_folded(project):
    lines = {n: "\n".join(f"line {i}" for i in range(n)) for n in (outputs.LOG_LINES, outputs.LOG_LINES + 1)}
    logs = [cell("x", nbf.new_output("stream", text=text)) for text in lines.values()]
    notebook(project.report("phantom") / "notebooks" / "04_stage2.ipynb", "4 · Logs", *logs)
    page = soup(book.build("phantom", project) / "04_stage2.html")
    folds = [fold.summary.get_text() for fold in page.select("details.log")]
    assert folds == [f"Printed, {outputs.LOG_LINES + 1} lines"]
    assert [log.get_text() for log in page.select("pre.log")] == [lines[outputs.LOG_LINES]]


# --- search -------------------------------------------------------------------------------------


def test_the_index_has_every_word_of_a_section_where_it_stands(project):
    site = book.build("phantom", project)
    found = index_of(site)
    where = {word: [e["to"] for e in found if word in e["text"]] for word in ("Hepatosplenomegaly", "So is", "encoder")}
    assert where == {
        "Hepatosplenomegaly": ["01_hpo_parsing.html#results"], "So is": ["01_hpo_parsing.html#results-2"],
        "encoder": ["03_stage1.html#second-part"],
    }  # fmt: skip
    assert [e["to"] for e in found if e["title"] == "Recall in percent."] == ["tables.html#table-retrieval"]


def test_every_entry_of_the_index_leads_to_an_anchor(project):
    site = book.build("phantom", project)
    for entry in index_of(site):
        page, _, anchor = entry["to"].partition("#")
        assert soup(site / page).find(id=anchor), entry


# --- links --------------------------------------------------------------------------------------


def test_planted_links_are_found_and_good_ones_are_not(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path.parent / "outside.html").touch()
    (tmp_path / "index.html").write_text(
        '<a href="sub/a.html#here">ok</a><a href="#top">ok</a><a href="sub/a.html#%C3%A9">ok</a><a href="#/x">ok</a>'
        '<a href="gone.html">1</a><a href="sub/a.html#gone">2</a><a href="#gone">3</a><img src="gone.png">'
        '<a href="/etc/hosts">5</a><a href="../outside.html">6</a><a href="javascript:x()">7</a><a href="">8</a>'
        '<a href="sub">9</a><a href="https://example.org/x#y">far</a><img src="data:image/png;base64,AA">'
        '<p id="t"><p id="t">'
        '<img srcset="style.css 1x, gone2.png 2x"><a href="mailto:a@example.org">mail</a>'
    )
    (tmp_path / "sub" / "a.html").write_text('<h1 id="here"></h1><h2 id="é"></h2><a href="../index.html?q=1">ok</a>')
    (tmp_path / "style.css").write_text(
        "/* url(no.png) */ p { background: url('gone.svg') } q { background: url(sub/a.html) }"
    )
    assert links.broken(tmp_path) == [
        "index.html: #gone: no such anchor",
        "index.html: #t: this id is there twice",
        "index.html: (empty link): leads to its own page",
        "index.html: ../outside.html: outside the site",
        "index.html: /etc/hosts: an absolute path",
        "index.html: gone.html: no such file",
        "index.html: gone.png: no such file",
        "index.html: gone2.png: no such file",
        "index.html: javascript:x(): cannot follow javascript:",
        "index.html: sub/a.html#gone: no such anchor",
        "index.html: sub: no such file",
        "style.css: gone.svg: no such file",
    ]
    assert links.external(tmp_path) == ["https://example.org/x#y"]


def test_the_books_of_the_repository_have_no_broken_link_and_load_nothing_from_elsewhere(tmp_path):
    for source in ("phantom", "open"):
        site = book.build(source, Paths(committed()), tmp_path / source)
        assert links.broken(site) == []
        for path in site.glob("*.html"):
            loaded = soup(path).find_all(["script", "img", "link", "iframe", "source"])
            assert not [tag for tag in loaded if "//" in str(tag.get("src") or tag.get("href"))]
        assert "@import" not in (site / "assets" / "book.css").read_text()
