"""Texts, sections and links of the built documentation site."""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from pathlib import Path
from urllib.parse import unquote

_TAG = re.compile(r"<[^>]+>")
_LINK = re.compile(r'<(?:a|link|script|img)\b[^>]*?\s(?:href|src)="([^"]*)"')
_ID = re.compile(r'\sid="([^"]+)"')
_SECTION = re.compile(r'<section id="([^"]+)"[^>]*>')


@dataclass(frozen=True)
class BuiltPage:
    """A page of the site."""

    path: Path

    @cached_property
    def html(self) -> str:
        """Source of the page."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def ids(self) -> set[str]:
        """Targets of links."""
        return {unescape(each) for each in _ID.findall(self.html)}

    @cached_property
    def links(self) -> list[str]:
        """Targets of links, pictures, styles and scripts."""
        return [unescape(each) for each in _LINK.findall(self.html)]

    @cached_property
    def text(self) -> str:
        """Text of the article."""
        return text_of(self.html.partition("<article")[2].partition("</article>")[0])

    @cached_property
    def sections(self) -> dict[str, str]:
        """Text of each section without its subsections, by id."""
        _, *parts = _SECTION.split(self.html)
        return {name: text_of(html) for name, html in zip(parts[::2], parts[1::2], strict=True)}


@dataclass(frozen=True)
class Site:
    """The built site."""

    folder: Path

    def page(self, name: str) -> BuiltPage:
        """Return a page by its path below `docs`, without suffix."""
        return BuiltPage(self.folder / "docs" / f"{name}.html")

    def pages(self) -> list[BuiltPage]:
        """Return all pages."""
        return [BuiltPage(path) for path in sorted(self.folder.rglob("*.html"))]


def text_of(html: str) -> str:
    """Return the text of HTML, with single spaces."""
    return " ".join(unescape(_TAG.sub("", html)).split())


def broken_links(pages: list[BuiltPage]) -> list[str]:
    """Return the links of pages that lead to a missing file or target of the site."""
    known = {page.path: page for page in pages}
    broken = []
    for page in pages:
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, target = link.partition("#")
            beside = os.path.normpath(page.path.parent / unquote(path.partition("?")[0]))
            file = Path(beside) if path else page.path
            if not file.exists() or (target and unquote(target) not in known[file].ids):
                broken.append(f"{page.path.name}: {link}")
    return broken
