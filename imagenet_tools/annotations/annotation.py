"""Parse one box annotation in ImageNet's XML, which is Pascal VOC's. Tags may come in any order.

    <annotation><folder>val</folder><filename>ILSVRC2012_val_00000001</filename>
     <source><database>ILSVRC_2012</database></source>
     <size><width>500</width><height>375</height><depth>3</depth></size><segmented>0</segmented>
     <object><name>n01751748</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>
      <bndbox><xmin>111</xmin><ymin>108</ymin><xmax>441</xmax><ymax>193</ymax></bndbox></object></annotation>

Other releases leave tags out, add some, or order them otherwise (VID: xmax, xmin, ymax, ymin). A truncated document
keeps its complete objects. A document with a DOCTYPE is refused unread: ImageNet has none, and XML attacks its readers
through entities.

Nearly every file has exactly the published shape, which one regular expression reads. All others are read by expat.
The expression brings 1.7x end to end on 20,000 files in bboxes_annotations.tar.gz: build_index takes 1.04 s of CPU
instead of 1.78 s, and 3.2 s instead of 6.9 s on 100,000. tests/annotations/test_annotation_rows.py holds both to the
same rows.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple
from xml.parsers import expat

from imagenet_tools.text import count_of
from imagenet_tools.wordnet.wnid import is_wnid, wnid_of_stem

# Far above every annotation of ImageNet: its 50,000 validation files are below 16 KiB and have at most 20 boxes.
MAX_BYTES = 1 << 20
MAX_OBJECTS = 1000
_MAX_NUMBER_CHARACTERS = 64  # no coordinate is longer, and converting a million digits takes long

# Codes that parse() may report, for the table problems.
PROBLEMS = {
    "xml_too_large": "the file is larger than 1 MiB and was not read",
    "xml_refused": "the file declares a DOCTYPE or an entity and was not read",
    "xml_broken": "the file is not whole, well-formed XML; its complete objects are kept",
    "xml_not_annotation": "the root is not <annotation>",
    "xml_too_many_objects": "more than 1,000 objects; the first 1,000 are kept",
    "xml_no_object": "an annotation without an object",
}


class Object(NamedTuple):
    """An <object>: numbers as written, None if absent or unreadable; `flags` are codes of bbox.FLAGS."""

    name: str | None
    pose: str | None
    truncated: bool | None
    difficult: bool | None
    xmin: float | None
    ymin: float | None
    xmax: float | None
    ymax: float | None
    flags: tuple[str, ...] = ()
    subcategory: str | None = None  # in DET: a narrower class beside the name


class Annotation(NamedTuple):
    """The content of a file: the stated size in pixels, the objects in order, and what is wrong with the file."""

    filename: str | None
    width: int | None
    height: int | None
    objects: tuple[Object, ...]
    flags: tuple[str, ...] = ()  # flags of the file, which hold for each of its boxes
    problems: tuple[tuple[str, str], ...] = ()  # (code, reason)


def parse(data: bytes) -> Annotation:
    """Return the content of a file in UTF-8, or in UTF-16 with a byte order mark. Never raises: see `problems`."""
    if len(data) > MAX_BYTES:
        return _no_objects("xml_too_large", f"the file has more than {MAX_BYTES:,} bytes")
    return parse_published_shape(data) or parse_any_shape(data)


def class_of(name: str | None, stem: str, folder: str | None) -> tuple[str | None, tuple[str, ...]]:
    """Return the class of an object and its flags, from its name, its file's stem and the wnid of its folder.

    In the whole ImageNet a folder has the boxes of its own class, also in images of other classes. If stem and folder
    differ, the folder decides. The class is None if nothing states it: then the label of the image decides.
    """
    if folder is not None and name == folder == stem[:9] and stem[9:10] == "_":
        return name, ()
    stem_wnid = wnid_of_stem(stem)
    place_wnid = folder or stem_wnid
    wnid, flags = place_wnid, []
    if name is None:
        flags.append("no_name")
    elif not is_wnid(name):
        flags.append("name_is_word")
    else:
        wnid = name
        if place_wnid is not None and name != place_wnid:
            flags.append("name_differs")
    if folder is not None and stem_wnid is not None and folder != stem_wnid:
        flags.append("folder_differs")
        wnid = folder
    return wnid, tuple(flags)


def read_number(text: str) -> float | None:
    """Return a number as an annotation writes it, nan and inf included; None for any other text."""
    return float(text) if len(text) <= _MAX_NUMBER_CHARACTERS and _NUMBER.fullmatch(text) is not None else None


def filename_differs(filename: str | None, stem: str) -> bool:
    """Return True if <filename>, with or without a suffix, is not the stem of the XML file."""
    return filename is not None and filename != stem and filename.rpartition(".")[0] != stem


def _no_objects(code: str, reason: str) -> Annotation:
    return Annotation(None, None, None, (), (), ((code, reason),))


def _pattern(template: str) -> re.Pattern[str]:
    """Return a template as a pattern: W is a word, N a whole number, and a space any white space."""
    pattern = template.replace("W", r"([\w%.+-]++)").replace("N", r"(-?\d{1,9}+)")
    return re.compile(pattern.replace(" ", r"[ \t\r\n]*+"), re.ASCII)


_HEAD = _pattern(
    "<annotation> <folder>[\\w%.+-]++</folder> <filename>W</filename> "
    "<source> <database>[\\w.+\\x20-]*</database> </source> "
    "<size> <width>N</width> <height>N</height> <depth>\\d</depth> </size> "
    "(?:<segmented>\\d</segmented>|<segment>\\d</segment>) "  # the latter in Stanford Dogs
)
_OBJECT = _pattern(
    "<object> <name>W</name> <pose>W</pose> <truncated>([01])</truncated> <difficult>([01])</difficult> "
    "<bndbox> <xmin>N</xmin> <ymin>N</ymin> <xmax>N</xmax> <ymax>N</ymax> </bndbox> </object> "
)
_TAIL = _pattern("</annotation> ")


def parse_published_shape(data: bytes) -> Annotation | None:
    """Return the content of a file that has the published shape; None if any byte differs from it."""
    text = data.decode("latin-1")  # the patterns match ASCII only, which is the same in UTF-8
    head = _HEAD.match(text)
    if head is None:
        return None
    end, objects = head.end(), []
    while (match := _OBJECT.match(text, end)) is not None:
        name, pose, truncated, difficult, x1, y1, x2, y2 = match.groups()
        edges = float(x1), float(y1), float(x2), float(y2)
        objects.append(Object(name, pose, truncated == "1", difficult == "1", *edges))
        end = match.end()
    if not 0 < len(objects) <= MAX_OBJECTS or _TAIL.fullmatch(text, end) is None:
        return None
    filename, width, height = head.groups()
    return Annotation(filename, int(width), int(height), tuple(objects))


_COORDINATES = ("bndbox/xmin", "bndbox/ymin", "bndbox/xmax", "bndbox/ymax")
_FILE_TAGS = {"annotation/" + tag for tag in ("filename", "size/width", "size/height")}
_OBJECT_TAGS = {
    "annotation/object/" + tag for tag in ("name", "pose", "truncated", "difficult", "subcategory", *_COORDINATES)
}
_MAX_DEPTH = 4  # depth of the deepest of these tags

_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)", re.ASCII | re.IGNORECASE)


def parse_any_shape(data: bytes) -> Annotation:
    """Return the content of any file, read by expat."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    broken = ""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        broken = f"byte {error.start} is not {encoding.upper()}"
        text = data[: error.start].decode(encoding, "ignore")
    if "\0" in text:
        # Zeros would make expat guess UTF-16, and so read what the search for a DOCTYPE has not seen.
        broken = f"a NUL at character {text.index(chr(0)):,}"
        text = text.partition("\0")[0]
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return _no_objects("xml_refused", "the file has a DOCTYPE or an entity, which no annotation of ImageNet has")
    listener = _Listener()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = listener.start
    parser.EndElementHandler = listener.end
    parser.CharacterDataHandler = listener.text
    try:
        # Decoded text, so that no declared encoding calls a decoder. All at once, so that no token is read twice.
        parser.Parse(text, True)
    except expat.ExpatError as error:
        broken = broken or f"{expat.ErrorString(error.code)}, line {error.lineno}"
    head = listener.head
    flags = {"repeated"} & head.keys()
    width, height = (_size(head.get("size/" + side), flags) for side in ("width", "height"))
    problems = tuple(_problems(listener, broken))
    return Annotation(head.get("filename"), width, height, tuple(listener.objects), tuple(sorted(flags)), problems)


