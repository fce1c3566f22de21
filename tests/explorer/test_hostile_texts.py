"""Thirty payloads in the places that a page shows do nothing: they are text, in every page and in every file."""

import html
import json
import re
from html.parser import HTMLParser
from urllib.parse import quote_plus

import jinja2
import pytest

from imagenet_tools.explorer.addresses import Address
from imagenet_tools.explorer.rendering import as_file, templates
from imagenet_tools.explorer.views import Site, View
from tests.explorer.conftest import Web
from tests.explorer.payloads import PAYLOADS

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it


class Elements(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)


def is_harmless(text: str) -> bool:
    found = Elements(text)
    return (
        not found.tags & {"iframe", "base", "math", "template", "body" if text.count("<body") > 1 else "-"}
        and not any(name.startswith("on") or name == "style" for name, _ in found.attributes)
        and not any(
            (value or "").strip().lower().startswith(("javascript:", "//", "http"))
            for name, value in found.attributes
            if name in ("href", "src", "action", "formaction", "hx-get")
        )
        and text.count("<script") == len(re.findall(r'<script src="/static/', text))
        and "49" not in re.findall(r"\{\{ 7 \* 7 \}\}|\b49\b(?= evaluated)", text)
    )


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_in_an_address_is_text(web: Web, payload: str) -> None:
    text = quote_plus(payload)
    for path in (f"/search?q={text}", f"/synset/dog?split={text}", f"/synset/{text.replace('%2F', '_')}"):
        assert is_harmless(web.get(path).text), path


# Each answer of this page takes a new process.
@pytest.mark.parametrize(
    "payload",
    [pytest.param(one, marks=() if one in (PAYLOADS[0], PAYLOADS[5]) else pytest.mark.long) for one in PAYLOADS],
)
def test_a_payload_in_the_address_of_a_subset_is_text(web: Web, payload: str) -> None:
    path = f"/subset?x={quote_plus(payload)}"
    assert is_harmless(web.get(path).text), path


@pytest.fixture(scope="module")
def environment(site: Site) -> jinja2.Environment:
    """The templates, compiled once."""
    return templates(site)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_in_data_is_text(environment: jinja2.Environment, payload: str) -> None:
    """Names of files, images, data sets, lemmas, boxes, classes, cells and models."""
    tile = {
        "number": 1,
        "dataset": payload,
        "image_id": payload,
        "wnid": "n02084071",
        "split": payload,
        "width": 1,
        "height": 1,
        "n_boxes": 1,
        "problem": payload,
        "label": payload,
        "groups": [payload],
        "colour": "",
    }
    image = dict.fromkeys(
        (
            "photo",
            "source",
            "file",
            "member",
            "path",
            "compression",
            "mode",
            "encoding",
            "label",
            "dataset",
            "image_id",
            "split",
            "problem",
        ),
        payload,
    )
    image |= dict.fromkeys(
        ("width", "height", "orientation", "n_boxes", "hash32", "offset", "position", "length", "number"), 1
    )
    image |= {
        "wnid": None,
        "labels": [{"label_set": payload, "wnid": None, "label": payload}],
        "boxes": [
            {
                "wnid": None,
                "name": payload,
                "flags": [payload],
                "nxmin": 0,
                **dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), 1.0),
            }
        ],
        "copies": [{"source": payload, "file": payload, "member": payload}],
        "problems": [{"code": payload, "reason": payload}],
        "predictions": [{"model": payload, "classes": [("n02084071", payload)], "label": payload}],
    }
    answer = {
        "query": payload,
        "error": payload,
        "columns": [payload, "b"],
        "rows": [[payload, 1]],
        "seconds": 0.1,
        "cut": payload,
        "images": [],
        "chart": {"x": payload, "y": "b", "numbers": ["b"]},
        "wnids": [],
    }
    frame = {
        "tables": {},
        "macros": {payload: payload},
        "examples": [(payload, payload)],
        "schema": {payload: [payload]},
        "seconds_allowed": 5.0,
    }
    export = {
        "number": 0,
        "name": payload,
        "path": payload,
        "target": payload,
        "code": 1,
        "lines": [payload],
        "done": 0,
        "total": 0,
    }
    shown = {
        "images.html": {"title": payload, "shown": [tile]},
        "image.html": image,
        "sql.html": answer,
        "export.html": export,
        "search.html": {"query": payload, "found": [], "close": [payload]},
    }
    address = Address("/synset/x", {"q": payload, "under": payload, "x": payload})
    for name, data in shown.items():
        view = View(name, payload, data, ((), ()))
        text = environment.get_template(name).render(view=view, data=data, address=address, tree=None, **frame)
        assert is_harmless(text), (name, text)
    error = environment.get_template("error.html").render(message=payload, address=address, tree=None)
    assert is_harmless(error)
    assert json.loads(as_file(".json", (), (), {"x": payload}))["x"] == payload
    assert html.escape(payload) or payload
