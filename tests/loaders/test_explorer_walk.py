"""A walk over every page of the explorer on other indexes: of real files, and of an index that is named.

    .envs/explorer/bin/python -m pytest tests/loaders/test_explorer_walk.py --walk INDEX

On each, a user looks at every page, moves the slider, runs SQL, builds a subset and exports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import imagenet_tools
from tests.loaders.browser import User, browsing
from tests.loaders.truth import Say

LOADED = "[...document.querySelectorAll('.tile img')].some((image) => image.complete && image.naturalWidth > 1)"


def real_index(real: Path, folder: Path) -> Path:
    """Build an index of the real files: photographs of a class each, of the validation set, and Tiny ImageNet."""
    sources = [real / "tiny-imagenet-200", real / "class_samples", real / "ilsvrc2012_val"]
    imagenet_tools.build_index(sources, folder / "real.index")
    return folder / "real.index"


@pytest.fixture(scope="module", params=["real", "named"])
def user(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder = tmp_path_factory.mktemp("walk")
    if request.param == "named":
        path = request.config.getoption("--walk")
        if path is None:
            pytest.skip("no index is named; expected --walk INDEX")
        path = path.absolute()
    else:
        path = real_index(request.getfixturevalue("real"), folder)
    with browsing(path, folder) as user:
        yield user


@pytest.mark.proof(target="explore", loader="Chromium, other indexes")
def test_a_user_walks_over_every_page(user: User, say: Say) -> None:
    user.hosts()
    user.open("/")
    user.wait(LOADED)
    user.wait("!document.body.textContent.includes('being counted')", 120)
    assert user.driver.find_elements(By.CSS_SELECTOR, ".histogram rect.filled")
    top = user.driver.find_element(By.CSS_SELECTOR, ".tree .row > a").get_attribute("href").split("/synset/")[1]
    (last,) = _rows(user, "SELECT max(n_images_inclusive), arg_max(wnid, n_images) FROM synsets WHERE n_images > 0")
    largest = last[1]
    paths = [
        f"/synset/{top}?sort=side", f"/synset/{largest}?boxes_drawn=1", f"/synset/{largest}?side=0-96", "/image/0",
        f"/subset?under={largest}", "/search?q=dog", "/images?image=0&image=1", "/predictions", "/synset/nothing",
    ]  # fmt: skip
    for width in (1300, 390):
        user.resize(width)
        for path in paths:
            user.check(path)
    user.resize(1300)
    user.open("/image/0")
    user.wait("document.querySelector('.picture img').naturalWidth > 1")
    assert user.hosts() == {user.base.split("/")[2]}
    say(f"{2 * len(paths)} pages")


@pytest.mark.proof(target="explore", loader="Chromium, other indexes")
def test_the_slider_recolours_the_page(user: User) -> None:
    user.open("/")
    for _ in range(6):
        slider = user.driver.find_element(By.ID, "level")
        depth = int(slider.get_attribute("value")) + 1
        slider.send_keys(Keys.ARROW_RIGHT)
        user.wait(f"document.readyState === 'complete' && location.search.includes('level={depth}')", 60)
    assert "At level" in user.text()
    assert user.driver.find_elements(By.CSS_SELECTOR, "svg.swatch rect")


@pytest.mark.proof(target="explore", loader="Chromium, other indexes")
def test_a_subset_is_built_and_exported(user: User) -> None:
    ((wnid,),) = _rows(user, "SELECT wnid FROM synsets WHERE n_images > 2 ORDER BY n_images, wnid LIMIT 1")
    user.open(f"/synset/{wnid}")
    user.click("Add to the subset")
    user.driver.find_element(By.ID, "per_class").send_keys("2" + Keys.ENTER)
    user.wait("document.body.textContent.includes('--per-class 2')", 60)
    user.driver.find_element(By.ID, "name").send_keys("two")
    user.driver.execute_script("document.querySelector('#to').value = 'image_folder'")
    user.press(user.driver.find_element(By.CSS_SELECTOR, "form[action^='/export'] button"))
    user.wait("document.body.textContent.includes('Done')", 120)
    assert len(list((user.folder / "two").rglob("*.JPEG"))) >= 2
    assert user.problems() == []


def _rows(user: User, sql: str) -> list[list[Any]]:
    """Return the cells of the answer that the SQL page shows."""
    user.open(f"/sql?sql={sql.replace(' ', '+')}")
    user.wait("document.querySelectorAll('tbody tr').length > 0", 60)
    rows = user.driver.find_elements(By.CSS_SELECTOR, ".scroll tbody tr")
    return [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in rows]
