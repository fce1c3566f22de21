"""All commands: help, JSON, exit codes, and the modules that they import."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from PIL import Image

from imagenet_tools.cli import group
from imagenet_tools.index import Index
from tests.cli.conftest import COMMANDS, Run, environment
from tests.waiting import PATIENCE

HEAVY = ("nltk", "pandas", "pyarrow", "duckdb", "PIL", "scipy")

# ---- help


def test_the_commands_of_the_whole_path_are_there() -> None:
    assert {"build-index", "demo", "export", "find", "info", "query", "tree"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_that_names_the_command(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert (ran.code, ran.err) == (0, "")
    examples = ran.out.partition("Example")[2]
    assert f"imagenet-tools {command}" in examples
    assert run(command, "-h").out == ran.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_is_understood(command: str) -> None:
    """Each example is parsed, up to files that do not exist."""
    context = click.Context(group)
    examples = str(group.get_command(context, command).epilog)  # type: ignore[union-attr]
    lines = re.findall(r"^  imagenet-tools (.*?)(?:  +#.*)?$", examples.replace("\\\n", ""), re.M)
    assert lines
    for line in lines:
        with group.make_context("imagenet-tools", shlex.split(line)) as ctx:
            name, found, rest = group.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
            assert name == command and found is not None
            try:
                found.make_context(name, list(rest))
            except click.BadParameter as error:
                assert "No such file" in error.message or "does not exist" in error.message


def test_the_help_of_all_documents_the_exit_codes(run: Run) -> None:
    told = run("--help").out
    for words in ("0 done", "1 failed", "2 usage", "3 done with problems counted", "4 the target exists or is locked"):
        assert words in told
    assert "130 interrupted" in told
    summaries = told.partition("Commands:")[2].partition("Examples:")[0]
    assert [line.split()[0] for line in summaries.splitlines() if line.strip()] == list(COMMANDS)


def test_the_version_is_the_package_s(run: Run) -> None:
    from imagenet_tools import __version__

    assert run("--version").out == f"imagenet-tools, version {__version__}\n"


# ---- what is loaded


def loaded(*arguments: str, index: Path | None = None, first: str = "") -> set[str]:
    """Return the modules that a command has imported when it ends; `first` is code to run before it."""
    script = f"""
