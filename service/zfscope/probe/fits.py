"""Results of classifiers on disk while a probe is unfinished."""

from pathlib import Path
from typing import NamedTuple

from zfscope.files import writing
from zfscope.probe.classify import CLASSIFIER, Fit
from zfscope.probe.journal import Journal
from zfscope.probe.plan import ProbePlan

_JOURNAL = "classifiers.jsonl"


class FitKey(NamedTuple):
    """A classifier: its layer, number of photos per class, and split."""

    layer: str
    per_class: int
    split: int


class FitJournal:
    """The results of a plan's classifiers so far; those of another plan are discarded.

    done: results by classifier.
    """

    def __init__(self, folder: Path, plan: ProbePlan) -> None:
        """Open or create the journal. Raises CannotWrite."""
        path, inputs = folder / _JOURNAL, {"classifier": CLASSIFIER, "plan": plan.model_dump(mode="json")}
        self._journal = Journal(path)
        first, *others = [*self._journal] or [None]
        if first != inputs:
            others = []
            with writing(path):
                path.unlink()
            self._journal = Journal(path)
            self._journal.append(inputs)
        self.done: dict[FitKey, Fit] = {FitKey(*each["key"]): Fit(*each["fit"]) for each in others}

    def save(self, key: FitKey, fit: Fit) -> None:
        """Add the result of a classifier. Raises CannotWrite."""
        self._journal.append({"key": key, "fit": [fit.accuracy, fit.converged]})
        self.done[key] = fit
