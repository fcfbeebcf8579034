"""Errors and statuses, from the tables of `zfscope.wire`."""

import inspect

from reference.markdown import code, table, text
from zfscope import errors as classes
from zfscope.errors import ZfscopeError
from zfscope.page.errors import OWN, ROUTER
from zfscope.page.openapi import MEANINGS
from zfscope.wire.http_status import HTTP_STATUSES
from zfscope.wire.status import TRANSPORT, error_status


def errors() -> str:
    """Return a table of all error classes with their statuses."""
    kinds = [
        kind for kind in vars(classes).values() if inspect.isclass(kind) and issubclass(kind, ZfscopeError)
    ]
    return table(("class", "gRPC status", "reason", "HTTP", "retry"), [_error(kind) for kind in kinds])


def _error(kind: type[ZfscopeError]) -> tuple[str, ...]:
    status = error_status(kind(""))
    meaning = text((inspect.getdoc(kind) or "").partition("\n\n")[0])
    return (
        f"{code(kind.__name__)} {meaning}",
        code(status.code.name),
        code(status.reason),
        str(HTTP_STATUSES[status.reason]),
        f"after {status.retry_s} s" if status.retry_s else "",
    )


def transport() -> str:
    """Return a table of the statuses that do not come from the service, and their classes."""
    rows = [(code(status.name), code(kind.__name__)) for status, kind in TRANSPORT.items()]
    return table(("gRPC status", "class"), rows)


def http_statuses() -> str:
    """Return a table of the HTTP statuses of errors."""
    own = [*OWN.values(), *((status, reason) for status, (reason, _) in ROUTER.items())]
    reasons: dict[int, dict[str, None]] = {}
    for status, reason in [*((status, reason) for reason, status in HTTP_STATUSES.items()), *own]:
        reasons.setdefault(status, {})[reason] = None
    meanings = {status: meaning for status, (_, meaning) in ROUTER.items()} | MEANINGS
    rows = [
        (str(status), ", ".join(map(code, reasons[status])), text(meanings[status]))
        for status in sorted(meanings)
    ]
    return table(("status", "reasons", "meaning"), rows)
