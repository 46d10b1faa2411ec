"""The demo as people meet it: a picture dropped in Chromium, and what the server gives to nobody."""

import os
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from phenolip_lib.apps import ask as asking
from phenolip_lib.apps.demo.app import serve
from phenolip_lib.apps.demo.questions import EXAMPLES, Questions
from phenolip_lib.core.errors import PhenoLIPError
from tests.browser import PHONE, chromium, console_errors
from tests.test_arl import Asked
from tests.test_demo import make_assistant
from tests.test_demo_questions import WORDS, learn, project_at

LIMIT = 100_000
KNOWN = "Method not implemented"
"""A warning that Gradio's own script logs whenever the page opens a stream."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def assistant(folder, toy):
    return make_assistant(folder, toy)[0]


@pytest.fixture(scope="module")
def asked(toy):
    """What answers questions, having learned nothing."""
    return Asked(toy)


@pytest.fixture(scope="module")
def served(assistant, asked, folder):
    """(page, address, folder of uploads) of a running demo."""
    questions = Questions("phantom", learn(project_at(folder / "project")))
    questions._model = asked, asked.model, WORDS
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    blocks, url = serve(assistant, port=port, max_bytes=LIMIT, questions=questions)
    yield blocks, url, Path(os.environ["GRADIO_TEMP_DIR"])
    blocks.close()
    os.environ.pop("GRADIO_TEMP_DIR")


@pytest.fixture(scope="module")
def picture(folder):
    path = folder / "mine.png"
    pixels = np.random.default_rng(3).normal((60, 60, 190), 40, (90, 120, 3))
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def browser(served):
    with chromium() as found:
        yield found
        loopback_only(found)


def loopback_only(browser):
    """Nothing came from another host, and nothing was tried: a refused attempt would be in the console."""
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert {urlsplit(name).hostname for name in loaded if name.startswith("http")} == {"127.0.0.1"}
    assert [message for message in console_errors(browser) if KNOWN not in message] == []


def wait(browser, css, text=""):
    """The first element that matches and holds the text."""

    def there(driver):
        return next((item for item in driver.find_elements(By.CSS_SELECTOR, css) if text in item.text), None)

    return WebDriverWait(browser, 60).until(there, f"{css} {text!r}")


def upload(browser, url, path):
    browser.get(url)
    give(browser, "#upload", path)


def give(browser, css, path):
    wait(browser, css)
    WebDriverWait(browser, 60).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, f"{css} input[type=file]"))
    browser.find_element(By.CSS_SELECTOR, f"{css} input[type=file]").send_keys(str(path))


def field(browser, css):
    return browser.find_element(By.CSS_SELECTOR, f"{css} input, {css} textarea")


def kept(uploads):
    """Files with content; Gradio leaves an empty one at each upload."""
    return [path for path in uploads.rglob("*") if path.is_file() and path.stat().st_size]


def rows(browser):
    """(name, number) of each row of the ranking."""
    buttons = browser.find_elements(By.CSS_SELECTOR, "#ranking button")
    part = [[button.find_element(By.CSS_SELECTOR, css).text for css in (".name", ".number")] for button in buttons]
    return [(name.partition(" HP:")[0], number) for name, number in part]


def expected(table):
    return [
        (row.name, f"{100 * row.probability:.1f} %" if row.probability >= 0 else f"cosine {row.cosine:.2f}")
        for row in table.itertuples(index=False)
    ]


def test_a_picture_is_ranked_mapped_and_compared(browser, served, assistant, picture):
    _, url, uploads = served
    upload(browser, url, picture)
    wait(browser, "#ranking li")
    view = assistant.look(Image.open(picture))
    table = assistant.rank(view)
    assert rows(browser) == expected(table)
    assert kept(uploads) == []
    assert "not a medical device" in browser.find_element(By.CSS_SELECTOR, ".notice").text
    assert "Calibrated on" in browser.find_element(By.ID, "ranking").text
    assert len(browser.find_elements(By.CSS_SELECTOR, "#similar li img")) == 6
    assert "not shown: their licences" in browser.find_element(By.ID, "similar").text

    shown = browser.find_element(By.CSS_SELECTOR, "#picture img")
    first = shown.get_attribute("src")
    assert table["name"][0] in shown.get_attribute("alt")
    assert shown.get_property("naturalWidth") == 120
    # Another phenotype, by keyboard.
    browser.find_elements(By.CSS_SELECTOR, "#ranking button")[1].send_keys(Keys.ENTER)
    wait(browser, ".legend", table["name"][1])
    assert browser.find_element(By.CSS_SELECTOR, "#picture img").get_attribute("src") != first
    pressed = [b.get_attribute("aria-pressed") for b in browser.find_elements(By.CSS_SELECTOR, "#ranking button")]
    assert pressed == ["false", "true", "false", "false"]
    browser.find_element(By.CSS_SELECTOR, "#map input[value=off]").click()
    WebDriverWait(browser, 60).until(lambda driver: not driver.find_elements(By.CSS_SELECTOR, ".legend"))


def test_words_and_an_organ_system(browser, served, assistant, picture):
    upload(browser, served[1], picture)
    wait(browser, "#ranking li")
    browser.find_element(By.CSS_SELECTOR, "#words input, #words textarea").send_keys(
        "large heart, <i>spleen", Keys.ENTER
    )
    wait(browser, "#ranking", "your words")
    view = assistant.look(Image.open(picture))
    asked = ["large heart", "<i>spleen"]
    assert rows(browser) == expected(assistant.rank(view, words=asked))
    browser.find_element(By.CSS_SELECTOR, "#system input").click()
    wait(browser, "[role=option]", "blood-forming").click()
    wait(browser, "#ranking", "Probability among the 2 candidates")
    assert rows(browser) == expected(assistant.rank(view, "HP:0001871", asked))
    assert "within one organ system it is not calibrated" in browser.find_element(By.ID, "ranking").text


def test_pictures_for_a_text(browser, served, assistant):
    browser.get(served[1])
    wait(browser, "button[role=tab]", "Pictures for a text").click()
    WebDriverWait(browser, 60).until(
        lambda d: d.find_element(By.CSS_SELECTOR, "#query input, #query textarea").is_displayed()
    )
    browser.find_element(By.CSS_SELECTOR, "#query input, #query textarea").send_keys("Cardiomegaly", Keys.ENTER)
    wait(browser, "#results li")
    found, _ = assistant.search("Cardiomegaly")
    captions = [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#results .caption")]
    assert captions == [item.caption for item in found]


def open_questions(browser, url):
    browser.get(url)
    wait(browser, "button[role=tab]", "A question").click()
    wait(browser, "#told [role=status]", "learned from the questions of phantom")


def test_a_question_about_a_picture(browser, served, asked, picture):
    _, url, uploads = served
    open_questions(browser, url)
    give(browser, "#asked-upload", picture)
    wait(browser, "#asked-picture img")
    assert not browser.find_elements(By.CSS_SELECTOR, "#answers li")
    field(browser, "#question").send_keys("Is there a large spleen?", Keys.ENTER)
    wait(browser, "#answers li")
    found = asking.ask(asked, asked.model, WORDS, picture, "Is there a large spleen?")
    words = [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#answers .name")]
    assert words == [word for word, _ in found.answers]
    assert "Entities that the question names: Splenomegaly." in browser.find_element(By.ID, "answers").text
    assert "Where the model read" in browser.find_element(By.CSS_SELECTOR, "#asked-picture .legend").text
    assert browser.find_element(By.CSS_SELECTOR, "#asked-picture img").get_property("naturalWidth") == 120
    assert kept(uploads) == []
    # An example, by keyboard; then what is no question.
    last = browser.find_elements(By.CSS_SELECTOR, "#examples button")[-1]
    last.send_keys(Keys.ENTER)
    wait(browser, "#asked-picture .legend", EXAMPLES["phantom"][-1])
    assert field(browser, "#question").get_property("value") == EXAMPLES["phantom"][-1]
    field(browser, "#question").send_keys(Keys.CONTROL, "a")
    field(browser, "#question").send_keys("?", Keys.ENTER)
    assert wait(browser, "#told [role=alert]").text.startswith("the question has no words")
    assert not browser.find_elements(By.CSS_SELECTOR, "#answers li")


def test_questions_take_no_other_files_than_the_first_tab(browser, served, picture, folder):
    _, url, uploads = served
    (folder / "notes.png").write_text("no picture at all")
    open_questions(browser, url)
    browser.find_element(By.CSS_SELECTOR, "#examples button").click()
    wait(browser, "#told", "No picture is in memory")
    give(browser, "#asked-upload", folder / "notes.png")
    assert wait(browser, "#told [role=alert]").text.startswith("notes.png was not read: image is unreadable")
    assert kept(uploads) == []
    give(browser, "#asked-upload", picture)  # and the page works on, with the question that was pressed
    wait(browser, "#answers li")


def test_what_is_no_picture_or_too_large_is_refused_readably(browser, served, picture, folder):
    _, url, uploads = served
    (folder / "notes.png").write_text("no picture at all")
    upload(browser, url, folder / "notes.png")
    told = wait(browser, "#status [role=alert]").text
    assert told.startswith("notes.png was not read: image is unreadable")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (300, 300, 3), dtype=np.uint8)).save(folder / "large.png")
    assert (folder / "large.png").stat().st_size > LIMIT
    upload(browser, url, folder / "large.png")
    told = wait(browser, "body", "exceed the maximum allowed size").text
    assert "Traceback" not in told
    assert not browser.find_elements(By.CSS_SELECTOR, "#ranking li")
    assert kept(uploads) == []
    console_errors(browser)  # the refusal is one of them
    upload(browser, url, picture)  # and the page works on
    wait(browser, "#ranking li")


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_phone(served, picture, dark):
    with chromium(PHONE, dark) as browser:
        upload(browser, served[1], picture)
        wait(browser, "#ranking li")
        assert (
            browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        )  # a phone would zoom out
        color = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", color)[:3])) < 80) == dark
        open_questions(browser, served[1])
        give(browser, "#asked-upload", picture)
        browser.find_element(By.CSS_SELECTOR, "#examples button").click()
        wait(browser, "#answers li")
        assert (
            browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        )  # a phone would zoom out
        loopback_only(browser)


# --- the server -----------------------------------------------------------------------------------


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_no_file_of_the_computer_is_served(served, folder, assistant):
    _, url, uploads = served
    outside = folder / "data" / "images" / "0.png"
    names = [
        "/etc/passwd",
        str(outside),
        str(Path("params.yaml").resolve()),
        "params.yaml",
        f"{uploads}/../{outside.relative_to('/')}",
        f"{uploads}/../../etc/passwd",
    ]
    for name in names:
        for address in (f"{url}gradio_api/file={quote(name)}", f"{url}gradio_api/file={quote(name, safe='')}"):
            assert status_of(address) in (403, 404), address
    assert status_of(url) == 200


def test_the_server_is_alone_and_says_so_in_its_headers(served):
    blocks, url, _ = served
    assert urlsplit(url).hostname == "127.0.0.1"
    assert blocks.share_url is None
    assert blocks.analytics_enabled is False
    with urllib.request.urlopen(url, timeout=30) as answer:
        policy = answer.headers["content-security-policy"]
        page = answer.read().decode()
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=[\"']?https?://(?!127\.0\.0\.1)[^>]*>", page)
    for path in ("docs", "openapi.json", "monitoring/summary"):
        assert status_of(url + path) in (403, 404)


def test_a_taken_port_is_said_in_one_line(served, assistant):
    port = urlsplit(served[1]).port
    before = os.environ["GRADIO_TEMP_DIR"]
    try:
        with pytest.raises(PhenoLIPError, match=f"port {port} of 127.0.0.1 cannot be had; choose another one"):
            serve(assistant, port=port)
    finally:
        os.environ["GRADIO_TEMP_DIR"] = before
