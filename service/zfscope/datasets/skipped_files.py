"""Counts of the files and folders in a data set that are not photos, by kind and with examples."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from zfscope.datasets.names import quoted

# Maximum number of names listed per kind.
_EXAMPLES = 3
# Maximum number of suffixes listed for files that are not images.
_SUFFIXES = 4

# Files created by file managers, in lower case; names that start with a dot are hidden, too.
_HIDDEN_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
# Folders created by file systems, Windows, macOS, Android, NAS devices, rsync and Python, in lower case.
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
# Files recovered by chkdsk, and the recycle bin of old Windows: `recycler` in lower case may be a class.
_SYSTEM_FOLDER = re.compile(r"(?i:found\.[0-9]{3})|RECYCLER")

# Images and galleries created by zfscope.
OWN, GALLERY = "zfscope", "gallery"
HIDDEN, SYSTEM, OTHER, SPECIAL = "hidden", "system", "other", "special"
LOOP, REPEATED, DANGLING, UNREADABLE, TAR_LINK = "loop", "repeated", "dangling", "unreadable", "tar_link"
# Backup copies of images, as left by editors and copy tools.
BACKUP = "backup"
# In training and evaluation only, which need a class for each photo.
UNCLASSIFIED = "unclassified"

_NOUNS: Mapping[str, tuple[str, str]] = {
    HIDDEN: ("hidden file or folder", "hidden files or folders"),
    SYSTEM: ("system folder", "system folders"),
    OWN: ("image created by zfscope", "images created by zfscope"),
    GALLERY: ("gallery created by zfscope", "galleries created by zfscope"),
    BACKUP: ("backup of a photo", "backups of photos"),
    OTHER: ("file that is not an image", "files that are not images"),
    SPECIAL: ("pipe, socket or device", "pipes, sockets or devices"),
    LOOP: ("circular link", "circular links"),
    REPEATED: (
        "link to a file or folder already in its class",
        "links to files or folders already in their class",
    ),
    DANGLING: ("dangling link", "dangling links"),
    TAR_LINK: ("link in the tar", "links in the tar"),
    UNREADABLE: ("unreadable file or folder", "unreadable files or folders"),
    UNCLASSIFIED: ("photo outside the class folders", "photos outside the class folders"),
}


@dataclass(frozen=True)
class SkippedFiles:
    """Skipped files or folders of one kind.

    kind: a constant such as HIDDEN, or an image format that is not supported, such as JPEG XL. examples: the
    first names in order; for OTHER, the most frequent suffixes. advice: how to use the files; may be empty.
    """

    kind: str
    count: int
    examples: tuple[str, ...] = ()
    advice: str = ""


@dataclass
class SkippedFilesCounter:
    """Counter of skipped files, filled while a data set is listed."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    advice: dict[str, str] = field(default_factory=dict)
    suffixes: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, name: str, *, advice: str = "") -> None:
        """Count a file or folder. name: its path relative to the data set."""
        self.counts[kind] += 1
        if advice:
            self.advice[kind] = advice
        if kind == OTHER:
            self.suffixes[PurePosixPath(name).suffix.lower() or "no suffix"] += 1
        # The first by name: file systems list files in different orders.
        self.examples[kind] = sorted([*self.examples.get(kind, []), name])[:_EXAMPLES]

    def result(self) -> tuple[SkippedFiles, ...]:
        """Return the skipped files, sorted by kind."""
        return tuple(
            SkippedFiles(kind, count, self._examples(kind), self.advice.get(kind, ""))
            for kind, count in sorted(self.counts.items())
        )

    def _examples(self, kind: str) -> tuple[str, ...]:
        if kind == OTHER:
            ranked = sorted(self.suffixes.items(), key=lambda item: (-item[1], item[0]))
            return tuple(suffix for suffix, _ in ranked[:_SUFFIXES])
        return tuple(self.examples[kind])


def hidden_or_system(name: str) -> str:
    """Return HIDDEN or SYSTEM if the name of a file or folder marks it as such, else an empty string."""
    if name.startswith(".") or name.lower() in _HIDDEN_FILES:
        return HIDDEN
    return SYSTEM if name.lower() in _SYSTEM_FOLDERS or _SYSTEM_FOLDER.fullmatch(name) else ""


def describe_skipped(skipped_files: Iterable[SkippedFiles]) -> str:
    """Describe skipped files, such as `2 hidden files or folders, 1 dangling link ('a/x.png')`."""
    return ", ".join(map(_describe, skipped_files))


def _describe(files: SkippedFiles) -> str:
    singular, plural = _NOUNS.get(files.kind, (f"{files.kind} file", f"{files.kind} files"))
    text = f"{files.count:,} {singular if files.count == 1 else plural}"
    if files.kind == HIDDEN:
        return text
    if files.kind == OTHER:
        return f"{text} ({', '.join(files.examples)})"
    more = ", ..." if files.count > len(files.examples) else ""
    names = ", ".join(map(quoted, files.examples))
    advice = f": {files.advice}" if files.advice else ""
    return f"{text} ({names}{more}{advice})"
