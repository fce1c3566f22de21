"""An annotation of the shape that ImageNet published, read by a pattern, many times as fast as by an XML parser.

    <annotation><folder>val</folder><filename>ILSVRC2012_val_00000001</filename>
     <source><database>ILSVRC_2012</database></source>
     <size><width>500</width><height>375</height><depth>3</depth></size><segmented>0</segmented>
     <object><name>n01751748</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>
      <bndbox><xmin>111</xmin><ymin>108</ymin><xmax>441</xmax><ymax>193</ymax></bndbox></object></annotation>

Nearly every file of ILSVRC, the whole ImageNet and Stanford Dogs is so. What differs in any byte is not read here.
"""

from __future__ import annotations

import re

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
