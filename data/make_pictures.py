"""Draw the pictures of README.md into docs/images/: dogs of the sample, their tree, and a chart of RESULTS.md.

python data/make_pictures.py
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import imagenet_tools as imt
from imagenet_tools.display import charts

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"

sys.path.insert(0, str(ROOT))  # run as a script, Python finds only the modules of data/

from data.make_readme import RESULTS  # noqa: E402

N_DOGS = 20
# The work and its shorter name in the chart.
WORKS = {
    "index a tar of class tars, facts of every image": "a tar of class tars",
    "index class folders, facts of every image": "class folders",
}


def new(name: str) -> Path:
    """Return the path of a picture, without the one that was drawn before."""
    path = IMAGES / name
    path.unlink(missing_ok=True)
    return path


def dogs(index: Path) -> None:
    """Write a contact sheet of dogs, and their tree."""
    selection = imt.open_index(index).select(under="dog.n.01")
    selection.show(N_DOGS).quantize(256).save(new("dogs.png"), optimize=True)
    selection.plot("tree").save(new("tree.svg"))


def rates(text: str) -> Iterator[tuple[str, int]]:
    """Yield (name, images a second) of this project and its peers from the table of the contests."""
    work = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 4:
            continue
        work = cells[1].rpartition(" (")[0] or work
        if work in WORKS and not cells[2].startswith(("limit", "ours,")) and "opens no file" not in cells[2]:
            run = "imagenet-tools" if cells[2] == "ours" else cells[2].partition(",")[0]
            yield f"{WORKS[work]}: {run}", int(cells[3].partition(" ")[0].replace(",", ""))


def speed(path: Path) -> None:
    """Write a chart of the rates at which images become rows of an index."""
    about = "images a second, on 2 cores; tarfile and datumaro take no facts of images"
    rows = list(rates(RESULTS.read_text()))
    ours = {name for name, _ in rows if name.endswith("imagenet-tools")}
    charts.bars("How fast images are indexed", about, rows, emphasis=ours).save(path)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)  # make_screenshots.py writes there too
    speed(new("speed.svg"))
    with tempfile.TemporaryDirectory() as folder:
        sample = ROOT / "data" / "sample"
        index = Path(folder, "imagenet.index")
        imt.build_index(sorted(path for path in sample.iterdir() if path.name.startswith("ILSVRC")), index)
        dogs(index)
