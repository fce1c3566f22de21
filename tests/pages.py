"""Run the commands and the Python of a page of docs/ in order, and compare what they print with the page.

    python -m tests.pages docs/start.md ...     write what is printed now into these pages

A block `console` holds commands behind `$ `, and their standard output. A command that ends with `# exit code N` has
this exit code, and any other has 0. A block `pycon` is a session of Python. `...` stands for output that is left out. A
page runs in a copy of the folder that `imagenet-tools demo demo` makes. `<!-- given: NAME -->` adds a file or folder of
GIVEN to it; `bucket` adds the bucket s3://lab, with the sources of the demo.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

import imagenet_tools
from data.make_readme import PART
from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue import labels
from tests import in_process, s3
from tests.evaluation import predictions
from tests.forms import annotations, coco, hf_parquet, kaggle
from tests.forms.thousand import drawn
from tests.read_back import read_all

FOLDER = "~/demo"  # what a page calls the folder that it runs in
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FLAGS = doctest.ELLIPSIS
_SHELL = re.compile(r"[|&;<>()$`\\*?\[\]{}~!'\"]")


class Step(NamedTuple):
    """A command, or an example of Python, and what the page says it prints."""

    source: str
    output: str
    language: str
    exit_code: int = 0

    @property
    def prompted(self) -> str:
        """The source behind its prompts, as the page has it."""
        if self.language == "console":
            return f"$ {self.source}\n"
        first, *more = self.source.splitlines(keepends=True)
        return f">>> {first}" + "".join(f"... {line}" for line in more)


def steps(text: str) -> Iterator[Step]:
    """Yield the commands and examples of a page, in order; tables that the code makes have tests of their own."""
    for language, block in BLOCK.findall(PART.sub("", text)):
        if language == "console":
            for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, output = _parted(entry)
                code = re.search(r"# exit code (\d+)$", command)
                yield Step(command, output, language, int(code[1]) if code else 0)
        elif language == "pycon":
            for example in doctest.DocTestParser().get_examples(block):
                yield Step(example.source, example.want, language)


def _parted(entry: str) -> tuple[str, str]:
    """Part a command, whose lines but the last end with a backslash, from its output."""
    lines = entry.splitlines(keepends=True)
    n = next(number for number, line in enumerate(lines, 1) if not line.endswith("\\\n"))
    return "".join(lines[:n]).rstrip("\n"), "".join(lines[n:])


def run(text: str, demo: Path, folder: Path) -> Iterator[tuple[Step, str, int]]:
    """Yield each step of a page with what it printed and its exit code, in a new folder like the demo's."""
    shutil.copytree(demo, folder)
    sources = imagenet_tools.open_index(folder / "imagenet.index").sql("SELECT source FROM sources").fetchall()
    imagenet_tools.relocate({source: folder / "sample" for (source,) in sources}, folder / "imagenet.index")
    given = re.findall(r"^<!-- given: (\S+) -->$", text, re.MULTILINE)
    for name in given:
        if name != "bucket":
            GIVEN[name](folder / name, demo)
    environment = os.environ | {
        "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),  # the cache of MD5 sums
        "LC_ALL": "C",  # the order of `ls`
        "PYTHONUTF8": "1",
    }
    for name in ("IMAGENET_INDEX", "IMAGENET_ROOTS"):
        environment.pop(name, None)
    names: dict[str, object] = {}
    with s3.bucket(folder / "sample") if "bucket" in given else contextlib.nullcontext({}) as variables:
        yield from _run_steps(text, folder, environment | variables, names)


def _run_steps(
    text: str, folder: Path, environment: Mapping[str, str], names: dict[str, object]
) -> Iterator[tuple[Step, str, int]]:
    for step in steps(text):
        if step.language == "console":
            printed, code = _command(step.source, folder, environment)
            yield step, printed.replace(str(folder), FOLDER), code
        else:
            with contextlib.chdir(folder):
                yield step, _python(step.source, names), 0


