"""The command evaluate: score files of predictions against the labels of ILSVRC2012."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import imagenet_tools
from imagenet_tools.cli import options
from imagenet_tools.cli.printing import note, print_json, print_table
from imagenet_tools.storage.files import refuse_taken, whole, write_whole


@options.make_command("evaluate")
@click.argument("predictions", nargs=-1, required=True, type=options.EXISTING)
@click.option("--rows", metavar="ORDER|FILE", help="The order of the rows: numbers, folders, or a list of images.")
@click.option("--labels", metavar="LIST", help="The published list that numbers the classes.")
@click.option(
    "--truth",
    "truths",
    metavar="FILE",
    multiple=True,
    type=options.EXISTING_FILE,
    help="More labels of the images: multilabel, ImageNet-X, or lists of labels. Repeatable.",
)
@click.option(
    "--classes",
    metavar="LIST",
    multiple=True,
    help="Also score by these classes: superclasses, a subset, or a file of `classes cut`. Repeatable.",
)
@click.option(
    "--unknown",
    metavar="FILE",
    type=options.EXISTING_FILE,
    help="Outputs for images of no class, as ImageNet-O's: AUPR.",
)
@click.option(
    "--boxes",
    metavar="PATH",
    type=options.EXISTING,
    help="What has the true boxes, to score predicted ones: an index, an export, a source, COCO's instances.",
)
@click.option(
    "--blacklist",
    metavar="FILE",
    type=options.EXISTING_FILE,
    help="Pairs of image and class that ILSVRC's detection score leaves out, of the devkit.",
)
@click.option(
    "-o", "--output", type=options.PATH, help="Write a row an image to this Parquet file, which must not exist."
)
@click.option("--report", type=options.PATH, help="Write an HTML page with charts to this file, which must not exist.")
@options.root_option
def command(
    predictions: tuple[Path, ...],
    output: Path | None,
    report: Path | None,
    **keywords: Any,  # the other options: keyword arguments of imagenet_tools.evaluate
) -> None:
    """Score predictions, and compare models.

    Prints accuracy, ReaL, the cost of mistakes in WordNet, and calibration. The order of the rows and of the labels is
    detected, and the evidence is printed. Options are needed only where the command refuses. The images are the 50,000
    validation images, or images that the file names, of ImageNet-V2, -A, -R, -Sketch, -C, -D or ObjectNet with their
    class folders. A file of scores belongs to the file of as many classes; a list of images and wnids names the rows
    of as many. The file of -o is a table for `query --with`. The page of --report shows the images of the worst
    confusions if -i names their index.

    Predicted boxes are scored by true ones, which --boxes names: classes with a box each by ILSVRC's localisation
    error, detections by ILSVRC's mean average precision and by COCO's. COCO's needs imagenet-tools[coco].

    Examples:
        imagenet-tools evaluate resnet50.npy
        imagenet-tools evaluate top5.npy top5_probabilities.npy
        imagenet-tools evaluate resnet50.csv vit.csv -o images.parquet
        imagenet-tools evaluate resnet50.npy -i imagenet.index --report resnet50.html
        imagenet-tools evaluate resnet50.npy --classes breeds-living17 --truth human_accuracy_v3.0.0.json
        imagenet-tools evaluate detections.json --boxes as-coco/annotations/instances_val.json

    PREDICTIONS:
        npy, npz    classes (n,) or (n, k), or scores of all classes (n, C)
        tables      csv, text, Parquet, JSON lines: images, classes, probabilities
        JSON        rows, timm's results, an accuracy log of MLPerf
        folder      texts of Ultralytics' save_txt
        boxes       the devkit's lines, Kaggle's submission, COCO's results, tables with boxes
    """
    for path in filter(None, (output, report)):
        refuse_taken(str(path))
    result = imagenet_tools.evaluate(predictions, **keywords)
    if output is not None:
        import pyarrow.parquet as pq

        with whole(output) as file:
            pq.write_table(result.table(), file)
    if report is not None:
        from imagenet_tools.exports.evaluation_report import evaluation_page

        index = None if options.index_path() is None else options.open_index()
        write_whole(report, evaluation_page(result, None if index is None else index.images))
    if options.as_json():
        print_json(result.facts())
        return
    for text in result.notes():
        note(text)
    for title, head, table_rows in result.tables():
        if table_rows:
            if title:
                click.echo(f"\n{title}")
            print_table(head, table_rows)
