"""Certificates and tokens of the service, read again when their files change."""

import asyncio
from collections.abc import Callable, Hashable
from pathlib import Path

import grpc
import structlog

from zfscope.errors import InputError, ZfscopeError
from zfscope.server.settings import Settings
from zfscope.wire.credentials import AcceptedTokens, read_authorities, read_pair, read_tokens

# Seconds between two checks of the files.
INTERVAL_S = 2.0
_log = structlog.get_logger("zfscope.server")


class ServiceCredentials:
    """Certificates and tokens that the service uses now. Thread-safe: each is replaced as a whole."""

    def __init__(self, settings: Settings) -> None:
        """Read all files. Raises InputError for files and tokens that cannot be used."""
        self._settings = settings
        certificate_files = (settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        # Before the files are read: a later change is then always noticed.
        self._files = (
            _WatchedFiles("certificates", certificate_files, self._read_certificates),
            _WatchedFiles("tokens", (settings.token_file,), self._read_tokens),
        )
        self.tokens = AcceptedTokens(())
        self._certificates: grpc.ServerCertificateConfiguration | None = None
        self._presented: grpc.ServerCertificateConfiguration | None = None
        self._read_tokens()
        self._read_certificates()

    @property
    def tls(self) -> bool:
        """Whether the service uses TLS."""
        return self._certificates is not None

    @property
    def authenticates(self) -> bool:
        """Whether clients must send a token or present a certificate."""
        return bool(self.tokens) or self._settings.tls_client_ca is not None

    def server_credentials(self) -> grpc.ServerCredentials | None:
        """Return credentials that use the current certificates for each new connection; None without TLS."""
        if self._certificates is None:
            return None
        self._presented = self._certificates
        return grpc.dynamic_ssl_server_credentials(
            self._certificates,
            self._changed_certificates,  # type: ignore[arg-type]  # the stubs omit None, for unchanged ones
            require_client_authentication=self._settings.tls_client_ca is not None,
        )

    def refresh(self) -> None:
        """Read the files that have changed; keep what is in use if they are invalid."""
        for files in self._files:
            files.check()

    async def watch(self, interval_s: float = INTERVAL_S) -> None:
        """Call `refresh` every `interval_s` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await asyncio.to_thread(self.refresh)

    def _changed_certificates(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the certificates for a new connection; None if they are those of the one before."""
        if self._certificates is self._presented:
            return None
        self._presented = self._certificates
        return self._presented

    def _read_tokens(self) -> None:
        self.tokens.replace(read_tokens(self._settings.token, self._settings.token_file))

    def _read_certificates(self) -> None:
        settings = self._settings
        pair = read_pair(settings.tls_certificate, settings.tls_key, prefix="tls")
        if settings.tls_client_ca and pair is None:
            message = "tls_client_ca is set without tls_certificate and tls_key; set all three"
            raise InputError(message, field="tls_client_ca")
        authorities = (
            read_authorities(settings.tls_client_ca, field="tls_client_ca")
            if settings.tls_client_ca
            else None
        )
        if pair:
            self._certificates = grpc.ssl_server_certificate_configuration([pair[::-1]], authorities)


class _WatchedFiles:
    """Files that are read together: again when any changes, until that succeeds.

    While files are being replaced, some may be new and others old, and do not match. A failure is therefore
    logged only when two checks find the same files.
    """

    def __init__(self, name: str, paths: tuple[Path | None, ...], read: Callable[[], None]) -> None:
        """name: plural noun for the log. paths: None for files that are not set."""
        self._name = name
        self._paths = [path for path in paths if path]
        self._read = read
        self._used = self._seen = self._stamp()
        self._reported: Hashable = None

    def check(self) -> None:
        """Read the files if they have changed since they were last used."""
        stamp, seen = self._stamp(), self._seen
        self._seen = stamp
        if stamp == self._used:
            return
        try:
            self._read()
        except Exception as error:  # the next check must run, whatever is in the files
            if stamp == seen and stamp != self._reported:
                self._reported = stamp
                # Other messages could quote a secret.
                reason = error.message if isinstance(error, ZfscopeError) else type(error).__name__
                _log.warning(f"{self._name} not reloaded", reason=reason, remedy="repair the files")
            return
        self._used = stamp
        _log.info(f"{self._name} reloaded", files=[str(path) for path in self._paths])

    def _stamp(self) -> Hashable:
        return tuple(_file_stamp(path) for path in self._paths)


def _file_stamp(path: Path) -> Hashable:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
