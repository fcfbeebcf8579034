"""How the service is set up: by ZFSCOPE_ variables of the environment, or by whoever starts it."""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from zfscope.address import check_endpoint, parse_address
from zfscope.choices import DeviceName, RuntimeName
from zfscope.errors import InputError
from zfscope.images.limits import DecodeLimits
from zfscope.server.deadline import Deadlines
from zfscope.server.lifecycle.admission import AdmissionLimits
from zfscope.server.protos import METHODS

_MIB = 1 << 20
# What a request may have in addition to an image of the largest size.
_BESIDE_AN_IMAGE = 4 * _MIB
_PORTS = {
    "listen": {"example_port": 50051},
    "torchserve": {"example_port": 7070, "least_port": 1},
    "metrics_listen": {"example_port": 9090},
}
# Settings, each with the setting that limits it.
_ORDERED = (("default_deadline_s", "max_deadline_s"), ("max_image_bytes", "max_receive_bytes"))
# gRPC's options are signed 32-bit integers, times in milliseconds.
_MOST_BYTES = 2**31 - 1
_MOST_S = 2_000_000
_MOST_THREADS = 1024
Bytes = Annotated[PositiveInt, Field(le=_MOST_BYTES)]
PREFIX = "ZFSCOPE_"
# What clients and other commands read, compose files and the Makefile.
OTHERS = frozenset(
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
    """Every setting NAME may be given as the environment's ZFSCOPE_NAME."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    listen: str = Field(default="127.0.0.1:50051", description="HOST:PORT; port 0 takes a free one.")
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of the service's certificate and its chain; unset: no TLS."
    )
    tls_key: Path | None = Field(default=None, description="PEM file of its private key.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file of who signs callers' certificates; set: callers need one (mutual TLS).",
    )
    token: SecretStr | None = Field(
        default=None, description="Bearer token that clients must send, at least 16 characters; unset: none."
    )
    token_file: Path | None = Field(
        default=None, description="A file of such tokens, one a line; any of them will do."
    )
    allow_insecure: bool = Field(
        default=False,
        description="Listen beyond this machine without TLS, or without knowing who calls.",
    )
    store: Path = Field(default=Path("model_store"), description="The folder of models.")
    default_model: str = Field(
        default="", description="The model of requests that name none; empty: the store's own default."
    )
    runtime: RuntimeName = Field(default=RuntimeName.onnx, description="Runtime of the forward pass.")
    torchserve: str = Field(
        default="127.0.0.1:7070",
        description="HOST:PORT of TorchServe's gRPC inference API, where it is asked.",
    )
    torchserve_timeout_s: PositiveFloat = Field(
        default=10, description="Seconds that TorchServe may take for a pass."
    )
    device: DeviceName = Field(default=DeviceName.cpu, description="Where all passes are computed.")
    cache: Path | None = Field(
        default=None, description="The folder of exported graphs; unset: this user's cache."
    )
    threads: PositiveInt | None = Field(
        default=None,
        le=_MOST_THREADS,
        description="Threads of one forward pass; unset: the CPUs that the process may use.",
    )
    workers: PositiveInt = Field(
        default=2, le=_MOST_THREADS, description="Analyses that are worked on at once."
    )
    queue: PositiveInt = Field(
        default=64, description="Requests of each method that are in work or wait; more are refused."
    )
    queues: Mapping[str, PositiveInt] = Field(
        default_factory=dict,
        examples=['{"Occlude": 4}'],
        description='The queue of single methods instead, as JSON: {"Occlude": 4}.',
    )
    queued_bytes: PositiveInt = Field(
        default=256 * _MIB, description="Bytes of all requests that are in work or wait; more are refused."
    )
    default_deadline_s: PositiveFloat = Field(
        default=300, description="Seconds that a call gets which comes without a deadline."
    )
    max_deadline_s: PositiveFloat = Field(default=900, description="Seconds that any call gets at most.")
    batch_size: PositiveInt = Field(default=8, description="Images of one forward pass at most.")
    batch_queue: PositiveInt = Field(
        default=256, description="Images that may wait for a model's forward pass; more are refused."
    )
    batch_delay_s: NonNegativeFloat = Field(
        default=0.005,
        description="Seconds after a pass that the next one waits, at most, for those just answered to ask "
        "again; who is alone never waits.",
    )
    watch: bool = Field(default=False, description="Take up models and versions that appear in the store.")
    kept_models: PositiveInt = Field(
        default=3, description="Models that stay loaded, the default one included."
    )
    analyzers: tuple[str, ...] = Field(
        default=(),
        examples=['["project"]'],
        description='The analyzers to load, as JSON: ["project"]; empty: all that are installed.',
    )
    max_passes: PositiveInt = Field(
        default=20_000,
        description="Forward passes that all photos of a request may cost, by the analyzers' estimate.",
    )
    max_units: PositiveInt = Field(default=64, description="Units that one Project may ask for.")
    max_images: PositiveInt = Field(default=64, description="Images that one ModelInfer may send.")
    max_image_bytes: PositiveInt = Field(default=DecodeLimits.bytes, description="Bytes of one image file.")
    max_image_pixels: PositiveInt = Field(
        default=DecodeLimits.pixels,
        description="Pixels of one image; a JPEG of up to four times as many is decoded at a smaller scale.",
    )
    max_connections: PositiveInt | None = Field(
        default=None,
        le=2**31 - 1,
        description="Connections at once; more are closed at once. Unset: as the limit of open files allows.",
    )
    max_idle_s: PositiveFloat = Field(
        default=300, le=_MOST_S, description="Seconds after which a connection without calls is closed."
    )
    max_receive_bytes: Bytes = Field(
        default=DecodeLimits.bytes + _BESIDE_AN_IMAGE, description="Bytes of one request."
    )
    max_send_bytes: Bytes = Field(default=128 * _MIB, description="Bytes of one answer.")
    metrics_listen: str = Field(
        default="", description="HOST:PORT of metrics for Prometheus, over HTTP; empty: none."
    )
    traces_endpoint: str = Field(
        default="",
        description="Where traces go by OTLP over gRPC, such as http://localhost:4317; empty: nowhere.",
    )
    channelz: bool = Field(
        default=False, description="Tell callers of the process's connections, by grpc.channelz.v1."
    )
    keepalive_s: PositiveFloat = Field(
        default=40,
        le=_MOST_S,
        description="Seconds of silence after which a connection is asked whether it is alive.",
    )
    keepalive_timeout_s: PositiveFloat = Field(
        default=40, le=_MOST_S, description="Seconds after which a connection without an answer is closed."
    )
    lame_duck_s: NonNegativeFloat = Field(
        default=3,
        description="Seconds between 'not serving' and refusing work, for load balancers to notice.",
    )
    grace_s: NonNegativeFloat = Field(default=30, description="Seconds that running requests get at the end.")

    @field_validator("listen", "torchserve", "metrics_listen")
    @classmethod
    def _is_an_address(cls, address: str, info: ValidationInfo) -> str:
        if not address and info.field_name == "metrics_listen":
            return address
        return str(parse_address(address, **_PORTS[info.field_name or ""]))

    @field_validator("traces_endpoint")
    @classmethod
    def _is_a_url(cls, endpoint: str) -> str:
        return endpoint and check_endpoint(endpoint)

    @model_validator(mode="after")
    def _are_in_order(self) -> Self:
        """Refuse a value above the limit that it is held to, unless it is the default: that one follows.

        An InputError, not a ValueError: pydantic's message for that would quote all settings.
        """
        for name, limit in _ORDERED:
            value, most = getattr(self, name), getattr(self, limit)
            if name in self.model_fields_set and value > most:
                message = f"{name} is {value}, above {limit}, {most}; lower it, or raise {limit}"
                raise InputError(message, field=name)
        return self

    @field_validator("queues")
    @classmethod
    def _are_methods(cls, queues: Mapping[str, int]) -> Mapping[str, int]:
        unknown = sorted(set(queues) - set(METHODS))
        if unknown:
            raise ValueError(f"no method '{unknown[0]}'; there are {', '.join(METHODS)}")
        return queues

    @property
    def admission_limits(self) -> AdmissionLimits:
        """The most requests and bytes that are admitted at once."""
        return AdmissionLimits(self.queue, self.queues, self.queued_bytes)

    @property
    def deadlines(self) -> Deadlines:
        """The time that calls get."""
        return Deadlines(self.default_deadline_s, self.max_deadline_s)

    @property
    def image_limits(self) -> DecodeLimits:
        """The limits of images that come as files."""
        return DecodeLimits(bytes=self.max_image_bytes, pixels=self.max_image_pixels)


def unknown_variables() -> Iterator[tuple[str, str]]:
    """Yield each ZFSCOPE_ variable that nothing reads, with the nearest name of a setting or an empty one."""
    settings = [f"{PREFIX}{name}".upper() for name in Settings.model_fields]
    for name in sorted(os.environ):
        shouted = name.upper()
        known = shouted in settings or shouted in OTHERS or _SERVICE_LINK.fullmatch(shouted)
        if shouted.startswith(PREFIX) and not known:
            nearest = get_close_matches(shouted, [*settings, *OTHERS], n=1, cutoff=0.75)
            yield name, "".join(nearest)