def _command(source: str, folder: Path, environment: Mapping[str, str]) -> tuple[str, int]:
    """Run a command, and return what it prints and its exit code. Only what is no plain command needs a shell."""
    if arguments := _arguments(source):
        return in_process.stdout_of(arguments, folder, environment)
    ran = subprocess.run(
        ["bash", "-c", source], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    return ran.stdout, ran.returncode


def _arguments(source: str) -> list[str] | None:
    """Return the arguments of a command imagenet-tools; None for a command that a shell must interpret."""
    line = source.replace("\\\n", "")
    words = shlex.split(line, comments=True)
    unquoted = re.sub(r"'[^']*'|\"[^\"$`\\\\]*\"", "", line.partition(" #")[0])
    return words[1:] if words[0] == "imagenet-tools" and not _SHELL.search(unquoted) else None


def _python(source: str, names: dict[str, object]) -> str:
    """Run an example of Python and return what an interactive session prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "<page>", "single"), names)
    return printed.getvalue()


def agrees(step: Step, printed: str, exit_code: int) -> bool:
    """Return True if a step printed what the page says, and has the exit code that it says."""
    return exit_code == step.exit_code and doctest.OutputChecker().check_output(step.output, printed, _FLAGS)


def _predictions(path: Path, demo: Path) -> None:
    """Write predictions for the validation images in ILSVRC ids, every third of them wrong."""
    id_of = {wnid: number for number, wnid in enumerate(labels.ilsvrc2012_ids(), 1)}
    truth = [id_of[wnid] for wnid in labels.validation_wnids()]
    path.write_text("".join(f"{label if n % 3 else label % 1000 + 1}\n" for n, label in enumerate(truth)))


def _best_five(path: Path, demo: Path) -> None:
    """Write the best five classes of the validation images, in sorted order, 70 % of the first right."""
    np.save(path, predictions.top5())


def _kaggle(path: Path, demo: Path) -> None:
    """Write Kaggle's tree, with the images of the demo."""
    kaggle.write(path, _images(demo), demo / "sample")


def _hub(path: Path, demo: Path) -> None:
    """Write Parquet files as Hugging Face's ILSVRC/imagenet-1k has them."""
    hf_parquet.write(path, _images(demo), hf_parquet.words(demo / "sample"))


def _fall11(path: Path, demo: Path) -> None:
    """Write a tar of class tars."""
    shutil.copy2(demo / "sample" / "ILSVRC2012_img_train.tar", path)


def _whole_boxes(path: Path, demo: Path) -> None:
    """Write the boxes of the sample as those of the whole ImageNet are: an archive of an archive for each class."""
    classes: dict[str, dict[str, str]] = {}
    with tarfile.open(demo / "sample" / "ILSVRC2012_bbox_train_v2.tar.gz") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is not None:
                wnid, _, name = member.name.partition("/")
                classes.setdefault(wnid, {})[name.removesuffix(".xml")] = stream.read().decode()
    path.write_bytes(annotations.bboxes_annotations(classes))


def _images(demo: Path) -> dict[str, bytes]:
    """Return the bytes of the images of the demo by stem."""
    return read_all(imagenet_tools.open_index(demo / "imagenet.index"))


# SLURM's command, on this machine: it runs the command of each job of an array at once.
_SBATCH = r"""#!/bin/bash
last=0
for word; do
    case "$word" in
        --array=0-*) last=${word##*-} ;;
        --dependency=afterany:1 | --wrap | --cpus-per-task=* | --time=* | --job-name=*) ;;
        --*) echo "sbatch: unknown $word" >&2; exit 1 ;;
        *) command=$word ;;
    esac
done
export SLURM_ARRAY_TASK_COUNT=$((last + 1))
for SLURM_ARRAY_TASK_ID in $(seq 0 "$last"); do
    export SLURM_ARRAY_TASK_ID
    bash -c "$command" > "slurm-$SLURM_ARRAY_TASK_ID.out" 2>&1 || exit 1
done
[ -e job ] && [ ! -s job ] && echo "Submitted batch job 1" || echo "Submitted batch job 2"
"""


def _sbatch(path: Path, _: Path) -> None:
    path.write_text(_SBATCH)
    path.chmod(0o755)


def _ultralytics(path: Path, demo: Path) -> None:
    """Write texts as Ultralytics' classifier saves them: of every fourth validation image, the second is right."""
    index = imagenet_tools.open_index(demo / "imagenet.index")
    dogs = index.select(under="dog.n.01", from_="val")
    names = {wnid: imagenet_tools.synset(wnid).lemmas[0] for wnid in sorted({*dogs.wnids()})}
    (path / "labels").mkdir(parents=True)
    rows = index.sql("SELECT image_id, wnid FROM images WHERE split = 'val' ORDER BY image_id").fetchall()
    for n, (image_id, wnid) in enumerate(row for row in rows if row[1] in names):
        best = sorted(names, key=lambda other: other != wnid)
        if n % 4 == 0:
            best[:2] = best[1::-1]
        lines = [f"{score} {names[each]}\n" for score, each in zip(("0.60", "0.20", "0.10", "0.06", "0.04"), best)]  # noqa: B905
        (path / "labels" / f"{image_id}.txt").write_text("".join(lines))


def _detections(path: Path, demo: Path) -> None:
    """Write texts as Ultralytics' detector saves them: the true boxes of dogs, every third of another class."""
    index = imagenet_tools.open_index(demo / "imagenet.index")
    dogs = sorted({*index.select(under="dog.n.01", from_="val").wnids()})
    (path / "labels").mkdir(parents=True)
    rows = index.sql(
        "SELECT image_id, boxes.wnid, nxmin, nymin, nxmax, nymax FROM boxes JOIN images USING (dataset, image_id) "
        "WHERE split = 'val' AND nxmin IS NOT NULL ORDER BY ALL"
    ).fetchall()
    for n, (image_id, wnid, *edges) in enumerate(row for row in rows if row[1] in dogs):
        number = (dogs.index(wnid) + (n % 3 == 0)) % len(dogs)
        numbers = [f"{value:.6f}" for value in bbox.yolo(*edges)]
        with (path / "labels" / f"{image_id}.txt").open("a") as file:
            file.write(f"{number} {' '.join(numbers)} {1 - n / 100:.2f}\n")


# What a page can ask for beside the demo: each function writes it at a path, from the demo.
def _coco(path: Path, demo: Path) -> None:
    """Write six photos as COCO has them, and as LVIS divides them."""
    photos: list[tuple[coco.Photo, coco.Photo]] = []
    for n, (folder, category, lvis) in enumerate(
        [
            ("train2017", "dog", "pug-dog"),
            ("train2017", "dog", "shepherd_dog"),
            ("train2017", "zebra", "zebra"),
            ("train2017", "person", "person"),
            ("val2017", "dog", "dog"),
            ("val2017", "giraffe", "giraffe"),
        ],
        1,
    ):
        photo = coco.Photo(n, folder, drawn(n), (24 + n % 7, 20 + n % 5), [coco.Box(category, (1, 2, 9, 8))])
        in_lvis = photo._replace(boxes=[coco.Box(lvis, (1, 2, 9, 8))], negative=["zebra"] if n < 3 else [])
        photos.append((photo, in_lvis))
    by_coco, by_lvis = ([pair[side] for pair in photos] for side in (0, 1))
    files = {
        "annotations/instances_train2017.json": ("coco80", by_coco[:4]),
        "annotations/instances_val2017.json": ("coco80", by_coco[4:]),
        "lvis_v1_train.json": ("lvis1203", by_lvis[:3]),
        "lvis_v1_val.json": ("lvis1203", by_lvis[3:]),
    }
    coco.write(path, files)


GIVEN: Mapping[str, Callable[[Path, Path], None]] = {
    "bboxes_annotations.tar.gz": _whole_boxes,
    "coco": _coco,
    "det-predictions": _detections,
    "fall11_whole.tar": _fall11,
    "hub": _hub,
    "kaggle": _kaggle,
    "predictions.txt": _predictions,
    "resnet50.npy": _best_five,
    "sbatch": _sbatch,
    "val-predictions": _ultralytics,
}


def demo_at(path: Path) -> None:
    """Make the folder that a page runs in."""
    _, code = in_process.stdout_of(["demo", path.name], path.parent, dict(os.environ))
    assert code == 0


def main(pages: list[str]) -> None:
    """Write into pages what their commands print now."""
    with tempfile.TemporaryDirectory() as name:
        demo_at(Path(name, "demo"))
        for number, page in enumerate(map(Path, pages)):
            text, end = page.read_text(), 0
            for step, printed, exit_code in run(text, Path(name, "demo"), Path(name, str(number))):
                begin = text.index(step.prompted + step.output, end) + len(step.prompted)
                end = begin + len(step.output)
                if not agrees(step, printed, exit_code):
                    print(f"{page}: {step.source}: exit code {exit_code}", file=sys.stderr)
                    text, end = text[:begin] + printed + text[end:], begin + len(printed)
            page.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
