"""ImageNet-C: the mean corruption error of predictions for corrupted validation images (Hendrycks and Dietterich 2019).

The path of a row tells its corruption and severity: `gaussian_noise/3/n01440764/ILSVRC2012_val_00000293.JPEG`. Or the
name of its file does: `resnet50_gaussian_noise_3.npy`, or `resnet50/gaussian_noise/3.csv`. The relative error needs the
model's predictions for the validation images as they are, in a file of its name: `resnet50.npy`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools.evaluation.files import take
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from imagenet_tools.evaluation.files import Predictions

# AlexNet's error of each corruption, the mean of its severities, as google-research/augmix publishes it.
ALEXNET_ERRORS = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
# The error of the same AlexNet on the clean validation images: torchvision's weights, of 56.522 % top-1.
ALEXNET_CLEAN_ERROR = 0.43478
_EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")  # not part of the mean
_SEVERITIES = (1, 2, 3, 4, 5)
_CONDITION = re.compile(rf"({'|'.join((*ALEXNET_ERRORS, *_EXTRA))})[/_.-]?(?:severity)?[/_.-]?([1-5])(?!\d)")

CONVENTION = (
    "mean of 15 corruptions of (mean error of 5 severities / AlexNet's), with AlexNet's errors of AugMix's code; "
    "relative: less the clean errors"
)


class Condition(NamedTuple):
    """A corruption and its severity."""

    corruption: str
    severity: int


class CorruptionErrors(NamedTuple):
    """The top-1 errors of a model on ImageNet-C."""

    model: str
    errors: dict[Condition, float]
    clean: float | None = None  # the error on the validation images as they are, if it is known

    def by_corruption(self) -> dict[str, float]:
        """Return the mean error of each corruption that has all five severities."""
        return {
            corruption: float(np.mean([self.errors[Condition(corruption, severity)] for severity in _SEVERITIES]))
            for corruption in (*ALEXNET_ERRORS, *_EXTRA)
            if all(Condition(corruption, severity) in self.errors for severity in _SEVERITIES)
        }

    @property
    def mce(self) -> float | None:
        """The mean corruption error; None if a condition is missing."""
        return mean_corruption_error(self.by_corruption())

    @property
    def relative_mce(self) -> float | None:
        """The relative mean corruption error; None if a condition or the clean error is missing."""
        return None if self.clean is None else mean_corruption_error(self.by_corruption(), clean=self.clean)

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values."""
        errors = [{**condition._asdict(), "error": error} for condition, error in self.errors.items()]
        means = {"mce": self.mce, "relative_mce": self.relative_mce, "clean_error": self.clean}
        return {"model": self.model, **means, "by_corruption": self.by_corruption(), "errors": errors}

    def rows(self) -> list[tuple[object, ...]]:
        """Return a row a corruption for people, and the mean corruption error."""
        rows: list[tuple[object, ...]] = []
        for corruption, error in self.by_corruption().items():
            reference = ALEXNET_ERRORS.get(corruption)
            ratio, relative = "", ""
            if reference is not None:
                ratio = f"{error / reference:.2%}"
                if self.clean is not None:
                    relative = f"{(error - self.clean) / (reference - ALEXNET_CLEAN_ERROR):.2%}"
            rows.append((corruption, f"{error:.3%}", ratio, relative))
        if self.mce is None:
            needed = len(ALEXNET_ERRORS) * len(_SEVERITIES)
            found = sum(condition.corruption in ALEXNET_ERRORS for condition in self.errors)
            rows.append(("mean", f"{count_of(found, 'condition')} of {needed}", "not complete", ""))
        else:
            relative = "" if self.relative_mce is None else f"{self.relative_mce:.2%}"
            rows.append(("mean corruption error", "", f"{self.mce:.2%}", relative))
        return rows


def mean_corruption_error(errors: Mapping[str, float], *, clean: float | None = None) -> float | None:
    """Return the mean corruption error of the mean error of each corruption; None if one of the 15 is missing.

    With the model's clean error, the relative one: the clean errors of the model and of AlexNet are subtracted first.

    Example:
        >>> mean_corruption_error(ALEXNET_ERRORS)
        1.0
    """
    if not errors.keys() >= ALEXNET_ERRORS.keys():
        return None
    ours, theirs = (0.0, 0.0) if clean is None else (clean, ALEXNET_CLEAN_ERROR)
    ratios = [(errors[corruption] - ours) / (error - theirs) for corruption, error in ALEXNET_ERRORS.items()]
    return float(np.mean(ratios))


def condition_of(text: str) -> Condition | None:
    """Return the corruption and severity that a path names; None if it names none.

    Example:
        >>> condition_of("resnet50/jpeg_compression/5.npy")
        Condition(corruption='jpeg_compression', severity=5)
    """
    match = _CONDITION.search(text)
    return None if match is None else Condition(match[1], int(match[2]))


def model_of(text: str) -> str:
    """Return the name of predictions without corruption and severity."""
    return _CONDITION.sub("", text).strip("_-./ ") or "model"


def divided(predictions: Iterable[Predictions]) -> Iterator[tuple[Predictions, str, Condition | None]]:
    """Yield the predictions of each condition, with the name of the model; those of no condition as they are."""
    for one in predictions:
        by_path = [] if one.paths is None else [condition_of(str(path)) for path in one.paths]
        conditions = sorted({condition for condition in by_path if condition is not None})
        if not conditions or None in by_path:
            condition = condition_of(one.name)
            yield one, one.name if condition is None else model_of(one.name), condition
            continue
        for condition in conditions:
            rows = np.flatnonzero([found == condition for found in by_path])
            yield take(one, rows, f"{one.name} {condition.corruption} {condition.severity}"), one.name, condition
