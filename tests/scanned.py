"""What a form's module makes of a path, without an index: the rows of its units, and the images they place."""

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from imagenet_tools.containers.payload import Place, read
from imagenet_tools.schema import arrow_schema
from imagenet_tools.storage.blob import Descriptors

FACTS = ("photo", "wnid", "split", "hash32", "width", "height", "mode", "encoding", "orientation")


class Scanned:
    """The rows of all units of a path, by table."""

    def __init__(self, form: ModuleType, path: Path):
        self.root = path if path.is_dir() else path.parent
        self.found = form.detect(path)
        self.units = [unit for found in self.found for unit in form.units(found, "source", self.root)]
        self.tables: dict[str, list[dict[str, Any]]] = {"images": [], "problems": [], "boxes": [], "labels": []}
        for unit in self.units:
            assert list(form.files(unit))
            for table, batch in form.scan(unit):
                assert batch.schema == arrow_schema(table)
                self.tables[table] += batch.to_pylist()

    @property
    def images(self) -> dict[str, dict[str, Any]]:
        """The rows of images by id."""
        by_id = {row["image_id"]: row for row in self.tables["images"]}
        assert len(by_id) == len(self.tables["images"])
        return by_id

    @property
    def problems(self) -> dict[str, int]:
        """How many problems there are of each code."""
        return dict(Counter(row["code"] for row in self.tables["problems"]))

    def facts(self) -> dict[str, tuple[object, ...]]:
        """What every form of the same images says alike, by id."""
        return {image_id: tuple(row[name] for name in FACTS) for image_id, row in self.images.items()}

    def bytes(self) -> dict[str, bytes]:
        """Every image by id, read back from its place."""
        columns = ("offset", "length", "member", "position", "compression")
        with Descriptors() as files:
            return {
                image_id: read(Place(self.root / row["file"], *(row[name] for name in columns)), files)
                for image_id, row in self.images.items()
            }
