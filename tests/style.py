"""Check the rules of style that a script can check, over the package, and the subjects of commits.

    python tests/style.py

Prints a line for each violation, `path:line: what is wrong`, and exits with 1 if there are any.
"""

import ast
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "imagenet_tools"

ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())

MAX_WORDS = 40  # in a sentence of a docstring; the aim is 25
MAX_SUBJECT_CHARS = 72
FIRST_COMMIT = "9edc8d6"  # older commits are not checked
# These commits are older than this check.
EXEMPT_COMMITS = {"ae52fd4", "c07631d", "8e46a59", "065f960", "c042964"}

# These words begin a clause without a subject or a verb.
CLAUSE_STARTS = ("Of", "What", "So that", "That")
# A docstring of a function starts with a verb, so with none of these.
NO_VERBS = ("The", "A", "An", "How", "Whether", "As", "Where")


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a docstring, without drawings, tables (indented or aligned text) and examples."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.splitlines()
        is_section = lines[0] in ("Args:", "Returns:", "Raises:", "Attributes:", "Yields:")
        is_drawing = not is_section and any(line.startswith("    ") for line in lines)
        if ">>>" in paragraph or is_drawing or any(re.search(r"\S {2,}\S", line) for line in lines):
            continue
        entries = re.split(r"\n {4}(?=\S)", paragraph)[1:] if is_section else [paragraph]
        for entry in entries:
            yield from re.split(r"(?<=[.!?])\s+", " ".join(entry.split()))


def check_comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments that begin with a clause."""
    previous = -1
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type != tokenize.COMMENT:
                continue
            text = token.string.lstrip("#-: ")
            row = token.start[0]
            whole_line = not token.line[: token.start[1]].strip()
            continued = whole_line and previous == row - 1  # a later line of one comment
            previous = row if whole_line else -1
            if not continued and re.match(rf"({'|'.join(CLAUSE_STARTS)})\b", text):
                yield row, f"the comment begins with {text.split()[0]!r}: write a sentence with a subject"


def check_docstring(node: ast.AST, text: str, line: int) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with the docstring of a module, class or function."""
    if re.match(rf"({'|'.join(CLAUSE_STARTS)})\b", text):
        yield line, f"the docstring begins with {text.split(maxsplit=1)[0]!r}: write a sentence with a subject"
    if isinstance(node, ast.FunctionDef) and not is_property(node) and re.match(rf"({'|'.join(NO_VERBS)})\b", text):
        yield line, f"the docstring of {node.name} begins with {text.split(maxsplit=1)[0]!r}: begin with a verb"
    if isinstance(node, ast.ClassDef) and text.startswith("Whether "):
        yield line, f"the docstring of {node.name} begins with 'Whether'"
    for sentence in sentences(text):
        n_words = len(re.findall(r"[A-Za-z][\w'-]*", sentence))
        if n_words > MAX_WORDS:
            yield line, f"a sentence of {n_words} words; expected at most {MAX_WORDS}: {sentence[:60]}..."


def is_property(node: ast.FunctionDef) -> bool:
    """Return True for a property, whose docstring names a value."""
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def check_code(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield tuple assignments of several constants, and texts multiplied by a condition."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            names = [element.id for element in node.targets[0].elts if isinstance(element, ast.Name)]
            if len(names) > 1 and all(name.isupper() for name in names):
                yield node.lineno, f"{', '.join(names)} in one assignment: one constant a line"
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            sides = (node.left, node.right)
            if any(map(is_text, sides)) and any(map(is_condition, sides)):
                yield node.lineno, "a text multiplied by a condition: write a conditional expression"


def is_text(node: ast.expr) -> bool:
    """Return True for a literal text."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def is_condition(node: ast.expr) -> bool:
    """Return True for an expression that is True or False."""
    is_not = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    is_bool = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "bool"
    return is_not or is_bool or isinstance(node, (ast.Compare, ast.BoolOp))


def check_module(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each violation in a module."""
    tree = ast.parse(path.read_text())
    yield from check_comments(path)
    yield from check_code(tree)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        line = getattr(node, "lineno", 1)
        text = ast.get_docstring(node)
        if text is not None:
            yield from check_docstring(node, text, line)
        elif not getattr(node, "name", "").startswith("_") and node in (tree, *tree.body):
            yield line, f"{getattr(node, 'name', 'the module')} has no docstring"


def check_commits() -> Iterator[str]:
    """Yield the commits whose subject is too long or that have no body; none without git or its history."""
    command = ["git", "-C", str(ROOT), "log", "--no-merges", "--format=%H%x00%s%x00%b%x01", f"{FIRST_COMMIT}..HEAD"]
    try:
        log = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return
    for entry in log.split("\x01"):
        commit, _, rest = entry.strip().partition("\0")
        subject, _, body = rest.partition("\0")
        commit = commit[:7]
        if commit in EXEMPT_COMMITS:
            continue
        if len(subject) > MAX_SUBJECT_CHARS:
            yield f"commit {commit}: the subject has {len(subject)} characters; expected at most {MAX_SUBJECT_CHARS}"
        if commit and not body.strip():
            yield f"commit {commit}: no body; expected the reason after a blank line"


def main() -> int:
    """Print all violations, and return the exit code."""
    n_violations = 0
    for room in ROOMS:
        path = PACKAGE / room
        for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            for line, text in sorted(check_module(module)):
                print(f"{module.relative_to(ROOT)}:{line}: {text}")
                n_violations += 1
    for text in check_commits():
        print(text)
        n_violations += 1
    return 1 if n_violations else 0


if __name__ == "__main__":
    sys.exit(main())
