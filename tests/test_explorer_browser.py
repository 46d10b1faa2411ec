"""The explorer as people see it: search, tree, deep links, pictures, both themes, a phone."""

from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from phenolip_lib.apps import explorer
from phenolip_lib.ontology import similarity
from phenolip_lib.recognition.recognizer import Recognizer
from tests.browser import DESKTOP, PHONE, chromium, console_errors
from tests.test_explorer import CARDIOMEGALY, HEART, HOSTILE, SPLENOMEGALY, make, unit
from tests.test_graph import pair

SECONDS = 60
AT_CARDIOMEGALY = f"#{CARDIOMEGALY}"


@pytest.fixture(scope="module")
def page(full, tmp_path_factory) -> Path:
    """The whole ontology, the encoder's names of one branch at random, 26 + 4 pictures and 3 that are withheld."""
    folder = tmp_path_factory.mktemp("explorer")
    rows = [pair(f"a{i:02d}", [CARDIOMEGALY], caption=f"Heart number {i}.") for i in range(26)]
    rows += [pair("h0", [HEART], caption="A heart."), pair("p0", [CARDIOMEGALY, "HP:0002202"], caption=HOSTILE)]
    rows += [pair(f"s{i}", [SPLENOMEGALY], licence="CC-BY-4.0", url="https://example.org/s") for i in range(2)]
    rows += [pair(f"x{i}", [CARDIOMEGALY, SPLENOMEGALY], licence="LicenseRef-NLM-MedPix") for i in range(3)]
    names = sorted(full.descendants("HP:0001626"))
    return make(folder / "page.html", full, rows, folder, (names, unit(np.random.default_rng(0), len(names))))


@pytest.fixture(scope="module")
def shared_browser():
    with chromium(DESKTOP) as browser:
        yield browser


@pytest.fixture
def browser(shared_browser, page):
    """The page at its start, loaded anew; nothing may be logged while a test looks at it."""
    visit(shared_browser, page)
    yield shared_browser
    assert console_errors(shared_browser) == []


def visit(browser, page: Path, address: str = "") -> None:
    """Load the page from its start, also where only the part after # is new."""
    browser.get("about:blank")
    browser.get(page.as_uri() + address)
    until(browser, lambda: not browser.find_elements(By.ID, "status"))


def until(browser, condition):
    return WebDriverWait(browser, SECONDS).until(lambda _: condition())


def one(browser, selector: str):
    return browser.find_element(By.CSS_SELECTOR, selector)


