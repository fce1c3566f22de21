"""The explorer in Chromium: a user looks at every page, and does five things, each in few steps.

Chromium reports what the Content-Security-Policy refuses, and every request: nothing leaves for another host.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.loaders.truth import Say

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGES = (
    "/", "/synset/dog?boxes_drawn=1", "/synset/animal?level=9", "/synset/dog?split=val&side=64-96", "/synset/nothing",
    "/image/3", "/image/25?boxes_drawn=0", "/search?q=dog", "/search", "/sql",
    "/sql?sql=SELECT+name,+n_images+FROM+synsets+LIMIT+9",
    "/subset?under=n02084071", "/images?image=3&image=25",
)  # fmt: skip


class User(NamedTuple):
    """A browser, the address of the website, and the folder in which it was started."""

    driver: Any
    base: str
    folder: Path

    def open(self, path: str) -> None:
        self.driver.get(self.base + path)

    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def click(self, text: str) -> None:
        self.press(self.driver.find_element(By.PARTIAL_LINK_TEXT, text))

    def press(self, element: Any) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", element)
        element.click()

    def wait(self, script: str, seconds: float = 25) -> None:
        deadline = time.monotonic() + seconds
        while not self.driver.execute_script(f"return {script}"):
            assert time.monotonic() < deadline, (script, self.driver.current_url)
            time.sleep(0.1)

    def problems(self) -> list[str]:
        """Return what the browser reports, but for images that are broken on purpose and pages that do not exist."""
        expected = (" 400 ", " 404 ", " 422 ")
        messages = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [message for message in messages if not any(code in message for code in expected)]

    def hosts(self) -> set[str]:
        """Return the hosts of all requests since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return {url.split("/")[2] for url in urls if url.startswith("http")}


