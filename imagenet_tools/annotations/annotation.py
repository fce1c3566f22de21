"""One annotation in the XML of ImageNet, which is Pascal VOC's: its bytes read into objects, by tag, not by order.

    <annotation><folder>val</folder><filename>ILSVRC2012_val_00000001</filename>
     <source><database>ILSVRC_2012</database></source>
     <size><width>500</width><height>375</height><depth>3</depth></size><segmented>0</segmented>
     <object><name>n01751748</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>
      <bndbox><xmin>111</xmin><ymin>108</ymin><xmax>441</xmax><ymax>193</ymax></bndbox></object></annotation>

Other releases leave tags out, add some, or order them otherwise (VID: xmax, xmin, ymax, ymin). A document that breaks
off keeps the objects that were complete. A DOCTYPE is refused unread: nothing of ImageNet has one, and entities are
how XML attacks its readers.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple
from xml.parsers import expat

from imagenet_tools.wordnet.wnid import is_wnid, wnid_of_stem

# ---- An annotation of the shape that ImageNet published, read by a pattern, many times as fast as by an XML parser.


# No annotation of ImageNet comes near these: 50,000 validation files are below 16 KiB and have at most 20 boxes.
MAX_BYTES = 1 << 20
MAX_OBJECTS = 1000

PLAIN = 11  # texts that plain() gives of an object

_WORD, _WHOLE = r"([\w%.+-]++)", r"(-?\d{1,9}+)"


def _pattern(template: str) -> re.Pattern[str]:
    """A template in which every tag may be followed by white space, W is a word and N a whole number."""
    tags = template.replace("W", _WORD).replace("N", _WHOLE)
    return re.compile(tags.replace(" ", r"[ \t\r\n]*+"), re.ASCII)


_OF_AN_OBJECT = (
    "<object> <name>W</name> <pose>W</pose> <truncated>([01])</truncated> <difficult>([01])</difficult> "
    "<bndbox> <xmin>N</xmin> <ymin>N</ymin> <xmax>N</xmax> <ymax>N</ymax> </bndbox> </object> "
)
_FIRST = _pattern(
    "<annotation> <folder>[\\w%.+-]++</folder> <filename>W</filename> "
    "<source> <database>[\\w.+\\x20-]*</database> </source> "
    "<size> <width>N</width> <height>N</height> <depth>\\d</depth> </size> "
    "(?:<segmented>\\d</segmented>|<segment>\\d</segment>) " + _OF_AN_OBJECT  # the latter in Stanford Dogs
)
_NEXT = _pattern(_OF_AN_OBJECT)
_TAIL = _pattern("</annotation> ")


def plain(data: bytes) -> tuple[str, ...] | None:
    """The texts of a file of the published shape, of one object after the other; None if any byte differs.

    Those of an object are PLAIN: filename, width and height, which are the file's; name, pose, truncated, difficult,
    xmin, ymin, xmax, ymax.
    """
    if len(data) > MAX_BYTES:
        return None
    text = data.decode("latin-1")  # the patterns match ASCII alone, of which this is UTF-8's reading
    first = _FIRST.match(text)
    if first is None:
        return None
    texts, end = first.groups(), first.end()
    # Before the pattern: no object can follow, and this is how nearly every file ends.
    if text[end:] == "</annotation>\n":
        return texts
    file = texts[:3]
    while (found := _NEXT.match(text, end)) is not None:
        texts += file + found.groups()
        end = found.end()
    if len(texts) > PLAIN * MAX_OBJECTS or _TAIL.fullmatch(text, end) is None:
        return None
    return texts


# ----


# What parse() may report, for the table problems.
PROBLEMS = {
    "xml_too_large": "the file is larger than 1 MiB and was not read",
    "xml_refused": "the file declares a DOCTYPE or an entity and was not read",
    "xml_broken": "the file is not whole, well-formed XML; its complete objects are kept",
    "xml_not_annotation": "the root is not <annotation>",
    "xml_too_many_objects": "more than 1,000 objects; the first 1,000 are kept",
    "xml_no_object": "an annotation without an object",
}


class Object(NamedTuple):
    """An <object>: numbers as written, None where absent or unreadable; flags are codes of bbox.FLAGS."""

    name: str | None
    pose: str | None
    truncated: bool | None
    difficult: bool | None
    xmin: float | None
    ymin: float | None
    xmax: float | None
    ymax: float | None
    flags: tuple[str, ...] = ()
    subcategory: str | None = None  # of DET: a narrower class that is said beside the name


class Annotation(NamedTuple):
    """What a file says: the stated size in pixels, the objects in order, and what was wrong with it."""

    filename: str | None
    width: int | None
    height: int | None
    objects: tuple[Object, ...]
    flags: tuple[str, ...] = ()  # of the file, and so of each of its boxes
    problems: tuple[tuple[str, str], ...] = ()  # (code, reason)


def parse(data: bytes) -> Annotation:
    """Read a file's bytes (UTF-8, or UTF-16 with its mark). Never raises: what is wrong stands in problems."""
    if len(data) > MAX_BYTES:
        return _nothing("xml_too_large", f"the file has more than {MAX_BYTES:,} bytes")
    found = _canonical(data)
    if found is not None:
        return found
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    broken = ""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        broken = f"byte {error.start:,} is not {encoding.upper()}"
        text = data[: error.start].decode(encoding, "ignore")
    if "\0" in text:
        # From zeros expat would guess at UTF-16 and read on, past the search for a DOCTYPE.
        broken = f"a NUL at character {text.index(chr(0)):,}"
        text = text.partition("\0")[0]
    return _by_tags(text, broken)


