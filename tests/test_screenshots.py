"""Book, explorer and demo over what this clone has built, as pictures: `reports/screenshots` holds those of a full run.

``PHENOLIP_SCREENSHOTS=reports/screenshots pytest tests/test_screenshots.py`` after `make repro` takes them again.
"""

import os
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from phenolip_lib.apps.demo.app import serve
from phenolip_lib.apps.demo.assistant import Assistant
from phenolip_lib.core.paths import Paths
from tests.browser import DESKTOP, PHONE, chromium, console_errors
from tests.conftest import ROOT
from tests.test_demo_browser import rows, upload, wait

LOOKS = {"light": (DESKTOP, False), "dark": (DESKTOP, True), "phone": (PHONE, False)}
PAGES = {
    "book-title": "index.html",
    "book-evaluation": "05_evaluation.html",
    "book-tables": "tables.html",
    "explorer-start": "explorer.html",
    "explorer-term": "explorer.html#HP:0001640",
}
MODEL = ROOT / "build" / "phantom" / "stage2" / "phenolip-seed0"
SITE = ROOT / "reports" / "book" / "phantom"

pytestmark = [
    pytest.mark.skipif("PHENOLIP_SCREENSHOTS" not in os.environ, reason="PHENOLIP_SCREENSHOTS names no folder"),
    pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="nothing is built here: run `make repro` first"),
]


def save(browser, name):
    folder = Path(os.environ["PHENOLIP_SCREENSHOTS"])
    folder.mkdir(parents=True, exist_ok=True)
    assert browser.save_screenshot(str(folder / f"{name}.png"))


@pytest.mark.parametrize("look", LOOKS)
def test_the_site(look):
    with chromium(*LOOKS[look]) as browser:
        for name, page in PAGES.items():
            browser.get("about:blank")
            browser.get(f"{(SITE / page.partition('#')[0]).as_uri()}{page[len(page.partition('#')[0]) :]}")
            wait(browser, "article h1, main h2")
            assert console_errors(browser) == []
            save(browser, f"{name}-{look}")


@pytest.fixture(scope="module")
def served():
    page, url = serve(Assistant.load(MODEL, "phantom", Paths(ROOT)), port=0)
    yield url
    page.close()


@pytest.mark.parametrize("look", ["light", "phone"])
def test_the_demo(served, look):
    size, dark = LOOKS[look]
    with chromium((size[0], 1500), dark) as browser:
        upload(browser, served, ROOT / "data" / "phantom" / "images" / "F00133.png")
        wait(browser, "#ranking li")
        wait(browser, "#similar li")
        assert rows(browser)[0][0] == "Cardiomegaly"  # whose caption says "increased heart size"
        assert browser.find_elements(By.CSS_SELECTOR, "#picture img")
        save(browser, f"demo-{look}")
