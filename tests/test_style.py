"""tests/style.py finds each violation that it looks for, and nothing in a clean module."""

from pathlib import Path

import pytest

from tests import style

CLEAN = '''"""Hold a clean module."""

_MAX_BYTES = 1  # bytes
WIDTH, height = 1, 2


def read(path: str) -> str:
    """Read a path.

    Args:
        path: A path. What it holds does not matter.

    Example:
        >>> read("x")
        'x'
    """
    # A comment has a subject.
    # What follows continues it.
    return "-" * len(path) + path
'''


def violations(text: str, folder: Path) -> list[str]:
    path = folder / "module.py"
    path.write_text(text)
    return [message for _, message in style.check_module(path)]


def test_a_clean_module_has_no_violation(tmp_path: Path) -> None:
    assert violations(CLEAN, tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"""Hold a clean module."""', '"""What is clean."""', "begins with 'What'"),
        ('"""Hold a clean module."""', "", "the module has no docstring"),
        ('"""Read a path.', '"""Whether a path is read.', "begins with 'Whether': begin with a verb"),
        ('"""Read a path.', f'"""Read {"a long " * 20}path.', "a sentence of 42 words"),
        ("A path. What it holds", f"A path {'of many ' * 20}holds", "a sentence of 4"),
        ("# bytes", "# Of bytes", "the comment begins with 'Of'"),
        ("# A comment has", "# So that a comment has", "the comment begins with 'So'"),
        ("WIDTH, height", "WIDTH, HEIGHT", "WIDTH, HEIGHT in one assignment"),
        ('"-" * len(path)', '"-" * (path == "x")', "a text multiplied by a condition"),
        ('"-" * len(path)', 'f"{path}" * bool(path)', "a text multiplied by a condition"),
    ],
)
def test_a_violation_is_found(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in CLEAN
    assert any(message in found for found in violations(CLEAN.replace(old, new, 1), tmp_path))