def class_of(name: str | None, stem: str, folder: str | None) -> tuple[str | None, tuple[str, ...]]:
    """The class of an object, and flags: from its name, the stem of its file, and the wnid of the file's folder.

    In the whole ImageNet a folder boxes its own class, also in images of other classes: where stem and folder differ,
    the folder decides. None where no rule gives one: a word as name in a validation file, whose image's label then
    decides.
    """
    if folder is not None and name == folder == stem[:9] and stem[9:10] == "_":
        return name, ()
    said_by_stem = wnid_of_stem(stem)
    place = folder or said_by_stem
    wnid, flags = place, []
    if name is None:
        flags.append("no_name")
    elif not is_wnid(name):
        flags.append("name_is_word")
    elif name != place:
        flags += [] if place is None else ["name_differs"]
        wnid = name
    if folder is not None and said_by_stem is not None and folder != said_by_stem:
        flags.append("folder_differs")
        wnid = folder
    return wnid, tuple(flags)


def read_number(text: str) -> float | None:
    """A number as an annotation writes it, nan and inf among them; None for any other text."""
    # No coordinate needs 64 characters, and reading a number of a million digits takes time.
    return float(text) if len(text) <= 64 and _NUMBER.fullmatch(text) is not None else None


def filename_differs(filename: str | None, stem: str) -> bool:
    """Whether <filename> says something else than the XML file's own stem; it may or may not have a suffix."""
    return filename is not None and filename != stem and filename.rpartition(".")[0] != stem


def _nothing(code: str, reason: str) -> Annotation:
    return Annotation(None, None, None, (), (), ((code, reason),))


# ---- The published shape, which nearly every file has. -------------------------------------------------------------


def _canonical(data: bytes) -> Annotation | None:
    """The annotation if the bytes are of the published shape to the last one, and None if anything differs."""
    texts = plain(data)
    if texts is None:
        return None
    objects = []
    for n in range(0, len(texts), PLAIN):
        name, pose, truncated, difficult, *edges = texts[n + 3 : n + PLAIN]
        xmin, ymin, xmax, ymax = map(float, edges)
        objects.append(Object(name, pose, truncated == "1", difficult == "1", xmin, ymin, xmax, ymax))
    return Annotation(texts[0], int(texts[1]), int(texts[2]), tuple(objects))


# ---- Every other shape, read by expat. ----------------------------------------------------------------------------

_COORDINATES = ("bndbox/xmin", "bndbox/ymin", "bndbox/xmax", "bndbox/ymax")
_OF_FILE = {"annotation/" + tag for tag in ("filename", "size/width", "size/height")}
_OF_OBJECT = {
    "annotation/object/" + tag for tag in ("name", "pose", "truncated", "difficult", "subcategory", *_COORDINATES)
}
_DEPTH = 4  # of the deepest tag above

_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)", re.ASCII | re.IGNORECASE)


