"""Parts of the reference that are generated from the code when the site is built.

A page names a part in a comment, `<!-- generated: metrics -->`, which the part's Markdown replaces. GitHub
shows the page without it.
"""

import re
from collections.abc import Callable, Mapping

from sphinx.application import Sphinx

from reference import api, commands, errors, files, http, metrics, rpcs, settings

PARTS: Mapping[str, Callable[[], str]] = {
    "clients": api.clients,
    "client-methods": api.methods,
    "client-options": api.options,
    "results": api.results,
    "arguments": api.arguments,
    "plugin": api.plugin_api,
    "commands": commands.commands,
    "analyzer-commands": commands.analyzer_commands,
    "run-command": commands.run_command_options,
    "errors": errors.errors,
    "transport-errors": errors.transport,
    "http-statuses": errors.http_statuses,
    "error-classes": api.errors,
    "model-files": files.model_files,
    "index-files": files.index_files,
    "recipes": files.recipes,
    "run-files": files.run_files,
    "probe-files": files.probe_files,
    "paths": http.paths,
    "metrics": metrics.metrics,
    "rpcs": rpcs.rpcs,
    "service-settings": settings.service,
    "page-settings": settings.page,
    "client-settings": settings.client,
}
_MARKER = re.compile(r"<!-- generated: ([a-z-]+) -->")


def _insert(_: Sphinx, __: str, source: list[str]) -> None:
    source[0] = _MARKER.sub(lambda marker: PARTS[marker[1]](), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the replacement of markers."""
    app.connect("source-read", _insert)
    app.connect("autodoc-process-docstring", api.format_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
