"""What this project does in a benchmark; each function prepares, and gives the work that is timed."""

from __future__ import annotations

import atexit
import importlib
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from tests.benchmarks import scaling, timed
from tests.benchmarks.peers import asking
from tests.benchmarks.questions import OURS, PARAMETERS


def _import_all() -> None:
    """Import what the work imports on its way, because a peer's import is not timed either.

    pyarrow imports pandas, if it is installed, for the first array that it makes of a list.
    """
    from imagenet_tools import formats

    ours = (
        "api",
        "build.build",
        "exports.check",
        "exports.run",
        "index",
        *(f"formats.{name}" for name in formats.names()),
    )
    libraries = ("duckdb", "pandas", "pyarrow.compute", "pyarrow.parquet", "tomli_w")
    for name in (*libraries, *(f"imagenet_tools.{module}" for module in ours)):
        importlib.import_module(name)


# ---- building


def build_index(index: str, *sources: str, probe: bool = True) -> Callable[[], int]:
    """An index of sources, on disk; the units are images, or annotations where there are no images."""
    import imagenet_tools

    def work() -> int:
        report = imagenet_tools.build_index(sources, index, probe=probe)
        return report.rows.get("images", 0)

    return work


def build_of_one_image(index: str, train: str) -> Callable[[], int]:
    """Return the work of the command `build-index` on a folder with one image."""
    one_image = Path(f"{index}.source", "train")
    image = next(path for folder in sorted(Path(train).iterdir()) for path in sorted(folder.iterdir()))
    shutil.rmtree(one_image, ignore_errors=True)
    (one_image / image.parent.name).mkdir(parents=True)
    shutil.copyfile(image, one_image / image.parent.name / image.name)
    return _commands(1, ["build-index", str(one_image), "-o", index])


def _commands(units: int, *commands: Sequence[str]) -> Callable[[], int]:
    """Return the work of commands of this program, each a process from its start to its end."""

    def work() -> int:
        for command in commands:
            subprocess.run([sys.executable, "-m", "imagenet_tools", *command], check=True, stdout=subprocess.DEVNULL)
        return units

    return work


def build_index_unprobed(index: str, *sources: str) -> Callable[[], int]:
    """Names, places and lengths alone."""
    return build_index(index, *sources, probe=False)


def index_boxes(n: str, index: str, *sources: str, workers: int | None = None) -> Callable[[], int]:
    """An index of `n` annotations, on disk."""
    import imagenet_tools

    def work() -> int:
        rows = imagenet_tools.build_index(sources, index, workers=workers).rows
        return int(n) if rows.get("boxes", 0) + rows.get("unused_boxes", 0) >= int(n) else 0

    return work


# A twin is replaced in this process alone, so these works have no workers.


class _Nothing:
    """Stands for a function that finds nothing to do."""

    def __init__(self) -> None:
        self.called = False

    def __call__(self, *_: object) -> None:
        self.called = True


def _without(name: str, module: ModuleType, work: Callable[[], int]) -> Callable[[], int]:
    """Return the work without a function of a module; it has 0 units if it never asks for this function."""
    nothing = _Nothing()
    setattr(module, name, nothing)

    def work_without() -> int:
        units = work()
        return units if nothing.called else 0

    return work_without


def build_index_alone(index: str, *sources: str) -> Callable[[], int]:
    """Index images in one process."""
    import imagenet_tools

    return lambda: imagenet_tools.build_index(sources, index, workers=1).rows["images"]


def build_index_one_by_one(index: str, *sources: str) -> Callable[[], int]:
    """Index tars in one process, each member read by itself: without images.batch."""
    from imagenet_tools.images.batch import tar_batch

    return _without("read_members", tar_batch, build_index_alone(index, *sources))


def build_folders_one_by_one(index: str, *sources: str) -> Callable[[], int]:
    """Index class folders in one process, each file opened and read by itself."""
    from imagenet_tools.images import batch

    return _without("_is_plain", batch, build_index_alone(index, *sources))


def index_boxes_alone(n: str, index: str, *sources: str) -> Callable[[], int]:
    """Index `n` annotations in one process."""
    return index_boxes(n, index, *sources, workers=1)


def index_boxes_by_expat(n: str, index: str, *sources: str) -> Callable[[], int]:
    """The same, each read by expat: without the pattern of the published shape."""
    from imagenet_tools.annotations import annotation

    return _without("parse_published_shape", annotation, index_boxes_alone(n, index, *sources))


# ---- backends


def units(backend: str, n: str) -> Callable[[], int]:
    """Return the work of handing out `n` units that do nothing on a backend of scaling.backends."""
    started = scaling.backends()
    atexit.register(started.close)
    do = next(do for name, do in started if name == backend)
    list(do([0, 1]))
    return lambda: len(list(do(range(int(n)))))


def build_by_shares(index: str, source: str) -> Callable[[], int]:
    """Return the work of 8 shares of a build in turn, and of their merge."""
    import imagenet_tools

    _import_all()

    def work() -> int:
        for share in range(8):
            imagenet_tools.build_index(source, index, shard=f"{share}/8", workers=1)
        imagenet_tools.merge(index, workers=1)
        return imagenet_tools.open_index(index).n_images

    return work


