"""What the loader proofs share: the sample's index, exports of it, the truth to hold them to, and a line a proof."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import imagenet_tools
from tests.loaders.truth import DOGS, OTHERS, SOURCES, Export, Say, Truth

if TYPE_CHECKING:
    import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--walk", type=Path, metavar="INDEX", help="another index to walk over in the explorer")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proof(target, loader): an export's target, and the loader that reads it")
    _keep_ultralytics_to_itself(config)
    if importlib.util.find_spec("torchvision"):
        _complete_torchvision()


def _keep_ultralytics_to_itself(config: pytest.Config) -> None:
    """Settings in a folder that goes away, no look at the network, nothing installed on the way."""
    folder = tempfile.TemporaryDirectory(prefix="ultralytics-")
    config.add_cleanup(folder.cleanup)
    os.environ |= {"YOLO_CONFIG_DIR": folder.name, "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    if importlib.util.find_spec("matplotlib"):
        from matplotlib import font_manager

        # It looks for Arial to label its plots, and would fetch it; we draw none, so any font will do.
        settings = Path(folder.name, "Ultralytics")
        settings.mkdir()
        for name in ("Arial.ttf", "Arial.Unicode.ttf"):
            (settings / name).symlink_to(font_manager.findfont("DejaVu Sans"))


def _complete_torchvision() -> None:
    """Define torchvision's nms where torchvision's compiled half does not fit the torch that is installed.

    A torch built for the CPU beside a torchvision built for CUDA leaves the operator undefined, and torchvision
    cannot be imported. What is proved here (ImageFolder, data sets, losses) is pure Python and torch, so this stands
    in for nothing that is proved. Where the compiled half loads, nothing is defined.
    """
    import torch

    spec = importlib.util.find_spec("torchvision")
    assert spec is not None
    assert spec.origin is not None
    try:
        for compiled in Path(spec.origin).parent.glob("_C.*"):
            torch.ops.load_library(compiled)
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):  # both are looked up at import; the quantised one is never called
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.impl("nms", _nms, "CPU")
        _KEPT.append(library)  # the operator is gone when its library is
        import torchvision

        torchvision.extension._has_ops = lambda: True  # torchvision.ops.nms, which validation calls, asks first


_KEPT: list[torch.library.Library] = []


def _nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Indices of the boxes (xmin, ymin, xmax, ymax) that no better one overlaps by more than the threshold."""
    left = scores.argsort(descending=True)
    kept = left[:0]
    areas = (dets[:, 2:] - dets[:, :2]).prod(dim=1)
    while len(left):
        best, left = left[:1], left[1:]
        kept = kept.new_tensor([*kept, best.item()])
        shared = dets[left, 2:].minimum(dets[best, 2:]) - dets[left, :2].maximum(dets[best, :2])
        overlap = shared.clamp(min=0).prod(dim=1)
        left = left[overlap / (areas[left] + areas[best] - overlap) <= iou_threshold]
    return kept


@pytest.fixture(scope="session")
def index(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The index of the sample, built as the README says."""
    path = tmp_path_factory.mktemp("index") / "imagenet.index"
    imagenet_tools.build_index([sample / name for name in SOURCES], path)
    return imagenet_tools.open_index(path)


@pytest.fixture(scope="session")
def truth(index: Any) -> dict[str, Truth]:
    """Every labelled image by id, its bytes read from the place that the index names."""
    boxes: dict[str, list[tuple[str, float, float, float, float]]] = defaultdict(list)
    usable = "SELECT image_id, wnid, nxmin, nymin, nxmax, nymax FROM boxes WHERE nxmin IS NOT NULL"
    for image_id, *box in index.sql(usable).fetchall():
        boxes[image_id].append(tuple(box))
    places = (
        'SELECT image_id, wnid, split, width, height, orientation, problem, root, file, "offset", length '
        "FROM images JOIN sources USING (source) WHERE wnid IS NOT NULL"
    )
    rows = {}
    for image_id, wnid, split, width, height, turned, problem, root, file, offset, length in index.sql(
        places
    ).fetchall():
        with Path(root, file).open("rb") as source:
            source.seek(offset)
            data = source.read(length)
        endless = data.startswith(b"\xff\xd8") and not data.endswith(b"\xff\xd9")
        state = problem or ("endless" if endless else None)
        orientation = turned if turned in range(1, 9) else 1
        rows[image_id] = Truth(wnid, split, (width, height), orientation, state, data, boxes[image_id])
    assert len(rows) == 182
    return rows


@pytest.fixture(scope="session", params=["dogs", "everything"])
def chosen(request: pytest.FixtureRequest) -> str:
    """What is exported: the dogs alone, or every class of the sample."""
    return request.param


@pytest.fixture(scope="session")
def export(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Export]:
    """A function that exports what was chosen to a target, once a session."""
    made: dict[tuple[str, str], Export] = {}

    def export_once(chosen: str, to: str) -> Export:
        if (chosen, to) not in made:
            selection, wnids = (
                (index.select(under="dog"), DOGS) if chosen == "dogs" else (index.select(), DOGS + OTHERS)
            )
            root = tmp_path_factory.mktemp(f"{chosen}-{to}") / "export"
            imagenet_tools.export(selection, root, to=to)
            made[chosen, to] = Export(root, wnids)
        return made[chosen, to]

    return export_once


@pytest.fixture(scope="session")
def training() -> dict[str, Any]:
    """Options of a training that takes seconds: one epoch at 64 pixels on the CPU, in this process, without plots."""
    size = {"epochs": 1, "imgsz": 64, "batch": 8, "device": "cpu", "workers": 0, "amp": False, "seed": 0}
    return {**size, "plots": False, "verbose": False, "pretrained": False}


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Say:
    """A function that adds words to the proof's line in the report."""
    return lambda text: request.node.user_properties.append(("said", text))


def pytest_itemcollected(item: pytest.Item) -> None:
    proof = item.get_closest_marker("proof")
    if proof is None:
        raise pytest.UsageError(f"{item.nodeid} does not say what it proves: @pytest.mark.proof(target=, loader=)")
    item.user_properties.append(("proof", (proof.kwargs["target"], proof.kwargs["loader"])))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.OK and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each target and loader: whether every proof of it held, and what they said."""
    lines: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            facts = dict(getattr(report, "user_properties", ()))  # a file that cannot be imported has none
            proof = facts.get("proof", ("?", report.nodeid))
            lines.setdefault(proof, []).append((outcome, facts.get("said", "")))
    terminalreporter.section("what each loader made of our exports")
    for (target, loader), results in sorted(lines.items()):
        outcomes = {outcome for outcome, _ in results}
        verdict = "FAILED" if outcomes & {"failed", "error"} else "skipped" if "skipped" in outcomes else "ok"
        said = "; ".join(dict.fromkeys(text for _, text in results if text))
        terminalreporter.write_line(f"{verdict:<7} {target:<14} {loader:<37} {said}")
