"""Sixty statements that would read or write another file are refused by the page of SQL, and change nothing."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from imagenet_tools.explorer.children import Questioners
from imagenet_tools.index import Index
from imagenet_tools.store import query
from tests.explorer.conftest import Web
from tests.index.test_query import READS, WRITES, stamps

pytestmark = pytest.mark.long  # each statement takes a new process

# All that read, and every third of the others: tests/index/test_query.py has all of them in one process.
STATEMENTS = [*READS, *WRITES[::3]]
assert len(STATEMENTS) >= 60


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beside")
    (folder / "secret.txt").write_text("secret\n")
    (folder / "secret.csv").write_text("a,b\nsecret,2\n")
    (folder / "secret.json").write_text('[{"a": "secret"}]\n')
    return folder


@pytest.fixture(scope="module")
def questioners(index: Index) -> Iterator[Questioners]:
    questioners = Questioners(index.path)
    yield questioners
    questioners.close()


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_is_refused_and_changes_nothing(web: Web, index: Index, place: Path, statement: str) -> None:
    file = next((index.path / "images").iterdir())
    text = statement.format(place=place, file=file)
    before = stamps(index.path), stamps(place)
    page = web.get(f"/sql?sql={quote(text)}").text
    refusal = re.search(r'<pre class="warn" role="alert">(.*?)</pre>', page, re.DOTALL)
    assert refusal and refusal[1].strip(), page
    assert "secret\n" not in refusal[1] and "<tbody>" not in page
    assert (stamps(index.path), stamps(place)) == before


def test_every_setting_that_contains_the_process_reads_back(index: Index) -> None:
    expected = {
        "enable_external_access": False, "autoload_known_extensions": False, "autoinstall_known_extensions": False,
        "allow_community_extensions": False, "allow_persistent_secrets": False, "python_enable_replacements": False,
        "max_temp_directory_size": "0 bytes", "temp_directory": "", "memory_limit": "1.5 GiB",
        "lock_configuration": True,
    }  # fmt: skip
    with query.connect_contained(index.path, memory=2 << 30) as sql:
        found = {name: sql.execute("SELECT current_setting($1)", [name]).fetchall()[0][0] for name in expected}
        (threads,) = sql.execute("SELECT current_setting('threads')").fetchall()[0]
    assert found == expected
    assert 1 <= threads <= 4
