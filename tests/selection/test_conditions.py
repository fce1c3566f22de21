"""A condition chooses the same images at each run: what changes by itself is refused, and a lemma says its sense."""

import pytest

import imagenet_tools
from imagenet_tools.errors import AmbiguousSynsetError, QueryError
from imagenet_tools.index import Index
from tests.cli.conftest import process
from tests.parameters import short_list

CHANGING = [
    "random() < 0.5",
    "now() > '2020-01-01'",
    "current_date > '2020-01-01'",
    "CURRENT_TIMESTAMP > '2020-01-01'",
    "localtime > '01:00'",
    "uuid()::VARCHAR > 'a'",
    "gen_random_uuid()::VARCHAR > 'a'",
    "today() > '2020-01-01'",
    "main.random() < 0.5",
    "system.main.random() < 0.5",
    "ago(INTERVAL 1 DAY) > '2020-01-01'",  # a macro of now()
    "age(TIMESTAMP '2020-01-01') > INTERVAL 1 DAY",
    "txid_current() > 3",
    "wnid IN (SELECT wnid FROM images ORDER BY random() LIMIT 1)",
    "wnid IN (SELECT wnid FROM images USING SAMPLE 3)",
    "wnid IN (SELECT wnid FROM images TABLESAMPLE 10%)",
    "EXISTS (SELECT 1 FROM images WHERE random() < 0.5)",
    "(WITH x AS (SELECT random() AS r) SELECT r FROM x) > 0.5",
    "list_filter([1, 2], lambda x: random() > 0.5) = [1]",
    "CASE WHEN random() > 0.5 THEN true END",
    "current_setting('threads') = 2",
]


@pytest.mark.parametrize("word", short_list(["where", "class_where"], "where"))
@pytest.mark.parametrize("condition", CHANGING)
def test_what_gives_something_else_at_each_run_is_no_condition(many: Index, word: str, condition: str) -> None:
    with pytest.raises(QueryError, match="which gives something else at each run"):
        many.select(**{word: condition})  # type: ignore[arg-type]
    if word == "where":
        with pytest.raises(QueryError, match="--seed and --limit sample"):
            many.images.where(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "hash32 % 3 = 0",
        "is_a(wnid, 'dog.n.01')",
        "draw(hash32, 3) > 5",
        "wnid IN (FROM under('dog.n.01'))",
        "synset('dog.n.01') = 'n02084071'",
        "age(TIMESTAMP '2020-01-01', TIMESTAMP '2019-01-01') > INTERVAL 1 DAY",
        "date_part('year', DATE '2020-01-01') = 2020",
        "greatest(width, height) >= 10 AND width::DOUBLE / height BETWEEN 0.5 AND 2",
        "regexp_matches(image_id, '_1') OR lower(image_id) LIKE 'n0%' OR hash(image_id) > 3",
        "wnid IN (SELECT wnid FROM images GROUP BY wnid HAVING count(*) > 3)",
    ],
)
def test_what_gives_the_same_at_each_run_is_a_condition(many: Index, condition: str) -> None:
    assert many.select(where=condition).steps()[0].left == 12_300


# ---- the sense of a lemma

DOG = "'dog' is taken for dog.n.01 (n02084071), alone of its 7 senses to have images."


SENSES = [
    "SELECT count(*) FROM images WHERE is_a(wnid, 'dog')",
    "SELECT count(*) FROM images WHERE wnid IN (FROM under('dog'))",
    "SELECT count(*) FROM above('Dog')",
    "SELECT synset('dog')",
    "WITH x AS (SELECT synset('dog') AS a) SELECT is_a(a, 'dog') FROM x",
]


@pytest.mark.parametrize("sql", short_list(SENSES, SENSES[0], SENSES[2]))
def test_a_query_says_which_sense_a_lemma_was_taken_for(index: Index, sql: str) -> None:
    said = DOG.replace("'dog'", "'Dog'") if "Dog" in sql else DOG
    ran = process("query", sql, "--format", "csv", index=index.path)
    assert ran.err == f"{said}\n"
    assert "taken" not in ran.out
    with pytest.warns(UserWarning) as warned:
        index.sql(sql).fetchall()
    assert [str(one.message) for one in warned] == [said]


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_where_nothing_was_guessed(index: Index) -> None:
    sql = "SELECT is_a(wnid, 'dog.n.01'), is_a(wnid, 'n02084071'), is_a('dog', 'Toy Dog'), 'dog' FROM images LIMIT 1"
    assert process("query", sql, index=index.path).err == ""
    index.sql(sql).fetchall()
    assert imagenet_tools.is_a("n02085620", "dog.n.01")


def test_a_condition_and_python_say_the_sense_too(index: Index) -> None:
    assert index.select(where="is_a(wnid, 'dog')").notes() == (DOG,)
    assert index.select(class_where="is_a(wnid, 'dog')").notes() == (DOG,)
    with pytest.warns(UserWarning, match="'dog' is taken for dog.n.01 .* alone of its 7 senses to have ILSVRC2012"):
        assert imagenet_tools.is_a("n02085620", "dog")
    with pytest.raises(AmbiguousSynsetError, match=r"crane\.n\.05"):
        imagenet_tools.is_a("n02012849", "crane")
