"""What this project does in a benchmark; each function prepares, and gives the work that is timed."""

from __future__ import annotations

from collections.abc import Callable

from tests.benchmarks import timed


def build_index(index: str, *sources: str, probe: bool = True) -> Callable[[], int]:
    """An index of sources, on disk: images, or boxes where there are no images."""
    import imagenet_tools

    def work() -> int:
        rows = imagenet_tools.build_index(sources, index, probe=probe).rows
        return rows.get("images", 0) or rows.get("boxes", 0) + rows.get("unused_boxes", 0)

    return work


def build_index_unprobed(index: str, *sources: str) -> Callable[[], int]:
    """Names, places and lengths alone."""
    return build_index(index, *sources, probe=False)


def open_and_count(index: str) -> Callable[[], int]:
    """Open an index and count the images below dog.n.01."""
    import imagenet_tools

    return lambda: len(imagenet_tools.open_index(index).sql(_DOGS).fetchall())


def query(index: str) -> Callable[[], int]:
    """Count the images below dog.n.01, a hundred times on an open index."""
    import imagenet_tools

    opened = imagenet_tools.open_index(index)
    opened.sql(_DOGS).fetchall()

    def work() -> int:
        return len([opened.sql(_DOGS).fetchall() for _ in range(100)])

    return work


_DOGS = "SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01')"


def inclusive_counts(index: str) -> Callable[[], int]:
    """The images at or below each of the 82,115 synsets, counted from the images."""
    import imagenet_tools

    opened = imagenet_tools.open_index(index)
    asked = """SELECT ancestor, sum(n) FROM closure JOIN (
                   SELECT wnid AS descendant, count(*) AS n FROM images GROUP BY wnid)
               USING (descendant) GROUP BY ancestor"""
    return lambda: len(opened.sql(asked).fetchall())


def split(index: str) -> Callable[[], int]:
    """Every image drawn into a split."""
    import imagenet_tools

    opened = imagenet_tools.open_index(index)
    asked = "SELECT count(*), count(*) FILTER (draw(hash32, 7) < 429496730) FROM images"
    return lambda: int(opened.sql(asked).fetchall()[0][0])


def wordnet() -> Callable[[], int]:
    """Open the hierarchy and take everything below its root."""
    from imagenet_tools import hierarchy

    return lambda: len(hierarchy.descendants("entity.n.01"))


def export(index: str, dest: str, to: str, link: str = "auto") -> Callable[[], int]:
    """An export of everything."""
    import imagenet_tools

    def work() -> int:
        chosen = imagenet_tools.open_index(index).select()
        return imagenet_tools.export(chosen, dest, to=to, link=link).images()  # type: ignore[arg-type]

    return work


WORKS = {
    name: work for name, work in globals().items() if callable(work) and getattr(work, "__module__", "") == __name__
}

if __name__ == "__main__":
    timed.run(WORKS)
