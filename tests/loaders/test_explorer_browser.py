"""The explorer in Chromium: a user looks at every page, and does five things, each in few steps.

Chromium reports what the Content-Security-Policy refuses, and every request: nothing leaves for another host.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.loaders.browser import User, browsing
from tests.loaders.truth import Say

PAGES = (
    "/", "/synset/dog?boxes_drawn=1", "/synset/animal?level=9", "/synset/dog?split=val&side=64-96", "/synset/nothing",
    "/image/3", "/image/25?boxes_drawn=0", "/search?q=dog", "/search", "/sql",
    "/sql?sql=SELECT+name,+n_images+FROM+synsets+LIMIT+9",
    "/subset?under=n02084071", "/images?image=3&image=25", "/predictions",
)  # fmt: skip


@pytest.fixture(scope="module")
def user(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    with browsing(index.path, tmp_path_factory.mktemp("explorer")) as user:
        yield user


@pytest.mark.proof(target="explore", loader="Chromium")
@pytest.mark.parametrize("width", [1300, 390])
def test_every_page_opens_without_a_refused_script_and_fits(user: User, width: int, say: Say) -> None:
    user.resize(width)
    user.hosts()
    for path in PAGES:
        user.check(path)
    assert user.hosts() == {user.base.split("/")[2]}
    user.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    say(f"{len(PAGES)} pages at {width} pixels")


@pytest.mark.proof(target="explore", loader="Chromium")
def test_how_many_dogs_have_boxes(user: User, index: Any) -> None:
    user.open("/")
    user.driver.find_element(By.TAG_NAME, "body").send_keys("/")
    user.driver.switch_to.active_element.send_keys("dog.n.01" + Keys.ENTER)
    user.wait("document.querySelector('h1').textContent === 'dog'")
    user.wait("document.querySelector('#figures').textContent.includes('images with boxes')")
    ((n,),) = index.sql("SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01') AND n_boxes > 0").fetchall()
    assert f"images with boxes\n{n}" in user.text()
    user.click(str(n))
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
