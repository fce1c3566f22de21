"""A child process that makes pictures: it reads an image from its archive, decodes it within limits, and encodes it."""

from __future__ import annotations

from imagenet_tools.explorer.children import DONE, FAILED, PICTURE_MEMORY_BYTES, READY, answer, confine, requests

# A progressive JPEG of few bytes can have thousands of scans, each of which passes over all pixels. The decoder has no
# limit: 6 kB took 2.4 s. Real files have about ten.
_MAX_SCANS = 100
_MAX_SIDE_PIXELS = 1600  # of a picture that is shown whole
_WHITE_PIXEL_GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
_SCAN = b"\xff\xda"


def main() -> None:
    """Answer requests until the server closes the pipe."""
    confine(PICTURE_MEMORY_BYTES)
    from imagenet_tools.containers import payload
    from imagenet_tools.display import pictures
    from imagenet_tools.errors import ImagenetToolsError
    from imagenet_tools.storage.blob import Descriptors

    messages = requests()
    files = Descriptors(stamps=next(messages))
    make_picture(_WHITE_PIXEL_GIF, [], fit=16, labels=False)  # imports what pictures need before a clock runs
    answer(READY)
    for place, edges, fit, labels in messages:
        try:
            data = payload.read(place, files)
            boxes = [pictures.ShownBox(*box) for box in edges]
            picture = make_picture(data, boxes, fit=fit, labels=labels)
        except (ImagenetToolsError, OSError, MemoryError) as error:
            answer(FAILED, (str(error) or type(error).__name__).encode())
        else:
            answer(DONE, picture)


def make_picture(data: bytes, boxes: list, *, fit: int | None, labels: bool) -> bytes:  # type: ignore[type-arg]
    """Return an image as JPEG, with boxes drawn.

    Raises:
        FormatError: It has more scans or pixels than are decoded, or cannot be decoded.
    """
    from imagenet_tools.display import pictures
    from imagenet_tools.errors import FormatError
    from imagenet_tools.images import probe

    n_scans = data.count(_SCAN)
    if n_scans > _MAX_SCANS:
        message = f"Found {n_scans:,} scans; an image of more than {_MAX_SCANS} is not decoded."
        raise FormatError(message, code="damaged")
    side = fit or _MAX_SIDE_PIXELS
    large = None if fit is None and max(probe.image(data).size) <= _MAX_SIDE_PIXELS else (side, side)
    picture = pictures.upright(data, boxes, fit=large, least=0 if fit else pictures.SMALL_PIXELS, labels=labels)
    return pictures.as_bytes(picture, "JPEG")


if __name__ == "__main__":
    main()