import sys
from imagenet_tools import cli
from imagenet_tools.storage import processes
processes.in_child = lambda work, **_: work()  # a query imports its modules in a new process
{first}
code = cli.run(sys.argv[1:])
print("LOADED", *sys.modules, file=sys.stderr)
sys.exit(code)
"""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(index), timeout=PATIENCE, check=True, cwd="/"
    )
    return set(done.stderr.rpartition("LOADED")[2].split())


def test_the_package_loads_nothing_heavy() -> None:
    script = "import sys, imagenet_tools; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert not {"numpy", *HEAVY} & set(done.stdout.split())


def test_help_loads_nothing_heavy() -> None:
    """All of them in one process: what any of them imports is there at its end."""
    first = f"for name in {COMMANDS}:\n    assert cli.run([name, '--help']) == 0, name\ncli.run(['--help'])"
    assert not {"numpy", *HEAVY} & loaded("--version", first=first)


def test_a_query_loads_no_more_than_duckdb(index: Index) -> None:
    """Without numpy, a query answers 0.2 s after a cold start."""
    found = loaded("query", "SELECT count(*) FROM images WHERE is_a(wnid, 'dog')", index=index.path)
    assert "duckdb" in found
    assert (
        not {
            "numpy",
            "nltk",
            "pandas",
            "pyarrow",
            "PIL",
            "imagenet_tools.index",
            "imagenet_tools.catalogue.terms",
        }
        & found
    )
    assert "duckdb" not in loaded("query", "--schema")


def test_what_wordnet_alone_answers_needs_neither_an_index_nor_what_loads_slowly() -> None:
    """All of them in one process, as above."""
    commands = [
        ["find", "tabby"],
        ["find", "281"],
        ["tree", "dog", "--depth", "1"],
        ["tree", "dog", "--format", "svg"],
        ["tree", "dog", "--exclusive", "first"],
        ["classes", "cut", "--k", "20", "--balanced"],
        ["classes", "tree", "--rule", "first"],
    ]
    first = f"for words in {commands}:\n    assert cli.run(words) == 0, words"
    assert not {"nltk", "pandas", "duckdb", "pyarrow", "PIL", "scipy"} & loaded("--version", first=first)


def test_a_small_build_and_export_load_no_slow_parts_of_libraries(tmp_path: Path) -> None:
    """Each of them takes 10 to 100 ms to import: the work itself takes 100 ms."""
    slow = {"pyarrow.compute", "pyarrow.acero", "pyarrow.dataset", "numpy.ma", "urllib.request", "pandas", "PIL"}
    folder, index = tmp_path / "train" / "n02084071", tmp_path / "x.index"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(folder / "n02084071_1.JPEG")
    first = "processes.without_pandas()"  # as the console script does
    assert not slow & loaded("build-index", str(folder.parent), "-o", str(index), first=first)
    out = tmp_path / "out"
    assert not slow & loaded("export", str(out), "--to", "image_folder", "--link", "hard", index=index, first=first)
    assert (out / "train" / "n02084071" / "n02084071_1.JPEG").is_file()


# ---- JSON


def test_every_command_prints_json_and_nothing_else_on_stdout(run: Run, tmp_path: Path, sample: Path) -> None:
    commands = {
        "find": ["find", "tabby"],
        "tree": ["tree", "dog", "--depth", "1"],
        "info": ["info"],
        "query": ["query", "SELECT 1 AS a"],
        "build-index": ["build-index", str(sample / "ILSVRC2012_img_val.tar"), "-o", str(tmp_path / "new.index")],
        "export": ["export", str(tmp_path / "dogs"), "--to", "image_folder", "--under", "dog"],
    }
    found = {}
    for name, words in commands.items():
        ran = run(*words, "--json")
        assert ran.code == 0, ran.err
        found[name] = json.loads(ran.out)
    assert found["find"][0]["wnid"] == "n02123045"
    assert found["query"] == [{"a": 1}]
    assert found["build-index"]["rows"]["images"] == 52
    assert found["export"]["written"] is True and (tmp_path / "dogs").is_dir()


def test_a_demo_shows_its_commands_and_is_made_again_where_a_demo_is(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a demo"
    (folder / "dogs" / "old").mkdir(parents=True)
    (folder / "thesis").mkdir()
    (folder / ".imagenet-tools-demo").touch()
    ran = run("demo", str(folder), "--json")
    assert ran.code == 0, ran.err
    steps = json.loads(ran.out)["steps"]
    assert [step["exit_code"] for step in steps] == [0, 3, 0, 0, 0, 0, 0, 0, 0, 0]
    assert all(f"$ {step['command']}\n" in ran.err for step in steps)
    assert "The index and the exports are in" in ran.err
    assert (folder / "thesis").is_dir()  # what a user put there stays
    assert not (folder / "dogs" / "old").exists() and (folder / "dogs-yolo" / "data.yaml").is_file()
    assert all((folder / name).is_file() for name in ("report.html", "dogs-yolo.html", "contact-sheet.png"))


def test_json_may_stand_before_the_command(run: Run) -> None:
    assert json.loads(run("--json", "find", "tabby").out) == json.loads(run("find", "tabby", "--json").out)


def test_a_dry_run_prints_the_same_plan_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    words = ["export", str(tmp_path / "dogs"), "--to", "image_folder", "--under", "dog", "--json"]
    planned = json.loads(run(*words, "--dry-run").out)
    assert list(tmp_path.iterdir()) == []
    costs, steps = planned.pop("costs"), planned.pop("steps")["image_folder"]
    made = json.loads(run(*words).out)
    assert costs["inodes"] == len(list((tmp_path / "dogs").rglob("*")))
    assert (costs["shards"], costs["images_that_are_files"], costs["sources_missing"]) == (0, 0, [])
    assert steps[-1]["left"] == made["images"]
    # An export has more hazards than its plan: some are known only after the bytes are read.
    assert {**planned, "written": True, "hazards": made["hazards"]} == made


# ---- exit codes


@pytest.mark.parametrize("words", ["demo", "detect", "diff", "find", "merge", "classes list", "classes cut"])
def test_2_a_command_that_asks_no_index_takes_none(run: Run, words: str) -> None:
    ran = run(*words.split(), "-i", "imagenet.index")
    assert ran.code == 2 and "No such option '-i'" in ran.err


def test_values_and_tables_are_given_as_pairs(run: Run, index: Index, tmp_path: Path) -> None:
    """Both flags may be repeated, and mean what Index.select() takes as a mapping."""
    table = tmp_path / "scores.csv"
    table.write_text("dataset,image_id,score\n" + "".join(f"{i.dataset},{i.image_id},1\n" for i in index.images[:3]))
    words = ["--where", "width >= $low AND width < $high AND s.score = 1", "--with", f"s={table}"]
    ran = run("info", "--json", *words, "--parameter", "low=1", "--parameter", "high=100000")
    assert ran.code == 0, ran.err
    assert sum(row["images"] for row in json.loads(ran.out)["chosen"]) == 3
    ran = run("info", *words, "--parameter", "low")
    assert (ran.code, ran.err) == (2, "error: --parameter low: expected NAME=VALUE, each name once.\n")


def test_0_and_notes_on_stderr(run: Run) -> None:
    ran = run("tree", "dog", "--depth", "0")
    assert ran.code == 0 and ran.out.startswith("dog.n.01 n02084071")
    assert "is taken for dog.n.01" in ran.err


def test_find_names_close_words_where_no_word_begins_with_the_text(run: Run) -> None:
    assert "Close to it is dog." in run("find", "dgo").err  # Bydgoszcz has it inside
    assert "Close to it are beagle, bagel, beigel." in run("find", "beagel").err
    for text in ("tabb", "hound", "281", "n02123045", "dog.n.0"):
        assert "Close to it" not in run("find", text).err


def test_1_what_is_not_found(run: Run) -> None:
    ran = run("find", "qqqqqq")
    assert (ran.code, ran.out) == (1, "") and "No synset of WordNet 3.0 matches 'qqqqqq'" in ran.err
    assert run("find", "qqqqqq", "--json")[:2] == (1, "[]\n")


@pytest.mark.parametrize("words", [["info"], ["query", "SELECT 1"], ["export", "x", "--to", "yolo"], ["tree", "dog"]])
def test_1_no_index(run: Run, tmp_path: Path, words: list[str]) -> None:
    for place, why in ((tmp_path / "none", "no such folder"), (tmp_path, "it holds no manifest.json")):
        ran = run(*words, "-i", str(place))
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("error: No index at") and why in ran.err and "build-index" in ran.err


def test_1_a_damaged_index(run: Run, index: Index, tmp_path: Path) -> None:
    copy = tmp_path / "imagenet.index"
    shutil.copytree(index.path, copy)
    for file in (copy / "images").iterdir():
        data = file.read_bytes()
        file.write_bytes(data[:64] + bytes(200) + data[264:])
    for words in (["info"], ["query", "SELECT sum(width), count(image_id), max(file) FROM images"]):
        ran = run("-i", str(copy), *words)
        assert ran.code == 1 and ran.err.startswith("error: ") and "Traceback" not in ran.err
    (next((copy / "sources").iterdir())).unlink()
    ran = run("-i", str(copy), "info")
    assert ran.code == 1 and "damaged; its table sources" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["find"], "Missing argument 'TEXT'"),
        (["find", ""], "expected a word"),
        (["find", "dog", "-n", "0"], "0"),
        (["build-index"], "Missing argument"),
        (["export", "{tmp}/x"], "--to"),
        (["export", "{tmp}/x", "--to", "tfds"], "'tfds' is no target: expected one of array_record, cifar, coco"),
        (["export", "{tmp}/x", "--to", "yolo", "--under", "crane"], "crane.n.05"),
        (["export", "{tmp}/x", "--to", "yolo", "--under", "doggg"], "doggg"),
        (["export", "{tmp}/x", "--to", "yolo", "--split", "train=2"], "sum to at most 1"),
        (["export", "{tmp}/x", "--to", "yolo", "--per-class", "many"], "expected a whole number"),
        (["export", "{tmp}/x", "--to", "yolo", "--limit", "0"], "expected a whole number"),
        (["export", "{tmp}/x", "--to", "yolo", "--root", "here"], "expected NAME=PATH"),
        (["tree", "crane"], "crane.n.05"),
        (["tree", "doggg"], "doggg"),
        (["info", "--root", "nothing=/"], "No source is called nothing"),
    ],
)
def test_2_wrong_use_says_what_was_found_and_expected(run: Run, tmp_path: Path, words: list[str], said: str) -> None:
    ran = run(*(word.format(tmp=tmp_path) for word in words))
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err and "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []


def test_no_command_at_all_shows_the_help(run: Run) -> None:
    ran = run()
    assert ran.code == 2 and "Commands:" in ran.out + ran.err


def test_3_problems_are_counted_and_strictly_they_fail(run: Run, sample: Path, tmp_path: Path) -> None:
    """The test of the demo has exit code 3."""
    boxes, index = str(sample / "ILSVRC2012_bbox_train_v2.tar.gz"), tmp_path / "an index"
    ran = run("build-index", boxes, "-o", str(index), "--strict")
    assert ran.code == 1 and "1 problem: 1 xml_no_object" in ran.err
    assert "1 xml_no_object" not in ran.out
    hint = shlex.split(ran.err.partition("List them with: ")[2])
    assert hint[:3] == ["imagenet-tools", "-i", str(index)]
    assert "xml_no_object" in run(*hint[1:]).out


def test_a_note_for_several_targets_is_printed_once(run: Run, tmp_path: Path) -> None:
    targets, note = ("--to", "coco,voc", "--under", "dog.n.01"), "note: boxes are partial"
    assert run("export", str(tmp_path / "dogs"), *targets, "--dry-run").err.count(note) == 1
    assert run("export", str(tmp_path / "dogs"), *targets).err.count(note) == 1


def test_4_what_exists_is_kept(run: Run, tmp_path: Path) -> None:
    dest = tmp_path / "dogs"
    dest.mkdir()
    (dest / "mine").write_text("mine")
    ran = run("export", str(dest), "--to", "image_folder", "--under", "dog")
    assert (ran.code, ran.out) == (4, "") and f"{dest} exists" in ran.err
    ran = run("demo", str(dest))
    assert ran.code == 4 and "is no demo" in ran.err
    assert [path.name for path in dest.iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["dogs"]


def test_4_a_build_that_another_process_is_making(run: Run, sample: Path, tmp_path: Path) -> None:
    from imagenet_tools.storage.files import lock

    staging = tmp_path / "a.index.partial"
    staging.mkdir()
    with lock(staging / "lock"):
        ran = run("build-index", str(sample / "ILSVRC2012_img_val.tar"), "-o", str(tmp_path / "a.index"))
    assert ran.code == 4 and "is being written by process" in ran.err
