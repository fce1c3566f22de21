"""Parts and the index before them become the files of the next generation: joined, checked, sorted, written.

Only files whose rows change are written anew. SQL does the work, pyarrow writes the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools import bbox, hierarchy, labels, terms
from imagenet_tools.errors import SourceError
from imagenet_tools.layout import FileEntry, Manifest, write_table
from imagenet_tools.parts import read_part
from imagenet_tools.schema import TABLES, arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


# The file that a row lies in, by its data set, split and wnid alone: adding a class rewrites one file in fifteen.
_IMAGE_PART = "dataset || '-' || coalesce(split, 'nosplit') || '-' || coalesce(left(wnid, 3), 'nolabel')"
_BOX_PART = "dataset || '-' || coalesce(left(wnid, 3), 'nolabel')"

# A name that no release shares: its id is the stem while the data set's stems differ, else the path without suffix.
_FOREIGN = "starts_with(photo, dataset || '/')"
_PATH = r"regexp_replace(replace(coalesce(member, file), '.tar/', '/'), '\.[^./]+$', '')"
_HASH32 = "('0x' || left(sha256(photo), 8))::UBIGINT::UINTEGER"

# Label sets that are the official truth: they may not contradict each other.
_TRUTH = ("devkit", "loc_csv")

_NAMED = 10  # how many images an error names


class Merge:
    """One merge: a DuckDB connection over the old files that stay and the new parts."""

    def __init__(self, folder: Path, old: Manifest, parts: Iterable[Path], dropped: Iterable[int], *, threads: int):
        import duckdb
        import pyarrow as pa

        self._folder = folder
        self._old = old
        self._new = list(parts)
        self._sql = duckdb.connect(config={"threads": threads})
        self._tables: dict[str, list[FileEntry]] = {}
        self._problem_counts: dict[str, int] = {}
        self._sql.register("dropped", pa.table({"unit": pa.array(sorted(dropped), pa.int64())}))
        truth = labels.validation_wnids()
        names = [f"ILSVRC2012_val_{number:08d}" for number in range(1, len(truth) + 1)]
        self._sql.register("official", pa.table({"image_id": names, "wnid": list(truth)}))

    def run(self) -> Manifest:
        """Write what changed; the manifest of the next generation, without sources. SourceError: a contradiction."""
        self._labels()
        self._boxes_to_choose()
        self._images()
        self._boxes()
        self._problems()
        self._wordnet()
        return Manifest(self._tables)

    def problem_counts(self) -> dict[str, int]:
        """Rows of the table problems by code, the most first; after run()."""
        return self._problem_counts

    # ---- rows: those of the old files whose units stay, and those of the new parts

    def _rows(self, view: str, *tables: str) -> None:
        """Define a view of all rows of some tables of one schema (the first one's), kept and new."""
        import pyarrow as pa

        columns = ", ".join(f'"{column.name}"' for column in TABLES[tables[0]].columns)
        new = [read_part(path, tables[0]) for path in self._new]
        self._sql.register(f"new_{view}", pa.concat_tables([arrow_schema(tables[0]).empty_table(), *new]))
        union = [f"SELECT {columns} FROM new_{view}"]
        for table in tables:
            files = [str(path) for path in self._old.paths(self._folder, table)]
            if files:
                union.append(f"SELECT {columns} FROM {_parquet(files)} WHERE unit NOT IN (FROM dropped)")
        self._sql.execute(f"CREATE TEMP VIEW {view} AS {' UNION ALL '.join(union)}")

    def _write(self, table: str, part: str, query: str) -> None:
        """Write one file of a table from a query whose order is total."""
        import pyarrow as pa

        columns = ", ".join(f'"{column.name}"' for column in TABLES[table].columns)
        rows = self._sql.sql(f"SELECT {columns} FROM ({query})")
        entry = write_table(self._folder, table, part, pa.RecordBatchReader.from_stream(rows))
        if entry is not None:
            self._tables.setdefault(table, []).append(entry)

    def _refuse(self, what: str, advice: str, query: str) -> None:
        """Raise SourceError if a query of (image_id, found, expected) finds anything."""
        found = self._sql.execute(f"SELECT DISTINCT image_id, found, expected FROM ({query}) ORDER BY ALL").fetchall()
        if found:
            named = "\n".join(f"  {image}: {says}, but {other}" for image, says, other in found[:_NAMED])
            rest = f"\n  ... and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
            message = f"{len(found):,} images {what}; nothing was indexed.\n{named}{rest}\n{advice}"
            raise SourceError(message)

    # ---- labels

    def _labels(self) -> None:
        self._rows("all_labels", "labels")
        truth = f"label_set IN {_TRUTH!r}"
        self._refuse(
            "have another label in a source than in the official ground truth",
            "One of the sources is not ILSVRC2012's, or is damaged: leave it out, or give another copy.",
            f"""SELECT image_id, l.source || ' says ' || l.wnid AS found,
                       'the official ground truth says ' || o.wnid AS expected
                FROM all_labels l JOIN official o USING (image_id)
                WHERE dataset = 'ilsvrc2012' AND {truth} AND l.wnid <> o.wnid""",
        )
        self._refuse(
            "have two labels",
            "One of the sources is wrong or of another data set: leave it out, or name it with --dataset.",
            f"""SELECT a.image_id, a.source || ' says ' || a.wnid AS found, b.source || ' says ' || b.wnid AS expected
                FROM all_labels a JOIN all_labels b USING (dataset, image_id)
                WHERE a.{truth} AND b.{truth} AND a.wnid < b.wnid""",
        )
        # Two lists of one source may say the same.
        once = "SELECT * EXCLUDE (unit), min(unit) AS unit FROM all_labels GROUP BY ALL ORDER BY ALL"
        self._write("labels", "all", once)

    # ---- images

    def _images(self) -> None:
        self._rows("found_images", "images", "copies")
        self._sql.execute(
            f"""CREATE TEMP TABLE by_path AS SELECT DISTINCT dataset FROM (
                    SELECT dataset, regexp_extract({_PATH}, '[^/]+$') AS stem FROM found_images WHERE {_FOREIGN}
                    GROUP BY ALL HAVING count(DISTINCT {_PATH}) > 1)"""
        )
        self._sql.execute(
            f"""CREATE TEMP VIEW all_images AS
                SELECT * REPLACE (CASE WHEN {_FOREIGN} THEN {_HASH32} ELSE hash32 END AS hash32) FROM (
                SELECT * REPLACE (CASE WHEN {_FOREIGN} THEN dataset || '/' || image_id ELSE photo END AS photo) FROM (
                SELECT * REPLACE (
                    CASE WHEN NOT {_FOREIGN} THEN image_id
                         WHEN dataset IN (FROM by_path) THEN {_PATH}
                         ELSE regexp_extract({_PATH}, '[^/]+$') END AS image_id,
                    coalesce(chosen.n, 0)::INTEGER AS n_boxes)
                FROM found_images LEFT JOIN chosen_counts chosen USING (dataset, image_id)))"""
        )
        self._check_images()
        touched = self._touched()
        for entry in self._old.tables.get("images", []):
            if entry.part not in touched:
                self._tables.setdefault("images", []).append(entry)
        for part in sorted(touched):
            placed = f"""SELECT *, row_number() OVER (PARTITION BY dataset, image_id
                                ORDER BY "offset" IS NULL, source, file, "offset", member) AS place
                         FROM all_images WHERE {_IMAGE_PART} = '{part}'"""
            order = 'dataset, split, wnid, image_id, source, file, "offset", member'
            self._write("images", part, f"SELECT * FROM ({placed}) WHERE place = 1 ORDER BY {order}")
            self._write("copies", part, f"SELECT * FROM ({placed}) WHERE place > 1 ORDER BY {order}")
        self._tables.get("images", []).sort(key=lambda entry: entry.part)
        self._view("images")

    def _touched(self) -> set[str]:
        """The parts of images that must be written: with new rows, rows that go, or another count of boxes."""
        found = self._sql.execute(
            f"SELECT DISTINCT {_IMAGE_PART} FROM all_images WHERE unit IN (SELECT DISTINCT unit FROM new_found_images)"
        )
        touched = {part for (part,) in found.fetchall()}
        old = [str(path) for table in ("images", "copies") for path in self._old.paths(self._folder, table)]
        if old:
            gone = f"SELECT DISTINCT {_IMAGE_PART} FROM {_parquet(old)} WHERE unit IN (FROM dropped)"
            changed = f"""SELECT DISTINCT {_IMAGE_PART} FROM (
                            SELECT i.dataset, i.split, i.wnid FROM {_parquet(old)} i
                            JOIN all_images a USING (dataset, source, file, "offset")
                            WHERE a.n_boxes <> i.n_boxes OR a.image_id <> i.image_id)"""
            touched |= {part for (part,) in self._sql.execute(f"{gone} UNION {changed}").fetchall()}
        return touched

    def _check_images(self) -> None:
        self._rows("all_problems", "problems")
        self._refuse(
            "lie in a folder of another class than the official ground truth gives",
            "Were they sorted by another list, or by ILSVRC ids taken for sorted indices? Sort them again, or index the flat tar.",
            "SELECT image_id, reason AS found, 'they must agree' AS expected FROM all_problems WHERE code = 'label_contradiction'",
        )
        self._refuse(
            "stand in two classes or two splits of one data set",
            "Where a source is a data set of its own, name it: --dataset NAME.",
            """SELECT image_id, min(place) AS found, max(place) AS expected FROM (
                 SELECT dataset, image_id, 'it is in ' || coalesce(split, 'no split') || ', ' || coalesce(wnid, 'no class')
                        || ' in ' || source AS place, coalesce(split, '') || coalesce(wnid, '') AS kind FROM all_images)
               GROUP BY dataset, image_id HAVING count(DISTINCT kind) > 1""",
        )

    # ---- boxes

    def _boxes_to_choose(self) -> None:
        """Where several sources have boxes of one image, one is chosen: those that state a size first."""
        self._rows("all_boxes", "boxes", "unused_boxes")
        self._sql.execute(
            """CREATE TEMP TABLE annotations AS
               SELECT dataset, image_id, source, file, count(*) AS n,
                      list_sort(list((xmin, ymin, xmax, ymax)))::VARCHAR AS content,
                      row_number() OVER (PARTITION BY dataset, image_id
                                         ORDER BY max(stated_width) IS NULL, source, file) AS place
               FROM all_boxes GROUP BY dataset, image_id, source, file"""
        )
        self._sql.execute(
            "CREATE TEMP TABLE chosen_counts AS SELECT dataset, image_id, n FROM annotations WHERE place = 1"
        )

    def _boxes(self) -> None:
        import pyarrow as pa

        found = self._sql.sql(
            """SELECT b.* REPLACE (coalesce(b.wnid, i.wnid) AS wnid), i.width, i.height,
                      CASE WHEN a.place = 1 AND i.image_id IS NULL THEN 'no_image'
                           WHEN a.place = 1 THEN NULL
                           WHEN a.content = first.content THEN 'repeated' ELSE 'conflict' END AS reason,
                      i.wnid AS image_wnid
               FROM all_boxes b
               JOIN annotations a USING (dataset, image_id, source, file)
               JOIN annotations first ON first.dataset = b.dataset AND first.image_id = b.image_id AND first.place = 1
               LEFT JOIN images i ON i.dataset = b.dataset AND i.image_id = b.image_id
               ORDER BY ALL"""
        ).to_arrow_table()
        columns = ("xmin", "ymin", "xmax", "ymax", "stated_width", "stated_height", "width", "height")
        done = bbox.normalise(*(found[name].cast(pa.float64()).fill_null(float("nan")).to_numpy() for name in columns))
        edges = {"nxmin": done.left, "nymin": done.top, "nxmax": done.right, "nymax": done.bottom}
        for name, values in edges.items():
            edge = pa.array(values, from_pandas=True)  # nan, what cannot be used, becomes null
            found = found.set_column(found.column_names.index(name), name, edge)
        known = [[flag for flag in flags or () if flag not in bbox.COMPUTED] for flags in found["flags"].to_pylist()]
        flags = pa.array([[*old, *new] for old, new in zip(known, done.flags, strict=True)], pa.list_(pa.string()))
        found = found.set_column(found.column_names.index("flags"), "flags", flags)
        self._sql.register("done_boxes", found)
        self._refuse(
            "have a box of another class than their label",
            "The annotations and the images are not of one release, or one is damaged: leave one out.",
            """SELECT image_id, source || ' has a box of ' || wnid AS found, 'the image is ' || image_wnid AS expected
               FROM done_boxes WHERE reason IS NULL AND wnid <> image_wnid AND image_id LIKE 'ILSVRC%_val_%'""",
        )
        order = "dataset, wnid, image_id, source, file, xmin, ymin, xmax, ymax, name, flags::VARCHAR"
        parts = self._sql.execute(
            f"SELECT DISTINCT {_BOX_PART} AS part FROM done_boxes WHERE reason IS NULL ORDER BY 1"
        )
        for (part,) in parts.fetchall():
            rows = f"FROM done_boxes WHERE reason IS NULL AND {_BOX_PART} = '{part}'"
            self._write("boxes", part, f"{rows} ORDER BY {order}")
        self._write("unused_boxes", "all", f"FROM done_boxes WHERE reason IS NOT NULL ORDER BY {order}")
        self._view("boxes")

    # ---- what is left

    def _problems(self) -> None:
        """The problems of the units, and those that only the whole shows (unit is null): written anew each time."""
        self._write(
            "problems",
            "all",
            """SELECT * FROM all_problems WHERE unit IS NOT NULL
               UNION ALL BY NAME
               SELECT 'no_label' AS code, source, dataset,
                      count(*) || ' images of split ' || coalesce(split, 'none') || ' have no label; expected a class '
                      || 'folder, a name that tells the class, or an official label list' AS reason
               FROM images WHERE wnid IS NULL AND split IS DISTINCT FROM 'test' GROUP BY source, dataset, split
               UNION ALL BY NAME
               SELECT 'box_conflict' AS code, source, file, dataset, image_id,
                      count(*) || ' boxes differ from those of the source that was taken; kept in unused_boxes' AS reason
               FROM done_boxes WHERE reason = 'conflict' GROUP BY source, file, dataset, image_id
               ORDER BY ALL""",
        )
        self._view("problems")
        counts = "SELECT code, count(*) FROM problems GROUP BY code ORDER BY count(*) DESC, code"
        self._problem_counts = dict(self._sql.execute(counts).fetchall())

    def _wordnet(self) -> None:
        """The graph, and how much of the index lies at and below each synset."""
        tables = {"closure": hierarchy.closure_table, "hypernyms": hierarchy.hypernyms_table}
        for table, made in tables.items():
            if table in self._old.tables:  # facts of WordNet 3.0: the same in every generation
                self._tables[table] = self._old.tables[table]
                self._view(table)
            else:
                self._sql.register(table, made())
                self._write(table, "all", f"FROM {table}")
        self._sql.register("facts", hierarchy.synsets_table())
        counts = """SELECT ancestor AS wnid, sum(n) AS inclusive, sum(n) FILTER (distance = 0) AS direct
                    FROM closure JOIN (SELECT wnid AS descendant, count(*) AS n FROM {} GROUP BY wnid)
                    USING (descendant) GROUP BY ancestor"""
        self._sql.execute(
            f"""CREATE TEMP TABLE counted AS
                SELECT facts.*, coalesce(i.direct, 0)::BIGINT AS n_images, coalesce(i.inclusive, 0)::BIGINT AS n_images_inclusive,
                       coalesce(b.direct, 0)::BIGINT AS n_boxes, coalesce(b.inclusive, 0)::BIGINT AS n_boxes_inclusive
                FROM facts LEFT JOIN ({counts.format("images")}) i USING (wnid)
                           LEFT JOIN ({counts.format("boxes")}) b USING (wnid)"""
        )
        self._write("synsets", "all", "FROM counted ORDER BY wnid")
        below = self._sql.execute("SELECT n_images_inclusive FROM counted ORDER BY wnid").fetchall()
        self._sql.register("made_terms", terms.terms_table(np.array(below, np.int64)[:, 0]))
        self._write("terms", "all", "FROM made_terms ORDER BY ALL")

    def _view(self, table: str) -> None:
        files = [str(self._folder / entry.file) for entry in self._tables.get(table, [])]
        if files:
            self._sql.execute(f"CREATE TEMP VIEW {table} AS FROM {_parquet(files)}")
        else:
            self._sql.register(table, arrow_schema(table).empty_table())


def _parquet(files: list[str]) -> str:
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{listed}])"
