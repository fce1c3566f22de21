"""Predictions beside the images: accuracy on the tree, confusions and their pictures; and static copies."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imagenet_tools.catalogue import labels, lists
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation.corruptions import ALEXNET_ERRORS
from imagenet_tools.explorer import predictions, rendering, server, views
from imagenet_tools.explorer.addresses import Address
from imagenet_tools.explorer.pages import Pages
from imagenet_tools.explorer.predictions import Model
from imagenet_tools.explorer.views import Site
from imagenet_tools.index import Index
from imagenet_tools.wordnet import hierarchy, wordnet
from tests.explorer.conftest import Web

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best class of the 50,000 images: every Pekinese is a Chihuahua, every tenth image is a tabby."""
    order = labels.index_of(labels.ilsvrc2012_sorted())
    truth = np.array([order[wnid] for wnid in labels.validation_wnids()])
    first = truth.copy()
    first[truth == order["n02086079"]] = order["n02085620"]
    first[::10] = order["n02123045"]
    path = tmp_path_factory.mktemp("predictions") / "model.csv"
    lines = [f"ILSVRC2012_val_{n:08d},{number}" for n, number in enumerate(first.tolist(), 1)]
    path.write_text("image,class\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def pages(index: Index, file: Path) -> Iterator[Pages]:
    with server.opened(Site(index, predictions.load([file]))) as pages:
        yield pages


@pytest.fixture
def model(pages: Pages) -> Model:
    (model,) = pages.site.models
    return model


def test_accuracy_below_a_synset_is_that_of_its_images(model: Model) -> None:
    truth = np.array(labels.validation_wnids())
    right = np.arange(50_000) % 10 != 0
    right = (right & (truth != "n02086079")) | (truth == "n02123045")
    for name in ("dog.n.01", "entity.n.01", "pekinese.n.01", "tabby.n.01"):
        below = np.isin(truth, hierarchy.descendants(name))
        assert model.accuracy(wordnet.row_of(name)) == pytest.approx(100 * right[below].mean())
    assert model.accuracy(wordnet.row_of("theory.n.01")) is None


def test_confusions_lead_to_their_pictures(pages: Pages, model: Model) -> None:
    site = pages.site
    data = views.predictions(site, Address("/predictions", {})).data
    assert (data["confusions"][0]["wnid"], data["confusions"][0]["predicted"]) == ("n02086079", "n02085620")
    assert wordnet.label_of(data["confusions"][0]["common"]) == "toy dog"
    where = Address("/predictions/images", {"label": "n02086079", "predicted": "n02085620"})
    shown = views.predicted_images(site, where).data["shown"]
    in_index = {
        row[0]
        for row in site.index.sql("SELECT image_id FROM images WHERE split = 'val' AND wnid = 'n02086079'").fetchall()
    }
    assert {image["image_id"] for image in shown} == in_index & set(model.images("n02086079", "n02085620"))
    assert shown
    below = views.predictions(site, Address("/predictions", {"below": "n02084071"})).data["confusions"]
    assert all(hierarchy.is_a(one["wnid"], "dog.n.01") for one in below)


def test_at_the_level_of_the_top_nothing_is_wrong(pages: Pages, model: Model) -> None:
    levels = pages.site.levels
    shares = [model.at_level(levels.at(depth)) or 0 for depth in range(levels.least, levels.most + 1)]
    assert shares[0] > 85
    assert shares == sorted(shares, reverse=True) or min(shares) > 80


def test_an_image_has_its_predictions(pages: Pages) -> None:
    (image,) = pages.site.pages.of_ids(["ILSVRC2012_val_00000020"])
    (said,) = views.image(pages.site, image.number).data["predictions"]
    assert len(said["classes"]) == 1 and said["label"] == image.facts["wnid"]


def test_an_altered_image_under_the_same_name_has_no_predictions(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    (image,) = pages.site.pages.of_ids(["ILSVRC2012_val_00000020"])
    altered = image._replace(facts=image.facts | {"dataset": "imagenet-c-fog-3", "photo": "imagenet-c-fog-3/x"})
    monkeypatch.setattr(pages.site.pages, "image", lambda _: altered)
    assert views.image(pages.site, image.number).data["predictions"] == []


def test_no_predictions_is_an_error(site: Site) -> None:
    with pytest.raises(UsageError, match="--predictions FILE"):
        views.predictions(site, Address("/predictions", {}))
    assert predictions.load([]) == []


def test_nll_is_shown_in_nats_and_shares_in_percent(tmp_path: Path, site: Site) -> None:
    truth = np.array([labels.index_of(labels.ilsvrc2012_sorted())[wnid] for wnid in labels.validation_wnids()])
    scores = np.full((len(truth), 1000), 0.1 / 999, np.float32)
    scores[np.arange(len(truth)), truth] = 0.9
    path = tmp_path / "sure.npy"
    np.save(path, scores)
    shown = Site(site.index, predictions.load([path]))
    measures = {one["name"]: one for one in views.predictions(shown, Address("/predictions", {})).data["measures"]}
    assert measures["NLL"]["value"] == pytest.approx(-np.log(0.9), rel=1e-3)
    assert measures["NLL"]["shown"] == "0.1054" and "%" not in measures["NLL"]["interval"]
    assert measures["top-1"]["shown"] == "100.000%"


def test_predictions_of_folders_and_corruptions_are_refused_with_what_to_do(tmp_path: Path) -> None:
    order = labels.index_of(labels.ilsvrc2012_sorted())
    wnids = labels.validation_wnids()[:40]
    folders = [(one.name, order[one.members[0]]) for one in lists.get("objectnet113").categories] * 10
    paths = [f"{name}/{n}.png" for n, (name, _) in enumerate(folders)]
    np.savez(tmp_path / "folders.npz", path=np.array(paths), predicted=np.array([[place] for _, place in folders]))
    corrupted = [
        f"{name}/{severity}/{wnid}/ILSVRC2012_val_{n:08d}.JPEG,{order[wnid]}\n"
        for name in ALEXNET_ERRORS for severity in range(1, 6) for n, wnid in enumerate(wnids, 1)
    ]  # fmt: skip
    (tmp_path / "corruptions.csv").write_text("path,predicted\n" + "".join(corrupted))
    for path in (tmp_path / "folders.npz", tmp_path / "corruptions.csv"):
        with pytest.raises(UsageError, match=rf"--predictions {path.stem}: found .* `imagenet-tools evaluate` scores"):
            predictions.load([path])


def test_a_website_without_predictions_says_how_to_load_them(web: Web) -> None:
    page = web.get("/predictions")
    assert page.status == 200 and "imagenet-tools explore --predictions FILE" in page.text
    assert web.get("/predictions.json").status == 400


def test_a_static_copy_needs_no_server(pages: Pages, tmp_path: Path) -> None:
    from imagenet_tools.explorer import static_copy

    folder = tmp_path / "copy"
    n_problems = static_copy.write(pages, folder, ["n02085620", "n02084071"], rendering.HERE / "static")
    assert n_problems == 1  # the image whose last bytes are missing
    texts = {path.name: path.read_text() for path in folder.glob("*.html")}
    assert {"index.html", "n02085620.html", "n02084071.html"} <= texts.keys()
    for name, text in texts.items():
        assert "<script" not in text and "<form" not in text, name
        for link in re.findall(r'(?:src|href)="([^"#]+)"', text):
            is_cut = "thumbnail" in link or "full" in link
            assert "/" not in link and (is_cut or (folder / link).is_file()), (name, link)
    assert json.loads((folder / "n02084071.json").read_text())["images_inclusive"] == 70
    assert not list(tmp_path.glob(".*"))
    from imagenet_tools.errors import ExistsError

    with pytest.raises(ExistsError):
        static_copy.write(pages, folder, ["n02085620"], rendering.HERE / "static")
