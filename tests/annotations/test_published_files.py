"""Every annotation that was transcribed from public files is read as another parser reads it, number by number.

The other parser is the standard library's html.parser: written in Python, it knows no XML and shares nothing with
expat, takes tags as they come, and reads on where a file was never closed, as one of these was not.
"""

from html.parser import HTMLParser
from pathlib import Path

from imagenet_tools.annotations.annotation import parse


class Tags(HTMLParser):
    """The text of each tag by the path of the tags around it, in the order of the file; objects apart."""

    def __init__(self, data: str):
        super().__init__()
        self.open: list[str] = []
        self.head: dict[str, str] = {}
        self.objects: list[dict[str, str]] = []
        self.feed(data)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        if self.open == ["annotation", "object"]:
            self.objects.append({})

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            into = self.objects[-1] if "object" in self.open else self.head
            into["/".join(self.open).removeprefix("annotation/object/")] = data.strip()


def flag(text: str | None) -> bool | None:
    return None if text is None else text == "1"


def test_all_17_are_read_to_the_number(real: Path) -> None:
    files = sorted(path for path in (real / "xml").rglob("*") if path.is_file())
    assert len(files) == 17
    boxes = 0
    for path in files:
        other, found = Tags(path.read_text()), parse(path.read_bytes())
        assert found.filename == other.head["annotation/filename"], path
        size = (int(other.head["annotation/size/width"]), int(other.head["annotation/size/height"]))
        assert (found.width, found.height) == size, path
        assert len(found.objects) == len(other.objects), path
        boxes += len(found.objects)
        for ours, theirs in zip(found.objects, other.objects, strict=True):
            edges = [float(theirs[f"bndbox/{edge}"]) for edge in ("xmin", "ymin", "xmax", "ymax")]
            assert [ours.xmin, ours.ymin, ours.xmax, ours.ymax] == edges, path
            words = (theirs["name"], theirs.get("pose"), theirs.get("subcategory"))
            assert (ours.name, ours.pose, ours.subcategory) == words, path
            told = (flag(theirs.get("truncated")), flag(theirs.get("difficult")))
            assert (ours.truncated, ours.difficult) == told, path
    assert boxes > 17
