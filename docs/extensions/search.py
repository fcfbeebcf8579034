"""Search for the end of a name: `MAX_PASSES` finds `ZFSCOPE_MAX_PASSES`.

Sphinx's search compares parts of words only if no page contains the whole word.
"""

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish


class SearchNames(SearchEnglish):
    """English, with the ends of names that contain underscores."""

    def split(self, input: str) -> list[str]:  # noqa: A002 # as in the base class
        """Return the words of a text."""
        words = super().split(input)
        return [*words, *(end for word in words for end in _ends(word))]


def _ends(name: str) -> list[str]:
    parts = name.strip("_").split("_")
    return ["_".join(parts[number:]) for number in range(1, len(parts))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Replace the language of the search."""
    app.add_search_language(SearchNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
