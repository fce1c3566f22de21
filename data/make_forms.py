"""Write the README's table of what is read from the format modules: what each says it reads, and what it holds.

    python data/make_forms.py

A row is the module's name, the first sentence of its docstring, and its HOLDS. A test fails where the README differs.
"""

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORMATS = ROOT / "imagenet_tools" / "formats"
README = ROOT / "README.md"
BEGIN, END = "<!-- forms: written by data/make_forms.py -->\n", "<!-- end of forms -->\n"


def table() -> str:
    """The table in Markdown: a row a module that reads, by name."""
    lines = ["| form | what it reads | gives |", "|---|---|---|"]
    for path in sorted(FORMATS.glob("*.py")):
        module = importlib.import_module(f"imagenet_tools.formats.{path.stem}")
        if hasattr(module, "scan"):
            sentence = re.split(r"\.(?=\s|$)", module.__doc__ or "", maxsplit=1)[0]
            said = " ".join(sentence.split()).replace("|", r"\|").replace("*", r"\*").replace("<", r"\<")
            lines.append(f"| `{path.stem}` | {said} | {', '.join(module.HOLDS)} |")
    return "\n".join(lines) + "\n"


def written(readme: str) -> str:
    """The README with the table between its marks; ValueError where they are not there."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        message = f"{README} has no marks {BEGIN.strip()} ... {END.strip()}: put them where the table belongs."
        raise ValueError(message)
    return f"{before}{begin}{table()}{end}{after}"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
