"""The same predictions in every form give the same figures; what is no predictions is refused in a sentence."""

import csv
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imagenet_tools as imt
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation import outputs
from imagenet_tools.wordnet import wordnet
from tests.evaluation.predictions import FOLDERS, IMAGES, TRUTH, WNIDS, N, logits, top5
from tests.parameters import short_list

TOP = top5()
ALL = np.arange(N)
# Some of the images, for slow forms; not those of the two classes that are called crane.
SOME = np.sort(np.random.default_rng(3).permutation(np.flatnonzero(~np.isin(TRUTH, (134, 517))))[:4_000])
PROBABILITIES = np.sort(np.random.default_rng(4).dirichlet(np.ones(6), N)[:, :5], axis=1)[:, ::-1]


def measures(*paths: Path, **options: Any) -> dict[str, Any]:
    (model,) = imt.evaluate(paths, **options).models
    return model.measures


def assert_hits(found: dict[str, Any], rows: npt.NDArray[np.int64] = ALL) -> None:
    assert found["top1"].hits == (TOP[rows, 0] == TRUTH[rows]).sum() and found["top1"].n == len(rows)
    assert found["top5"].hits == (TOP[rows] == TRUTH[rows, None]).any(axis=1).sum()


def saved(path: Path, values: npt.NDArray[Any]) -> Path:
    np.save(path, values)
    return path


@pytest.mark.parametrize("dtype", short_list(["int64", "int32", "uint16", "uint64", "float32", "float64"], "float32"))
@pytest.mark.parametrize("order", short_list(["numbers", "folders"], "folders"))
def test_numpy_of_the_best_five(dtype: str, order: str, tmp_path: Path) -> None:
    rows = FOLDERS if order == "folders" else ALL
    assert_hits(measures(saved(tmp_path / "top.npy", TOP[rows].astype(dtype))))


def test_numpy_of_the_best_one(tmp_path: Path) -> None:
    for shape in ((N,), (N, 1)):
        path = saved(tmp_path / f"{len(shape)}.npy", TOP[:, 0].reshape(shape))
        found = measures(path)
        assert found["top1"].hits == 35_000 and "top5" not in found and "ece" not in found


@pytest.mark.parametrize("suffix", short_list(["", ".txt", ".csv"], ".csv"))
def test_the_content_tells_the_form_not_the_name(suffix: str, tmp_path: Path) -> None:
    saved(tmp_path / "top.npy", TOP)
    path = (tmp_path / "top.npy").rename(tmp_path / f"top{suffix}")
    assert_hits(measures(path))


