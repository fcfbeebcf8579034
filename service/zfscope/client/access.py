"""How the client proves who it is, and how it knows the service."""

from pathlib import Path

import grpc
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from zfscope.client.target import Target
from zfscope.errors import InputError
from zfscope.wire.credentials import read_authorities, read_pair, read_tokens


class Access(BaseSettings):
    """Credentials for a service; each NAME can also be set as ZFSCOPE_NAME in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="ZFSCOPE_", env_ignore_empty=True, frozen=True, extra="forbid"
    )

    tls: bool = Field(
        default=False, description="Talk TLS to a service whose certificate the system's authorities signed."
    )
    tls_ca: Path | None = Field(
        default=None, description="PEM file of who signed the service's certificate; talk TLS."
    )
    tls_client_certificate: Path | None = Field(
        default=None, description="PEM file of the client's certificate and its chain; talk TLS."
    )
    tls_client_key: Path | None = Field(default=None, description="PEM file of its private key.")
    tls_server_name: str = Field(
        default="", description="The name in the service's certificate, where it is not that of the address."
    )
    token: SecretStr | None = Field(default=None, description="Bearer token for the service.")
    token_file: Path | None = Field(default=None, description="The same, as the first line of a file.")
    allow_insecure: bool = Field(
        default=False, description="Send the token without TLS to other machines too."
    )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Give what the channel is opened with; None without TLS. Raises InputError for unusable files."""
        pair = read_pair(self.tls_client_certificate, self.tls_client_key, prefix="tls_client")
        ca = read_authorities(self.tls_ca, field="tls_ca") if self.tls_ca else None
        if not (self.tls or ca or pair):
            return None
        certificate, key = pair or (None, None)
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def credentials_for(self, target: Target) -> grpc.ChannelCredentials | None:
        """Return `credentials`. Raises InputError for a target that asks for TLS where it is not set up."""
        credentials = self.credentials()
        if target.tls and credentials is None:
            raise InputError(
                f"https:// asks for TLS, which is not set up; set tls or tls_ca (--tls, --tls-ca), or write "
                f"{target.text}",
                field="tls",
            )
        return credentials

    def metadata(self, target: Target, *, tls: bool) -> tuple[tuple[str, str], ...]:
        """Give what every call to a target carries: the token, where there is one.

        Raises InputError for a token that cannot be used, and where others could read it.
        """
        tokens = read_tokens(self.token, self.token_file)
        if not tokens:
            return ()
        if not (tls or self.allow_insecure or target.private):
            raise InputError(
                f"a token is not sent to '{target.text}' without TLS, where others could read it; give tls "
                "or tls_ca, or allow_insecure where nobody can",
                field="token",
            )
        return (("authorization", f"Bearer {tokens[0].get_secret_value()}"),)
