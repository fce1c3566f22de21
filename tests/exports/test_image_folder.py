"""image_folder: where timm numbers classes otherwise, and what --meta-bin asks; tests/loaders open what is written."""

import importlib.util

import pytest

import imagenet_tools
from imagenet_tools.errors import ExportError, UsageError
from imagenet_tools.index import Index


def test_it_belongs_to_image_folder(odd: Index) -> None:
    with pytest.raises(UsageError, match="--meta-bin: it belongs to image_folder; found --to yolo,coco"):
        imagenet_tools.plan_export(odd.select(), to="yolo,coco", meta_bin=True)


def test_without_torch_and_with_other_folders_it_is_refused(odd: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match="torch, which writes it, is not installed"):
        imagenet_tools.plan_export(odd.select(), to="image_folder", meta_bin=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ExportError, match="found English_springer, expected n02102040"):
        imagenet_tools.plan_export(odd.select(), to="image_folder", meta_bin=True, names="lemma")


def test_folders_that_timm_sorts_otherwise_are_told_of(odd: Index) -> None:
    for names, told in (("lemma", True), ("wnid", False)):
        plan = imagenet_tools.plan_export(odd.select(), to="image_folder", names=names)
        assert any("timm sorts folders" in hazard for hazard in plan.hazards) == told
