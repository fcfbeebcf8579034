"""Code blocks, markers, links and anchors of the Markdown pages, and of the Markdown cells of notebooks."""

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "examples" / "zfscope-gradcam" / "README.md"
CAPTUM = ROOT / "examples" / "zfscope-captum" / "README.md"
PAGES = (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md")), GUIDE, CAPTUM)
NOTEBOOKS = tuple(sorted((ROOT / "docs").rglob("*.ipynb")))

_MARKER = re.compile(r"<!--\s*(not run|file|excerpt of|output)(?::\s*(.+?))?\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block, the line it starts on, and the marker directly above it, if any."""

    language: str
    text: str
    line: int
    marker: str = ""
    note: str = ""


@dataclass(frozen=True)
class Command:
    """A shell command and the output shown below it, or None."""

    line: str
    output: str | None


def name_of(page: Path) -> str:
    """Return the path of a page relative to the repository."""
    return page.relative_to(ROOT).as_posix()


def markdown_of(page: Path) -> str:
    """Return the text of a page, or of the Markdown cells of a notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    tokens = MarkdownIt("commonmark").parse(markdown_of(page))
    return [
        _block(token, before)
        for before, token in zip([None, *tokens], tokens, strict=False)
        if token.type == "fence"
    ]


def _block(fence: Token, before: Token | None) -> Block:
    marker = _MARKER.fullmatch(before.content.strip()) if before and before.type == "html_block" else None
    kind, note = (marker[1], marker[2] or "") if marker else ("", "")
    return Block(fence.info.strip(), fence.content, (fence.map or [0])[0] + 1, kind, note)


def commands_of(block: Block) -> list[Command]:
    """Return the commands of a `sh` block, one per line, or of a `console` block, whose prompts are `$ `.

    A backslash at the end of a line continues the command. In a console block, the lines up to the next
    prompt are the output of the command; if there are none, its output is not compared.
    """
    text = block.text.replace("\\\n", "")
    if block.language != "console":
        return [Command(line, None) for line in text.splitlines() if line and not line.startswith("#")]
    first, *rest = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not first, f"line {block.line}: a console block must start with `$ `"
    pairs = (part.partition("\n") for part in rest)
    return [Command(line, output if output.strip() else None) for line, _, output in pairs]


def matches(shown: str, printed: str) -> bool:
    """Return whether output matches what a page shows: `...` is any text; trailing spaces are ignored."""
    pattern = ".*?".join(re.escape(part) for part in _stripped(shown).split("..."))
    return re.fullmatch(pattern, _stripped(printed), flags=re.DOTALL) is not None


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def links_of(page: Path) -> list[str]:
    """Return the targets of the links and pictures of a page that point into the repository."""
    inline = (token for token in MarkdownIt("commonmark").parse(markdown_of(page)) if token.type == "inline")
    nodes = [node for token in inline for node in token.children or ()]
    targets = [str(node.attrs.get("href") or node.attrs.get("src") or "") for node in nodes]
    return [target for target in targets if target and not re.match(r"[a-z]+:", target)]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub generates for the headings of a page."""
    tokens = MarkdownIt("commonmark").parse(markdown_of(page))
    headings = [following.content for token, following in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