def test_npz_of_named_arrays(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", preds=TOP, probs=PROBABILITIES, labels=TRUTH)
    found = measures(tmp_path / "a.npz")
    assert_hits(found)
    assert "ece" in found
    np.savez(tmp_path / "b.npz", top5=TOP[::-1], filenames=np.array(IMAGES[::-1]))
    assert_hits(measures(tmp_path / "b.npz"))


@pytest.mark.long
def test_outputs_beside_true_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", logits=logits(TOP, np.float16), labels=TRUTH)
    (model,) = imt.evaluate(tmp_path / "a.npz").models
    assert_hits(model.measures)
    assert model.aligned.evidence[0].startswith("best: 100.00%")


def test_best_last_and_unsorted_columns(tmp_path: Path) -> None:
    assert_hits(measures(saved(tmp_path / "last.npy", TOP[:, ::-1])))
    order = np.random.default_rng(5).permuted(np.tile(np.arange(5), (N, 1)), axis=1)
    mixed = np.take_along_axis(TOP, order, axis=1)
    path = saved(tmp_path / "mixed.npy", mixed)
    found = measures(path)
    assert "top1" not in found and found["top5"].hits == 45_000
    assert any("not best first" in text for text in imt.evaluate(path).notes())
    # With the file of probabilities beside it, the classes are sorted.
    scores = saved(tmp_path / "scores.npy", np.take_along_axis(PROBABILITIES, order, axis=1).astype(np.float32))
    assert_hits(measures(path, scores))


# ---- tables


def frame(rows: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return a table as timm's inference.py makes it: lists in cells."""
    return pd.DataFrame(
        {
            "filename": [f"{IMAGES[row]}.JPEG" for row in rows],
            "index": list(TOP[rows]),
            "prob": list(PROBABILITIES[rows].astype(np.float32)),
        }
    )


def separate(rows: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return a table as timm's inference.py makes it with --results-separate-col."""
    named = frame(rows)[["filename"]]
    for n in range(5):
        named[f"index_{n}"] = TOP[rows, n]
    for n in range(5):
        named[f"prob_{n}"] = PROBABILITIES[rows, n]
    return named


def described(rows: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return a table as timm's inference.py makes it by default: descriptions, and no numbers."""
    texts = np.array([", ".join(wordnet.synset(wnid).lemmas).replace("_", " ") for wnid in WNIDS], object)
    return frame(rows).drop(columns="index").assign(label=list(texts[TOP[rows]]))[["filename", "label", "prob"]]


def named_lines(rows: npt.NDArray[np.int64], mark: str) -> str:
    return "".join(f"{IMAGES[row]}.JPEG{mark}{mark.join(map(str, TOP[row]))}\n" for row in rows)


TABLES: dict[str, Callable[[Path], object]] = {
    "timm csv": lambda path: frame(SOME).to_csv(path, index=False),
    "timm json": lambda path: frame(SOME).set_index("filename").to_json(path, indent=4, orient="index"),
    "timm json-records": lambda path: frame(SOME).to_json(path, lines=True, orient="records"),
    "timm json-split": lambda path: frame(SOME).to_json(path, indent=4, orient="split", index=False),
    "timm parquet": lambda path: frame(SOME).set_index("filename").to_parquet(path),
    "timm csv of names": lambda path: described(SOME).to_csv(path, index=False),
    "csv of columns": lambda path: separate(SOME).to_csv(path, index=False),
    "csv with an index": lambda path: separate(SOME).to_csv(path),
    "parquet of columns": lambda path: separate(SOME).to_parquet(path),
    "json records": lambda path: separate(SOME).to_json(path, orient="records"),
    "json of columns": lambda path: separate(SOME).to_json(path),
    "json of lists": lambda path: path.write_text(json.dumps(separate(SOME).to_dict(orient="list"))),
    "csv without a head": lambda path: path.write_text(named_lines(SOME, ",")),
    "tabs": lambda path: path.write_text(named_lines(SOME, "\t")),
    "spaces": lambda path: path.write_text(named_lines(SOME, "  ")),
    "semicolons and \\r\\n": lambda path: path.write_bytes(named_lines(SOME, ";").replace("\n", "\r\n").encode()),
    "json by image": lambda path: path.write_text(json.dumps({IMAGES[row]: TOP[row].tolist() for row in SOME})),
    "parquet of fixed lists": lambda path: pq.write_table(
        pa.table(
            {
                "image_id": [IMAGES[row] for row in SOME],
                "top": pa.FixedSizeListArray.from_arrays(pa.array(TOP[SOME].ravel()), 5),
            }
        ),
        path,
    ),
    "numbers as texts": lambda path: pq.write_table(
        pa.table({"image": [IMAGES[row] for row in SOME], "pred": TOP[SOME].astype(str).tolist()}), path
    ),
    "wnids": lambda path: path.write_text(
        "".join(f"{IMAGES[row]},{','.join(WNIDS[place] for place in TOP[row])}\n" for row in SOME)
    ),
}


@pytest.mark.parametrize(
    "form",
    short_list(
        TABLES,
        "timm json-split",
        "timm csv of names",
        "parquet of fixed lists",
        "numbers as texts",
        "wnids",
        "json of columns",
    ),
)
def test_tables_with_names(form: str, tmp_path: Path) -> None:
    TABLES[form](tmp_path / "file")
    found = measures(tmp_path / "file")
    assert_hits(found, SOME)
    assert ("ece" in found) == form.startswith(
        ("timm", "csv of", "csv with an", "parquet of columns", "json records", "json of")
    )


UNNAMED: dict[str, Callable[[Path], object]] = {
    "five numbers a line": lambda path: np.savetxt(path, TOP, "%d"),
    "pandas": lambda path: pd.DataFrame(TOP).to_csv(path),
    "pandas without index": lambda path: pd.DataFrame(TOP).to_csv(path, index=False),
    "json": lambda path: path.write_text(json.dumps(TOP.tolist())),
    "true and predicted": lambda path: pd.DataFrame(
        {"label": TRUTH, **{f"pred_{n}": TOP[:, n] for n in range(5)}}
    ).to_csv(path, index=False),
}


@pytest.mark.parametrize("form", short_list(UNNAMED, "true and predicted"))
def test_tables_without_names(form: str, tmp_path: Path) -> None:
    UNNAMED[form](tmp_path / "file")
    assert_hits(measures(tmp_path / "file"))


def test_names_of_torchvision_mean_one_class_each(tmp_path: Path) -> None:
    """They are first lemmas, but for two of the four names that two classes have; a harp is no harmonica."""
    names = [wordnet.synset(wnid).lemmas[0].replace("_", " ") for wnid in WNIDS]
    names[134], names[639] = "crane bird", "maillot tank suit"
    rows = np.arange(0, N, 10)
    assert {134, 517, 638, 639, 593, 594} <= {*TOP[rows, 0].tolist()}
    lines = [f"{IMAGES[row]},{names[TOP[row, 0]]}" for row in rows]
    (tmp_path / "names.csv").write_text("\n".join(["image,pred", *lines]))
    evaluation = imt.evaluate(tmp_path / "names.csv")
    assert evaluation.models[0].measures["top1"].hits == (TOP[rows, 0] == TRUTH[rows]).sum()
    assert not any("have one name" in text for text in evaluation.notes())
    (tmp_path / "names.txt").write_text("\n".join(names))
    assert "equal to ilsvrc2012, in this order" in imt.identify(tmp_path / "names.txt").why


def test_other_numbers_beside_predictions_are_no_classes(tmp_path: Path) -> None:
    lines = (f"{IMAGES[row]},500,375,{TOP[row, 0]},10,20,230,240,0.5" for row in SOME)
    (tmp_path / "boxes.csv").write_text("\n".join(["image,width,height,pred,xmin,ymin,xmax,ymax,loss", *lines]))
    evaluation = imt.evaluate(tmp_path / "boxes.csv")
    found = evaluation.models[0].measures
    assert found["top1"].hits == (TOP[SOME, 0] == TRUTH[SOME]).sum() and not {"top5", "ece"} & found.keys()
    note = "columns that are no classes and scores, by their names: loss, width, height, xmin, ymin and 2 more"
    assert any(note in text for text in evaluation.notes())


@pytest.mark.parametrize("form", short_list(["<i", "<f", "<q"], "<f"))
def test_an_accuracy_log_of_mlperf_whose_first_answer_counts(form: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(6).permutation(N)
    log = [
        {"seq_id": n, "qsl_idx": int(row), "data": struct.pack(form, TOP[row, 0]).hex()} for n, row in enumerate(rows)
    ]
    log += [{"seq_id": N, "qsl_idx": 7, "data": struct.pack(form, 999).hex()}]
    (tmp_path / "accuracy.json").write_text(json.dumps(log))
    found = measures(tmp_path / "accuracy.json")
    assert (found["top1"].hits, found["top1"].n) == (35_000, N)


def test_the_texts_of_ultralytics(tmp_path: Path) -> None:
    """Two classes are called crane: a prediction of that name is right for both."""
    rows = [*np.flatnonzero(WNIDS.index("n03126707") == TRUTH)[:20].tolist(), *SOME[:400].tolist()]
    names = [wordnet.synset(wnid).lemmas[0] for wnid in WNIDS]
    for row in rows:
        lines = [f"{0.9 / (n + 1):.2f} {names[place]}" for n, place in enumerate([TRUTH[row], *TOP[row, 1:]])]
        (tmp_path / f"{IMAGES[row]}.txt").write_text("\n".join(lines) + "\n")
    evaluation = imt.evaluate(tmp_path)
    (model,) = evaluation.models
    assert model.measures["top1"].hits == model.measures["top1"].n
    assert any("have one name" in text for text in evaluation.notes())


# ---- outputs of all classes


@pytest.mark.parametrize("dtype", short_list([np.float16, np.float32, np.float64], np.float16))
def test_logits(dtype: npt.DTypeLike, tmp_path: Path) -> None:
    scores = logits(TOP[SOME], dtype)
    np.savez(tmp_path / "a.npz", logits=scores, names=np.array([IMAGES[row] for row in SOME]))
    found = measures(tmp_path / "a.npz")
    assert_hits(found, SOME)
    exact = scores.astype(np.float64)
    log_p = exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
    assert found["nll"].value == pytest.approx(-log_p[np.arange(len(SOME)), TRUTH[SOME]].mean(), rel=1e-4)
    # Probabilities give the same as their logits.
    np.savez(tmp_path / "b.npz", probabilities=np.exp(log_p), names=np.array([IMAGES[row] for row in SOME]))
    same = measures(tmp_path / "b.npz")
    assert same.keys() == found.keys()
    for key, measure in same.items():
        assert measure.value == pytest.approx(found[key].value, rel=1e-4), key


def test_rows_whose_label_was_left_out_of_the_logits_have_no_log_p(tmp_path: Path) -> None:
    """Models of fewer classes have -inf for the others."""
    scores = logits(TOP[SOME])
    scores[:, 500:] = -np.inf
    np.savez(tmp_path / "a.npz", logits=scores, names=np.array([IMAGES[row] for row in SOME]))
    found = measures(tmp_path / "a.npz", labels="ilsvrc2012")["nll"]
    has = TRUTH[SOME] < 500
    exact = scores[has, :500].astype(np.float64)
    log_p = exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
    assert found.n == has.sum()
    assert found.value == pytest.approx(-log_p[np.arange(found.n), TRUTH[SOME][has]].mean(), rel=1e-4)


def test_the_nll_of_small_probabilities_of_16_bits(tmp_path: Path) -> None:
    """numpy's tiny, 6e-5, is not the least number that is stored: 6e-8 is."""
    probabilities = np.full((len(SOME), 1000), 1e-3, np.float16)
    probabilities[np.arange(len(SOME)), TRUTH[SOME]] = 1e-3
    probabilities[:2_000, :500] = 2e-6
    probabilities[:2_000, 500:] = 2e-3
    np.savez(tmp_path / "a.npz", probabilities=probabilities, names=np.array([IMAGES[row] for row in SOME]))
    found = measures(tmp_path / "a.npz", labels="ilsvrc2012")["nll"]
    stored = probabilities[np.arange(len(SOME)), TRUTH[SOME]].astype(np.float64)
    assert found.value == pytest.approx(-np.log(stored).mean())


@pytest.mark.long
def test_logits_of_1001_outputs_in_a_memory_mapped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read in blocks: no array of all rows is made of it."""
    monkeypatch.setattr(outputs, "_BLOCK_BYTES", 1 << 20)
    sizes: list[int] = []
    partition = np.argpartition
    monkeypatch.setattr(np, "argpartition", lambda rows, *a, **k: sizes.append(len(rows)) or partition(rows, *a, **k))
    path = saved(tmp_path / "slim.npy", logits(TOP + 1, np.float16, 1001))
    (model,) = imt.evaluate(path).models
    assert_hits(model.measures)
    assert model.aligned.numbering.base == 1 and max(sizes) == (1 << 20) // (1001 * 8)


def test_a_prediction_of_the_background_is_wrong(tmp_path: Path) -> None:
    top = TOP + 1
    top[:10, 0] = 0
    evaluation = imt.evaluate(saved(tmp_path / "slim.npy", top))
    assert evaluation.models[0].measures["top1"].hits == (TOP[10:, 0] == TRUTH[10:]).sum()
    assert any("predict no class" in text for text in evaluation.notes())


# ---- refusals


def npz(path: Path, **arrays: npt.NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def with_nan(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    values[3, 1] = np.nan
    return values


def dump(path: Path, values: npt.NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, values)


def torch_like(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
        archive.writestr("archive/data/0", bytes(40))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "three axes": (lambda path: dump(path, np.zeros((2, 3, 4))), r"float64 of shape \(2, 3, 4\)"),
    "no rows of a table": (lambda path: path.write_text("a,b\n"), "found no rows"),
    "no rows": (lambda path: dump(path, np.zeros((0, 5), int)), r"int64 of shape \(0, 5\)"),
    "complex": (lambda path: dump(path, np.zeros(5, complex)), "complex128"),
    "objects": (lambda path: dump(path, np.array([{}], object)), "cannot be read"),
    "nan in logits": (lambda path: dump(path, with_nan(logits(TOP[:50]))), "nan or inf in row 4"),
    "nan in scores": (lambda path: npz(path, a=TOP, p=with_nan(PROBABILITIES.copy())), "nan in row 4"),
    "out of range": (lambda path: dump(path, TOP + 40_000), "No known numbering has"),
    "all negative": (lambda path: dump(path, TOP - 2_000), "negative"),
    "too large": (lambda path: dump(path, TOP + 10**12), "numbers no class"),
    "49,999 rows": (lambda path: dump(path, TOP[1:]), "49,999 rows that name no images"),
    "scores alone": (lambda path: dump(path, PROBABILITIES), "scores without their classes"),
    "a picture": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "neither text nor"),
    "nothing": (lambda path: path.write_bytes(b""), "empty"),
    "a file of torch.save": (torch_like, "torch with numpy.save"),
    "no rows of Parquet": (
        lambda path: pq.write_table(
            pa.table({"image": pa.array([], pa.string()), "pred": pa.array([], pa.int64())}), path
        ),
        "found no rows|of shape",
    ),
    "a broken npz": (lambda path: path.write_bytes(b"PK\x03\x04" + b"x" * 99), "cannot be read"),
    "a broken head of npy": (
        lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', (" + b" " * 103 + b"\n"),
        "cannot be read",
    ),
    "JSON lines in no UTF-8": (
        lambda path: path.write_bytes(b'{"image": "\xe9", "pred": 1}\n{"image": "b", "pred": 2}\n'),
        "can't decode byte 0xe9",
    ),
    "a number without end": (
        lambda path: path.write_text(f'[{{"pred": 1}}, {{"pred": {"9" * 30}}}]'),
        "cannot be read",
    ),
    "a broken Parquet": (lambda path: path.write_bytes(b"PAR1" + b"x" * 99), "cannot be read"),
    "broken JSON": (lambda path: path.write_text('[{"a": 1'), "cannot be read"),
    "prose": (
        lambda path: path.write_text("It was a bright cold day in April.\nAnd clocks struck.\n"),
        "cannot be read",
    ),
    "other rows": (lambda path: npz(path, a=TOP, b=TOP[1:]), "rows in its columns"),
    "4 scores of 5": (lambda path: npz(path, a=TOP, p=PROBABILITIES[:, :4]), "5 classes and 4 scores"),
    "unlike lists": (lambda path: path.write_text('{"x.JPEG": [1, 2], "y.JPEG": [1]}'), "1 to 2 values"),
    "a cell without a value": (lambda path: path.write_text("a,b\n1,2\n3,\n"), "row 2 has no b"),
    "a rank of each class": (lambda path: dump(path, np.tile(np.arange(1000), (9, 1))), "1,000 columns of whole"),
    "names of nothing": (
        lambda path: path.write_text("image,pred\na.jpg,unicorn\nb.jpg,yeti\n"),
        "no image whose class",
    ),
    "labels": (
        lambda path: path.write_text(f"image,wnid\n{IMAGES[0]}.JPEG,{WNIDS[0]}\n"),
        "no predictions.*unless its column is called `prediction`",
    ),
    "unknown names": (
        lambda path: path.write_text(f"image,pred\n{IMAGES[0]}.JPEG,unicorn\n{IMAGES[1]}.JPEG,yeti\n"),
        "unicorn, yeti",
    ),
    "data of 3 bytes": (lambda path: path.write_text('[{"qsl_idx": 0, "data": "010203"}]'), r"have \[3\] bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_predictions_is_refused(case: str, tmp_path: Path) -> None:
    write, message = REFUSED[case]
    write(tmp_path / "file")
    with pytest.raises(UsageError, match=message) as error:
        imt.evaluate(tmp_path / "file")
    assert str(tmp_path / "file") in str(error.value) or "file" in str(error.value)


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no texts of lines"):
        imt.evaluate(tmp_path)


def test_names_of_training_images_tell_their_classes(tmp_path: Path) -> None:
    listed = lists.get("ilsvrc2012").wnids
    with (tmp_path / "train.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "pred"])
        writer.writerows([f"{wnid}_{n}.JPEG", place] for place, wnid in enumerate(listed) for n in range(3))
    found = measures(tmp_path / "train.csv")
    assert (found["top1"].hits, found["top1"].n) == (3_000, 3_000) and "real_top1" not in found
