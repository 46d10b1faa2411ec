"""The book of the committed reports in a browser, read from disk as a reader would open it."""

import json
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from phenolip_lib.apps import book
from phenolip_lib.apps.book import search
from phenolip_lib.core.paths import Paths
from tests.browser import DESKTOP, PHONE, chromium, console_errors
from tests.committed import committed

PLACES = "return [...document.querySelectorAll('#page-found a')].map(a => a.getAttribute('href'))"
EMPTY = "return [...document.images].filter(img => !img.naturalWidth || !img.alt).map(img => img.src)"
NO_MEMORY = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } });"
LIN = "01_hpo_parsing.html#information-content-and-lin-similarity"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return book.build("phantom", Paths(committed()), tmp_path_factory.mktemp("book") / "phantom")


@pytest.fixture(scope="module")
def desktop():
    with chromium(DESKTOP) as browser:
        yield browser


@pytest.fixture(scope="module")
def phone():
    with chromium(PHONE) as browser:
        yield browser


def pages(site: Path) -> list[str]:
    return [path.as_uri() for path in sorted(site.glob("*.html"))]


def element(browser, selector: str):
    return browser.find_element(By.CSS_SELECTOR, selector)


def until(browser, condition):
    return WebDriverWait(browser, 10).until(lambda _: condition())


def forget(browser) -> None:
    browser.execute_script("localStorage.clear()")


def type_query(browser, query: str) -> list[str]:
    """Type into the search field; where the results lead, relative to the book."""
    field = element(browser, "#page-search")
    field.clear()
    field.send_keys(query)
    return browser.execute_script(PLACES)


def test_every_page_loads_whole_without_an_error(site, desktop):
    for page in pages(site):
        desktop.get(page)
        desktop.execute_script("document.querySelectorAll('img').forEach(img => { img.loading = 'eager'; })")
        until(desktop, lambda: desktop.execute_script("return [...document.images].every(img => img.complete)"))
        assert not desktop.execute_script(EMPTY), page
        assert not console_errors(desktop), page
    assert len(pages(site)) >= 8


def test_no_page_is_wider_than_a_phone(site, phone):
    for page in pages(site):
        phone.get(page)
        width = phone.execute_script("return document.documentElement.scrollWidth")
        assert width == PHONE[0], page
        assert not console_errors(phone), page


def test_slash_searches_and_enter_goes_to_the_first_place(site, desktop):
    desktop.get((site / "05_evaluation.html").as_uri())
    element(desktop, "body").send_keys("/")
    assert desktop.switch_to.active_element.get_attribute("id") == "page-search"
    found = type_query(desktop, "Lin similarity")
    assert found[0] == LIN
    first = element(desktop, "#page-found a")
    assert [mark.text for mark in first.find_elements(By.CSS_SELECTOR, "b mark")] == ["Lin", "similarity"]
    assert "similarity" in element(desktop, "#page-found a span").text
    desktop.switch_to.active_element.send_keys(Keys.ENTER)
    until(desktop, lambda: desktop.current_url.endswith(LIN))
    heading = element(desktop, "#information-content-and-lin-similarity")
    assert 0 <= desktop.execute_script("return arguments[0].getBoundingClientRect().top", heading) < DESKTOP[1] / 3


def test_arrows_walk_through_the_places_and_escape_closes_them(site, desktop):
    desktop.get((site / "index.html").as_uri())
    field, panel = element(desktop, "#page-search"), element(desktop, "#page-found")
    assert len(type_query(desktop, "phenotype")) > 2
    ActionChains(desktop).send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP).perform()
    second = desktop.find_elements(By.CSS_SELECTOR, "#page-found a")[1]
    assert desktop.switch_to.active_element == second
    ActionChains(desktop).send_keys(Keys.ESCAPE).perform()
    assert not panel.is_displayed()
    assert desktop.switch_to.active_element != field


def test_search_finds_every_entry_by_its_title_and_nothing_for_nonsense(site, desktop):
    desktop.get((site / "index.html").as_uri())
    text = (site / "assets" / "search-index.js").read_text().removeprefix(f"window.{search.VARIABLE} = ")
    for entry in json.loads(text.rstrip().removesuffix(";")):
        found = type_query(desktop, entry["title"])
        assert entry["to"] in found, entry["title"]
    assert type_query(desktop, "qqxyzzy phenotype") == []
    assert element(desktop, "#page-found [role=status]").text == "No places"
    type_query(desktop, "<img src=x onerror=alert(1)>")
    assert not desktop.find_elements(By.CSS_SELECTOR, "#page-found img")


