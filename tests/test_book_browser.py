"""The book of the committed reports in a browser, read from disk as a reader would open it."""

from pathlib import Path

import pytest
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from phenolip_lib.apps import book
from phenolip_lib.core.paths import Paths
from tests.browser import DESKTOP, PHONE, chromium, console_errors
from tests.committed import committed

FOUND = "#search-results a"
EMPTY = "return [...document.images].filter(img => !img.naturalWidth || !img.alt).map(img => img.src)"
TOP = "return arguments[0].getBoundingClientRect().top"
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


def text(browser, selector: str) -> str:
    return " ".join(found.text for found in browser.find_elements(By.CSS_SELECTOR, selector))


def look_for(browser, site: Path, query: str) -> list[str]:
    """Search as a reader does from the title page; where the results lead, relative to the book."""
    browser.get((site / "index.html").as_uri())
    element(browser, "body").send_keys("/")
    browser.switch_to.active_element.send_keys(query, Keys.ENTER)
    until(browser, lambda: "match" in text(browser, ".search-summary"))
    return [link.get_attribute("href").rpartition("/")[2] for link in browser.find_elements(By.CSS_SELECTOR, FOUND)]


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


def test_slash_searches_and_a_title_leads_to_its_section(site, desktop):
    assert look_for(desktop, site, "Information content and Lin similarity")[0] == LIN
    element(desktop, FOUND).click()
    until(desktop, lambda: desktop.current_url.endswith(LIN))
    heading = element(desktop, "#information-content-and-lin-similarity")
    until(desktop, lambda: 0 <= desktop.execute_script(TOP, heading) < DESKTOP[1] / 3)


def test_a_word_leads_to_the_place_where_it_stands(site, desktop):
    assert look_for(desktop, site, "hepatosplenomegaly")[0] == LIN.partition("#")[0]
    element(desktop, FOUND).click()
    until(desktop, lambda: desktop.find_elements(By.CSS_SELECTOR, "article .highlighted"))
    found = element(desktop, "article .highlighted")
    assert found.text.lower() == "hepatosplenomegaly"
    until(desktop, lambda: 0 <= desktop.execute_script(TOP, found) < DESKTOP[1])
    assert desktop.execute_script("return scrollY") > DESKTOP[1]
    assert not console_errors(desktop)


def test_nonsense_is_not_found_and_markup_is_text(site, desktop):
    assert look_for(desktop, site, "qqxyzzy") == []
    assert look_for(desktop, site, "<img src=x onerror=alert(1)>") == []
    assert not desktop.find_elements(By.CSS_SELECTOR, "main img")


def background(browser) -> str:
    return browser.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_the_button_turns_the_theme_and_the_next_page_remembers(site, desktop):
    desktop.get((site / "index.html").as_uri())
    light, button = background(desktop), element(desktop, ".content-icon-container button.theme-toggle")
    button.click()
    dark = background(desktop)
    assert dark != light
    desktop.get((site / "tables.html").as_uri())
    assert background(desktop) == dark
    desktop.execute_script("localStorage.clear()")


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
            assert browser.execute_script(CONTRAST) == [], page


def test_pictures_lie_on_white_in_the_dark(site):
    with chromium(DESKTOP, dark=True) as browser:
        browser.get((site / "03_stage1_knowledge_encoder.html").as_uri())
        card = "return getComputedStyle(document.querySelector('.cell_output img')).backgroundColor"
        assert browser.execute_script(card) == "rgb(255, 255, 255)"


def test_contents_open_on_a_phone_and_lead_on(site, phone):
    phone.get((site / "01_hpo_parsing.html").as_uri())
    link = element(phone, ".sidebar-tree a[href='02_phenokg_build.html']")
    assert link.rect["x"] < 0  # folded away
    element(phone, ".mobile-header .nav-overlay-icon").click()
    until(phone, lambda: link.rect["x"] >= 0)
    link.click()
    until(phone, lambda: phone.current_url.endswith("02_phenokg_build.html"))


def test_wide_tables_and_logs_scroll_by_keyboard(site, desktop):
    desktop.get((site / "05_evaluation.html").as_uri())
    wide = "return [...document.querySelectorAll('.cell_output .text_html')].find(e => e.scrollWidth > e.clientWidth)"
    table = until(desktop, lambda: desktop.execute_script(wide))  # widths are those after all styles have come
    desktop.execute_script("arguments[0].focus()", table)
    assert desktop.switch_to.active_element == table
    table.send_keys(Keys.ARROW_RIGHT)
    until(desktop, lambda: desktop.execute_script("return arguments[0].scrollLeft", table) > 0)


def test_the_keyboard_can_skip_to_the_text(site, desktop):
    desktop.get((site / "index.html").as_uri())
    element(desktop, "body").send_keys(Keys.TAB)
    skip = desktop.switch_to.active_element
    until(desktop, lambda: skip.text == "Skip to content" and skip.rect["y"] >= 0)
    skip.send_keys(Keys.ENTER)
    assert desktop.current_url.endswith("#furo-main-content")


def test_without_scripts_contents_text_and_formulae_are_there(site):
    with chromium() as browser:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        browser.get((site / "01_hpo_parsing.html").as_uri())
        assert element(browser, ".sidebar-tree").is_displayed()
        assert element(browser, "article h1").is_displayed()
        assert element(browser, ".formula math").rect["height"] > 20
