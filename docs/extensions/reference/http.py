"""Paths of the page, from its OpenAPI description; the HTML is that of the page's own `docs`."""

from functools import cache
from typing import Any

from reference.markdown import anchor
from zfscope.local import LocalClient
from zfscope.page.application import create_application
from zfscope.page.documentation import sections
from zfscope.page.settings import PageSettings


@cache
def description() -> dict[str, Any]:
    """Return the OpenAPI description of the page."""
    app, state = create_application(LocalClient(), PageSettings())
    state.close()
    return app.openapi()


def paths() -> str:
    """Return a section for each kind of operations, and one for the objects that they name."""
    parts = []
    for section in sections(description()):
        parts.append(f"## {section.title}\n\n")
        for title, content in section.entries:
            target = anchor(title) if section.targets else ""
            parts.append(f"{target}### `{title}`\n\n{content}\n\n")
    return "".join(parts)
