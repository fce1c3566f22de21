"""Pages and their files, through the application: what a browser gets."""

import asyncio
import csv
import io
import json
import re
import socket
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starlette.requests import Request

from imagenet_tools.errors import UsageError
from imagenet_tools.explorer import server, synset_page
from imagenet_tools.explorer.addresses import Address
from imagenet_tools.explorer.pages import form
from imagenet_tools.explorer.rendering import templates
from imagenet_tools.explorer.views import Site
from imagenet_tools.index import Index
from tests.explorer.conftest import Web


def test_pages_have_no_inline_script_and_style(web: Web) -> None:
    for path in (
        "/synset/dog?level=9&boxes_drawn=1",
        "/image/3",
        "/search?q=dog",
        "/search",
        "/synset/nothing",
        "/nothing",
    ):
        page = web.get(path).text
        assert "<html" in page, path
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page), path
        links = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links), path


def test_the_home_is_the_top_of_the_tree(web: Web) -> None:
    answer = web.get("/?split=val")
    assert (answer.status, answer.headers["location"]) == (303, "/synset/n00003553?split=val")


def test_a_page_has_its_rows_beside_it(web: Web) -> None:
    data = json.loads(web.get("/synset/dog.n.01.json?split=val").body)
    assert (data["wnid"], data["images_inclusive"], len(data["shown"])) == ("n02084071", 20, 20)
    rows = list(csv.DictReader(io.StringIO(web.get("/synset/n02084071.csv?split=val").text)))
    table = pq.read_table(io.BytesIO(web.get("/synset/dog.parquet?split=val").body)).to_pylist()
    assert (
        [row["image_id"] for row in rows]
        == [row["image_id"] for row in table]
        == [row["image_id"] for row in data["shown"]]
    )
    assert json.loads(web.get("/image/3.json").body)["number"] == 3
    assert "wnid" in web.get("/search.csv?q=dog").text


def test_the_order_is_a_link_that_later_pages_and_other_synsets_keep(web: Web) -> None:
    plain = web.get("/synset/animal?split=train").text
    assert all(f"split=train&amp;sort={order}#images" in plain for order in ("side", "-side", "aspect", "-boxes"))
    page = web.get("/synset/animal?split=train&sort=side").text
    assert re.search(r'aria-current="true">smallest first', page)
    assert re.search(r'hx-get="/synset/n\d+/images\?[^"]*sort=side', page)
    sizes = [tuple(map(int, pair)) for pair in re.findall(r">(\d+) \S (\d+) · ", page)]
    assert len(sizes) == 48 and [min(size) for size in sizes] == sorted(min(size) for size in sizes)
    assert web.get("/synset/animal?sort=name").status == 400


def test_pictures_are_made_again(web: Web) -> None:
    small = web.get("/image/3/thumbnail")
    assert (small.status, small.headers["content-type"]) == (200, "image/jpeg")
    assert max(Image.open(io.BytesIO(small.body)).size) == 256
    plain, drawn = web.get("/image/25/full").body, web.get("/image/25/full?boxes_drawn=1").body
    assert b"<svg" not in plain, plain
    assert Image.open(io.BytesIO(plain)).format == "JPEG"
    assert plain and drawn
    assert small.headers["vary"] == "cookie"  # the next index on this port has other images under these numbers


def test_an_image_that_cannot_be_decoded_says_so(web: Web, index_number_of_cut: int) -> None:
    answer = web.get(f"/image/{index_number_of_cut}/thumbnail")
    assert (answer.status, answer.headers["content-type"]) == (422, "image/svg+xml")
    assert "Cannot be shown" in answer.text


@pytest.fixture
def index_number_of_cut(site) -> int:  # type: ignore[no-untyped-def]
    (image,) = site.pages.of_ids(["n02088364_19183"])  # without its last two bytes
    return int(image.number)


@pytest.mark.parametrize(
    "path",
    ["/image/x/thumbnail", "/image/-1/thumbnail", "/image/1e3/full", "/image/999999999/thumbnail",
     "/image/..%2f/full", "/image/" + "9" * 5_000 + "/full",
     "/image/1/other", "/static/../server.py", "/static/..%2fserver.py", "/static/%2e%2e/gate.py",
     "/static//etc/passwd",
     "/tree/nothing", "/synset/%00", "/synset/..%2f..%2fetc%2fpasswd", "/synset/" + "x" * 5_000, "/image/%00/full"],
)  # fmt: skip
def test_wrong_paths_are_errors_of_the_client(web: Web, path: str) -> None:
    assert 400 <= web.get(path).status < 500


@pytest.mark.parametrize(
    ("last", "why"),
    [({"type": "http.disconnect"}, "breaks off"), ({"type": "http.request", "body": bytes(2 << 20)}, "too large")],
)
def test_a_form_that_never_ends_or_is_too_large_is_refused(last: dict[str, Any], why: str) -> None:
    """A browser that hangs up printed a traceback of the server."""
    messages = [{"type": "http.request", "body": b"export_name=dogs", "more_body": True}, last]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    with pytest.raises(UsageError, match=why):
        asyncio.run(form(Request({"type": "http", "method": "POST", "headers": []}, receive)))


def test_an_index_without_images_begins_at_the_root() -> None:
    site = Site.__new__(Site)
    site.counts = SimpleNamespace(inclusive=lambda _: np.zeros(82_115, np.int64))  # type: ignore[assignment]
    assert site.top == 0


def test_every_link_of_a_page_leads_somewhere(web: Web) -> None:
    waiting, seen = ["/synset/n02084071?boxes_drawn=1"], set[str]()
    for _ in range(60):
        page = waiting.pop(0)
        links = set(re.findall(r'(?:src|href|hx-get)="(/[^"]*)"', web.get(page).text))
        for link in sorted(links - seen):
            seen.add(link)
            if len(seen) < 80:
                path = link.replace("&amp;", "&").partition("#")[0]
                assert web.get(path).status in (200, 303, 422), (page, path)
                if "/synset/" in path and "." not in path.partition("?")[0]:
                    waiting.append(path)
        if len(seen) >= 80:
            break
    assert len(seen) >= 80


def test_the_first_page_does_not_wait_for_what_is_counted_later(index: Index) -> None:
    fresh = Site(index)
    dog = Address("/synset/dog", {})
    early = synset_page.synset(fresh, dog, "dog", wait=False)
    assert (early.data["counted"], early.data["histograms"], early.data["facets"]) == (False, [], {})
    assert early.data["images_inclusive"] == 70
    page = templates(fresh).get_template("synset.html")
    text = page.render(view=early, data=early.data, address=dog, tree=None)
    assert 'hx-get="/synset/dog?wait=1"' in text and "Load again" in text
    fresh.counts.prepare()
    late = synset_page.synset(fresh, dog, "dog", wait=False).data
    assert late["counted"] and late["facets"] and late["boxes_inclusive"] == 52


def test_a_browser_that_comes_before_the_server_runs_waits() -> None:
    with server.listen(0) as listening, socket.create_connection(listening.getsockname(), 5) as browser:
        assert browser.getpeername() == listening.getsockname()
        with pytest.raises(UsageError, match="--port"):
            server.listen(listening.getsockname()[1])
