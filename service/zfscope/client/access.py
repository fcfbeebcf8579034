"""Credentials of a client: TLS certificates and a bearer token."""

from pathlib import Path

import grpc
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from zfscope.client.target import Target
from zfscope.errors import InputError
from zfscope.wire.credentials import read_authorities, read_pair, read_tokens


class Access(BaseSettings):
    """TLS settings and token of a client; unset fields are read from ZFSCOPE_<FIELD> in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="ZFSCOPE_", env_ignore_empty=True, frozen=True, extra="forbid"
    )

    tls: bool = Field(
        default=False,
        description="Connect with TLS and verify the service with the system's certificate authorities.",
    )
    tls_ca: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the service's certificate; enables TLS.",
    )
    tls_client_certificate: Path | None = Field(
        default=None, description="PEM file of the client's certificate and its chain; enables TLS."
    )
    tls_client_key: Path | None = Field(
        default=None, description="PEM file of the private key of the client's certificate."
    )
    tls_server_name: str = Field(
        default="",
        description="Host name expected in the service's certificate, if it differs from the address.",
    )
    token: SecretStr | None = Field(default=None, description="Bearer token for the service.")
    token_file: Path | None = Field(default=None, description="File whose first line is the bearer token.")
    allow_insecure: bool = Field(
        default=False, description="Allow sending the token to other machines without TLS."
    )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return the channel credentials, or None without TLS. Raises InputError for invalid files."""
        pair = read_pair(self.tls_client_certificate, self.tls_client_key, prefix="tls_client")
        ca = read_authorities(self.tls_ca, field="tls_ca") if self.tls_ca else None
        if not (self.tls or ca or pair):
            return None
        certificate, key = pair or (None, None)
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def credentials_for(self, target: Target) -> grpc.ChannelCredentials | None:
        """Return `credentials()`. Raises InputError for an https:// target if TLS is not configured."""
        credentials = self.credentials()
        if target.tls and credentials is None:
            raise InputError(
                "https:// requires TLS, which is not configured; set tls or tls_ca (--tls, --tls-ca), or "
                f"write {target.text}",
                field="tls",
            )
        return credentials

    def metadata(self, target: Target, *, tls: bool) -> tuple[tuple[str, str], ...]:
        """Return the metadata of every call: the bearer token, if set.

        Raises InputError for an invalid token, and for one that would be sent unencrypted to another machine.
        """
        tokens = read_tokens(self.token, self.token_file)
        if not tokens:
            return ()
        if not (tls or self.allow_insecure or target.private):
            raise InputError(
                f"a token is not sent to '{target.text}' without TLS, where others could read it; set tls "
                "or tls_ca, or allow_insecure on a trusted network",
                field="token",
            )
        return (("authorization", f"Bearer {tokens[0].get_secret_value()}"),)
