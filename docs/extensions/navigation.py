"""Navigation from the lists of links of index pages, so that a list of pages is written once.

GitHub shows the directive `toctree` as a block of code. Index pages get an invisible one instead: the pages
that their lists and tables link to, in order, become their children in the sidebar. Children of the start
page are the index pages alone; it may link to any other page too.
"""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

# Pages whose links are the pages of a part, by the end of their names.
_INDEX_NAMES = ("/index", "/decisions/README")


def _children(document: nodes.document, name: str, start: str) -> list[str]:
    """Return the pages that the lists and tables of an index page link to, once each and in order."""
    parts = document.findall(lambda node: isinstance(node, (nodes.list_item, nodes.row)))
    links = [link for part in parts for link in part.findall(addnodes.pending_xref)]
    targets = [link["reftarget"] for link in links if link.get("refdomain") == "doc"]
    return list(dict.fromkeys(target for target in targets if target.endswith("/index") == (name == start)))


class IndexToctree(SphinxTransform):
    """Adds the toctree of an index page."""

    default_priority = 870  # before Sphinx collects the toctrees, at 880

    def apply(self, **_: Any) -> None:
        """Append a hidden toctree to an index page."""
        name = self.env.current_document.docname
        if not name.endswith(_INDEX_NAMES):
            return
        children = _children(self.document, name, self.config.root_doc)
        toctree = addnodes.toctree(
            parent=name,
            entries=[(None, child) for child in children],
            includefiles=children,
            maxdepth=-1,
            caption=None,
            glob=False,
            hidden=True,
            includehidden=False,
            numbered=0,
            titlesonly=True,
        )
        section = self.document.next_node(nodes.section)
        section.append(nodes.compound("", toctree, classes=["toctree-wrapper"]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_transform(IndexToctree)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