class _Listener:
    """Gathers the texts of the tags above while expat reads; everything deeper or elsewhere is ignored."""

    def __init__(self) -> None:
        self.head: dict[str, str] = {}
        self.objects: list[Object] = []  # complete ones, at most MAX_OBJECTS
        self.n_objects = 0
        self.root = ""
        self._path: list[str] = []  # open tags
        self._object: dict[str, str] = {}
        self._text: list[str] = []

    def start(self, tag: str, _attributes: object) -> None:
        self.root = self.root or tag
        self._path.append(tag)
        self._text.clear()
        if self._path == ["annotation", "object"]:
            self._object = {}

    def text(self, data: str) -> None:
        self._text.append(data)

    def end(self, _tag: str) -> None:
        place = "/".join(self._path) if len(self._path) <= _MAX_DEPTH else ""
        self._path.pop()
        if place in _OBJECT_TAGS:
            self._keep(self._object, place.removeprefix("annotation/object/"))
        elif place in _FILE_TAGS:
            self._keep(self.head, place.removeprefix("annotation/"))
        elif place == "annotation/object":
            self.n_objects += 1
            if self.n_objects <= MAX_OBJECTS:
                self.objects.append(_object(self._object))
        self._text.clear()

    def _keep(self, values: dict[str, str], key: str) -> None:
        if key in values:
            values["repeated"] = "yes"
        else:
            values[key] = "".join(self._text).strip()


def _problems(listener: _Listener, broken: str) -> list[tuple[str, str]]:
    """Return the problems of a file as (code, reason); `broken` says where it is not well-formed."""
    problems = []
    n, root = listener.n_objects, listener.root
    if broken:
        problems.append(("xml_broken", f"{broken}; {n} complete objects are before the break"))
    if root not in {"", "annotation"}:
        problems.append(("xml_not_annotation", f"the root is <{root[:100]}>, not <annotation>"))
    elif n > MAX_OBJECTS:
        problems.append(("xml_too_many_objects", f"{count_of(n, 'object')}; the first {MAX_OBJECTS:,} are kept"))
    elif not n and not problems:
        problems.append(("xml_no_object", "an annotation without an object"))
    return problems


def _object(values: dict[str, str]) -> Object:
    flags = {"repeated"} & values.keys()
    truncated, difficult = (_yes_or_no(values.get(tag), flags) for tag in ("truncated", "difficult"))
    x1, y1, x2, y2 = (_number(values.get(tag), flags) for tag in _COORDINATES)
    if not values.keys() >= set(_COORDINATES):
        flags.add("missing")
    name, pose, subcategory = (values.get(tag) or None for tag in ("name", "pose", "subcategory"))
    return Object(name, pose, truncated, difficult, x1, y1, x2, y2, tuple(sorted(flags)), subcategory)


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
