"""Tiny-ImageNet as its zip unpacks, with the boxes and labels that it is given."""

from collections.abc import Mapping
from pathlib import Path

from tests.forms.annotations import Edges, write_files

WNIDS = ("n02085620", "n01443537", "n01629819")  # of the 200, in no order, as in wnids.txt


def write(home: Path, train: Mapping[str, bytes], val: Mapping[str, tuple[bytes, str, Edges]]) -> Path:
    """Write the images of train by stem, and those of val by stem with class and box; a test image is val's first."""
    files: dict[str, bytes | str] = {f"train/{stem[:9]}/images/{stem}.JPEG": data for stem, data in train.items()}
    for wnid in {stem[:9] for stem in train}:
        stems = [stem for stem in train if stem[:9] == wnid]
        rows = [f"{stem}.JPEG\t{n}\t1\t{n + 20}\t30\n" for n, stem in enumerate(stems)]
        files[f"train/{wnid}/{wnid}_boxes.txt"] = "".join(rows)
    files |= {f"val/images/{stem}.JPEG": data for stem, (data, _, _) in val.items()}
    rows = ["\t".join((f"{stem}.JPEG", wnid, *map(str, box))) + "\n" for stem, (_, wnid, box) in val.items()]
    files["val/val_annotations.txt"] = "".join(rows)
    files["test/images/test_0.JPEG"] = next(iter(val.values()))[0]
    files |= {"wnids.txt": "\n".join(WNIDS), "words.txt": "n00001740\tentity\n"}
    return write_files(home, files)
