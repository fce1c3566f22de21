"""The command classes: output, files, exit codes, and that it needs no index."""

import csv
import io
import json
import subprocess
from pathlib import Path

from imagenet_tools.catalogue import labels, lists
from tests.cli.conftest import COMMAND, Run
from tests.cli.test_commands import loaded


def test_list_names_every_list_and_what_is_left_out(run: Run) -> None:
    ran = run("classes", "list")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()[2:]] == list(lists.names())
    assert "left out: winter21" in ran.err
    found = json.loads(run("classes", "list", "--parts", "--json").out)
    assert [one["name"] for one in found] == list(lists.names(parts=True))
    assert {"n_classes", "order", "base", "sha256", "source", "checked"} <= set(found[0])


def test_list_and_show_give_image_lists_too(run: Run, tmp_path: Path) -> None:
    ran = run("classes", "list", "--images")
    assert ran.code == 0 and "simclr-10pct" in ran.out and "left out: imagenet2012-fewshot" in ran.err
    found = {one["name"]: one for one in json.loads(run("classes", "list", "--images", "--json").out)}
    assert found["simclr-1pct"]["n_images"] == 12_811 and "since 2013" in found["ilsvrc2012-val-blacklist"]["title"]
    ran = run("classes", "show", "blacklist")
    assert ran.out.splitlines()[:2] == ["ILSVRC2012_val_00000036", "ILSVRC2012_val_00000050"]
    assert "agrees with the readme of the devkits" in ran.err
    path = tmp_path / "images.txt"
    assert run("classes", "show", "simclr-1pct", "-o", str(path)).code == 0
    assert len(path.read_text().splitlines()) == 12_811
    said = json.loads(run("classes", "show", "msn-1shot-1", "--json").out)
    assert said["dataset"] == "ilsvrc2012" and len(said["images"]) == 1_000


def test_show_prints_a_list_that_can_be_given_to_classes(run: Run, tmp_path: Path) -> None:
    ran = run("classes", "show", "ilsvrc-det200")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "n02672831 1 accordion")
    assert "by ILSVRC_DET_ID" in ran.err and lists.get("ilsvrc-det200").sha256 in ran.err
    path = tmp_path / "classes.txt"
    assert run("classes", "show", "ilsvrc-det200", "-o", str(path)).out == ""
    assert path.read_text() == ran.out
    assert json.loads(run("classes", "show", str(path), "--json").out)["classes"] == [*lists.get("ilsvrc-det200").wnids]
    assert run("classes", "show", "ilsvrc-det200", "-o", str(path)).code == 4


def test_show_says_which_categories_have_no_image(run: Run) -> None:
    lines = run("classes", "show", "coco80").out.splitlines()
    assert "no image of it in ILSVRC2012 or fall11; WordNet has no stop sign" in next(
        line for line in lines if "stop sign" in line
    )
    found = json.loads(run("classes", "show", "coco80", "--json").out)["classes"]
    assert found[16] | {"note": ""} == {
        "index": 16,
        "name": "dog",
        "synsets": ["n02084071"],
        "without": [],
        "members": [],
        "number": 18,
        "note": "",
        "n_ilsvrc2012": 118,
        "n_fall11": 190,
    }


def test_identify_tells_by_its_exit_code_whether_it_could(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("\n".join(lists.get("imagewoof").wnids))
    ran = run("classes", "identify", str(path))
    assert (ran.code, ran.out) == (0, "10 wnids, sorted by wnid: equal to imagewoof, in this order.\n")
    path.write_text("n01440764\n")
    ran = run("classes", "identify", str(path), "--json")
    assert ran.code == 1 and json.loads(ran.out)["told"] is False
    path.write_text("5\n6\n")
    ran = run("classes", "identify", str(path))
    assert ran.code == 1 and "Nothing can be told" in ran.out
    assert run("classes", "identify", str(tmp_path / "none.txt")).code == 2


def test_identify_prints_the_best_and_the_next(run: Run, sample: Path, tmp_path: Path) -> None:
    index = {wnid: n for n, wnid in enumerate(lists.get("imagenet21k-goog").wnids)}
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{index.get(wnid, 0)}\n" for wnid in labels.validation_wnids()))
    ran = run("classes", "identify", str(path))
    assert ran.code == 0
    best, following = (line for line in ran.out.splitlines() if line.startswith(("  best", "  next")))
    assert "99.90%" in best and "imagenet21k-goog" in best
    assert "71." in following and "fall11" in following
    said = json.loads(run("classes", "identify", str(path), "--json").out)
    assert said["numbering"]["space"] == "imagenet21k-goog" and said["numbering"]["base"] == 0
    assert (said["best"]["right"], said["next"]["numbering"]["space"]) == (49_950, "fall11")
    assert "sorted by wnid, from 0" in said["numbering"]["words"]


def test_identify_reads_what_is_piped_in() -> None:
    wnids = "\n".join(lists.get("imagenette").wnids)
    ran = subprocess.run(
        [*COMMAND, "classes", "identify", "-"], input=wnids, capture_output=True, text=True, check=True
    )
    assert "equal to imagenette" in ran.stdout


def test_map_writes_csv_and_says_what_is_lost(run: Run, tmp_path: Path) -> None:
    ran = run("classes", "map", "imagenet12k", "ilsvrc2012")
    assert ran.code == 0
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert len(rows) == 993
    assert list(rows[0]) == ["a_output", "a", "b_output", "b", "how"]
    assert (rows[0]["a"], rows[0]["b_output"], rows[0]["how"]) == ("n01440764", "0", "same")
    assert lists.get("imagenet12k").wnids[int(rows[0]["a_output"])] == "n01440764"
    assert "lost: 7 classes of ilsvrc2012: n02085782, n02089078" in ran.err
    path = tmp_path / "map.csv"
    assert run("classes", "map", "imagenet12k", "ilsvrc2012", "-o", str(path)).code == 0
    assert path.read_text() == ran.out
    found = json.loads(run("classes", "map", "ilsvrc2012", "breeds-living17", "--json").out)
    assert found["index"] is None and len(found["merged"]) == 17
    ran = run("classes", "map", "fall11", "ilsvrc2012", "--ancestors")
    assert sum(line.endswith(",above") for line in ran.out.splitlines()) == 1_245


def test_a_list_that_is_not_there_is_a_usage_error(run: Run) -> None:
    ran = run("classes", "map", "winter21", "ilsvrc2012")
    assert ran.code == 2 and "left out" in ran.err


def test_nothing_heavy_is_loaded() -> None:
    """All of them in one process: what any of them imports is there at its end."""
    first = "for words in (['show', 'imagenette'], ['list']):\n    assert cli.run(['classes', *words]) == 0"
    found = loaded("classes", "map", "imagenette", "ilsvrc2012", first=first)
    assert not {"nltk", "pandas", "duckdb", "pyarrow", "PIL"} & found


def test_nothing_heavy_is_loaded_to_identify_a_file(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    index = lists.index_of("ilsvrc2012")
    labelled = [f"ILSVRC2012_val_{n:08d} {index[wnid]}" for n, wnid in enumerate(labels.validation_wnids()[:99], 1)]
    for lines in (lists.get("imagenette").wnids, labelled):
        path.write_text("\n".join(lines))
        assert not {"nltk", "pandas", "duckdb", "pyarrow", "PIL"} & loaded("classes", "identify", str(path))
