"""torchvision beside a torch that its compiled half was not built for, as when that is for a GPU and torch is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_KEPT: list[object] = []


def complete() -> None:
    """Define what importing torchvision asks for, where its compiled half does not load; nothing measured calls it."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    assert spec is not None and spec.origin is not None
    try:
        for compiled in Path(spec.origin).parent.glob("_C.*"):
            torch.ops.load_library(compiled)
    except OSError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)  # what it defines is gone when it is
