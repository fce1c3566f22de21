"""Five tasks of a first-time user, by what the pages show alone; the clicks and texts that each takes are counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from imagenet_tools.catalogue import labels
from tests.loaders.browser import User, browsing
from tests.loaders.truth import Say


class Task:
    """A task that begins at the first page, and counts what the user does."""

    def __init__(self, user: User) -> None:
        self.user, self.n = user, 0
        user.open("/")

    def click(self, text: str) -> None:
        """Click the link or button of this text."""
        quoted = f'"{text}"'
        found = f"//*[self::a or self::button][contains(normalize-space(.), {quoted})]"
        self.n += 1
        self.user.press(self.user.driver.find_element(By.XPATH, found))

    def type(self, label: str, text: str) -> None:
        """Type into the field of this label."""
        self.n += 1
        field = f"//input[@aria-label='{label}' or @id=//label[normalize-space(.)='{label}']/@for]"
        self.user.driver.find_element(By.XPATH, field).send_keys(text)

    def find(self, text: str) -> None:
        """Search for a word."""
        self.type("Find a synset by word, name, wnid or class index", text + Keys.ENTER)


def predictions(folder: Path) -> Path:
    """Write a file of predictions in which every Pekinese is a Chihuahua."""
    order = labels.index_of(labels.ilsvrc2012_sorted())
    first = [order[wnid if wnid != "n02086079" else "n02085620"] for wnid in labels.validation_wnids()]
    path = folder / "model.csv"
    path.write_text("image,class\n" + "".join(f"ILSVRC2012_val_{n:08d},{row}\n" for n, row in enumerate(first, 1)))
    return path


@pytest.fixture(scope="module")
def user(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder = tmp_path_factory.mktemp("tasks")
    with browsing(index.path, folder, "--predictions", str(predictions(folder))) as user:
        yield user


@pytest.mark.proof(target="explore", loader="Chromium, five tasks")
def test_how_many_dogs_have_boxes(user: User, index: Any, say: Say) -> None:
    task = Task(user)
    task.find("dog")
    task.click("dog.n.01")
    user.wait("document.querySelector('#figures')?.textContent.includes('images with boxes')")
    ((n,),) = index.sql("SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01') AND n_boxes > 0").fetchall()
    assert f"images with boxes\n{n}" in user.text()
    say(f"dogs with boxes: {task.n} steps")


@pytest.mark.proof(target="explore", loader="Chromium, five tasks")
def test_the_smallest_images_of_a_class(user: User, say: Say) -> None:
    task = Task(user)
    task.find("beagle")
    task.click("beagle.n.01")
    task.click("smallest first")
    user.wait("location.search.includes('sort=side')")
    captions = [one.text for one in user.driver.find_elements(By.CSS_SELECTOR, ".tile figcaption")]
    sizes = [tuple(int(word) for word in caption.split() if word.isdecimal())[:2] for caption in captions]
    assert len(sizes) == 14 and [min(size) for size in sizes] == sorted(min(size) for size in sizes)
    say(f"smallest images: {task.n} steps")


@pytest.mark.proof(target="explore", loader="Chromium, five tasks")
def test_a_link_to_a_filtered_view_is_shared(user: User, say: Say) -> None:
    permissions = {"origin": user.base, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    user.driver.execute_cdp_cmd("Browser.grantPermissions", permissions)
    task = Task(user)
    user.wait("!document.body.textContent.includes('being counted')")
    task.click("val ")
    task.click("Copy link")
    user.wait("document.querySelector('a.copy').textContent === 'Copied'")
    script = "navigator.clipboard.readText().then(arguments[arguments.length - 1])"
    shared = user.driver.execute_async_script(script)
    user.driver.switch_to.new_window("tab")
    user.driver.get(shared)
    assert "split=val" in shared and "images at or below\n52" in user.text()
    user.driver.close()
    user.driver.switch_to.window(user.driver.window_handles[0])
    say(f"a link: {task.n} steps")


@pytest.mark.proof(target="explore", loader="Chromium, five tasks")
def test_ten_classes_are_exported_to_yolo(user: User, index: Any, say: Say) -> None:
    names = [name for (name,) in index.sql("SELECT name FROM synsets WHERE n_images > 0 ORDER BY name").fetchall()][:10]
    task = Task(user)
    task.click("Subset")
    task.type("Under", ", ".join(names))
    task.click("Count")
    user.wait("document.querySelector('aside.right .figures')?.textContent.includes('classes10')")
    task.type("Folder", "ten")
    user.driver.find_element(By.CSS_SELECTOR, "#to").send_keys("yolo")
    task.n += 1
    task.click("Export")
    user.wait("document.body.textContent.includes('Done')", 120)
    text = (user.folder / "ten" / "data.yaml").read_text()
    assert all(f"  {n}:" in text for n in range(10))
    say(f"ten classes to YOLO: {task.n} steps")


@pytest.mark.proof(target="explore", loader="Chromium, five tasks")
def test_classes_are_added_on_the_tree(user: User, say: Say) -> None:
    task = Task(user)
    for name in ("animal", "instrumentality"):
        task.n += 1
        user.press(user.driver.find_element(By.CSS_SELECTOR, f"a[aria-label='Add {name} to the subset']"))
    assert "--under animal.n.01 --under instrumentality.n.03" in user.text()
    task.n += 1
    user.press(user.driver.find_element(By.CSS_SELECTOR, "a[aria-label='Take animal out of the subset']"))
    assert "--under animal.n.01" not in user.text()
    say(f"two synsets on the tree, and one taken out: {task.n} steps")


@pytest.mark.proof(target="explore", loader="Chromium, five tasks")
def test_which_classes_are_confused_most(user: User, say: Say) -> None:
    task = Task(user)
    task.click("Predictions")
    first = user.driver.find_element(By.XPATH, "//h2[contains(., 'Most confused')]/following::tbody[1]/tr[1]")
    assert "Pekinese Chihuahua" in first.text and first.rect["y"] < 1000
    task.click("50")
    assert "taken for Chihuahua" in user.text()
    user.wait("[...document.querySelectorAll('.tile img')].every((image) => image.naturalWidth > 1)")
    say(f"confused classes: {task.n} steps")