class _Listener:
    """Gathers what stands in the tags above while expat reads; what lies deeper or elsewhere is passed over."""

    def __init__(self) -> None:
        self.head: dict[str, str] = {}
        self.objects: list[dict[str, str]] = []  # the complete ones, MAX_OBJECTS at most
        self.n_objects = 0
        self.root: str | None = None
        self._open: list[str] = []  # the tags that are open, down to _DEPTH
        self._depth = 0
        self._object: dict[str, str] = {}
        self._text: list[str] = []

    def start(self, tag: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            return
        self._text.clear()
        self._open.append(tag)
        if self._depth == 1:
            self.root = tag
        elif self._open == ["annotation", "object"]:
            self._object = {}

    def text(self, data: str) -> None:
        if self._depth <= _DEPTH:
            self._text.append(data)

    def end(self, _tag: str) -> None:
        self._depth -= 1
        if self._depth >= _DEPTH:
            return
        path = "/".join(self._open)
        self._open.pop()
        if path in _OF_OBJECT:
            self._keep(self._object, path.removeprefix("annotation/object/"))
        elif path in _OF_FILE:
            self._keep(self.head, path.removeprefix("annotation/"))
        elif path == "annotation/object":
            self.n_objects += 1
            if self.n_objects <= MAX_OBJECTS:
                self.objects.append(self._object)
        self._text.clear()

    def _keep(self, values: dict[str, str], key: str) -> None:
        if key in values:
            values["repeated"] = "yes"
        else:
            values[key] = "".join(self._text).strip()


def _by_tags(text: str, broken: str = "") -> Annotation:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return _nothing("xml_refused", "the file has a DOCTYPE or an entity, which no annotation of ImageNet has")
    listener = _Listener()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = listener.start
    parser.EndElementHandler = listener.end
    parser.CharacterDataHandler = listener.text
    try:
        # Given as text, so that no declared encoding can call a decoder; at once, so that no token is read twice.
        parser.Parse(text, True)
    except expat.ExpatError as error:
        broken = broken or f"{expat.ErrorString(error.code)}, line {error.lineno}"
    problems = []
    if broken:
        problems.append(("xml_broken", f"{broken}; {listener.n_objects} complete objects stand before the break"))
    if listener.root not in {None, "annotation"}:
        problems.append(("xml_not_annotation", f"the root is <{listener.root[:100]}>, not <annotation>"))
    elif listener.n_objects > MAX_OBJECTS:
        problems.append(("xml_too_many_objects", f"{listener.n_objects:,} objects; the first {MAX_OBJECTS:,} are kept"))
    elif not listener.n_objects and not problems:
        problems.append(("xml_no_object", "an annotation without an object"))
    head = listener.head
    flags = {"repeated"} & head.keys()
    width, height = (_size(head.get("size/" + side), flags) for side in ("width", "height"))
    objects = tuple(_object(values) for values in listener.objects)
    return Annotation(head.get("filename"), width, height, objects, tuple(sorted(flags)), tuple(problems))


def _object(values: dict[str, str]) -> Object:
    flags = {"repeated"} & values.keys()
    truncated, difficult = (_yes_or_no(values.get(tag), flags) for tag in ("truncated", "difficult"))
    edges = [_number(values.get(tag), flags) for tag in _COORDINATES]
    if not values.keys() >= set(_COORDINATES):
        flags.add("missing")
    name, pose, narrower = (values.get(tag) or None for tag in ("name", "pose", "subcategory"))
    x1, y1, x2, y2 = edges
    return Object(name, pose, truncated, difficult, x1, y1, x2, y2, tuple(sorted(flags)), narrower)


def _number(text: str | None, flags: set[str]) -> float | None:
    number = None if text is None else read_number(text)
    if number is None and text is not None:
        flags.add("unreadable")
    return number


def _size(text: str | None, flags: set[str]) -> int | None:
    number = _number(text, flags)
    if number is None:
        return None
    if not math.isfinite(number) or number != int(number) or abs(number) >= 2**31:
        flags.add("unreadable")
        return None
    return int(number)


def _yes_or_no(text: str | None, flags: set[str]) -> bool | None:
    if text not in {"0", "1", None}:
        flags.add("unreadable")
        return None
    return None if text is None else text == "1"