def build_by_one_process(index: str, source: str) -> Callable[[], int]:
    """Return the work of a build in one process."""
    import imagenet_tools

    _import_all()
    return lambda: imagenet_tools.build_index(source, index, workers=1).rows["images"]


# ---- asking


def ask(index: str, question: str) -> Callable[[], int]:
    """A question, asked of an open index for a second."""
    import imagenet_tools

    opened = imagenet_tools.open_index(index)
    return timed.repeated(lambda: opened.sql(OURS[question], **PARAMETERS.get(question, {})).fetchall())


def open_and_ask(index: str) -> Callable[[], int]:
    """Open an index and ask it a first question, the engine being imported."""
    import duckdb  # noqa: F401

    import imagenet_tools

    return lambda: len(imagenet_tools.open_index(index).sql(OURS["dogs"]).fetchall())


def split(index: str) -> Callable[[], int]:
    """Every image drawn into a split."""
    import imagenet_tools

    opened = imagenet_tools.open_index(index)
    asked = "SELECT count(*), count(*) FILTER (draw(hash32, 7) < 429496730) FROM images"
    n = int(opened.sql(asked).fetchall()[0][0])
    again = timed.repeated(lambda: opened.sql(asked).fetchall())
    return lambda: again() * n


def command_line(*arguments: str) -> Callable[[], int]:
    """The command line, from its start to its end."""
    return asking.started(sys.executable, "-c", "from imagenet_tools.cli import main; main()", *arguments)


def wordnet() -> Callable[[], int]:
    """Open the hierarchy and take everything below its root."""
    from imagenet_tools.wordnet import hierarchy

    return lambda: len(hierarchy.descendants("entity.n.01"))


# ---- writing


def export(index: str, dest: str, to: str, link: str = "auto", resize: str = "", split: str = "") -> Callable[[], int]:
    """An export of everything."""
    import imagenet_tools

    def work() -> int:
        chosen = imagenet_tools.open_index(index).select(split=split or None)
        plan = imagenet_tools.export(chosen, dest, to=to, link=link, resize=int(resize) if resize else None)  # type: ignore[arg-type]
        return plan.images()

    return work


def export_of_one_image(index: str, dest: str) -> Callable[[], int]:
    """Return the work of the command `export` with one image."""
    return _commands(1, ["-i", index, "export", dest, "--to", "image_folder", "--limit", "1"])


def coco_text(index: str, dest: str) -> Callable[[], int]:
    """Return the work of an export to COCO's JSON whose images are not placed; the units are boxes.

    It runs in one process: workers would not know that images are not placed.
    """
    import imagenet_tools
    from imagenet_tools.formats import coco
    from imagenet_tools.formats._shared.listing import no_sink

    coco.open_shard = no_sink  # type: ignore[attr-defined]
    _import_all()

    def work() -> int:
        chosen = imagenet_tools.open_index(index).select()
        return sum(tally.boxes for split in imagenet_tools.export(chosen, dest, to="coco", workers=1).tallies.values()
                   for tally in split.values())  # fmt: skip

    return work


def detection(source: str, index: str, dest: str, to: str) -> Callable[[], int]:
    """Images and their boxes as Pascal VOC lays them out, indexed and exported."""
    import imagenet_tools

    _import_all()

    def work() -> int:
        folders = [Path(source, "JPEGImages"), Path(source, "Annotations")]
        imagenet_tools.build_index(folders, index)
        chosen = imagenet_tools.open_index(index).select(split="train=0.9,val=0.1")
        return imagenet_tools.export(chosen, dest, to=to, link="copy").images()

    return work


def detection_by_commands(source: str, index: str, dest: str, to: str) -> Callable[[], int]:
    """Return the work of `detection` by two commands."""
    n_images = sum(1 for _ in Path(source, "JPEGImages").iterdir())
    build = ["build-index", f"{source}/JPEGImages", f"{source}/Annotations", "-o", index]
    export = ["-i", index, "export", dest, "--to", to, "--split", "train=0.9,val=0.1", "--link", "copy"]
    return _commands(n_images, build, export)


def load_boxes(index: str) -> Callable[[], int]:
    """Open an index and take all boxes into memory, as NumPy arrays; the units are images."""
    import imagenet_tools

    _import_all()

    def work() -> int:
        asked = "SELECT image_id, wnid, xmin, ymin, xmax, ymax FROM boxes ORDER BY image_id"
        found = imagenet_tools.open_index(index).sql(asked).fetchnumpy()
        return len(set(found["image_id"].tolist()))

    return work


# ---- training


def random_reads(index: str, n: str) -> Callable[[], int]:
    """Images by a data set over the original archives, in random order, their bytes alone."""
    import imagenet_tools

    dataset = imagenet_tools.open_index(index).select().dataset("train", fields=("bytes",))
    order = random.Random(0).choices(range(len(dataset)), k=int(n))
    for number in order[:100]:
        dataset[number]

    def work() -> int:
        for number in order:
            dataset[number]
        return len(order)

    return work


if __name__ == "__main__":
    timed.run(globals(), __name__)
