"""`zfscope page`: serve the page in the browser, and the same analyses over HTTP and JSON."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfscope.allocator import SERVICE_BYTES, keep_freed_memory, release_freed_memory_at_rest
from zfscope.cli import options as opt
from zfscope.cli.command import FILES, option, parameter, use_connection_options, with_parameters
from zfscope.cli.connect import connect
from zfscope.cli.streams import OutputLost, echo
from zfscope.errors import MissingExtra, NotFound, ZfscopeError

if TYPE_CHECKING:  # imported with the client, which takes half a second
    from zfscope.client import ClientMethods

_LISTEN = "Address to listen on; port 0 selects a free port.  [default: 127.0.0.1:8080]"
_MODEL = (
    "Model for requests that name none. It must exist; a service that does not answer at start is not asked "
    "for it.  [default: the store's default model]"
)
_CERTIFICATE = "Certificate of the page, PEM; requires --tls-key."
_KEY = "Private key of the certificate, PEM."
_TOKENS = "File of accepted tokens, one per line; people and programs must present one."
_INSECURE = "Allow listening beyond loopback addresses without TLS or a token."
_HOST = "Host name by which browsers reach the page, besides localhost and IP addresses. May be repeated."
_SAMPLES = "Folder of sample photos.  [default: those of installed packages]"
_PREFIX = "server_"
# Seconds that a service has at start to say whether it has the model.
_CHECK_S = 5
_log = logging.getLogger("zfscope.page")

# Settings of the page; unset ones are read from the environment.
_SETTINGS = (
    option("listen", str | None, _LISTEN, metavar="HOST:PORT"),
    option("model", str | None, _MODEL, metavar="NAME"),
    option("samples", Path | None, _SAMPLES, metavar="DIR"),
    option("tls_certificate", Path | None, _CERTIFICATE, metavar="FILE"),
    option("tls_key", Path | None, _KEY, metavar="FILE"),
    option("token_file", Path | None, _TOKENS, metavar="FILE"),
    option("allow_insecure", bool | None, _INSECURE, flags=("--allow-insecure",)),
    option("public_host", list[str] | None, _HOST, metavar="NAME"),
)
# Options of the connection to the service of --server: those of other commands, with a prefix of their own.
_CONNECTION = (
    option(
        f"{_PREFIX}tls",
        bool,
        "Connect to the service with TLS and the system's certificate authorities.",
        False,
        flags=("--server-tls",),
    ),
    *(option(f"{_PREFIX}{name}", str | None, meaning, metavar="FILE") for name, meaning in FILES.items()),
)
_OTHERS = (
    parameter("open_browser", opt.OpenBrowser, False),
    parameter("store", opt.Store, None),
    parameter("precision", opt.Precision, None),
    parameter("indexes", opt.Indexes, None),
    parameter("server", opt.Server, ""),
)


def page(
    store: Path | None,
    precision: opt.PrecisionName | None,
    indexes: Path | None,
    server: str,
    open_browser: bool,
    **options: Any,
) -> None:
    """Serve the page in the browser until Ctrl-C.

    The page analyzes photos in this process, or by the service at --server. Programs get the same over HTTP
    and JSON: openapi.json describes it. Settings can also be set in the environment: ZFSCOPE_PAGE_LISTEN,
    ZFSCOPE_PAGE_TOKEN_FILE and so on.

    \b
    Examples:
      zfscope page --open
      zfscope page --server localhost:50051 --listen 127.0.0.1:8081
      zfscope page --listen 0.0.0.0:8080 --tls-certificate tls.crt --tls-key tls.key --token-file tokens
    """
    try:
        from zfscope.page.serve import serve
        from zfscope.page.settings import PageSettings
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "python_multipart", "starlette", "uvicorn"):
            raise
        raise MissingExtra("the page needs zfscope[page]: pip install 'zfscope[page]'") from error
    from zfscope.wire.settings import read_settings

    keep_freed_memory(SERVICE_BYTES)
    release_freed_memory_at_rest()
    connection = {name: options.pop(f"{_PREFIX}{name}") for name in ("tls", *FILES)}
    options["public_hosts"] = tuple(options.pop("public_host") or ()) or None
    passed = {name: value for name, value in options.items() if value not in (None, "")}
    settings = read_settings(PageSettings, **passed)

    def announce(url: str) -> None:
        _announce(f"zfscope page is available at {url}")
        if open_browser:
            import webbrowser

            webbrowser.open(url)

    with (
        use_connection_options(connection),
        connect(server, store, precision=precision, indexes=indexes) as client,
    ):
        if settings.model:
            _check_model(client, settings.model, remote=bool(server))
        serve(client, settings, announce=announce)


def _check_model(client: "ClientMethods", name: str, *, remote: bool) -> None:
    """Raise NotFound for a model that the store or the service lacks.

    A service may start after the page, which waits for it: without an answer, its models are not checked.
    """
    try:
        client.model(name, timeout_s=_CHECK_S)
    except NotFound:
        raise
    except ZfscopeError as error:
        if not remote:
            raise
        _log.warning("model '%s' was not checked: %s", name, error)


with_parameters(page, *_OTHERS, *_SETTINGS, *_CONNECTION)


def _announce(line: str) -> None:
    """Print a line and flush: the parent process may read it through a pipe. Raises OSError."""
    try:
        echo(line)
    except OutputLost as lost:
        raise lost.error from None