def texts(browser, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    return browser.execute_script(script, selector)


def heading(browser) -> str:
    return browser.execute_script("return document.querySelector('main h1').textContent")  # never between two terms


def search(browser, query: str) -> list[str]:
    """Texts of the results, best first."""
    field = one(browser, "#query")
    field.clear()
    field.send_keys(query)
    return [" | ".join(e.text.split("\n")) for e in browser.find_elements(By.CSS_SELECTOR, "#results li")]


def codes(browser, query: str) -> list[str]:
    search(browser, query)
    return texts(browser, "#results .code")


def loaded(browser, selector: str) -> bool:
    """Whether there are pictures under the selector, all of them decoded."""
    script = "const all = [...document.querySelectorAll(arguments[0])];"
    return browser.execute_script(script + "return all.length > 0 && all.every((e) => e.naturalWidth > 0)", selector)


def overflow(browser) -> int:
    return browser.execute_script("return document.documentElement.scrollWidth - innerWidth")


# --- search -------------------------------------------------------------------------------------


def test_search_by_name_goes_to_the_term(browser):
    assert search(browser, "cardiomeg")[0].startswith("Cardiomegaly | HP:0001640")
    one(browser, "#query").send_keys(Keys.ENTER)
    until(browser, lambda: heading(browser) == "Cardiomegaly")
    assert browser.current_url.endswith("#HP:0001640")
    assert browser.title.startswith("Cardiomegaly")


def test_search_says_which_synonym_matched(browser):
    found = search(browser, "Large SPLEEN")
    assert found[0].startswith("Splenomegaly | HP:0001744")
    assert "layperson synonym: Large spleen" in found[0]
    assert texts(browser, "#results li:first-child mark") == ["Large", "spleen"]


def test_results_are_ranked_by_how_the_text_fits(browser, full):
    """The order of tiers against a plain reading of the rule over all names and synonyms."""
    names = [
        (text.lower(), h)
        for c, t in (("name", "terms"), ("synonym", "synonyms"))
        for h, text in zip(full.tables[t]["hpo_id"], full.tables[t][c], strict=True)
    ]

    def tier(text: str, wanted: str) -> int | None:
        spaced = " " + " ".join("".join(c if c.isalnum() else " " for c in text).split())
        if wanted not in spaced:
            split = wanted.split()
            return 4 if len(split) > 1 and all(f" {word}" in spaced for word in split) else None
        return (
            0
            if spaced == f" {wanted}"
            else 1
            if spaced.startswith(f" {wanted}")
            else 2
            if f" {wanted}" in spaced
            else 3
        )

    for query in ("anemia", "red cell abnormal", "phakia", "short toe"):
        best: dict[str, int] = {}
        for text, hpo_id in names:
            if (found := tier(text, query)) is not None:
                best[hpo_id] = min(found, best.get(hpo_id, 9))
        shown = codes(browser, query)
        spelled = sorted(best.values())[:50]
        assert [best.get(code) for code in shown][: len(spelled)] == spelled, query
        assert not best.keys() & set(shown[len(spelled) :])  # what only means the same comes last
        assert int(one(browser, "#results-note").text.split()[0]) >= len(best)


def test_words_are_found_in_any_order(browser):
    assert "HP:0001712" in codes(browser, "hypertrophy ventricular left")  # Left ventricular hypertrophy
    assert search(browser, "no such phenotype at all") == []
    assert one(browser, "#results-note").text == "No term found."


@pytest.mark.parametrize(
    ("query", "name", "via"),
    [
        ("large heart", "Cardiomegaly", "Enlarged heart"),
        ("big spleen", "Splenomegaly", "Large spleen"),
        ("kidney failure", "Renal insufficiency", "Renal failure"),
        ("enlargement of the liver", "Hepatomegaly", "Enlarged liver"),
    ],
)
def test_search_takes_words_for_their_families(browser, query, name, via):
    first = search(browser, query)[0]
    assert first.startswith(name)
    assert f"synonym: {via}" in first


def test_search_finds_what_the_recogniser_reads(browser, full):
    recognizer = Recognizer(full)
    texts = sorted({synonym.text for h in full.phenotypes[::40] for synonym in full[h].scoped_synonyms})
    swapped = [" ".join(reversed(text.split())) for text in texts if len(text.split()) == 2]
    read = {text: [mention.hpo_id for mention in recognizer(text)] for text in swapped}
    assert sum(map(len, read.values())) > 40
    # What the recogniser reads through a marker that it may leave out, or through part of the words, is no search.
    found = [hpo_id in codes(browser, text) for text, ids in read.items() for hpo_id in ids]
    assert np.mean(found) > 0.9


def test_a_slip_of_the_pen_is_told_and_mended(browser):
    assert search(browser, "cardiomegly")[0].startswith("Cardiomegaly | HP:0001640")
    assert one(browser, "#results-note").text == "Did you mean “cardiomegaly”? 1 term"
    assert search(browser, "enlarged splene")[0].startswith("Splenomegaly")
    assert search(browser, "hepatosplenomeg")[0].startswith("Hepatosplenomegaly")  # a beginning is no slip
    assert "Did you mean" not in one(browser, "#results-note").text


def test_search_by_id_takes_old_ones_too(browser, full):
    assert codes(browser, "HP:0001640")[0] == CARDIOMEGALY
    assert codes(browser, "1640")[0] == CARDIOMEGALY
    assert codes(browser, "hp:000174")[:3] == [h for h in full.ids if h.startswith("HP:000174")][:3]
    old, live = sorted(full.replaced.items())[0]
    found = search(browser, old)
    assert f"{old} is an old id of this term" in found[0]
    one(browser, "#query").send_keys(Keys.ENTER)
    until(browser, lambda: heading(browser) == full[live].name)


def test_the_field_is_reached_by_a_key_and_its_list_closed_by_another(browser):
    one(browser, "body").send_keys("/")
    assert browser.switch_to.active_element.get_attribute("id") == "query"
    browser.switch_to.active_element.send_keys("heart")
    assert one(browser, "#results-box").is_displayed()
    first = one(browser, "#query").get_attribute("aria-activedescendant")
    one(browser, "#query").send_keys(Keys.ARROW_DOWN)
    assert one(browser, "#query").get_attribute("aria-activedescendant") != first
    one(browser, "#query").send_keys(Keys.ESCAPE)
    assert not one(browser, "#results-box").is_displayed()
    search(browser, "heart murmur")
    one(browser, "#results li").click()
    until(browser, lambda: heading(browser) == "Heart murmur")


# --- addresses ----------------------------------------------------------------------------------


def test_a_deep_link_opens_the_term_and_back_returns(browser, page, full):
    visit(browser, page, "#HP:0001744")
    assert heading(browser) == "Splenomegaly"
    assert full[SPLENOMEGALY].definition in one(browser, ".definition").text
    one(browser, "#place .three a").click()
    until(browser, lambda: heading(browser) != "Splenomegaly")
    browser.back()
    until(browser, lambda: heading(browser) == "Splenomegaly")


def test_old_obsolete_and_unknown_ids_are_explained(browser, page, full):
    old, live = sorted(full.replaced.items())[0]
    visit(browser, page, f"#{old}")
    assert heading(browser) == full[live].name
    assert f"{old} is an old id" in one(browser, ".notice").text
    dead = full.tables["obsolete"].set_index("hpo_id")
    dead = dead[~dead.index.isin(full.replaced)].iloc[0]
    visit(browser, page, f"#{dead.name}")
    assert heading(browser) == dead["name"]
    visit(browser, page, "#HP:9999999")
    assert heading(browser) == "No such term"


# --- a term -------------------------------------------------------------------------------------


def test_the_detail_says_what_the_ontology_says(browser, page, full):
    visit(browser, page, "#HP:0001744")
    term = full[SPLENOMEGALY]
    shown = texts(browser, "#synonyms li")
    for synonym in term.scoped_synonyms:
        assert any(text.startswith(synonym.text) and synonym.scope.lower() in text for text in shown)
    assert one(browser, ".id a").get_attribute("href") == "https://hpo.jax.org/browse/term/HP:0001744"
    facts = dict(zip(texts(browser, "dt"), texts(browser, "dd"), strict=True))
    assert facts["Organ systems"].split(", ") == sorted(full.systems[SPLENOMEGALY])
    assert facts["Information content"] == f"{full.information_content[full.index[SPLENOMEGALY]]:.2f} nats"
    columns = browser.find_elements(By.CSS_SELECTOR, "#place .three > div")
    linked = [[a.text for a in column.find_elements(By.TAG_NAME, "a")] for column in columns]
    assert linked[0] == sorted(full[h].name for h in full.parents[SPLENOMEGALY])
    assert linked[1] == sorted(full[h].name for h in full.children.get(SPLENOMEGALY, ()))[:12]


def test_all_paths_to_the_root_are_there(browser, page, full):
    def paths(hpo_id: str) -> set[str]:
        above = full.parents.get(hpo_id, [])
        return {f"{p} › {full[hpo_id].name}" for parent in above for p in paths(parent)} or {full[hpo_id].name}

    expected = paths("HP:0100379")
    assert len(expected) > 100
    visit(browser, page, "#HP:0100379")
    one(browser, ".paths + .more").click()
    assert set(texts(browser, ".paths li")) == expected
    shown = [path.count("›") for path in texts(browser, ".paths li")]
    assert shown == sorted(shown)


def test_neighbours_stand_side_by_side(browser, page, full):
    visit(browser, page, AT_CARDIOMEGALY)
    lin, cosine = browser.find_elements(By.CSS_SELECTOR, "#neighbours table")
    assert [row.text for row in lin.find_elements(By.CSS_SELECTOR, "thead th")] == ["Term", "Cosine", "Lin"]
    ids = [a.get_attribute("href")[-10:] for a in lin.find_elements(By.TAG_NAME, "a")]
    expected = similarity.lin(full, [CARDIOMEGALY], ids)[0]
    assert [float(e.text) for e in lin.find_elements(By.CSS_SELECTOR, "td:last-child")] == pytest.approx(
        expected, abs=0.0051
    )
    assert len(ids) == len(cosine.find_elements(By.TAG_NAME, "a")) == 8
    visit(browser, page, "#HP:0000478")
    assert "not trained on this term" in one(browser, "#neighbours").text


# --- pictures -----------------------------------------------------------------------------------


def test_pictures_load_and_are_turned_by_the_page(browser, page):
    visit(browser, page, AT_CARDIOMEGALY)
    until(browser, lambda: loaded(browser, ".grid img"))
    assert len(texts(browser, ".card")) == 24
    first = set(texts(browser, ".card .caption"))
    one(browser, ".pager button:last-child").click()
    rest = texts(browser, ".card .caption")
    assert len(rest) == 3  # 27 pictures may be shown
    assert first | set(rest) == {f"Heart number {i}." for i in range(26)} | {HOSTILE}


def test_own_pictures_come_before_those_of_descendants(browser, page):
    visit(browser, page, f"#{HEART}")
    assert "1 image of the term itself, 31 with descendants" in one(browser, "#images").text
    assert texts(browser, ".card .caption")[0] == "A heart."
    assert len(texts(browser, ".card")) == 24
    one(browser, "#images input").click()
    assert texts(browser, ".card .caption") == ["A heart."]


def test_withheld_pictures_are_counted_by_licence(browser, page):
    visit(browser, page, "#HP:0001744")
    line = "3 images under the licence LicenseRef-NLM-MedPix are counted but not shown"
    assert line in one(browser, "#images").text
    assert len(texts(browser, ".card")) == 2
    assert "5 images of the term itself" in one(browser, "#images").text


def test_a_picture_is_enlarged_with_all_its_facts(browser, page):
    visit(browser, page, "#HP:0001744")
    one(browser, ".card button").click()
    viewer = one(browser, "#viewer")
    until(browser, lambda: loaded(browser, "#viewer img"))
    for fact in ("A picture s0.", "radiology", "train", "CC-BY-4.0", "label of the data set", "Splenomegaly", "1 of 2"):
        assert fact in viewer.text
    assert viewer.find_element(By.LINK_TEXT, "source").get_attribute("href") == "https://example.org/s"
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    until(browser, lambda: "A picture s1." in viewer.text)
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    until(browser, lambda: not viewer.is_displayed())


def test_hostile_captions_stay_text(browser, page):
    visit(browser, page, "#HP:0002202")
    assert one(browser, ".card .caption").get_attribute("textContent") == HOSTILE
    one(browser, ".card button").click()
    assert HOSTILE in one(browser, "#viewer").text
    assert browser.title.startswith("Pleural effusion")
    assert not browser.find_elements(By.CSS_SELECTOR, "main img[src=x], #viewer img[src=x]")


# --- tree ---------------------------------------------------------------------------------------


def item(browser, hpo_id: str, full):
    name = full[hpo_id].name
    return one(browser, f"#tree [role=treeitem][aria-label^='{name}']")


def test_the_tree_opens_and_counts(browser, full):
    assert len(texts(browser, "#tree [role=treeitem]")) == len(full.children["HP:0000118"])
    system = item(browser, "HP:0001626", full)
    assert "0 / 33" in system.text
    system.find_element(By.CSS_SELECTOR, ".twisty").click()
    assert system.get_attribute("aria-expanded") == "true"
    below = system.find_elements(By.CSS_SELECTOR, ":scope > [role=group] > li > .row > .name")
    assert {e.text for e in below} == {full[h].name for h in full.children["HP:0001626"]}
    system.find_element(By.CSS_SELECTOR, ".twisty").click()
    assert not system.find_elements(By.CSS_SELECTOR, "[role=group]")


def test_only_terms_with_images(browser, full):
    one(browser, "#only").click()
    shown = set(texts(browser, "#tree > li > .row > .name"))
    above = {a for h in (CARDIOMEGALY, SPLENOMEGALY, HEART, "HP:0002202") for a in full.ancestors(h)}
    assert shown == {full[h].name for h in full.children["HP:0000118"] if h in above}


def test_the_tree_is_walked_by_keys(browser, full):
    one(browser, "#tree [tabindex='0']").send_keys(Keys.HOME)
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    focused = browser.switch_to.active_element
    assert focused.get_attribute("aria-posinset") == "2"
    focused.send_keys(Keys.ARROW_RIGHT)
    assert focused.get_attribute("aria-expanded") == "true"
    focused.send_keys(Keys.ARROW_RIGHT)
    child = browser.switch_to.active_element
    assert child.get_attribute("aria-level") == "2"
    child.send_keys(Keys.ENTER)
    until(browser, lambda: heading(browser) == child.find_element(By.CSS_SELECTOR, ".name").text)
    child.send_keys(Keys.ARROW_LEFT)
    assert browser.switch_to.active_element == focused
    focused.send_keys("n")
    assert browser.switch_to.active_element.text.startswith("Neoplasm")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#tree [tabindex='0']")) == 1


def test_the_tree_follows_the_term_to_every_place_that_is_open(browser, page, full):
    visit(browser, page, "#HP:0001744")
    marked = browser.find_elements(By.CSS_SELECTOR, "#tree [aria-current]")
    assert [e.find_element(By.CSS_SELECTOR, ".name").text for e in marked] == ["Splenomegaly"]
    path = marked[0].get_attribute("data-path").split("/")
    steps = [full.ids[int(step)] for step in path]
    assert steps[0] in full.children["HP:0000118"]
    assert all(child in full.children[parent] for parent, child in zip(steps, steps[1:], strict=False))


# --- looks --------------------------------------------------------------------------------------


def test_the_theme_can_be_switched_and_is_kept(browser, page):
    def background() -> str:
        return browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    light = background()
    one(browser, "#theme-button").click()
    dark = background()
    assert dark != light
    visit(browser, page)
    assert background() == dark
    one(browser, "#theme-button").click()
    assert background() == light


def test_a_phone_shows_everything_within_its_width(page):
    with chromium(PHONE) as browser:
        visit(browser, page)
        assert overflow(browser) <= 0
        assert not one(browser, "#sidebar").is_displayed()
        one(browser, "#tree-button").click()
        assert one(browser, "#sidebar").is_displayed()
        assert overflow(browser) <= 0
        search(browser, "left ventricular")
        assert overflow(browser) <= 0
        for address in (AT_CARDIOMEGALY, "#HP:0100379", "#HP:0002202"):
            visit(browser, page, address)
            assert overflow(browser) <= 0
        one(browser, ".card button").click()
        until(browser, lambda: loaded(browser, "#viewer img"))
        assert overflow(browser) <= 0
        assert console_errors(browser) == []


def test_a_page_without_data_says_how_to_get_them(toy, tmp_path):
    page = explorer.write(tmp_path / "x.html", toy, None, None, None, None, "Bare")
    with chromium(DESKTOP) as browser:
        visit(browser, page)
        assert one(browser, "main").text.count("make repro") == 2
        assert not one(browser, "#only").is_displayed()
        visit(browser, page, AT_CARDIOMEGALY)
        assert "make repro" in one(browser, "#images").text
        assert "make repro" in one(browser, "#neighbours").text
        assert console_errors(browser) == []


def test_ten_thousand_pictures_open(full, tmp_path):
    leaves = full.leaves[:: len(full.leaves) // 700]
    rows = [pair(f"n{i:05d}", [leaves[i % len(leaves)]], image=f"{i % 20}.png") for i in range(10_000)]
    page = make(tmp_path / "x.html", full, rows, tmp_path)
    with chromium(DESKTOP) as browser:
        visit(browser, page)
        assert "10,000" in one(browser, ".tiles").text
        assert codes(browser, "cardiomegaly")[0] == CARDIOMEGALY
        visit(browser, page, f"#{leaves[0]}")
        until(browser, lambda: loaded(browser, ".grid img"))
        assert console_errors(browser) == []
