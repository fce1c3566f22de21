"""Thirty payloads in names of files, cells, columns and addresses do nothing in Chromium: no dialog, no other host."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from PIL import Image

import imagenet_tools
from tests.explorer.payloads import PAYLOADS
from tests.loaders.browser import User, browsing
from tests.loaders.truth import Say

WNID = "n02085620"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user of an index of images that are named like markup, in classes and in folders."""
    folder = tmp_path_factory.mktemp("hostile")
    images = folder / "train" / WNID
    images.mkdir(parents=True)
    for n, payload in enumerate(PAYLOADS):
        name = payload.replace("/", "\N{DIVISION SLASH}")
        Image.new("RGB", (40 + n, 40)).save(images / f"{name} {n}.JPEG", "JPEG")
    imagenet_tools.build_index(folder / "train", folder / "hostile.index")
    with browsing(folder / "hostile.index", folder) as user:
        yield user


@pytest.mark.proof(target="explore", loader="Chromium, hostile texts")
def test_names_of_files_are_text(user: User, say: Say) -> None:
    user.hosts()
    user.open(f"/synset/{WNID}?sort=side")
    user.wait("document.querySelectorAll('.tile').length === 30")
    numbers = user.driver.execute_script("return [...document.querySelectorAll('.tile input')].map((one) => one.value)")
    titles = user.driver.execute_script("return [...document.querySelectorAll('figcaption')].map((one) => one.title)")
    assert sum("alert(1)" in title for title in titles) >= 20
    for number in numbers:
        user.open(f"/image/{number}")
        assert "alert" in user.text() or "evil" in user.text() or "{" in user.text() or "hx-get" in user.text()
    _nothing_happened(user)
    say(f"{len(numbers)} images")


@pytest.mark.proof(target="explore", loader="Chromium, hostile texts")
def test_cells_columns_and_addresses_are_text(user: User, say: Say) -> None:
    for payload in PAYLOADS:
        literal, name = payload.replace("'", "''"), payload.replace('"', '""')
        sql = f"""SELECT '{literal}' AS "{name}", 1 AS n FROM range(2)"""
        user.open(f"/sql?sql={quote(sql)}")
        user.wait("document.querySelectorAll('tbody tr').length === 2")
        text = quote(payload, safe="")
        for page in ("/search?q=", "/synset/dog?split=", "/subset?under=", "/predictions?x="):
            user.open(page + text)
    _nothing_happened(user)
    say(f"{5 * len(PAYLOADS)} pages")


def _nothing_happened(user: User) -> None:
    """Assert that no script ran, and none was tried: a dialog would have been an error of the driver before."""
    refused = [message for message in user.problems() if "Content Security Policy" in message]
    assert refused == [] and user.problems() == []
    assert user.hosts() <= {user.base.split("/")[2]}
    assert user.driver.execute_script("return document.querySelectorAll('iframe, base, object').length") == 0
