"""The benchmarks' own sums: ratios, what a table says of aims and failures, growth, and times left."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import explorer, full_imagenet, measure
from tests.benchmarks.contest import OURS, Aim, Contest, Figure, Result, Run, hold
from tests.benchmarks.contests import contests
from tests.benchmarks.data import Data
from tests.benchmarks.environments import groups, pins
from tests.benchmarks.measure import spend
from tests.benchmarks.results import with_part
from tests.benchmarks.table import HEAD, lines, megabytes, short, table
from tests.benchmarks.timed import works
from tests.benchmarks.whole_path import FIXED, TENTH, TENTH_AGAIN, WHOLE, Spent, Step, Walk, Whole
from tests.benchmarks.whole_report import counted, growth, report, time_left
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
NO_RUN = Run("", "")


def python(code: str) -> Run:
    return Run(sys.executable, "-c", (code,))


def contest(**more: object) -> Contest:
    return Contest("work", "images", NO_RUN, {"slow": NO_RUN, "gone": NO_RUN}, {"limit": NO_RUN}, **more)  # type: ignore[arg-type]


def figures(*rates: float, cpu: float = 1.0) -> dict[int, Figure]:
    return {number: Figure(rate, cpu, 200_000_000, 90_000_000) for number, rate in enumerate(rates)}


def test_a_ratio_above_1_says_that_ours_is_the_faster_round_by_round() -> None:
    result = Result(contest(), {OURS: figures(100, 300, 50), "slow": figures(50, 100, 50), "limit": figures(200)})
    assert result.ratios("slow") == [2, 3, 1]
    assert result.ratios("limit") == [0.5]
    assert result.ratios("gone") == []


def test_rounds_that_one_of_two_missed_are_in_no_ratio() -> None:
    result = Result(contest(), {OURS: figures(100, 300), "slow": {1: Figure(100, 4.0, 1, 1)}})
    assert result.ratios("slow") == [3]
    assert result.cpu_ratios("slow") == [4]


@pytest.mark.parametrize(("aim", "said"), [(1.5, "1.5: reached"), (2.5, "2.5: **not reached**")])
def test_an_aim_is_held_against_the_median(aim: float, said: str) -> None:
    aims = {"slow": Aim(aim), "gone": Aim(1), OURS: Aim(100, "fast"), "limit": Aim(0.9)}
    result = Result(
        contest(aims=aims, memory=100_000_000),
        {OURS: figures(100, 300, 50), "slow": figures(50, 100, 50), "limit": figures(200, 300, 60)},
        {"gone": "it cannot | start"},
    )
    ours, slow, gone, limit = lines(result)
    assert "| work (images) | ours | 100 (50 to 300) | 1 s | 200 MB (90 MB) |" in ours
    assert "fast: reached; under 100 MB: **not reached**" in ours
    assert slow.endswith(f"| 2 (1 to 3) | 1 (1 to 1) | {said} |")
    assert gone == r"|  | gone | it cannot \| start |  |  |  |  | 1: not measured |"
    assert "limit: limit" in limit and "0.833 (0.5 to 1)" in limit and "0.9: **not reached**" in limit
    assert short(result) == "| work | 100 images/s | 2x slow; 0.833x the limit, limit |"


def test_every_line_has_the_cells_of_the_head_also_where_ours_failed() -> None:
    result = Result(contest(note="said"), {"slow": figures(1)}, {OURS: "no index", "gone": "no database"})
    made = table([result]).splitlines()
    assert len(made) == len(HEAD) + 5
    assert {line.replace(r"\|", "").count("|") for line in made} == {9}
    assert "no index" in made[2] and "no database" in made[4] and "not run" in made[5]
    assert short(result) is None


def test_runs_take_turns_there_and_back_and_what_fails_says_why(tmp_path: Path) -> None:
    def noted(name: str) -> str:
        said = '{"units": 4, "seconds": 2.0}'
        return f"open({str(tmp_path / 'order')!r}, 'a').write({name!r}); print({said!r})"

    fails = python("import sys; sys.exit('no database here')")
    nothing = python("""print('{"units": 0, "seconds": 1}')""")
    made = Contest(
        "work", "images", python(noted("a")), {"b": python(noted("b")), "f": fails, "n": nothing}, reads=(tmp_path,)
    )
    result = hold(made, 2)
    assert (tmp_path / "order").read_text() == "abba"
    assert result.failures == {"f": "no database here", "n": "it did nothing: 0 units"}
    assert result.rates(OURS) == [2, 2] and result.ratios("b") == [1, 1]


def test_memory_is_of_all_processes_of_a_command_and_of_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, resident = tmp_path / "seen", measure.resident

    def resident_and_seen(root: int) -> int:
        total = resident(root)
        if total > 120_000_000:
            seen.touch()
        return total

    monkeypatch.setattr(measure, "resident", resident_and_seen)
    ballast = bytearray(b"x") * 400_000_000  # of the process that measures
    child = "held = bytearray(b'x') * 60_000_000; print('held', flush=True); input()"
    both = (
        "import pathlib, subprocess, sys, time\n"
        f"start = [sys.executable, '-c', {child!r}]\n"
        "two = [subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in 'ab']\n"
        "said = [one.stdout.readline() for one in two]\n"
        f"while not pathlib.Path({str(seen)!r}).exists():\n    time.sleep(0.01)\n"
        "done = [one.communicate(b'end') for one in two]\n"
    )
    spent = spend([sys.executable, "-c", both], cwd=tmp_path, patience=PATIENCE)
    assert spent.code == 0, spent.complaints
    assert 60_000_000 < spent.largest < 120_000_000 < spent.together < 300_000_000 < len(ballast)


def test_what_does_not_end_is_ended_and_says_so(tmp_path: Path) -> None:
    code = "import sys, time; print('so far', file=sys.stderr, flush=True); time.sleep(600)"
    spent = spend([sys.executable, "-c", code], cwd=tmp_path, patience=2)
    assert spent.code < 0 and "not done after" in spent.complaints[-1][1]


def test_every_contest_names_works_and_pins_that_are_there_and_aims_at_its_runs() -> None:
    few = {n: Path("/data", str(n)) for n in (10, 20)}
    values = {"n_many": 1, "n_folders": 1, "n_voc": 1, "n_boxed": 1, "n_class_tars": 1, "few": few, "few_indexes": few}
    data = Data(**{name: values.get(name, Path("/data", name)) for name in Data._fields})  # type: ignore[arg-type]
    found = contests(data, Path("/scratch"))
    assert len({one.work for one in found}) == len(found) > 20
    for one in found:
        runs = dict(one.runs())
        assert len(runs) == 1 + len(one.peers) + len(one.limits) and one.aims.keys() <= runs.keys()
        for run in runs.values():
            if run.module != str(data.limits):
                module = importlib.import_module(run.module)
                assert run.name in works(vars(module), module.__name__), run
            assert not run.group or pins(run.group).is_file()
            assert set(run.made) <= {Path("/scratch/made"), Path("/scratch/built.index")}
    assert {run.group for one in found for _, run in one.runs()} == {"", *groups()}


def test_growth_is_of_the_cost_of_an_image() -> None:
    assert growth((110.0, 1000), (10.0, 100)) == pytest.approx(0.10)
    assert growth((110.0, 1000), (20.0, 100), fixed=10.0) == pytest.approx(0.0)
    assert growth((110.0, 1000), (11.0, 100), fixed=10.0) is None


def test_growth_is_told_of_wall_and_of_cpu_and_judged_by_the_worse_of_two(tmp_path: Path) -> None:
    def step(name: str, images: int, wall: float, cpu: float) -> Step:
        return Step(name, Spent(0, wall, cpu, 10, 10, 0, "", ()), images)

    sets = Whole(tmp_path, tmp_path, 10, 1000, 5), Whole(tmp_path, tmp_path, 1, 100, 1)
    steps = [
        step(FIXED, 0, 1, 1),
        step(TENTH, 100, 11, 11),
        step(TENTH_AGAIN, 100, 12, 12),
        step(WHOLE, 1000, 121, 101),
    ]
    said = report(Walk(tmp_path, sets, steps))
    assert "wall: 121 ms an image of the whole, 110 ms an image of its tenth: +10%" in said
    assert "taken off both: +20%. Aim, below 15% in both: **not reached**" in said
    assert "CPU: 101 ms" in said and "taken off both: +0%. Aim, below 15% in both: reached" in said


def test_times_left_are_held_against_the_end() -> None:
    said = [(5.0, "reading 1 of 9"), (30.0, "reading 2 of 9, 1 min 10 s left"), (80.0, "reading 5 of 9, 30 s left")]
    found = time_left(said, 100.0)
    assert [(one.shown, one.was, one.right) for one in found] == [(70, 70, True), (30, 20, False)]
    assert [one.at for one in counted(found, 100.0)] == [80.0]
    assert [one.at for one in counted(found, 60.0)] == [30.0, 80.0]


def test_a_report_of_the_whole_tells_its_failed_steps(tmp_path: Path) -> None:
    sets = Whole(tmp_path, tmp_path, 10, 1000, 5), Whole(tmp_path, tmp_path, 1, 100, 1)
    failed = Step(
        "build-index of the whole", Spent(1, 3.0, 2.0, 10, 10, 0, "", ((1.0, "error: no room"),)), 1000, "no room"
    )
    said = report(Walk(tmp_path, sets, [failed]))
    assert "| build-index of the whole | no room |" in said and "Growth: not measured" in said


def test_a_report_of_the_explorer_judges_each_aim() -> None:
    lines = [explorer._line("a page", 0.0421, 0.1), explorer._line("memory", 1.2e9, 1e9, megabytes)]
    text = explorer.report([*lines, explorer.Line("an address", "700 ms", "")], 14_197_122, 5)
    assert "| a page | 42.1 ms | under 100 ms: reached |" in text
    assert "| memory | 1,200 MB | under 1,000 MB: **not reached** |" in text
    assert "14,197,122 images" in text and "| an address | 700 ms |  |" in text


def test_a_part_of_the_results_is_written_anew_and_the_other_stands() -> None:
    first = with_part("", "whole", "old whole", ["| a | b | c |"])
    both = with_part(first, "contests", "contests here", ["| d | e | f |"])
    again = with_part(both, "whole", "new whole", ["| g | h | i |"])
    assert again.index("contests here") < again.index("new whole") and "old whole" not in again
    assert with_part(again, "whole", "new whole", ["| g | h | i |"]) == again


def test_the_readme_takes_its_figures_from_the_results_alone(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_readme", ROOT / "data" / "make_readme.py")
    assert spec is not None and spec.loader is not None
    make_readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_readme)
    make_readme.RESULTS = tmp_path / "RESULTS.md"
    assert list(make_readme.figures()) == ["Not measured yet."]
    text = with_part(with_part("", "contests", "x", ["| a | b | c |"]), "whole", "y", ["| d | e | f |"])
    make_readme.RESULTS.write_text(text)
    assert list(make_readme.figures())[2:] == ["| a | b | c |", "| d | e | f |"]


def test_the_set_has_the_bytes_and_the_annotations_that_are_told_beforehand(tmp_path: Path) -> None:
    tar = full_imagenet.make(tmp_path, every=5000, n_boxed=100)
    assert tar.stat().st_size == full_imagenet.whole_size(5000)
    classes = full_imagenet.layout(5000)
    listed = subprocess.run(["tar", "--list", "--file", tar], capture_output=True, text=True, check=True).stdout
    assert listed.split() == [f"{one.wnid}.tar" for one in classes]
    unpack = f"tar --extract --gzip --file {tmp_path / full_imagenet.BOXES} --to-command 'tar --list --gzip'"
    xml = subprocess.run(["sh", "-c", unpack], capture_output=True, text=True, check=True).stdout.split()
    assert len(xml) == full_imagenet.n_annotations(classes, 100) == 100
