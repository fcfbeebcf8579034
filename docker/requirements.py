"""Print what zfscope and some of its extras depend on, a line each: python requirements.py cpu."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
print(*project["dependencies"], *(each for extra in sys.argv[1:] for each in extras[extra]), sep="\n")
