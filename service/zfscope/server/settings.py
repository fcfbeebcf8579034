"""Settings of the service, read from ZFSCOPE_ environment variables or passed in by the caller."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from zfscope.address import check_endpoint, parse_address, parse_socket
from zfscope.analysis.trace_cache import DEFAULT_BYTES
from zfscope.choices import DeviceName, PrecisionName, RuntimeName
from zfscope.errors import InputError
from zfscope.images.limits import DecodeLimits
from zfscope.server.deadline import DeadlineLimits
from zfscope.server.lifecycle.admission import AdmissionLimits
from zfscope.server.protos import METHOD_NAMES
from zfscope.server.telemetry.log import LogLevel
from zfscope.wire import settings as wire_settings

_MIB = 1 << 20
# Bytes of a request in addition to an image of the largest size.
_REQUEST_OVERHEAD = 4 * _MIB
_PORTS = {
    "listen": {"example_port": 50051},
    "torchserve": {"example_port": 7070, "min_port": 1},
    "metrics_listen": {"example_port": 9090},
    "health_listen": {"example_port": 50052},
}
# Pairs of a setting and the setting that limits it.
_ORDERED = (("default_deadline_s", "max_deadline_s"), ("max_image_bytes", "max_receive_bytes"))
# gRPC's options are signed 32-bit integers, times in milliseconds.
_MAX_BYTES = 2**31 - 1
_MAX_S = 2_000_000
_MAX_THREADS = 1024
Bytes = Annotated[PositiveInt, Field(le=_MAX_BYTES)]
PREFIX = "ZFSCOPE_"
# Settings of the page, which may share an environment with the service.
_PAGE_PREFIX = "ZFSCOPE_PAGE_"
# Variables read by clients, other commands, compose files and the Makefile, not by the service.
OTHER_VARIABLES = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("TLS", "TLS_CA", "TLS_CLIENT_CERTIFICATE", "TLS_CLIENT_KEY", "TLS_SERVER_NAME"),
        *("TRACEBACK", "FUZZ", "PUBLISH", "MODELS", "SECRETS"),
    )
)
# Kubernetes sets these in every pod for each service whose name begins with zfscope.
_SERVICE_LINK = re.compile(
    rf"{PREFIX}([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)"
)


class Settings(BaseSettings):
    """Settings of the service; the environment variable ZFSCOPE_NAME sets the setting NAME."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    listen: str = Field(
        default="127.0.0.1:50051",
        description="Address to listen on: HOST:PORT, where port 0 picks a free port, or unix:PATH.",
    )
    socket_mode: str = Field(
        default="660",
        pattern="^[0-7]{3}$",
        description="Permissions of a unix socket, in octal; callers need the permission to write.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file with the service's certificate and its chain; unset: no TLS."
    )
    tls_key: Path | None = Field(default=None, description="PEM file with the certificate's private key.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file with the CA of client certificates; if set, clients must present one (mTLS).",
    )
    token: SecretStr | None = Field(
        default=None,
        description="Bearer token that clients must send, at least 16 characters; unset: no token.",
    )
    token_file: Path | None = Field(default=None, description="File of accepted bearer tokens, one per line.")
    allow_insecure: bool = Field(
        default=False,
        description="Listen on a non-loopback address without TLS or without client authentication.",
    )
    store: Path = Field(default=Path("model_store"), description="Folder of the model store.")
    default_model: str = Field(
        default="", description="Model for requests that name none; empty: the store's default model."
    )
    runtime: RuntimeName = Field(default=RuntimeName.onnx, description="Runtime of the forward pass.")
    torchserve: str = Field(
        default="127.0.0.1:7070",
        description="HOST:PORT of TorchServe's gRPC inference API; used by runtime torchserve.",
    )
    torchserve_timeout_s: PositiveFloat = Field(
        default=10, description="Timeout of one TorchServe forward pass, in seconds."
    )
    device: DeviceName = Field(default=DeviceName.cpu, description="Device for forward and backward passes.")
    precision: PrecisionName = Field(
        default=PrecisionName.float32,
        description="Precision of the forward pass; bfloat16 needs runtime torch, and AMX, AVX512-BF16 or a "
        "GPU; tf32 needs a GPU.",
    )
    cache: Path | None = Field(
        default=None, description="Folder for exported graphs; unset: in the user's cache."
    )
    threads: PositiveInt | None = Field(
        default=None,
        le=_MAX_THREADS,
        description="Threads per forward pass; unset: the number of CPUs that the process may use, by "
        "affinity and by the quota of its container.",
    )
    workers: PositiveInt = Field(
        default=2, le=_MAX_THREADS, description="Maximum number of analyses that run concurrently."
    )
    queue: PositiveInt = Field(
        default=64, description="Maximum number of running and queued requests per method; more are rejected."
    )
    queues: Mapping[str, PositiveInt] = Field(
        default_factory=dict,
        examples=['{"Occlude": 4}'],
        description='Per-method overrides of queue, as JSON: {"Occlude": 4}.',
    )
    queued_bytes: PositiveInt = Field(
        default=256 * _MIB,
        description="Maximum total size of running and queued requests, in bytes; more are rejected. Also "
        "that of responses that clients do not read, beyond which their connections get no more.",
    )
    default_deadline_s: PositiveFloat = Field(
        default=300, description="Deadline of calls that set none, in seconds."
    )
    max_deadline_s: PositiveFloat = Field(
        default=900, description="Maximum deadline of any call, in seconds."
    )
    batch_size: PositiveInt = Field(default=8, description="Maximum number of images per forward pass.")
    batch_queue: PositiveInt = Field(
        default=256, description="Maximum number of images queued per model; more are rejected."
    )
    batch_delay_s: NonNegativeFloat = Field(
        default=0.005,
        description="Maximum seconds, from the end of a pass, that the next one waits for as many images as "
        "were in that pass or queued when it ended; calls made one at a time never wait.",
    )
    watch: bool = Field(default=False, description="Load new models and versions that appear in the store.")
    kept_models: PositiveInt = Field(
        default=3, description="Maximum number of models kept in memory, including the default model."
    )
    trace_cache_bytes: NonNegativeInt = Field(
        default=DEFAULT_BYTES,
        description="Memory for decoded photos and traces of recent requests, which later analyses of these "
        "photos reuse, in bytes; 0: keep none.",
    )
    analyzers: tuple[str, ...] = Field(
        default=(),
        examples=['["project"]'],
        description='Analyzers to load, as JSON: ["project"]; empty: all installed analyzers.',
    )
    max_passes: PositiveInt = Field(
        default=20_000,
        description="Maximum number of forward passes per request, as estimated by the analyzer.",
    )
    max_units: PositiveInt = Field(default=64, description="Maximum number of units per Project request.")
    max_images: PositiveInt = Field(
        default=64, description="Maximum number of images per ModelInfer request."
    )
    max_image_bytes: PositiveInt = Field(
        default=DecodeLimits.bytes, description="Maximum size of an image file, in bytes."
    )
    max_image_pixels: PositiveInt = Field(
        default=DecodeLimits.pixels,
        description="Maximum pixels per image; JPEGs of up to 4 times as many are decoded at reduced scale.",
    )
    indexed_photos: bool = Field(
        default=True,
        description="Return the original files of photos that indexes record; off: callers get crops only.",
    )
    max_connections: PositiveInt | None = Field(
        default=None,
        le=2**31 - 1,
        description="Maximum connections; more are closed. Unset: derived from the open-file limit.",
    )
    max_idle_s: PositiveFloat = Field(
        default=300, le=_MAX_S, description="Seconds without calls after which a connection is closed."
    )
    max_connection_age_s: PositiveFloat | None = Field(
        default=None,
        le=_MAX_S,
        description="Seconds after which a connection is closed, varied by up to 10 %; its client opens "
        "another. Unset: no limit.",
    )
    max_connection_age_grace_s: PositiveFloat | None = Field(
        default=None,
        le=_MAX_S,
        description="Seconds that calls in progress get to finish on a connection that is closed because of "
        "its age. Unset: max_deadline_s.",
    )
    max_receive_bytes: Bytes = Field(
        default=DecodeLimits.bytes + _REQUEST_OVERHEAD, description="Maximum size of a request, in bytes."
    )
    max_send_bytes: Bytes = Field(default=128 * _MIB, description="Maximum size of a response, in bytes.")
    metrics_listen: str = Field(
        default="", description="HOST:PORT of the HTTP endpoint for Prometheus; empty: no endpoint."
    )
    health_listen: str = Field(
        default="",
        description="HOST:PORT of another port, for health checks alone, without TLS and tokens, for probes; "
        "empty: none.",
    )
    traces_endpoint: str = Field(
        default="",
        description="OTLP/gRPC endpoint for traces, such as http://localhost:4317; empty: no traces.",
    )
    log_level: LogLevel = Field(default=LogLevel.info, description="Lowest level of lines in the log.")
    access_log: bool = Field(
        default=True,
        description="Log every call; off: only those that fail, and others at level debug.",
    )
    channelz: bool = Field(default=False, description="Serve connection statistics over grpc.channelz.v1.")
    keepalive_s: PositiveFloat = Field(
        default=40,
        le=_MAX_S,
        description="Seconds without traffic after which the service sends a keepalive ping.",
    )
    keepalive_timeout_s: PositiveFloat = Field(
        default=40,
        le=_MAX_S,
        description="Seconds to wait for a keepalive reply before the connection is closed.",
    )
    lame_duck_s: NonNegativeFloat = Field(
        default=3,
        description="Seconds, at shutdown, between reporting NOT_SERVING and rejecting requests.",
    )
    grace_s: NonNegativeFloat = Field(
        default=30, description="Seconds that running requests get to finish at shutdown."
    )

    @field_validator("listen", "torchserve", "metrics_listen", "health_listen")
    @classmethod
    def _check_address(cls, address: str, info: ValidationInfo) -> str:
        if not address and info.field_name in ("metrics_listen", "health_listen"):
            return address
        if info.field_name == "listen" and (path := parse_socket(address)):
            return f"unix:{path}"
        return str(parse_address(address, **_PORTS[info.field_name or ""]))

    @field_validator("traces_endpoint")
    @classmethod
    def _check_url(cls, endpoint: str) -> str:
        return endpoint and check_endpoint(endpoint)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        """Reject a value above the setting that limits it, except a default: the limit caps it anyway.

        Raises InputError, not ValueError: pydantic's message for a ValueError would quote all settings.
        """
        for name, limit in _ORDERED:
            value, maximum = getattr(self, name), getattr(self, limit)
            if name in self.model_fields_set and value > maximum:
                message = f"{name} is {value}, above {limit}, {maximum}; lower it, or raise {limit}"
                raise InputError(message, field=name)
        return self

    @field_validator("queues")
    @classmethod
    def _check_methods(cls, queues: Mapping[str, int]) -> Mapping[str, int]:
        unknown = sorted(set(queues) - set(METHOD_NAMES))
        if unknown:
            raise ValueError(f"unknown method '{unknown[0]}'; available: {', '.join(METHOD_NAMES)}")
        return queues

    @property
    def admission_limits(self) -> AdmissionLimits:
        """Limits of the requests and bytes admitted at once."""
        return AdmissionLimits(self.queue, self.queues, self.queued_bytes)

    @property
    def deadlines(self) -> DeadlineLimits:
        """Default and maximum deadline of calls."""
        return DeadlineLimits(self.default_deadline_s, self.max_deadline_s)

    @property
    def image_limits(self) -> DecodeLimits:
        """Limits of image files."""
        return DecodeLimits(bytes=self.max_image_bytes, pixels=self.max_image_pixels)


def unknown_variables() -> Iterator[tuple[str, str]]:
    """Yield each unknown ZFSCOPE_ variable with the closest known name; empty if none is close."""
    for name, nearest in wire_settings.unknown_variables(Settings, OTHER_VARIABLES):
        upper = name.upper()
        if not upper.startswith(_PAGE_PREFIX) and not _SERVICE_LINK.fullmatch(upper):
            yield name, nearest
