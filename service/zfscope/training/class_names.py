"""Names of classes for people, held against the classes of the data."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from zfscope.errors import InputError
from zfscope.training.labelled import some


def check_names(classes: Sequence[str], names: Mapping[str, str]) -> None:
    """Raise InputError where names are given and none of them is that of a class."""
    if names and not set(classes) & set(names):
        message = f"none of the {len(names):,} labels names a class of the data; labels: {some(list(names))}"
        raise InputError(
            f"{message}; classes: {some(classes)}. Put a TAB behind a class with spaces", field="labels"
        )


def name_warnings(classes: Sequence[str], names: Mapping[str, str]) -> Iterator[str]:
    """Return a warning about labels that fit no class, one about classes without one, and one about twins."""
    if not names:
        return
    strange = [name for name in names if name not in set(classes)]
    if strange:
        yield f"{len(strange):,} of {len(names):,} labels name no class of the data: {some(strange)}"
    bare = [name for name in classes if name not in names]
    if bare:
        yield (
            f"{len(bare):,} of {len(classes):,} classes have no label, and are called as their folders: "
            f"{some(bare)}. Put a TAB behind a class with spaces"
        )
    called = Counter(names.get(name, name) for name in classes)
    twins = [name for name, count in called.items() if count > 1]
    if twins:
        yield f"several classes have the same label: {some(twins)}"
