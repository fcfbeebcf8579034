"""Print what zfscope and some of its extras depend on, a line each: python requirements.py cpu."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]


def requirements(extra: str) -> Iterator[str]:
    """Yield what an extra depends on; a further extra of zfscope is replaced by what it depends on."""
    for requirement in project["optional-dependencies"][extra]:
        further = re.fullmatch(r"zfscope\[([a-z,]+)\]", requirement)
        if further:
            for name in further[1].split(","):
                yield from requirements(name)
        else:
            yield requirement


print(*project["dependencies"], *(each for extra in sys.argv[1:] for each in requirements(extra)), sep="\n")
