"""How a command says which photos of a data set it used, which not, and why."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zfscope.datasets import PassedOver
    from zfscope.datasets.read import Skipped

# Photos that a sentence names of those that could not be used.
_NAMED = 3


def passed_over_json(passed_over: "Iterable[PassedOver]") -> dict[str, int]:
    """Return how many files of each kind were passed over."""
    return {passed.kind: passed.count for passed in passed_over}


def skipped_json(skipped: "Iterable[Skipped]") -> list[dict[str, str]]:
    """Return the photos that could not be used, each with the reason."""
    return [{"path": photo.name, "reason": photo.reason} for photo in skipped]


def photos_json(
    images: int, skipped: "Sequence[Skipped]", passed_over: "Iterable[PassedOver]"
) -> dict[str, Any]:
    """Return the counts that every command with a data set prints for programs, and the skipped photos."""
    return {
        "images": images,
        "skipped": len(skipped),
        "skipped_photos": skipped_json(skipped),
        "passed_over": passed_over_json(passed_over),
    }


def sentence(images: int, skipped: str, passed_over: "Sequence[PassedOver]") -> str:
    """Return how many photos were used, without a full stop. skipped: those that could not be, in words."""
    parts = [f"{images:,} photo{'' if images == 1 else 's'}"]
    if skipped:
        parts.append(skipped)
    if passed_over:
        parts.append(passed_over_in_words(passed_over))
    return "; ".join(parts)


def passed_over_in_words(passed_over: "Iterable[PassedOver]") -> str:
    """Return what was passed over, by kind."""
    from zfscope.datasets.passed_over import in_words

    return f"passed over: {in_words(passed_over)}"


def skipped_in_words(skipped: "Sequence[Skipped]") -> str:
    """Return which photos could not be used, empty where all could be."""
    if not skipped:
        return ""
    from zfscope.datasets.names import quoted

    named = "; ".join(f"{quoted(photo.name)}: {photo.reason}" for photo in skipped[:_NAMED])
    more = f"; and {len(skipped) - _NAMED:,} more" if len(skipped) > _NAMED else ""
    return f"{len(skipped):,} could not be used ({named}{more})"
