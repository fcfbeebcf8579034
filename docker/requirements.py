"""Print the dependencies of zfscope and of the given extras, one per line: python requirements.py cpu."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]


def requirements(extra: str) -> Iterator[str]:
    """Yield the dependencies of an extra; extras of zfscope among them are expanded."""
    for requirement in project["optional-dependencies"][extra]:
        further = re.fullmatch(r"zfscope\[([a-z,]+)\]", requirement)
        if further:
            for name in further[1].split(","):
                yield from requirements(name)
        else:
            yield requirement


print(*project["dependencies"], *(each for extra in sys.argv[1:] for each in requirements(extra)), sep="\n")