def background(browser) -> str:
    return browser.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_the_button_turns_the_theme_and_the_next_page_remembers(site, desktop):
    desktop.get((site / "index.html").as_uri())
    forget(desktop)
    desktop.refresh()
    light, button = background(desktop), element(desktop, "button.theme")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    dark = background(desktop)
    assert dark != light
    assert button.get_attribute("aria-pressed") == "true"
    desktop.get((site / "tables.html").as_uri())
    assert background(desktop) == dark
    element(desktop, "button.theme").click()
    assert background(desktop) == light
    forget(desktop)


def test_where_nothing_may_be_remembered_the_button_still_works(site):
    with chromium(DESKTOP, dark=True) as browser:
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_MEMORY})
        browser.get((site / "index.html").as_uri())
        dark = background(browser)
        element(browser, "button.theme").click()
        assert background(browser) != dark
        assert not console_errors(browser)


CONTRAST = """
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
  .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = channels(getComputedStyle(e).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const low = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const style = getComputedStyle(element);
  const seen = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  if (!walker.currentNode.data.trim() || !seen || parseFloat(style.fontSize) === 0) continue;
  const [a, b] = [luminance(channels(style.color)), luminance(behind(element))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) low.add(`${element.outerHTML.slice(0, 80)} ${ratio.toFixed(2)}`);
}
return [...low];
"""


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_from_what_is_behind_it(site, dark):
    with chromium(DESKTOP, dark=dark) as browser:
        browser.get((site / "index.html").as_uri())
        assert (sum(map(int, background(browser)[4:-1].split(", "))) < 200) == dark
        for page in pages(site):
            browser.get(page)
            browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            type_query(browser, "phenotype")
            assert browser.execute_script(CONTRAST) == [], page


def test_pictures_lie_on_white_in_the_dark(site):
    with chromium(DESKTOP, dark=True) as browser:
        browser.get((site / "03_stage1_knowledge_encoder.html").as_uri())
        card = "return getComputedStyle(document.querySelector('.picture img')).backgroundColor"
        assert browser.execute_script(card) == "rgb(255, 255, 255)"


def test_contents_open_on_a_phone_and_fold_after_a_choice(site, phone):
    phone.get((site / "01_hpo_parsing.html").as_uri())
    contents, text = element(phone, "#page-contents"), "Information content and Lin similarity"
    assert not contents.is_displayed()
    phone.execute_script("scrollTo(0, 2000)")
    element(phone, ".contents > summary").click()
    assert contents.is_displayed()
    contents.find_element(By.LINK_TEXT, text).click()
    assert not contents.is_displayed()
    assert phone.current_url.endswith(LIN)


def test_contents_are_beside_the_text_on_a_desk_and_mark_the_section_being_read(site, desktop):
    desktop.get((site / LIN.partition("#")[0]).as_uri())
    assert element(desktop, "#page-contents").is_displayed()
    marked = "return [...document.querySelectorAll('[aria-current=true]')].map(a => a.textContent)"
    for name in ("parse", "information-content-and-lin-similarity", "parse"):
        desktop.execute_script(f"document.getElementById('{name}').scrollIntoView()")
        title = element(desktop, f"#{name}").text.removesuffix("#")
        until(desktop, lambda title=title: desktop.execute_script(marked) == [title])


def test_the_keyboard_can_skip_to_the_text(site, desktop):
    desktop.get((site / "index.html").as_uri())
    element(desktop, "body").send_keys(Keys.TAB)
    skip = desktop.switch_to.active_element
    assert skip.text == "Skip to the text"
    assert skip.location["x"] >= 0
    skip.send_keys(Keys.ENTER)
    assert desktop.switch_to.active_element.tag_name == "main"


def test_without_scripts_contents_and_text_are_there(site):
    with chromium(PHONE) as browser:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        browser.get((site / "01_hpo_parsing.html").as_uri())
        contents, title = element(browser, "#page-contents"), element(browser, "main h1")
        assert contents.is_displayed()
        assert contents.rect["y"] + contents.rect["height"] <= title.rect["y"]
        assert not element(browser, "#page-search").is_displayed()
