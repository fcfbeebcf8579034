"""Settings of the page, read from ZFSCOPE_PAGE_ environment variables or passed in by the caller."""

import logging
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from zfscope.address import parse_address
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.page.memory import MemoryLimits
from zfscope.wire.settings import unknown_variables

PREFIX = "ZFSCOPE_PAGE_"
_MIB = 1 << 20
# Bytes of a request in addition to its photos: parameters, and the headers of its parts.
PARAMETER_BYTES = 4 * _MIB
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(:\d{1,5})?")
# Variables that compose files read.
_OTHER_VARIABLES = frozenset({f"{PREFIX}PUBLISH"})
_log = logging.getLogger("zfscope.page")
Threads = Annotated[PositiveInt, Field(le=1024)]


class PageSettings(BaseSettings):
    """Settings of the page; the environment variable ZFSCOPE_PAGE_NAME sets the setting NAME."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    listen: str = Field(
        default="127.0.0.1:8080", description="Address to listen on, HOST:PORT; port 0 picks a free port."
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file with the page's certificate and its chain; unset: no TLS."
    )
    tls_key: Path | None = Field(default=None, description="PEM file with the certificate's private key.")
    token: SecretStr | None = Field(
        default=None,
        description="Token that people and programs must present, at least 16 characters; unset: no token.",
    )
    token_file: Path | None = Field(default=None, description="File of accepted tokens, one per line.")
    allow_insecure: bool = Field(
        default=False, description="Listen on a non-loopback address without TLS or without a token."
    )
    public_hosts: tuple[str, ...] = Field(
        default=(),
        examples=['["zfscope.example.org"]'],
        description="Host names by which browsers reach the page, besides IP addresses and localhost, as "
        'JSON: ["zfscope.example.org"]; requests with another Host header are rejected.',
    )
    model: str = Field(
        default="", description="Model for requests that name none; empty: the service's default model."
    )
    samples: Path | None = Field(
        default=None, description="Folder of sample photos; unset: those of installed packages."
    )
    workers: Threads = Field(default=4, description="Maximum number of analyses that run concurrently.")
    queue: NonNegativeInt = Field(
        default=64, description="Maximum number of queued analyses; more are rejected."
    )
    timeout_s: PositiveFloat = Field(
        default=300, le=2_000_000, description="Time limit of an analysis that sets none, in seconds."
    )
    upload_timeout_s: PositiveFloat = Field(
        default=300, description="Maximum seconds that a client may take to send a request."
    )
    upload_bytes: PositiveInt = Field(
        default=256 * _MIB, description="Maximum total size of requests in progress, in bytes."
    )
    photos: PositiveInt = Field(default=64, description="Maximum number of photos kept in memory.")
    photo_bytes: PositiveInt = Field(
        default=256 * _MIB, description="Maximum total size of photos kept in memory, in bytes."
    )
    photo_s: PositiveFloat = Field(
        default=3600, description="Seconds after its last use that a photo is kept in memory."
    )
    indexed_photos: bool = Field(
        default=True,
        description="Return the original files of photos that indexes record; off: people get crops only.",
    )
    result_bytes: PositiveInt = Field(
        default=256 * _MIB,
        description="Maximum total size of pictures and tensors kept for their links, in bytes.",
    )
    result_s: PositiveFloat = Field(
        default=900, description="Seconds after its last use that a picture or tensor is kept."
    )
    max_connections: PositiveInt = Field(
        default=512,
        description="Maximum number of connections, also limited by that of open files; requests on further "
        "ones are rejected.",
    )

    @field_validator("listen")
    @classmethod
    def _check_address(cls, address: str) -> str:
        return str(parse_address(address, example_port=8080))

    @field_validator("public_hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"'{host}' is not a host name; write NAME or NAME:PORT, without https://")
        return tuple(host.lower() for host in hosts)

    @property
    def image_limits(self) -> DecodeLimits:
        """Limits of a photo, shared with the service and the commands."""
        return environment_limits()

    @property
    def max_request_bytes(self) -> int:
        """Maximum size of a request in bytes."""
        return self.image_limits.bytes + PARAMETER_BYTES

    @property
    def photo_limits(self) -> MemoryLimits:
        """Limits of the photos in memory."""
        return MemoryLimits(self.photos, self.photo_bytes, self.photo_s)

    @property
    def result_limits(self) -> MemoryLimits:
        """Limits of the pictures and tensors in memory."""
        return MemoryLimits(100_000, self.result_bytes, self.result_s)


def warn_about_unknown_variables() -> None:
    """Log each ZFSCOPE_PAGE_ variable that nothing reads, with the closest known name."""
    for name, nearest in unknown_variables(PageSettings, _OTHER_VARIABLES):
        _log.warning("unknown variable %s ignored%s", name, f"; nearest: {nearest}" if nearest else "")
