"""The macros of views.sql: what they give, with a literal and with a column, and that they stay small and fast."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import imagenet_tools
from imagenet_tools.catalogue import terms
from imagenet_tools.index import Index
from imagenet_tools.selection import splits
from imagenet_tools.store import query
from imagenet_tools.store.connection import Descendants, connect, specialise_is_a
from imagenet_tools.wordnet import hierarchy, wordnet
from tests.forms.written_index import synthetic, write_batches
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def sql(index: Index) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(index.path) as connection:
        yield connection


def one(sql: duckdb.DuckDBPyConnection, text: str, *values: object) -> object:
    rows = sql.execute(text, list(values)).fetchall()
    assert len(rows) == 1 and len(rows[0]) == 1
    return rows[0][0]


# ---- synset


@pytest.mark.parametrize(
    ("text", "wnid"),
    [
        ("n02084071", "n02084071"),
        ("N02084071", "n02084071"),
        ("dog.n.01", "n02084071"),
        ("dog.n.1", "n02084071"),
        ("Dog.N.001", "n02084071"),
        ("dog", "n02084071"),
        ("Toy Dog", "n02085374"),
        (" toy_dog\t", "n02085374"),
        ("Toy  Dog.n.1", "n02085374"),
        ("capital of the United States", "n09070793"),
    ],
)
def test_synset_takes_a_wnid_a_name_and_a_lemma_however_they_are_spelled(
    sql: duckdb.DuckDBPyConnection, text: str, wnid: str
) -> None:
    assert one(sql, "SELECT synset($1)", text) == wnid == terms.resolve(text).wnid


def test_synset_of_two_cranes_is_an_error_that_names_them(sql: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match=r"'crane' names several.*crane.n.05 \(n02012849, 14 images\), crane.n.04"):
        sql.execute("SELECT synset('Crane')").fetchall()


@pytest.mark.parametrize("text", ["doggg", "", "n99999999", "dog.n.99", "dog.v.01", "'", "%", "dog%"])
def test_synset_of_what_nothing_is_called_is_an_error_that_says_what_was_expected(
    sql: duckdb.DuckDBPyConnection, text: str
) -> None:
    with pytest.raises(duckdb.Error, match=f"No synset is called '{re.escape(text)}'. Expected a wnid"):
        sql.execute("SELECT synset($1)", [text]).fetchall()


def test_null_names_no_synset(sql: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT synset(NULL), is_a('n02084071', NULL), is_a(NULL, 'dog'), (SELECT count(*) FROM under(NULL))"
    assert sql.execute(query).fetchall() == [(None, False, False, 0)]
    given = "(VALUES (1, 'dog'), (2, NULL), (3, 'Toy Dog.n.1')) AS given(n, text)"
    assert sql.execute(f"SELECT synset(text) FROM {given} ORDER BY n").fetchall() == [
        ("n02084071",),
        (None,),
        ("n02085374",),
    ]


def test_synset_takes_every_term_that_the_view_terms_decides(sql: duckdb.DuckDBPyConnection) -> None:
    """tests/test_terms.py compares the view with what Python takes."""
    own = sql.cursor()
    own.execute("CREATE TEMP TABLE decided AS SELECT term, wnid AS wanted FROM terms WHERE wnid IS NOT NULL")
    assert own.execute("SELECT count(*) > 266_000 FROM decided").fetchall() == [(True,)]
    assert own.execute("FROM decided WHERE synset(term) IS DISTINCT FROM wanted").fetchall() == []


# What Python takes for space between words.
SPACES = [" ", "  ", "_", "\t", "\n", "\u00a0", "\u2003", "\x1f"]


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """A wnid, a name or a lemma, written otherwise than WordNet does."""
    synset = wordnet.synset_at(draw(st.integers(0, len(wordnet.wnids()) - 1)))
    text = draw(st.sampled_from([synset.wnid, synset.name, *synset.lemmas]))
    if found := re.fullmatch(r"(.*\.n\.)(\d+)", text):
        text = found[1] + draw(st.sampled_from(["", "0", "00"])) + str(int(found[2]))
    space = draw(st.sampled_from(SPACES))
    text = "".join(space if letter in "_ " else letter for letter in text)
    return draw(st.sampled_from([text, text.upper(), text.title(), f" {text}\n"]))


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(spellings(), min_size=1, max_size=20))
def test_sql_spells_a_text_as_python_does(sql: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    spelled = one(sql, "SELECT list_transform($1, lambda text: _term(text))", texts)
    assert spelled == [wordnet.normalised(text) for text in texts]


# ---- under, above, is_a


@pytest.mark.parametrize("text", ["dog", "bird.n.01", "n00001740", "german_shepherd", "person.n.01"])
def test_under_above_and_is_a_agree_with_the_graph(sql: duckdb.DuckDBPyConnection, text: str) -> None:
    wnid = one(sql, "SELECT synset($1)", text)
    assert isinstance(wnid, str)
    below, above = hierarchy.descendants(wnid), hierarchy.ancestors(wnid)
    assert tuple(row[0] for row in sql.execute("FROM under($1) ORDER BY wnid", [text]).fetchall()) == below
    assert tuple(row[0] for row in sql.execute("FROM above($1) ORDER BY wnid", [text]).fetchall()) == above
    is_a = "SELECT wnid FROM synsets WHERE is_a(wnid, $1) ORDER BY wnid"
    assert tuple(row[0] for row in sql.execute(is_a, [text]).fetchall()) == below
    assert set(below) & set(above) == {wnid}


def test_the_counts_of_the_classes_are_the_published_ones(sql: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT count(*) FROM synsets WHERE ilsvrc_id <= 1000 AND is_a(wnid, $1)"
    names = ("dog.n.01", "bird.n.01", "mammal.n.01", "domestic_animal.n.01")
    assert [one(sql, query, name) for name in names] == [118, 59, 218, 123]


@pytest.mark.parametrize("text", ["dog", "entity.n.01", "n02084071", None])
def test_is_a_gives_the_same_in_both_its_forms(sql: duckdb.DuckDBPyConnection, text: str | None) -> None:
    given = "(SELECT wnid FROM synsets UNION ALL VALUES (NULL), ('n99999999'), (''))"
    both = f"SELECT count(*), count(*) FILTER (is_a(wnid, $1) = _is_a_value(wnid, $1)) FROM {given}"
    assert sql.execute(both, [text]).fetchall() == [(82_118, 82_118)]


@pytest.mark.parametrize("text", ["dog.n.01", "entity.n.01", "n02084071", "n15102894"])
def test_of_one_synset_is_a_gives_what_it_gives_of_any(sql: duckdb.DuckDBPyConnection, text: str) -> None:
    given = "(SELECT wnid FROM synsets UNION ALL VALUES (NULL), ('n99999999'), (''), ('n02084072'))"
    cursor = sql.cursor()
    query = f"SELECT count(*), count(*) FILTER (is_a(wnid, '{text}') = main.is_a(wnid, $1)) FROM {given}"
    specialise_is_a(cursor, "SELECT is_a(wnid, '{text}')".replace("{text}", text))
    assert cursor.execute(query, [text]).fetchall() == [(82_119, 82_119)]


def test_of_several_synsets_is_a_gives_what_it_gives_of_any(sql: duckdb.DuckDBPyConnection) -> None:
    given = "(SELECT wnid FROM synsets UNION ALL VALUES (NULL), ('n99999999'), (''), ('n02084072'))"
    cursor = sql.cursor()
    texts = ["dog.n.01", "n02121808", "entity.n.01", "dog"]
    specialise_is_a(cursor, " ".join(f"is_a(wnid, '{text}')" for text in texts))
    for text in texts:
        query = f"SELECT count(*), count(*) FILTER (is_a(wnid, '{text}') = main.is_a(wnid, $1)) FROM {given}"
        assert cursor.execute(query, [text]).fetchall() == [(82_119, 82_119)]
    both = "SELECT count(*) FROM synsets WHERE is_a(wnid, $a) AND NOT is_a(wnid, 'dog')"
    specialise_is_a(cursor, both, {"a": "n02083346"})
    counts = [cursor.execute(text, {"a": "n02083346"}).fetchall() for text in (both, both.replace("is_a", "main.is_a"))]
    assert counts[0] == counts[1] != [(0,)]


@pytest.mark.long
def test_so_many_synsets_are_held_and_no_more(index: Index) -> None:
    known: dict[str, Descendants] = {}
    with connect(index.path) as sql:
        for (wnid,) in sql.execute("SELECT wnid FROM synsets ORDER BY wnid LIMIT 110").fetchall():
            query = f"SELECT count(*) FROM synsets WHERE is_a(wnid, '{wnid}')"
            specialise_is_a(sql, query, descendants=known)
            assert one(sql, query) == len(hierarchy.descendants(wnid))
        assert one(sql, "SELECT count(*) FROM duckdb_tables() WHERE schema_name = '_sets'") == 100


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("SELECT count(*) FROM images WHERE is_a(wnid, 'dog')", "_sets."),
        ("SELECT count(*) FROM images WHERE is_a(wnid, 'dog') OR is_a(wnid, 'cat')", "UNION ALL"),
        ("SELECT count(*) FROM images WHERE is_a(wnid, 'no such synset')", "_is_a_value"),
        (
            "SELECT count(*) FROM images AS i WHERE IS_A (i.wnid,'the dog''s') OR is_a( i.\"wnid\" , $name )",
            "_is_a_value",
        ),
        ("SELECT count(*) FROM synsets WHERE is_a(wnid, name)", ""),
        ("SELECT count(*) FROM synsets WHERE is_a(wnid, 'dog') OR is_a(wnid, name)", ""),
        ("SELECT count(*) FROM synsets WHERE is_a(wnid, 'do' || left(name, 1))", ""),
        ("SELECT count(*) FROM images", ""),
    ],
)
def test_is_a_takes_the_form_for_values_where_every_call_is_given_one(
    sql: duckdb.DuckDBPyConnection, query: str, form: str
) -> None:
    cursor = sql.cursor()
    temporary = "function_name = 'is_a' AND database_name = 'temp'"
    said = f"SELECT string_agg(macro_definition) FROM duckdb_functions() WHERE {temporary}"
    for _ in range(2):
        specialise_is_a(cursor, query)
        found = one(cursor, said)
        assert form in str(found) if form else found is None
    specialise_is_a(cursor, "SELECT 1")
    assert one(cursor, said) is None


def test_a_parameter_takes_the_form_of_its_value(index: Index, sql: duckdb.DuckDBPyConnection) -> None:
    cursor = sql.cursor()
    said = "SELECT macro_definition FROM duckdb_functions() WHERE function_name = 'is_a' AND database_name = 'temp'"
    query = "SELECT count(*) FROM images WHERE is_a(wnid, $synset)"
    for value, form in (("dog", "_sets."), ("cat's", "_is_a_value"), (None, "_is_a_value"), (3, "_is_a_value")):
        specialise_is_a(cursor, query, {"synset": value})
        assert form in str(one(cursor, said))
    counts = [index.sql(query, synset=value).fetchall() for value in ("dog.n.01", "cat.n.01", "dog.n.01")]
    assert counts == [
        index.sql(f"SELECT count(*) FROM images WHERE is_a(wnid, '{value}')").fetchall()
        for value in ("dog.n.01", "cat.n.01", "dog.n.01")
    ]
    assert counts[0] != counts[1]


@pytest.mark.parametrize("more", ["", " AND mode = 'RGB' AND width > 1 AND height > 1 AND source = 'none'"])
def test_by_value_the_synsets_below_are_held_and_not_the_images(tmp_path: Path, more: str) -> None:
    index = imagenet_tools.open_index(write_batches(tmp_path / "x.index", synthetic(2_000, ["n02085620", "n02123045"])))
    plan = index.sql(f"EXPLAIN SELECT image_id FROM images WHERE is_a(wnid, 'dog.n.01'){more}").fetchall()[0][1]
    assert re.findall(r"\w+_SEMI|SEMI|MARK", plan) == ["SEMI"]
    assert len(index.sql(f"SELECT image_id FROM images WHERE is_a(wnid, 'dog.n.01'){more}").fetchall()) == 1_000


def test_each_of_several_synsets_keeps_its_own_table_and_bounds(index: Index) -> None:
    query = "SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01') OR is_a(wnid, $bird)"
    plan = re.sub(r"[^\w.']+", " ", index.sql(f"EXPLAIN {query}", bird="bird.n.01").fetchall()[0][1])
    for name in ("dog.n.01", "bird.n.01"):
        below = hierarchy.descendants(name)
        assert f"'{min(below)}'" in plan and f"'{max(below)}'" in plan
        assert plan.count(f"{len(below)} rows") == 1
    assert "CASE" not in plan


# Every macro with a column as its argument, and with columns that bear the names of those inside the macros.
# (a query that gives one number, that number)
BY_COLUMN = [
    ("SELECT count(*) FROM synsets WHERE synset(wnid) = wnid", 82_115),
    ("SELECT count(*) FROM synsets WHERE synset(name) = wnid", 82_115),
    ("SELECT count(*) FROM synsets AS terms WHERE synset(terms.wnid) = terms.wnid", 82_115),
    ("SELECT count(*) FROM terms WHERE n = 1 AND synset(term) = wnid", 266_093),
    ("SELECT count(*) FROM synsets WHERE is_a(wnid, wnid)", 82_115),
    ("SELECT count(*) FROM synsets WHERE is_a(wnid, name)", 82_115),
    ("SELECT count(*) FROM hypernyms WHERE is_a(wnid, hypernym)", 84_427),
    ("SELECT count(*) FROM closure WHERE distance = 3 AND is_a(descendant, ancestor)", 91_076),
    ("SELECT count(*) FROM images WHERE is_a(wnid, wnid)", 182),
    ("SELECT count(*) FROM synsets, (VALUES ('dog'), ('bird')) AS given(text) WHERE is_a(wnid, text)", 190 + 872),
    ("SELECT count(*) FROM synsets, under(wnid)", 825_356),
    ("SELECT count(*) FROM synsets AS s, above(s.name)", 825_356),
    ("SELECT sum((SELECT count(*) FROM under(wnid))) FROM synsets", 825_356),
    ("SELECT count(*) FROM images WHERE EXISTS (FROM above(wnid) AS a WHERE a.wnid = 'n02084071')", 70),
    ("SELECT count(*) FROM (SELECT DISTINCT ancestor FROM closure WHERE distance = 17), under(ancestor)", 128_277),
    ("SELECT count(*) FROM (SELECT DISTINCT descendant FROM closure WHERE distance = 17), above(descendant)", 3_522),
    ("SELECT count(DISTINCT draw(hash32, length)) FROM images", 182),
    ("WITH terms AS (SELECT 1), closure AS (SELECT 2) SELECT count(*) FROM under('dog') WHERE is_a(wnid, 'dog')", 190),
]


@pytest.fixture(scope="module")
def by_column(index: Index) -> list[str]:
    """What each query of BY_COLUMN gives in a process that may use 2 GiB of address space."""
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from pathlib import Path
from imagenet_tools.store.connection import connect
for query in {[query for query, _ in BY_COLUMN]!r}:
    sql = connect(Path({str(index.path)!r}))
    try:
        print(sql.execute(query).fetchall()[0][0], flush=True)
    except Exception as error:
        print(str(error).splitlines()[0], flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout.splitlines()


@pytest.mark.long
@pytest.mark.parametrize("n", range(len(BY_COLUMN)), ids=lambda n: BY_COLUMN[n][0])
def test_a_macro_takes_a_column_in_2_gib(by_column: list[str], n: int) -> None:
    assert by_column[n] == str(BY_COLUMN[n][1])


# ---- draw


UINT32, SEEDS = st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**64 - 1)


@settings(deadline=None, max_examples=25)
@given(pairs=st.lists(st.tuples(UINT32, SEEDS), min_size=1, max_size=20))
def test_sql_and_python_draw_the_same_number(sql: duckdb.DuckDBPyConnection, pairs: list[tuple[int, int]]) -> None:
    values = ", ".join(f"({n}, {hash32}::UINTEGER, {seed}::HUGEINT)" for n, (hash32, seed) in enumerate(pairs))
    query = f"SELECT draw(hash32, seed) FROM (VALUES {values}) AS given(n, hash32, seed) ORDER BY n"
    drawn = [number for (number,) in sql.execute(query).fetchall()]
    assert drawn == [splits.draw(hash32, seed) for hash32, seed in pairs]


def test_a_seed_may_be_written_as_any_whole_number(sql: duckdb.DuckDBPyConnection) -> None:
    for seed in (0, -1, 7, 2**32 - 1, 2**40):
        assert one(sql, f"SELECT draw(123456789::UINTEGER, {seed})") == splits.draw(123456789, seed)


def test_seeds_order_images_differently_and_choose_different_ones(sql: duckdb.DuckDBPyConnection) -> None:
    def order(seed: int) -> list[str]:
        return [row[0] for row in sql.execute(f"SELECT photo FROM images ORDER BY draw(hash32, {seed})").fetchall()]

    orders = [order(seed) for seed in range(5)]
    assert all(sorted(one) == sorted(orders[0]) for one in orders)
    firsts = [frozenset(one[:50]) for one in orders]
    assert len(set(firsts)) == 5
    # Drawn apart, two halves of 182 share some 14 of their first 50; an xor-ed seed would keep or exchange blocks.
    assert all(3 <= len(a & b) <= 28 for n, a in enumerate(firsts) for b in firsts[:n])


def test_no_hash_draws_nothing(sql: duckdb.DuckDBPyConnection) -> None:
    assert one(sql, "SELECT draw(NULL, 1)") is None


def test_the_macros_are_those_that_are_told_to_users() -> None:
    text = (Path(imagenet_tools.__file__).parent / "store" / "views.sql").read_text()
    defined = {name for name in re.findall(r"CREATE MACRO (\w+)\(", text) if not name.startswith("_")}
    assert defined == {name.partition("(")[0] for name in query.MACROS}
