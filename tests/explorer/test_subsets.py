"""The SQL page, the subset builder and its export, through the application."""

import csv
import html
import io
import json
import re
import time
from urllib.parse import quote_plus

import pytest

from imagenet_tools.errors import UsageError
from imagenet_tools.explorer import subsets
from imagenet_tools.explorer.subsets import Exports
from imagenet_tools.explorer.views import Site
from tests.explorer.conftest import Web

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it

DOGS = "/subset.json?under=n02084071&without=n02085374&boxed=1&per_class=5&resplit=train=0.5,val=0.5"


def test_sql_shows_rows_pictures_and_a_chart(web: Web) -> None:
    page = web.get(
        "/sql?sql=SELECT image_id, wnid, width FROM images WHERE split = 'val' ORDER BY image_id LIMIT 3".replace(
            " ", "+"
        )
    ).text
    assert len(re.findall(r'<img src="/image/\d+/thumbnail"', page)) == 3
    assert 'class="chart"' in page and "3 rows" in page
    assert re.search(r'<a href="/synset/n\d{8}">n\d{8}</a>', page)
    answer = json.loads(web.get("/sql.json?sql=SELECT+1+AS+a,+NULL+AS+b").body)
    assert (answer["columns"], answer["rows"], answer["error"]) == (["a", "b"], [[1, None]], "")
    assert "expected one SELECT" in html.unescape(web.get("/sql?sql=DROP+TABLE+images").text)


def test_cells_that_spreadsheets_would_run_are_texts(web: Web) -> None:
    cells = ["=1+1", "+1+1", "-1+1", "@a", "\ta", "-1.5", "plain", "'=1", ""]
    query = (
        "SELECT * FROM (VALUES "
        + ", ".join("('{}', -2)".format(cell.replace("'", "''")) for cell in cells)
        + ") AS t(a, b)"
    )
    rows = list(csv.reader(io.StringIO(web.get("/sql.csv?sql=" + quote_plus(query)).text)))[1:]
    assert [row[0] for row in rows] == ["'=1+1", "'+1+1", "'-1+1", "'@a", "'\ta", "-1.5", "plain", "''=1", ""]
    assert {row[1] for row in rows} == {"-2"}


def test_a_subset_is_what_index_select_gives(web: Web, site: Site) -> None:
    data = json.loads(web.get(DOGS).body)
    chosen = site.index.select(under="dog", without="toy_dog", boxed=True, per_class=5, split="train=0.5,val=0.5")
    assert data["images"] == len(chosen)
    assert {row["split"]: row["images"] for row in data["splits"]} == {
        split: sum(counted.values()) for split, counted in chosen.counts().items()
    }
    assert data["recipe"] == __import__("imagenet_tools.selection.recipe", fromlist=["text"]).text(
        chosen, name="subset"
    )
    assert eval(data["python"], {"index": site.index, "True": True}) == chosen
    assert data["command"].endswith(
        "--under dog.n.01 --without toy_dog.n.01 --boxed --split train=0.5,val=0.5 --per-class 5"
    )


def test_a_wrong_condition_is_shown_where_it_was_entered(web: Web) -> None:
    page = html.unescape(web.get("/subset?where=width+>").text)
    assert "--where width >" in page and 'value="width >"' in page
    assert "whole number" in html.unescape(web.get("/subset?limit=x").text)
    assert (
        "No synset" in html.unescape(web.get("/subset?under=nonsense").text)
        or "nonsense" in web.get("/subset?under=nonsense").text
    )


def test_an_export_runs_and_reports_its_progress(web: Web, tmp_path_factory: pytest.TempPathFactory) -> None:
    answer = web.post("/export", "under=n02084071&per_class=2&export_name=dogs&export_to=csv")
    assert answer.status == 303
    number = answer.headers["location"]
    for _ in range(300):
        progress = web.get(f"{number}/progress").text
        if "hx-get" not in progress:
            break
        time.sleep(0.2)
    assert "Done" in progress, progress
    assert "dogs" in web.get(number).text
    again = web.post("/export", "under=n02084071&export_name=dogs&export_to=csv")
    assert (again.status, "exists" in again.text) == (400, True)


@pytest.mark.parametrize("name", ["", "../x", "/tmp/x", "a/b", ".hidden", "-o", "a\0b", "x" * 200])
def test_an_export_goes_nowhere_else(site: Site, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    exports = Exports(site.index.path, {}, tmp_path_factory.mktemp("e"), ["yolo"])
    with pytest.raises(UsageError):
        exports.start(name, "yolo", {})
    with pytest.raises(UsageError, match="Target"):
        exports.start("good", "nothing", {})


def test_words_and_arguments() -> None:
    words = subsets.words_of(
        {"under": "n02084071,cat", "resplit": "folds=5", "limit": "7", "boxed": "1", "split": "val"}
    )
    assert words == {"under": ["n02084071", "cat"], "boxed": True, "split": "folds=5", "limit": 7}
    assert subsets.arguments(words) == [
        "--under",
        "dog.n.01",
        "--under",
        "cat",
        "--boxed",
        "--split",
        "folds=5",
        "--limit",
        "7",
    ]


def test_selected_images_become_an_image_list(web: Web, site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    answer = web.get("/images.txt?image=3&image=40&image=x")
    keys = {f"{site.pages.image(n).facts['dataset']}/{site.pages.image(n).facts['image_id']}" for n in (3, 40)}
    assert set(answer.text.split()) == keys
    path = tmp_path_factory.mktemp("list") / "images.txt"
    path.write_text(answer.text)
    assert {f"{image.dataset}/{image.image_id}" for image in site.index.select(images=str(path))} == keys
    assert web.get("/images?image=3&image=40").text.count("<figure") == 2
