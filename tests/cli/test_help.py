"""Help that is complete, names that are completed, and names that are corrected."""

import importlib
import re

import pytest
from click.shell_completion import BashComplete

from imagenet_tools import __version__, cli, formats
from tests.cli.conftest import COMMANDS, Run

HEADINGS = re.compile(r"^([A-Z][A-Za-z ]+):$", re.MULTILINE)


def test_the_help_of_export_has_headings_and_a_line_a_target(run: Run) -> None:
    out = run("export", "--help").out
    assert HEADINGS.findall(out)[:4] == ["Choose images", "Write", "Run", "Targets"]
    choose, write, rest, targets = HEADINGS.split(out)[2:10:2]
    assert "--under SYNSET" in choose and "--recipe" in choose
    assert "--to TARGET" in write and "--link" in write
    assert "--dry-run" in rest and "--json" in rest and "DEST" not in rest
    assert re.findall(r"^  (\w+) {2,}\S", targets.partition("Examples:")[0], re.MULTILINE) == list(formats.targets())
    for name in formats.names():
        module = importlib.import_module(f"imagenet_tools.formats.{name}")
        assert hasattr(module, "open_shard") == (name in formats.targets())


@pytest.mark.parametrize("command", ["info", "tree", "subset"])
def test_other_commands_show_what_chooses_images_apart(command: str, run: Run) -> None:
    assert HEADINGS.findall(run(command, "--help").out)[:2] == ["Choose images", "Options"]


def test_no_summary_is_cut(run: Run) -> None:
    for out in (run("--help").out, run("classes", "--help").out):
        assert "..." not in out.partition("Commands:")[2].partition("Examples:")[0]
    commands = run("--help").out.partition("Commands:")[2].partition("Examples:")[0]
    assert re.findall(r"^  ([a-z-]+) {2,}[A-Z]", commands, re.MULTILINE) == list(COMMANDS)


def test_the_version(run: Run) -> None:
    assert run("-V") == run("--version") == (0, f"imagenet-tools, version {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["exprot"], "No such command 'exprot'. Did you mean export? Expected one of build-index, check"),
        (["classes", "mpa"], "No such command 'mpa'. Did you mean map? Expected one of cut, identify"),
        (["qqqq"], "No such command 'qqqq'. Expected one of build-index"),
        (["export", "x", "--to", "csv,yoloo"], "zip. Did you mean yolo?"),
        (["export", "x", "--to", "devkit"], "'devkit' is no target: expected one of array_record, cifar, coco"),
        (["classes", "show", "imagenete"], "Close to it are imagenette"),
        (["info", "--from", "trian"], "Did you mean train?"),
        (["tree", "hores"], "Close to it is horse."),
        (["info", "--under", "tenhc"], "Close to it is tench."),
    ],
)
def test_a_name_that_is_almost_right_is_corrected(words: list[str], text: str, run: Run) -> None:
    ran = run(*words)
    assert ran.code == 2 and ran.out == ""
    assert text in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("words", "begun", "expected"),
    [
        (["export", "x", "--to"], "yolo", ["yolo", "yolo_classify"]),
        (["export", "x", "--to"], "csv,pa", ["csv,parquet"]),
        (["export", "x", "--link"], "re", ["reflink"]),
        ([], "expo", ["export"]),
        (["classes"], "i", ["identify"]),
    ],
)
def test_the_shell_completes(words: list[str], begun: str, expected: list[str]) -> None:
    completion = BashComplete(cli.group, {}, "imagenet-tools", "_IMAGENET_TOOLS_COMPLETE")
    assert [item.value for item in completion.get_completions(words, begun)] == expected
