"""The page of --report: whole, with charts, the coloured hierarchy, and images of an index; or not there at all."""

import json
from pathlib import Path

import numpy as np
import pytest

import imagenet_tools as imt
from imagenet_tools.display import charts
from imagenet_tools.display.charts import Branch, Rectangle
from imagenet_tools.display.style import SHADES
from imagenet_tools.index import Index
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # noqa: PLC0414 (a fixture)
from tests.evaluation.predictions import IMAGES, TRUTH, WNIDS, top5

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it

ROWS = np.sort(np.random.default_rng(8).permutation(len(TRUTH))[:2_000])


def test_a_page_of_two_models_with_images_of_an_index(run: Run, index: Index, tmp_path: Path) -> None:
    answer = run("query", "SELECT image_id FROM images WHERE split = 'val'", "--json")
    ids = [row["image_id"] for row in json.loads(answer.out)]
    of_index = [int(image[-8:]) - 1 for image in ids if image.startswith("ILSVRC2012_val_")]
    rows = np.union1d(ROWS, of_index)
    top = top5()[rows]
    place = np.searchsorted(rows, of_index)
    top[place, 0] = (TRUTH[of_index] + 3) % 1000
    paths = []
    for name, values in (("first", top), ("second", top5(36_000, 46_000, seed=1)[rows])):
        paths.append(str(tmp_path / f"{name}.npz"))
        np.savez(paths[-1], path=np.array(IMAGES)[rows], top=values)
    page = tmp_path / "page.html"
    ran = run("evaluate", *paths, "--report", str(page), "-i", str(index.path))
    assert ran.code == 0, ran.err
    text = page.read_text()
    assert text.count("<svg") == 8 and "Top-1 of the classes" in text and "McNemar" in text
    assert "images of the worst confusions" in text and "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert run("evaluate", paths[0], "--report", str(page)).code == 4


def test_a_page_without_an_index_or_without_a_best_class(tmp_path: Path) -> None:
    from imagenet_tools.exports.evaluation_report import evaluation_page

    top = np.random.default_rng(9).permuted(top5()[ROWS], axis=1)
    np.savez(tmp_path / "a.npz", path=np.array(IMAGES)[ROWS], top=top)
    text = evaluation_page(imt.evaluate(tmp_path / "a.npz")).decode()
    assert "top-5" in text and "<svg" not in text and "worst confusions" not in text


def test_the_images_of_a_confusion_are_those_of_the_index(index: Index, tmp_path: Path) -> None:
    from imagenet_tools.exports.evaluation_report import evaluation_page

    (image,) = index.images.run(
        "SELECT image_id FROM made WHERE image_id LIKE 'ILSVRC2012_val_%' ORDER BY image_id LIMIT 1"
    ).fetchone() or ("",)
    row = int(image[-8:]) - 1
    rows = np.union1d(ROWS, [row])
    top = TRUTH[rows].copy()
    top[np.searchsorted(rows, row)] = (TRUTH[row] + 3) % 1000
    np.savez(tmp_path / "a.npz", path=np.array(IMAGES)[rows], top=top)
    evaluation = imt.evaluate(tmp_path / "a.npz")
    assert evaluation.models[0].confusions() == [
        {"wnid": WNIDS[TRUTH[row]], "predicted": WNIDS[(TRUTH[row] + 3) % 1000], "n": 1}
    ]
    text = evaluation_page(evaluation, index.images).decode()
    assert text.count("<figure>") == 1 and image in text


@pytest.mark.parametrize(("share", "shade"), [(0.0, 0), (0.39, 0), (0.4, 1), (0.7, 2), (0.75, 3), (1.0, 4)])
def test_the_colour_of_a_part_is_its_share(share: float, shade: int) -> None:
    parts = (Branch("a", 50, share=share), Branch("b", 50))
    chart = charts.treemap("title", "about", Branch("root", 100, parts, 0.5))
    colours = {shape.note: shape.colour for shape in chart.shapes if isinstance(shape, Rectangle)}
    assert colours[f"root > a: 50, {share:.1%}"] == SHADES[shade] and colours["root > b: 50"] == "bar"
