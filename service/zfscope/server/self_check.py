"""Check of everything that a start of the service needs: credentials, addresses, store, analyzers, models."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import grpc

from zfscope.analysis.registry import load_analyzers
from zfscope.errors import ZfscopeError
from zfscope.server.backend import Backend
from zfscope.server.credentials import ServiceCredentials
from zfscope.server.listen import bind, bind_health
from zfscope.server.settings import Settings, unknown_variables
from zfscope.server.telemetry.metrics import Metrics, MetricsServer
from zfscope.store import DamagedEntry, Manifest, ModelStore


class CheckState(StrEnum):
    """Outcome of a check; the service starts, and serves every model, unless one has failed."""

    ok = "ok"
    warning = "warning"
    failed = "failed"


@dataclass(frozen=True)
class ServiceCheck:
    """A check and its outcome. details: what was found, or why it failed."""

    name: str
    state: CheckState
    details: str


async def check_service(settings: Settings) -> list[ServiceCheck]:
    """Check what `serve` needs with these settings, without serving; problems are reported, not raised."""
    checks = [
        *(_unknown_variable(name, nearest) for name, nearest in unknown_variables()),
        _check("settings", lambda: "valid"),
        _check("credentials", lambda: _credentials(settings)),
        *[await _bound(name, settings) for name in ("listen", "health_listen") if getattr(settings, name)],
    ]
    if settings.metrics_listen:
        checks.append(_check("metrics_listen", lambda: _metrics(settings)))
    store = _check("store", lambda: _store(settings))
    analyzers = _check("analyzers", lambda: ", ".join(load_analyzers(settings.analyzers)))
    checks += [store, analyzers]
    if CheckState.failed not in (store.state, analyzers.state):
        checks += _models(settings)
    return checks


def failed_settings(error: ZfscopeError) -> ServiceCheck:
    """Return the check of settings that are invalid."""
    return ServiceCheck("settings", CheckState.failed, error.message)


def _check(name: str, run: Callable[[], str]) -> ServiceCheck:
    """Run a check; any exception is a failure. run: returns the details."""
    try:
        return ServiceCheck(name, CheckState.ok, run())
    except ZfscopeError as error:
        return ServiceCheck(name, CheckState.failed, error.message)
    except Exception as error:
        return ServiceCheck(name, CheckState.failed, f"{type(error).__name__}: {error}")


def _unknown_variable(name: str, nearest: str) -> ServiceCheck:
    hint = f"; did you mean {nearest}?" if nearest else ""
    return ServiceCheck(f"variable {name}", CheckState.warning, f"unknown, and ignored{hint}")


def _credentials(settings: Settings) -> str:
    credentials = ServiceCredentials(settings)
    parts = (
        "TLS" if credentials.tls else "no TLS",
        "client certificates" if settings.tls_client_ca else "",
        "tokens" if credentials.tokens else "no tokens",
    )
    return ", ".join(part for part in parts if part)


async def _bound(name: str, settings: Settings) -> ServiceCheck:
    """Bind an address of gRPC, and free it."""
    server = grpc.aio.server()
    try:
        if name == "listen":
            return _check(name, lambda: bind(server, settings, ServiceCredentials(settings)))
        return _check(name, lambda: bind_health(server, settings))
    finally:
        await server.stop(None)


def _metrics(settings: Settings) -> str:
    server = MetricsServer(Metrics(), settings.metrics_listen)
    server.close()
    return server.address


def _store(settings: Settings) -> str:
    listing = ModelStore(settings.store).listing()
    return f"{settings.store}: {len(listing)} version{'' if len(listing) == 1 else 's'} of models"


def _models(settings: Settings) -> Iterator[ServiceCheck]:
    """Load each version and run a forward pass with it, as the service would at its first request."""
    try:
        backend = Backend(settings, Metrics())
    except ZfscopeError as error:
        yield ServiceCheck("default model", CheckState.failed, error.message)
        return
    for entry in backend.models.listing():
        name = f"model {entry.name} {entry.version}"
        if isinstance(entry, DamagedEntry):
            yield ServiceCheck(name, CheckState.failed, entry.reason)
        else:
            yield _check(name, lambda entry=entry: _model(backend, entry))  # type: ignore[misc]


def _model(backend: Backend, manifest: Manifest) -> str:
    loaded = backend.load_model(manifest.name, manifest.version)
    loaded.warm_up()
    default = ", the default" if (manifest.name, manifest.version) == backend.models.default else ""
    return f"runs on {loaded.runtime.title}{default}"
