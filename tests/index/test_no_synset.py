"""A class folder called by a wnid that WordNet 3.0 does not have is indexed, counted, and named by exports."""

from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.errors import UnknownSynsetError
from tests.forms.thousand import drawn


def test_a_class_that_is_no_synset_is_a_problem_and_exports_say_how_to_leave_it_out(tmp_path: Path) -> None:
    for wnid, n in (("n02085620", 2), ("n99999999", 3)):
        (tmp_path / "odd" / wnid).mkdir(parents=True)
        for number in range(n):
            (tmp_path / "odd" / wnid / f"{wnid}_{number}.JPEG").write_bytes(drawn(number))
    report = imagenet_tools.build_index(tmp_path / "odd", tmp_path / "x.index", workers=1)
    assert (report.problems, report.rows["images"]) == ({"no_synset": 1}, 5)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    [(source, reason)] = index.sql("SELECT source, reason FROM problems").fetchall()
    assert (source, reason[:36]) == ("odd", "the class n99999999 (3 images) is no")
    with pytest.raises(UnknownSynsetError, match=r"1 class .* n99999999\. .* leave such out with --under entity"):
        imagenet_tools.plan_export(index.select(), to="csv")
    plan = imagenet_tools.plan_export(index.select(under="entity"), to="csv")
    assert [entry.wnid for entry in plan.classes] == ["n02085620"]
