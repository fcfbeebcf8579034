"""Links between pages, the length of the main pages, and the format of the decisions."""

import re
from pathlib import Path

import pytest

from tests.support.pages import NOTEBOOKS, PAGES, ROOT, anchors_of, links_of, name_of

LINKED = (*PAGES, *NOTEBOOKS, ROOT / "SECURITY.md", ROOT / "CHANGELOG.md")
DECISIONS = sorted((ROOT / "docs" / "explanation" / "decisions").glob("[!R]*.md"))


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_every_link_points_to_an_existing_file_and_heading(page: Path) -> None:
    broken = []
    for target in links_of(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(target)
    assert broken == []


def test_every_page_is_reachable_from_the_readme() -> None:
    reached, pending = set(), [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        reached.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links_of(page)]
        pending += [
            file
            for file in targets
            if file.suffix in (".md", ".ipynb") and file.exists() and file not in reached
        ]
    assert [name_of(page) for page in (*PAGES, *NOTEBOOKS) if page not in reached] == []


@pytest.mark.parametrize(("name", "limit"), [("README.md", 900), ("ARCHITECTURE.md", 2000)])
def test_readme_and_architecture_stay_short(name: str, limit: int) -> None:
    assert len((ROOT / name).read_text().split()) <= limit


def test_modules_and_folders_in_the_code_map_exist() -> None:
    roots = (ROOT, ROOT / "service" / "zfscope", *(ROOT / "service" / "zfscope").glob("*/"))
    named = re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)*(?:\.py|/)?)`", (ROOT / "ARCHITECTURE.md").read_text())
    paths = [name.rstrip("/") for name in named if "/" in name or name.endswith(".py")]
    missing = [
        path
        for path in paths
        if not any((root / path).exists() or (root / f"{path}.py").exists() for root in roots)
    ]
    assert missing == []


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_every_decision_states_its_cost_and_evidence(page: Path) -> None:
    for decision in page.read_text().split("\n## ")[1:]:
        assert "*Cost:*" in decision, decision
        assert re.search(r"\*(Figures?|Test):\*", decision), decision
    assert [
        path for path in re.findall(r"`(tests/\S+\.py)`", page.read_text()) if not (ROOT / path).exists()
    ] == []
