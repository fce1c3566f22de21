"""One vocabulary: a word of a selection is a flag, a recipe key and a Python keyword, or it is none."""

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import click
import pytest

import imagenet_tools
from imagenet_tools.arguments import keyword_types
from imagenet_tools.cli import group
from imagenet_tools.errors import UsageError
from imagenet_tools.exports.options import Options
from imagenet_tools.index import Index
from imagenet_tools.selection import recipe
from imagenet_tools.selection.words import EXPORT, SELECTION, Choice, ExportOptions, SelectionWords
from imagenet_tools.storage.links import How

# What a command takes besides the words. How the work is run is no word: it changes no byte of an export.
OF_RUN = {"workers", "shard", "ray"}
OF_EXPORT = OF_RUN | {"to", "dry_run", "strict", "roots", "recipe", "as_json", "index_path", "dest"}
OF_SUBSET = {"file", "pin", "check", "dry_run", "roots", "as_json", "index_path"}
OF_INFO = {"recipe", "roots", "as_json", "index_path"}
OF_TREE = {
    "synset",
    "depth",
    "exclusive",
    "collapse",
    "counts",
    "everything",
    "form",
    "output",
    "as_json",
    "index_path",
}


def flags(command: str) -> dict[str, str]:
    """The parameters of a command by name, with their flags."""
    found = group.get_command(click.Context(group), command)
    assert found is not None
    return {str(one.name): one.opts[0] for one in found.params}


def test_a_word_of_a_selection_is_spelled_in_python_as_a_flag_and_in_a_recipe() -> None:
    words = {word.keyword for word in SELECTION}
    assert len(words) == len(SELECTION)
    assert {one.name for one in fields(Choice)} == words
    assert set(inspect.signature(Index.select).parameters) - {"self"} == words
    for command, others in (("export", OF_EXPORT), ("subset", OF_SUBSET), ("info", OF_INFO), ("tree", OF_TREE)):
        taken = flags(command)
        expected = words | {word.keyword for word in EXPORT} if command == "export" else words
        assert set(taken) - others == expected, command
        assert {taken[word.keyword] for word in SELECTION} == {word.flag for word in SELECTION}


def test_help_of_select_explains_every_word() -> None:
    text = " ".join((inspect.getdoc(Index.select) or "").split())
    for word in SELECTION:
        assert f" {word.keyword}" in text
        assert f": {word.sentence}" in text


def test_a_keyword_that_is_no_word_is_a_type_error(index: Index) -> None:
    with pytest.raises(TypeError, match=r"'undre' is no word of a selection\. Expected dataset, from_, under"):
        index.select(undre="dog")  # type: ignore[call-arg]


def test_a_word_of_an_export_is_spelled_in_python_and_as_a_flag() -> None:
    words = {word.keyword for word in EXPORT}
    for function in (imagenet_tools.export, imagenet_tools.plan_export):
        taken = set(inspect.signature(function).parameters)
        assert words <= taken
        assert taken - words <= {"selection", "dest", "to", "workers", "executor", "progress"}
    assert {one.name for one in fields(Options)} == set(ExportOptions.__annotations__) == words


def test_help_of_export_explains_every_word() -> None:
    for function in (imagenet_tools.export, imagenet_tools.plan_export):
        text = inspect.getdoc(function) or ""
        for word in EXPORT:
            assert f"    {word.keyword}: {word.sentence}" in text
        assert "a table joined by with_=" in text and " --" not in text


@pytest.mark.parametrize("text", ["", "# all words were removed\n"])
def test_an_empty_file_is_no_recipe_of_every_image(index: Index, tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"x\.toml: found nothing in it; expected a recipe"):
        imagenet_tools.subset(path, index)


def test_every_word_has_a_key_of_its_own_in_a_recipe() -> None:
    keys = [(word.section, word.key) for word in SELECTION]
    assert len(set(keys)) == len(keys)
    for word in SELECTION:  # a wrong kind of value is answered by the word's own meaning: the key is known
        table = {word.section: {word.key: [1]}} if word.section else {word.key: [1]}
        try:
            recipe.parse({"format": 1, **table}, Path("x.toml"))
        except UsageError as error:
            assert word.help in str(error)
        else:
            raise AssertionError(word.key)


def test_the_types_of_words_name_the_values_that_are_allowed() -> None:
    for words, types in ((SELECTION, SelectionWords), (EXPORT, ExportOptions)):
        kinds = keyword_types(types) | {"link": f"Literal{list(get_args(How))}"}
        for word in words:
            if "|" in word.kind:
                assert "|".join(re.findall(r"[\"']([a-z-]+)[\"']", kinds[word.keyword])) == word.kind
