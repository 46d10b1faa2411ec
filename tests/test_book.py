"""The book of a report, made of tiny executed notebooks, read back with other parsers."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import bs4
import nbformat.v4 as nbf
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from phenolip_lib.apps import book
from phenolip_lib.apps.book.outputs import SAFE
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
    language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    cells = [*texts, cell("1 + 1", result(text_plain="2"))]
    path.write_text(json.dumps(nbf.new_notebook(cells=cells, metadata=language)))


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
        ontology / "notebooks" / "01_hpo_parsing.ipynb",
        "1 · The ontology",
        "## Results\n\nHepatosplenomegaly is rare.",
        "## Results\n\nSo is [the rest](../../ontology/notebooks/03_stage1.ipynb#second-part).",
    )
    notebook(ontology / "notebooks" / "03_stage1.ipynb", "3 · Stage 1", "## Second part\n\nThe encoder.")
    notebook(
        phantom / "notebooks" / "02_phenokg.ipynb",
        "2 · PhenoKG",
        cell('source = "phantom"', tags=["parameters"]),
        "## Scores\n\nOf retrieval.",
        cell('write_table(frame, out / "tables", "retrieval", x) if x else None', result(text_html=FRAME.to_html())),
        cell('figures.save(bars, out / "recall_bars.png")', result(image_png=png(), text_plain="<Figure>")),
    )
    table(ontology / "tables", "terms", "Terms of HPO.", pd.DataFrame({"terms": [10]}))
    table(phantom / "tables", "retrieval", "Recall in percent.", FRAME)
    (ontology / "README.md").write_text("# Ontology\n\n## 01 hpo parsing\n\nTerms of HPO.\n\n| terms |\n")
    (phantom / "README.md").write_text("# Synthetic images\n")
    return Paths(root)


def soup(path: Path) -> bs4.BeautifulSoup:
    return bs4.BeautifulSoup(path.read_text(), "html.parser")


def broken(site: Path) -> list[str]:
    """Every local link of the pages that leads to no file or to no anchor, and every id that a page has twice."""
    pages = {path.name: soup(path) for path in site.glob("*.html")}
    ids = {name: [tag["id"] for tag in page.find_all(id=True)] for name, page in pages.items()}
    found = [f"{name}: #{own} twice" for name, own in ids.items() if len(own) != len(set(own))]
    for name, page in pages.items():
        for tag in page.find_all(["a", "img", "script", "link"]):
            parts = urlsplit(tag.get("href") or tag.get("src") or "")
            target, anchor = parts.path or name, unquote(parts.fragment)
            if parts.scheme or parts.netloc:
                wrong = tag.name != "a"  # nothing is loaded from elsewhere
            else:
                wrong = not (site / target).is_file() or (anchor and target in ids and anchor not in ids[target])
            found += [f"{name}: {tag}"] if wrong else []
    return found


# --- the whole ----------------------------------------------------------------------------------


def test_chapters_of_both_folders_follow_each_other_by_number(project):
    site = book.build("phantom", project)
    assert site == project.reports / "book" / "phantom"
    page, read = "index.html", []
    while page:
        read.append(page)
        following = soup(site / page).find("link", rel="next")
        page = following["href"] if following else None
    assert read == ["index.html", "01_hpo_parsing.html", "02_phenokg.html", "03_stage1.html", "tables.html"]
    back = soup(site / "tables.html").find("link", rel="prev")
    assert back["href"] == "03_stage1.html"


def test_every_page_has_the_contents_with_itself_marked(project):
    site = book.build("phantom", project)
    for path in sorted(site.glob("*.html")):
        links = soup(path).select(".sidebar-tree a")
        assert [link.get_text() for link in links] == ["1 · The ontology", "2 · PhenoKG", "3 · Stage 1", "Tables"]
        marked = [link["href"] for link in soup(path).select(".sidebar-tree .current-page > a")]
        assert marked == (["#"] if path.name not in ("index.html", "search.html") else [])


def test_the_title_page_asks_each_chapters_question(project):
    page = soup(book.build("phantom", project) / "index.html")
    assert page.article.h1.get_text().startswith("Synthetic images")
    questions = page.article.find_all("dd")
    assert [q.em.get_text() for q in questions] == ["1 · The ontology", "2 · PhenoKG", "3 · Stage 1"]
    assert all(q.find("math") and "Question" not in q.get_text() for q in questions)
    assert "synthetic images: CC0" in page.article.get_text()


def test_equal_reports_give_equal_bytes_whoever_builds_them(project, tmp_path):
    first = book.build("phantom", project, tmp_path / "first")
    root, second = shutil.copytree(project.root, tmp_path / "elsewhere"), tmp_path / "second"
    script = "import sys; from pathlib import Path; from phenolip_lib.apps import book; from phenolip_lib.core.paths "
    script += "import Paths; book.build('phantom', Paths(Path(sys.argv[1])), Path(sys.argv[2]))"
    command = [sys.executable, "-c", script, str(root), str(second)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes(), file


def test_a_table_has_its_caption_and_the_reports_own_csv(project):
    site = book.build("phantom", project)
    caption = soup(site / "02_phenokg.html").find(id="table-retrieval")
    assert caption.get_text() == "Recall in percent. CSV"
    assert caption.find_previous("table").get_text(" ", strip=True).startswith("method I2T R@10")
    file = site / caption.a["href"]
    assert file.read_bytes() == (project.report("phantom") / "tables" / "retrieval.csv").read_bytes()


def test_the_list_of_tables_has_each_once_below_its_chapter(project):
    page = soup(book.build("phantom", project) / "tables.html")
    found = {item.get_text(): item.find_previous("h2").get_text()[:-1] for item in page.select("article li")}
    assert found == {
        "Recall in percent. CSV: method, I2T R@10, seeds": "2 · PhenoKG",
        "Terms of HPO. CSV: terms": "In no chapter",
    }
    assert page.select_one("article li a")["href"] == "02_phenokg.html#table-retrieval"


def test_pictures_are_files_with_words(project):
    site = book.build("phantom", project)
    image = soup(site / "02_phenokg.html").find("img", src=True)
    assert image["alt"] == "Scores: recall bars"
    assert (site / image["src"]).read_bytes() == base64.b64decode(png())


def test_an_extra_page_is_copied_and_in_the_contents(project, tmp_path):
    extra = tmp_path / "explorer.html"
    extra.write_text('<a href="index.html">back</a>')
    site = book.build("phantom", project, extra={"PhenoKG explorer": extra})
    assert (site / "explorer.html").read_bytes() == extra.read_bytes()
    link = soup(site / "tables.html").select_one('.sidebar-tree a[href="explorer.html"]')
    assert link.get_text() == "PhenoKG explorer"
    assert broken(site) == []


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


@pytest.mark.parametrize("formula", [r"$\simgic(A, B)$", r"$$\begin{nothing} x \end{nothing}$$"])
def test_a_formula_that_cannot_be_read_is_named_with_its_notebook(project, formula):
    notebook(project.report("phantom") / "notebooks" / "04_stage2.ipynb", "4", f"Then\n\n{formula}")
    with pytest.raises(PhenoLIPError, match=r"04_stage2.ipynb: formula .* cannot be read"):
        book.build("phantom", project)


@pytest.mark.parametrize("link", ["05_gone.ipynb", "01_hpo_parsing.ipynb#gone", "../../data/gone.csv", "#gone"])
def test_a_broken_link_stops_the_book_and_leaves_the_old_one(project, link):
    site = book.build("phantom", project)
    before = (site / "index.html").read_bytes()
    notebook(project.report("phantom") / "notebooks" / "04_stage2.ipynb", "4", f"See [this]({link}).")
    with pytest.raises(PhenoLIPError, match=r"book of phantom: 04_stage2.ipynb:.*gone"):
        book.build("phantom", project)
    assert (site / "index.html").read_bytes() == before
    assert not (site / "04_stage2.html").exists()


def test_an_extra_page_must_be_there_and_may_hide_no_other(project, tmp_path):
    with pytest.raises(PhenoLIPError, match="no such file to put into the book as 'Explorer'"):
        book.build("phantom", project, extra={"Explorer": tmp_path / "explorer.html"})
    (tmp_path / "tables.html").touch()
    with pytest.raises(PhenoLIPError, match="has a page tables.html already"):
        book.build("phantom", project, extra={"Explorer": tmp_path / "tables.html"})


# --- markdown -----------------------------------------------------------------------------------


def test_formulae_become_mathml_and_code_stays_as_it_is(project):
    text = "At $p < 0.05$, `$x$` and\n\n```\n$$ y $$\n```\n\n$$ IC(t) = -\\ln p(t) $$\n"
    notebook(project.report("phantom") / "notebooks" / "04_stage2.ipynb", "4", text)
    page = soup(book.build("phantom", project) / "04_stage2.html").article
    assert [formula.get("display") for formula in page.find_all("math")] == [None, None, "block"]
    assert [code.get_text() for code in page.select("p > code")] == ["$x$"]
    assert page.pre.get_text().strip() == "$$ y $$"


def test_links_between_notebooks_lead_to_chapters(project):
    site = book.build("phantom", project)
    first = soup(site / "01_hpo_parsing.html").article
    assert first.find("a", string="the rest")["href"] == "03_stage1.html#second-part"
    assert broken(site) == []


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
    page = bs4.BeautifulSoup(SAFE.sanitize_html_tags(frame.to_html()), "html.parser")
    for row, line in zip(page.select("tbody tr"), zip(*columns, strict=True), strict=True):
        assert [td.get_text() for td in row.find_all("td")] == list(line)
        assert [td.get("class") == "number" or td.get("class") == ["number"] for td in row.find_all("td")] == [
            kind == "numbers" for kind in kinds
        ]
        assert not row.find_all("th")  # positions 0, 1, 2, ... are no labels
    assert len(page.select("thead th.number")) == kinds.count("numbers")


def test_labels_of_rows_stay_and_so_do_levels():
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"]))
    page = bs4.BeautifulSoup(SAFE.sanitize_html_tags(frame.to_html()), "html.parser")
    assert [th.get_text() for th in page.select("tbody th")] == ["x", "y"]
    levels = pd.DataFrame(np.ones((2, 2)), columns=pd.MultiIndex.from_tuples([("u", "v"), ("u", "w")]))
    page = bs4.BeautifulSoup(SAFE.sanitize_html_tags(levels.to_html()), "html.parser")
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
    found = Tags(SAFE.sanitize_html_tags(markup))
    assert found.tags <= set(SAFE.tags)
    assert found.attributes <= {"class", "rowspan"}


def test_scripts_in_outputs_never_reach_a_page_as_scripts(project):
    cells = [cell("x", result(text_html=markup)) for markup in NASTY]
    cells += [cell("x", result(text_plain="<script>1</script>")), cell("x", nbf.new_output("stream", text="<script>2"))]
    cells += [cell("x", result(application_javascript="alert(3)", text_plain="y"))]
    notebook(project.report("phantom") / "notebooks" / "04_stage2.ipynb", "4 · Outputs", *cells)
    page = book.build("phantom", project) / "04_stage2.html"
    assert not soup(page).article.find_all("script")
    assert "alert(3)" not in page.read_text()
    assert not {name for name in Tags(page.read_text()).attributes if name.startswith("on")}


@pytest.mark.parametrize("source", ["phantom", "open"])
def test_the_books_of_the_repository_have_no_broken_link_and_load_nothing_from_elsewhere(tmp_path, source):
    assert broken(book.build(source, Paths(committed()), tmp_path / source)) == []
