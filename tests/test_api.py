"""The names that `import imagenet_tools` gives, and what they do without the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

import imagenet_tools as imt
from imagenet_tools.errors import UsageError
from imagenet_tools.index import Index
from imagenet_tools.wordnet import wordnet
from tests.parameters import short_list


def test_dir_shows_the_api_and_nothing_else() -> None:
    assert dir(imt) == sorted([*imt.__all__, "__version__"])
    for name in imt.__all__:
        assert getattr(imt, name).__doc__
    assert imt.errors.UsageError is UsageError and imt.Index is Index


def test_a_name_is_imported_alone() -> None:
    """The errors are imported without the rest, and no name loads a heavy library."""
    code = "import imagenet_tools as imt, sys; imt.errors.UsageError; imt.Plan; imt.Selection; imt.Index; imt.tree; "
    code += "print(sorted({'duckdb', 'pyarrow', 'pandas', 'PIL', 'nltk', 'click'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_diff(index: Index, tmp_path: Path) -> None:
    same = imt.diff(index.path, index.path)
    assert same.counts == {} and repr(same) == "Differences: of index and index by id; none"
    first = index.select(under="dog").save(tmp_path / "a.toml")
    second = index.select(under="cat").save(tmp_path / "b.toml")
    assert imt.diff(first, second).counts == {"value": 1}
    assert "<table>" in imt.diff("imagenette", "imagewoof")._repr_html_()


def test_subset_runs_a_recipe_and_a_lock(index: Index, tmp_path: Path) -> None:
    chosen = index.select(under="dog", per_class=2)
    recipe, lock = chosen.save(tmp_path / "dogs.toml"), tmp_path / "dogs.lock.toml"
    chosen.lock(lock)
    assert imt.subset(recipe, index) == chosen
    assert list(imt.subset(lock, index.path)) == list(chosen)


def test_cut_is_the_command(tmp_path: Path) -> None:
    from imagenet_tools import cli
    from imagenet_tools.superclasses import superclasses

    assert cli.run(["classes", "cut", "--k", "5", "--balanced", "-o", str(tmp_path / "x.toml")]) == 0
    assert superclasses.text(imt.cut(k=5, balanced=True)) == (tmp_path / "x.toml").read_text()
    with pytest.raises(UsageError):
        imt.cut(k=5, depth=3)


def test_tree_needs_no_index(index: Index) -> None:
    outline = imt.tree("dog", depth=1)
    assert (outline.nodes[0].name, outline.nodes[0].count) == ("dog.n.01", 118)
    assert repr(outline).startswith("Outline: dog.n.01; ") and len(repr(outline)) < 80
    assert str(outline).startswith("dog.n.01 n02084071  118\n")
    assert outline._repr_svg_().startswith("<?xml")
    assert imt.tree("dog", images=index).nodes[0].count == 70
    assert imt.tree("dog", images=index.select(from_="val")).nodes[0].count == 20
    assert imt.tree("dog", classes="tench,pug", depth=None).nodes[-1].name == "pug.n.01"
    of_beagles = [imt.tree("dog", classes="beagle", images=images).nodes[0].count for images in (index, index.select())]
    assert of_beagles == [index.counts()[wordnet.row_of("beagle.n.01")]] * 2


@pytest.mark.parametrize("progress", short_list([True, False, None], True, None))
def test_progress_goes_to_stderr(
    progress: bool | None, sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imt.build_index(sample / "ILSVRC2012_img_val.tar", tmp_path / "x.index", workers=1, progress=progress)
    chosen = imt.open_index(tmp_path / "x.index").select()
    imt.export(chosen, tmp_path / "x", to="image_folder", workers=1, progress=progress)
    out, err = capsys.readouterr()
    assert out == "" and (" of " in err) == bool(progress)
