"""The noisy labels of Imagenette and Imagewoof: noisy_imagenette.csv and noisy_imagewoof.csv, beside train/ and val/.

    path,noisy_labels_0,noisy_labels_1,noisy_labels_5,noisy_labels_25,noisy_labels_50,is_valid
    train/n02979186/n02979186_11957.JPEG,n02979186,n02979186,n02979186,n02979186,n03000684,False

A column is a label set of its name; in noisy_labels_5, 5 % of the training images have another class than their own.
The class of an image stays that of its folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.annotations.image_sets import counted
from imagenet_tools.catalogue.releases import release_of
from imagenet_tools.formats._shared.contract import gathers, one_unit
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import is_wnid, path_facts

READS = Reads(
    holds=("labels",),
    problems={"noisy_bad_row": "a row that is not a path, a wnid for each label set, and is_valid"},
)

_PREFIX = "noisy_labels_"
_LOOKED_AT_BYTES = 1 << 10


def detect(path: Path) -> list[Detection]:
    """Return the table, by its header; the folder's name tells which size of the data set it belongs to."""
    if path.suffix != ".csv" or not path.is_file():
        return []
    with path.open("rb") as file:
        lines = file.read(_LOOKED_AT_BYTES).decode("utf-8-sig", "backslashreplace").splitlines()
    label_sets = _label_sets(lines[0]) if lines else []
    if not label_sets:
        return []
    wnids = {cells[1] for line in lines[1:-1] if len(cells := line.split(",")) > 1}
    verdict = release_of(wnids, name=f"{path.absolute().parent.name} {path.stem}")
    evidence = f"{count_of(counted(path) - 1, 'row')} of labels, {', '.join(label_sets)}; {verdict.why}"
    labelling = Labelling("the columns of the table", verdict.dataset)
    return [Detection("noisy_labels", path, verdict.dataset, ("labels",), evidence, ("train", "val"), "", labelling)]


def _label_sets(header: str) -> list[str]:
    """Return the label sets of a header; none if it is another table's."""
    path, *names = header.strip().split(",")
    is_noisy = path == "path" and names[-1:] == ["is_valid"] and all(name.startswith(_PREFIX) for name in names[:-1])
    return names[:-1] if is_noisy else []


units = one_unit
files = unit_file


@gathers(AnnotationRows)
def scan(unit: Unit, rows: AnnotationRows) -> Iterator[None]:
    """Add the labels of each row, and the problems of other rows."""
    with unit.path.open(encoding="utf-8-sig", errors="backslashreplace") as file:
        label_sets = _label_sets(header := next(file, ""))
        if not label_sets:
            rows.problem(
                "noisy_bad_row", unit.file, f"the header {header.strip()[:100]!r}; expected label sets", "line 1"
            )
            return
        for n, line in enumerate(file, 2):
            path, *cells = line.strip().split(",")
            wnids = cells[: len(label_sets)]
            if len(cells) == len(label_sets) + 1 and all(map(is_wnid, wnids)):
                for label_set, wnid in zip(label_sets, wnids, strict=True):
                    rows.label(path_facts(path).stem, label_set, wnid)
            else:
                reason = f"{line.strip()[:100]!r}; expected a path, {count_of(len(label_sets), 'wnid')} and is_valid"
                rows.problem("noisy_bad_row", unit.file, reason, f"line {n}")
            yield
