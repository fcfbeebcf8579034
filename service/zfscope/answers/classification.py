"""Result of a classification."""

from dataclasses import dataclass

from zfscope.results import Notice, html_table


@dataclass(frozen=True)
class ClassScore:
    """A class with its probability (0..1) and its score before the softmax (`logit`)."""

    index: int
    label_id: str
    label: str
    probability: float
    logit: float


@dataclass(frozen=True)
class Classification:
    """Most likely classes of a photo, most likely first. photo_size: (height, width) in pixels."""

    model: str
    version: int
    classes: tuple[ClassScore, ...]
    photo_size: tuple[int, int]
    warnings: tuple[Notice, ...] = ()
    precision: str = "float32"

    def _repr_html_(self) -> str:
        columns = ("probability", "class", "id")
        return html_table(
            columns, [(f"{score.probability:.1%}", score.label, score.label_id) for score in self.classes]
        )
