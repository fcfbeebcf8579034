"""Makes the pictures of the documentation.

python -m docs.pictures                      # all, which takes minutes
python -m docs.pictures page-look top-9      # only these
"""

import argparse
import tempfile
from pathlib import Path

from docs.pictures.files import FOLDER, PICTURES, path_of, write
from docs.pictures.material import Material


def main() -> None:
    """Make the named pictures, or all; then delete files that are not pictures any more."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder, Material(Path(folder), arguments.models) as material:
        for name in arguments.names or PICTURES:
            write(name, PICTURES[name](material))
            print(f"{path_of(name)}: {path_of(name).stat().st_size / 1000:.0f} kB", flush=True)
    for path in FOLDER.iterdir():
        if path.stem not in PICTURES:
            path.unlink()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", choices=[[], *PICTURES], metavar="NAME", help="pictures; default: all"
    )
    parser.add_argument(
        "--models", type=Path, default=Path(".venv/models"), help="model store with squeezenet-imagenet"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