@pytest.fixture(scope="module")
def user(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver_path = shutil.which("chromedriver")
    if found is None or driver_path is None:
        pytest.skip(
            f"found none of {', '.join(BROWSERS)} with chromedriver; expected a browser to open the explorer in"
        )
    folder = tmp_path_factory.mktemp("explorer")
    command = [sys.executable, "-m", "imagenet_tools", "explore", str(index.path), "--no-browser"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    options = Options()
    options.binary_location = found
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    driver.set_page_load_timeout(60)
    try:
        driver.get(address)
        yield User(driver, address.split("/?")[0], folder)
    finally:
        driver.quit()
        process.terminate()
        process.wait(20)


@pytest.mark.proof(target="explore", loader="Chromium")
@pytest.mark.parametrize("width", [1300, 390])
def test_every_page_opens_without_a_refused_script_and_fits(user: User, width: int, say: Say) -> None:
    metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
    user.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    user.hosts()
    for path in PAGES:
        user.open(path)
        assert user.driver.find_elements(By.TAG_NAME, "h1"), path
        assert user.problems() == [], path
        overflow = user.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, (path, overflow)
    assert user.hosts() == {user.base.split("/")[2]}
    user.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    say(f"{len(PAGES)} pages at {width} pixels")


@pytest.mark.proof(target="explore", loader="Chromium")
def test_how_many_dogs_have_boxes(user: User, index: Any) -> None:
    user.open("/")
    user.driver.find_element(By.TAG_NAME, "body").send_keys("/")
    user.driver.switch_to.active_element.send_keys("dog.n.01" + Keys.ENTER)
    user.wait("document.querySelector('h1').textContent === 'dog'")
    charts = user.driver.find_elements(By.CSS_SELECTOR, ".histogram title")
    titles = [title.get_attribute("textContent") for title in charts]
    assert any(title.startswith("1 to 2: ") for title in titles)
    user.open("/synset/dog?boxes=1-")
    ((n,),) = index.sql("SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01') AND n_boxes > 0").fetchall()
    assert f"images at or below\n{n}" in user.text()


@pytest.mark.proof(target="explore", loader="Chromium")
def test_a_link_to_a_filtered_view_shows_the_same(user: User) -> None:
    user.open("/synset/dog")
    user.click("val 20")
    user.click("boxes not drawn")
    shared = user.driver.current_url
    assert "split=val" in shared and "boxes_drawn=1" in shared
    user.open("/")
    user.driver.get(shared)
    assert "images at or below\n20" in user.text()


@pytest.mark.proof(target="explore", loader="Chromium")
def test_keys_open_the_tree_and_draw_boxes(user: User) -> None:
    user.open("/synset/whole")
    first = user.driver.find_element(By.CSS_SELECTOR, ".tree .row > a")
    first.send_keys(Keys.ARROW_DOWN)
    user.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    user.wait("document.querySelectorAll('.tree .row').length > 3")
    user.driver.find_element(By.TAG_NAME, "h1").click()
    user.driver.find_element(By.TAG_NAME, "body").send_keys("b")
    user.wait("location.search.includes('boxes_drawn=1')")
    user.wait("[...document.querySelectorAll('.tile img')].some((image) => image.naturalWidth === 256)")


@pytest.mark.proof(target="explore", loader="Chromium")
def test_the_next_images_come_when_the_last_ones_are_seen(user: User) -> None:
    user.open("/synset/whole")
    assert len(user.driver.find_elements(By.CSS_SELECTOR, ".tile")) == 48
    user.driver.execute_script("document.querySelector('.more').scrollIntoView({behavior: 'instant'})")
    user.wait("document.querySelectorAll('.tile').length >= 96")


@pytest.mark.proof(target="explore", loader="Chromium")
def test_the_slider_recolours_the_page(user: User) -> None:
    user.open("/synset/whole")
    slider = user.driver.find_element(By.ID, "level")
    for _ in range(5):
        slider = user.driver.find_element(By.ID, "level")
        slider.send_keys(Keys.ARROW_RIGHT)
        time.sleep(0.5)
    user.wait("location.search.includes('level=')")
    assert user.driver.find_elements(By.CSS_SELECTOR, "svg.swatch rect")
    assert "At level" in user.text()


@pytest.mark.proof(target="explore", loader="Chromium")
def test_sql_is_typed_completed_and_run(user: User) -> None:
    user.open("/sql")
    user.wait("document.querySelector('#editor').shadowRoot?.querySelector('.cm-content') != null")
    editor = user.driver.execute_script(
        "return document.querySelector('#editor').shadowRoot.querySelector('.cm-content')"
    )
    keys = ActionChains(user.driver)
    keys.click(editor).send_keys("/b")  # which are no keys of the page here
    # send_keys() of an element would put the cursor at the end, and leave the selection.
    keys.key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).send_keys(Keys.DELETE).perform()
    editor.send_keys("SELECT image_id, width FROM ima")
    user.wait("document.querySelector('#editor').shadowRoot.querySelector('.cm-tooltip-autocomplete') != null")
    editor.send_keys(Keys.ESCAPE)
    editor.send_keys("ges ORDER BY least(width, height), image_id LIMIT 4")
    editor.send_keys(Keys.CONTROL + Keys.ENTER)
    user.wait("document.querySelectorAll('tbody tr').length === 4")
    user.wait("[...document.querySelectorAll('td img')].every((image) => image.naturalWidth > 0)")
    assert user.problems() == []


@pytest.mark.proof(target="explore", loader="Chromium")
def test_a_subset_is_built_and_exported(user: User, say: Say) -> None:
    user.open("/synset/dog")
    user.click("Add to the subset")
    assert "--under dog.n.01" in user.text()
    user.driver.find_element(By.ID, "per_class").send_keys("4" + Keys.ENTER)
    user.wait("document.body.textContent.includes('--per-class 4')")
    user.driver.find_element(By.ID, "name").send_keys("dogs")
    user.driver.execute_script("document.querySelector('#to').value = 'yolo'")
    user.press(user.driver.find_element(By.CSS_SELECTOR, "form[action^='/export'] button"))
    user.wait("document.body.textContent.includes('Done')", 120)
    assert (user.folder / "dogs" / "data.yaml").is_file()
    say("a YOLO data set")
