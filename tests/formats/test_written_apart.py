"""Forms written from their publishers' descriptions alone, with tarfile, gzip, json, Pillow, numpy and pyarrow.

The writers here use nothing of tests/ and nothing of the package, so that a mistake of the project's own generators
does not hide one of its readers. Sources: image-net.org and Alibaba-MIIL/ImageNet21K (fall 2011), the cards of
ILSVRC/imagenet-1k and timm/imagenet-1k-wds on Hugging Face, the readme of Tiny-ImageNet, modestyachts/ImageNetV2, and
PatrykChrabaszcz/Imagenet32_Scripts.
"""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.index import Index

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it

TENCH, GOLDFISH, JUNCO, INDIGO = "n01440764", "n01443537", "n01534433", "n01537544"  # 0, 1, 13, 14 in sorted order


def photograph(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A JPEG of one colour, another for each seed."""
    digest = hashlib.md5(str(seed).encode()).digest()
    buffer = io.BytesIO()
    Image.new("RGB", size, tuple(digest[:3])).save(buffer, "JPEG")
    return buffer.getvalue()


def add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def index_of(path: Path, home: Path) -> Index:
    imagenet_tools.build_index(path, home / "apart.index", workers=1)
    return imagenet_tools.open_index(home / "apart.index")


def facts(index: Index) -> dict[str, tuple[str | None, str | None]]:
    """Class and split of each image."""
    rows = index.sql("SELECT image_id, wnid, split FROM images").fetchall()
    return {image_id: (wnid, split) for image_id, wnid, split in rows}


def contents(index: Index) -> dict[str, bytes]:
    return {
        image_id: index.image(image_id).read() for (image_id,) in index.sql("SELECT image_id FROM images").fetchall()
    }


def test_fall_2011_is_a_tar_of_class_tars_with_a_member_in_gzip(tmp_path: Path) -> None:
    images = {"n00004475_6590": photograph(1), "n00004475_15899": photograph(2), "n15102894_1": photograph(3)}
    with tarfile.open(tmp_path / "fall11_whole.tar", "w", format=tarfile.USTAR_FORMAT) as whole:
        for wnid in ("n00004475", "n15102894"):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
                for stem, data in images.items():
                    if stem.startswith(wnid):
                        add_member(archive, f"{stem}.JPEG", gzip.compress(data) if stem.endswith("_6590") else data)
            add_member(whole, f"{wnid}.tar", buffer.getvalue())
    index = index_of(tmp_path / "fall11_whole.tar", tmp_path)
    assert facts(index) == {stem: (stem[:9], None) for stem in images}
    assert contents(index) == images
    rows = index.sql("SELECT image_id, dataset, compression FROM images WHERE compression IS NOT NULL").fetchall()
    assert rows == [("n00004475_6590", "fall11", "gzip")]
    with (tmp_path / "fall11_whole.tar").open("rb") as file:  # an image is a range of bytes of the outer archive
        for image_id, offset, length in index.sql('SELECT image_id, "offset", length FROM images').fetchall():
            file.seek(offset)
            data = file.read(length)
            assert (gzip.decompress(data) if image_id.endswith("_6590") else data) == images[image_id]


def test_hugging_faces_parquet_has_bytes_and_names_with_the_wnid_behind(tmp_path: Path) -> None:
    train = [("n01440764_10026", TENCH, 0), ("n01534433_7", JUNCO, 13)]
    val = [("ILSVRC2012_val_00000293", TENCH, 0)]
    features = {"image": {"_type": "Image"}, "label": {"names": ["tench, Tinca tinca", "..."], "_type": "ClassLabel"}}
    images: dict[str, bytes] = {}

    def write(name: str, rows: list[tuple[str, str, int]]) -> None:
        for stem, _, _ in rows:
            images[stem] = photograph(len(images))
        records = [
            {"image": {"bytes": images[stem], "path": f"{stem}_{wnid}.JPEG"}, "label": label}
            for stem, wnid, label in rows
        ]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        schema = pa.schema([("image", kind), ("label", pa.int64())])
        schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(records, schema), tmp_path / "data" / name, row_group_size=1)

    write("train-00000-of-00001.parquet", train)
    write("validation-00000-of-00001.parquet", val)
    index = index_of(tmp_path / "data", tmp_path)
    expected = {stem: (wnid, "train") for stem, wnid, _ in train} | {stem: (wnid, "val") for stem, wnid, _ in val}
    assert facts(index) == expected
    assert contents(index) == images


def test_timms_webdataset_has_jpg_cls_and_json_beside_an_info_file(tmp_path: Path) -> None:
    home = tmp_path / "imagenet-1k-wds"
    home.mkdir()
    images = {
        f"{wnid}_{n}": (photograph(n), label)
        for n, (wnid, label) in enumerate([(INDIGO, 14), (TENCH, 0), (GOLDFISH, 1)])
    }
    for shard, stems in enumerate([list(images)[:2], list(images)[2:]]):
        with tarfile.open(home / f"imagenet1k-train-{shard:04d}.tar", "w") as archive:
            for stem in stems:
                data, label = images[stem]
                sidecar = {"filename": f"{stem}.JPEG", "class": stem[:9], "label": label, "width": 40, "height": 30}
                add_member(archive, f"{stem}.cls", str(label).encode())
                add_member(archive, f"{stem}.jpg", data)
                add_member(archive, f"{stem}.json", json.dumps(sidecar).encode())
    split = {"name": "train", "num_samples": 3, "filenames": [f"imagenet1k-train-{n:04d}.tar" for n in (0, 1)]}
    (home / "_info.json").write_text(json.dumps({"splits": {"train": split | {"shard_lengths": [2, 1]}}}))
    index = index_of(home, tmp_path)
    assert facts(index) == {stem: (stem[:9], "train") for stem in images}
    assert contents(index) == {stem: data for stem, (data, _) in images.items()}


def test_tiny_imagenet_has_boxes_beside_its_images_and_a_table_for_val(tmp_path: Path) -> None:
    home = tmp_path / "tiny-imagenet-200"
    images: dict[str, bytes] = {}

    def put(place: str, seed: int) -> None:
        path = home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        images[path.stem] = photograph(seed, (64, 64))
        path.write_bytes(images[path.stem])

    for seed, wnid in enumerate((GOLDFISH, "n01629819")):
        for n in (0, 1):
            put(f"train/{wnid}/images/{wnid}_{n}.JPEG", 10 * seed + n)
        lines = [f"{wnid}_{n}.JPEG\t0\t10\t63\t58\n" for n in (0, 1, 499)]  # 499 is not there
        (home / f"train/{wnid}/{wnid}_boxes.txt").write_text("".join(lines))
    put("val/images/val_0.JPEG", 90)
    put("test/images/test_0.JPEG", 91)
    (home / "val/val_annotations.txt").write_text("val_0.JPEG\tn01629819\t0\t32\t44\t62\n")
    (home / "wnids.txt").write_text(f"n01629819\n{GOLDFISH}\n")
    (home / "words.txt").write_text(f"{GOLDFISH}\tgoldfish, Carassius auratus\n")
    index = index_of(home, tmp_path)
    found = facts(index)
    assert found["val_0"] == ("n01629819", "val") and found["test_0"] == (None, "test")
    assert found[f"{GOLDFISH}_1"] == (GOLDFISH, "train")
    assert contents(index) == images
    boxes = index.sql("SELECT image_id, xmin, ymin, xmax, ymax FROM boxes WHERE image_id = 'val_0'").fetchall()
    assert boxes == [("val_0", 0, 32, 44, 62)]
    assert index.sql("SELECT count(*) FROM boxes").fetchall() == [(5,)]
    assert index.sql("SELECT image_id, reason FROM unused_boxes ORDER BY ALL").fetchall() == [
        (f"{GOLDFISH}_499", "no_image"),
        ("n01629819_499", "no_image"),
    ]


def test_imagenet_v2_has_folders_called_by_the_decimal_index(tmp_path: Path) -> None:
    classes = {0: TENCH, 1: GOLDFISH, 13: JUNCO}
    images = {hashlib.sha1(str(n).encode()).hexdigest(): (photograph(n), n) for n in classes}
    with tarfile.open(tmp_path / "imagenetv2-matched-frequency.tar.gz", "w:gz") as archive:
        for name, (data, n) in images.items():
            add_member(archive, f"imagenetv2-matched-frequency-format-val/{n}/{name}.jpeg", data)
    index = index_of(tmp_path / "imagenetv2-matched-frequency.tar.gz", tmp_path)
    assert facts(index) == {name: (classes[n], "test") for name, (_, n) in images.items()}
    assert contents(index) == {name: data for name, (data, _) in images.items()}
    assert index.sql("SELECT DISTINCT dataset FROM images").fetchall() == [("imagenetv2-matched-frequency",)]


def test_imagenet32_has_planes_of_red_green_and_blue_and_the_devkits_labels(tmp_path: Path) -> None:
    # image2numpy_imagenet_train.py: list(r) + list(g) + list(b) of each image, and the numbers of map_clsloc.txt.
    map_clsloc = {1: "n02119789", 2: "n02100735", 3: "n02110185", 1000: "n03255030"}
    generator = np.random.RandomState(5)
    truth: dict[str, tuple[str, bytes]] = {}

    def batch(name: str, labels: list[int], home: Path, *, is_train: bool) -> None:
        rows = []
        for n, label in enumerate(labels):
            image = generator.randint(0, 256, (32, 32, 3)).astype(np.uint8)
            r, g, b = (image[:, :, channel].flatten() for channel in range(3))
            rows.append(np.array(list(r) + list(g) + list(b), dtype=np.uint8))
            truth[f"{name}_{n}"] = (map_clsloc[label], image.tobytes())
        content = {"data": np.stack(rows), "labels": np.array(labels)}
        mean = {"mean": np.mean(content["data"], axis=0)} if is_train else {}
        home.mkdir(exist_ok=True)
        np.savez(home / f"{name}.npz", **content, **mean)

    root = tmp_path / "imagenet32"
    root.mkdir()
    for number in range(1, 11):
        batch(f"train_data_batch_{number}", [number % 3 + 1, 1000], root / "Imagenet32_train_npz", is_train=True)
    batch("val_data", [2, 3], root / "Imagenet32_val_npz", is_train=False)
    index = index_of(root, tmp_path)
    assert facts(index) == {
        name: (wnid, "val" if name.startswith("val") else "train") for name, (wnid, _) in truth.items()
    }
    for name, data in contents(index).items():
        with Image.open(io.BytesIO(data)) as image:
            assert (image.mode, image.size, image.tobytes()) == ("RGB", (32, 32), truth[name][1])
    assert index.sql("SELECT DISTINCT dataset FROM images").fetchall() == [("imagenet32",)]
