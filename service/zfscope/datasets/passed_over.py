"""What a data set's folder holds besides its photos: counted by kind, with the first names of each."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from zfscope.datasets.names import quoted

# Names kept of each kind.
_EXAMPLES = 3
# Suffixes named of files that are not images.
_SUFFIXES = 4

# Files that file managers leave in folders, in lower case; names that begin with a dot are hidden too.
_LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
# Folders of disks, Windows, macOS, Android, NAS, rsync and Python, in lower case.
_SYSTEM_FOLDERS = frozenset(
    {
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@sharebin",
        "@tmp",
        "__macosx",
        "__pycache__",
        "_gsdata_",
        "lost+found",
        "lost.dir",
        "system volume information",
        "~snapshot",
    }
)
# What chkdsk found, and the bin of old Windows, whose name in small letters may be a class.
_SYSTEM = re.compile(r"(?i:found\.[0-9]{3})|RECYCLER")

# Pictures and galleries that zfscope made.
OWN, GALLERY = "zfscope", "gallery"
HIDDEN, SYSTEM, OTHER, SPECIAL = "hidden", "system", "other", "special"
LOOP, REPEATED, DANGLING, UNREADABLE, TAR_LINK = "loop", "repeated", "dangling", "unreadable", "tar_link"
# Of images only: what editors and copies leave next to a file that they change.
BACKUP = "backup"
# Training and evaluation alone: they need a class for each photo.
UNCLASSIFIED = "unclassified"

_WORDS: Mapping[str, tuple[str, str]] = {
    HIDDEN: ("hidden file or folder", "hidden files or folders"),
    SYSTEM: ("folder of a system or program", "folders of systems or programs"),
    OWN: ("picture of zfscope", "pictures of zfscope"),
    GALLERY: ("gallery of zfscope", "galleries of zfscope"),
    BACKUP: ("backup of a photo", "backups of photos"),
    OTHER: ("file that is not an image", "files that are not images"),
    SPECIAL: ("pipe, socket or device", "pipes, sockets or devices"),
    LOOP: ("link that leads in a circle", "links that lead in a circle"),
    REPEATED: (
        "link to a file or folder that its class has already",
        "links to files or folders that their class has already",
    ),
    DANGLING: ("link to nothing", "links to nothing"),
    TAR_LINK: ("link in a tar", "links in a tar"),
    UNREADABLE: ("file or folder that cannot be read", "files or folders that cannot be read"),
    UNCLASSIFIED: ("photo outside of all class folders", "photos outside of all class folders"),
}


@dataclass(frozen=True)
class PassedOver:
    """Files or folders of one kind that are not among the photos.

    kind: HIDDEN and so on, or the name of an image format that cannot be read, such as HEIC. examples: the
    first names. advice: what to do about them, empty where nothing is to be done.
    """

    kind: str
    count: int
    examples: tuple[str, ...] = ()
    advice: str = ""


@dataclass
class Collector:
    """Counts what is passed over while a data set is listed."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    advice: dict[str, str] = field(default_factory=dict)
    suffixes: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, name: str, *, advice: str = "") -> None:
        """Count a file or folder. name: its path in the data set."""
        self.counts[kind] += 1
        if advice:
            self.advice[kind] = advice
        if kind == OTHER:
            self.suffixes[PurePosixPath(name).suffix.lower() or "no suffix"] += 1
        # The first in order, whatever order a file system lists them in.
        self.examples[kind] = sorted([*self.examples.get(kind, []), name])[:_EXAMPLES]

    def result(self) -> tuple[PassedOver, ...]:
        """Return what was passed over, by kind."""
        return tuple(
            PassedOver(kind, count, self._examples(kind), self.advice.get(kind, ""))
            for kind, count in sorted(self.counts.items())
        )

    def _examples(self, kind: str) -> tuple[str, ...]:
        if kind == OTHER:
            ranked = sorted(self.suffixes.items(), key=lambda each: (-each[1], each[0]))
            return tuple(suffix for suffix, _ in ranked[:_SUFFIXES])
        return tuple(self.examples[kind])


def kind_of_name(name: str) -> str:
    """Return HIDDEN or SYSTEM for a file or folder that its own name marks as none of the user's, else ''."""
    if name.startswith(".") or name.lower() in _LITTER:
        return HIDDEN
    return SYSTEM if name.lower() in _SYSTEM_FOLDERS or _SYSTEM.fullmatch(name) else ""


def in_words(passed_over: Iterable[PassedOver]) -> str:
    """Describe what was passed over: `2 hidden files or folders, 1 link to nothing ('a/x.png')`."""
    return ", ".join(map(_described, passed_over))


def _described(passed: PassedOver) -> str:
    one, many = _WORDS.get(passed.kind, (f"{passed.kind} file", f"{passed.kind} files"))
    words = f"{passed.count:,} {one if passed.count == 1 else many}"
    if passed.kind == HIDDEN:
        return words
    if passed.kind == OTHER:
        return f"{words} ({', '.join(passed.examples)})"
    more = ", ..." if passed.count > len(passed.examples) else ""
    names = ", ".join(map(quoted, passed.examples))
    advice = f": {passed.advice}" if passed.advice else ""
    return f"{words} ({names}{more}{advice})"
