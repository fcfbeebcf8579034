"""Writes the drawings of the documentation: `python -m docs.drawings`."""

from docs.drawings.files import FOLDER, files
from docs.drawings.rectification import picture


def main() -> None:
    """Write all drawings, and delete those that no code makes any more."""
    made = files()
    for path in FOLDER.glob("*.svg"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    picture().save(FOLDER / "rectification.jpg", quality=90)


if __name__ == "__main__":
    main()
