"""The command detect: report what a path holds before anything is indexed."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

import imagenet_tools
from imagenet_tools.cli import DONE, FAILED, options
from imagenet_tools.cli.printing import print_json, terminal_columns
from imagenet_tools.storage.buckets import url_of
from imagenet_tools.text import count_of, printable, some_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagenet_tools.build.survey import Survey
    from imagenet_tools.units import Detection, Labelling

_ORDERS = {
    "wnid": "in sorted order",
    "ilsvrc_id": "in the devkit's order (ILSVRC2012_ID)",
    "det_id": "in the order of DET's devkit (ILSVRC2015_DET_ID)",
}


@options.make_command("detect", asks_index=False)
@click.argument("paths", nargs=-1, required=True, type=options.PATH, metavar="PATH...")
def command(paths: tuple[Path, ...]) -> int:
    """Report the format, release, splits and labels at a path.

    Reads headers, not images. Also reports the evidence, what is missing, and what build-index will read. If two
    readings are possible, the report names the option that decides.

    Examples:
        imagenet-tools detect ILSVRC2012_img_train.tar
        imagenet-tools detect /data/imagenet /data/fall11_whole.tar --json

    --json prints a list with an object for each path: {"path", "found": [...], "not_read": [...], "unrecognised"}.
    Each object in "found" has "form", "path", "dataset", "release", "splits", "labels" {"by", "space", "order", "base"},
    "evidence", "missing", "reads", "units", "other_readings" and "advice".

    Exit codes: 0 each path was recognised, 1 some were not.
    """  # noqa: E501
    surveys: list[Survey] = []
    for path in paths:
        survey = imagenet_tools.detect(path)
        if not options.as_json():
            if surveys:
                click.echo()
            click.echo(printable("\n".join(_lines(survey, terminal_columns()))))
        surveys.append(survey)
    if options.as_json():
        print_json([_plain(survey) for survey in surveys])
    return DONE if all(survey.found for survey in surveys) else FAILED


def _plain(survey: Survey) -> dict[str, object]:
    return {
        "path": url_of(survey.path),
        "found": [_plain_detection(detection, n) for detection, n in zip(survey.found, survey.units, strict=True)],
        "not_read": survey.ignored,
        "unrecognised": survey.unrecognised or None,
    }


def _plain_detection(detection: Detection, n_units: int) -> dict[str, object]:
    return {
        "form": detection.form,
        "path": url_of(detection.path),
        "dataset": detection.dataset,
        "release": _title(detection.dataset),
        "splits": detection.splits,
        "labels": detection.labels,
        "evidence": detection.evidence,
        "missing": detection.missing or None,
        "reads": detection.holds,
        "units": n_units,
        "other_readings": detection.readings,
        "advice": detection.advice or None,
    }


def _lines(survey: Survey, width: int | None) -> list[str]:
    lines = [url_of(survey.path)]
    for detection, n_units in zip(survey.found, survey.units, strict=True):
        place = "" if detection.path == survey.path else f" in {detection.path.relative_to(survey.path)}"
        splits = f", {_listed(detection.splits)}" if detection.splits else ""
        release = f"{_title(detection.dataset)}{splits}, data set {detection.dataset}"
        lines += _wrapped(f"  {detection.form}{place}: ", release, width)
        facts = {
            "evidence": detection.evidence,
            "labels": _labels(detection.labels),
            "missing": detection.missing,
            "reads": f"{_listed(detection.holds)}, in {count_of(n_units, 'unit')} of work"
            if detection.holds
            else "nothing",
            "or else": "; ".join(detection.readings),
            "advice": detection.advice,
        }
        for title, text in facts.items():
            lines += _wrapped(f"    {title:9} ", text, width) if text else []
    if survey.ignored:
        lines += _wrapped("  not read: ", some_of(survey.ignored), width)
    if survey.unrecognised:
        lines += _wrapped("  ", f"not recognised as ImageNet: it is {survey.unrecognised}", width)
    return lines


def _wrapped(head: str, text: str, width: int | None) -> list[str]:
    """Return the lines of a head and a text. On a terminal, long text is wrapped and indented."""
    if width is None or len(head) + len(text) <= width:
        return [head + text]
    indent = " " * min(len(head), 14)
    width = max(width, 2 * len(indent))
    return textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _labels(labels: Labelling | None) -> str:
    if labels is None:
        return "none"
    numbers = ", as wnids"
    if labels.base is not None:
        numbers = f", from {labels.base} {_ORDERS.get(labels.order, labels.order)}"
    noun = "synsets" if labels.space == "wordnet" else "classes"
    return f"{labels.by}: {noun} of {_title(labels.space)}{numbers}"


def _title(dataset: str) -> str:
    from imagenet_tools.catalogue.releases import title

    return "WordNet" if dataset == "wordnet" else title(dataset)
