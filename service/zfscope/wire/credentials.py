"""Certificates and tokens, out of files and the environment; no message and no repr shows what they are."""

import ssl
from pathlib import Path

from pydantic import SecretStr

from zfscope.errors import InputError
from zfscope.text import decode_text

MIN_TOKEN_CHARACTERS = 16
"""Of a token: what is shorter could be guessed."""


def read_tokens(token: SecretStr | None, token_file: Path | None) -> tuple[SecretStr, ...]:
    """Give the tokens of a setting or of a file, one a line; none where neither is given.

    Raises InputError where both are given, and for a file or a line that cannot be used.
    """
    if token and token_file:
        raise InputError("token and token_file are both given; give one of them", field="token")
    if token_file:
        text = decode_text(_read(token_file, "token_file"), "replace")
        return _tokens(text, f"'{token_file}'", "token_file")
    return _tokens(token.get_secret_value(), "the token", "token") if token is not None else ()


def read_pair(certificate: Path | None, key: Path | None, *, prefix: str) -> tuple[bytes, bytes] | None:
    """Give a certificate with its chain, and its private key, in PEM; None where neither is given.

    prefix: of both settings' names, for messages. Raises InputError where one lacks the other, and for files
    that cannot be read, are not PEM or do not belong together.
    """
    if certificate is None and key is None:
        return None
    for given, name in ((certificate, f"{prefix}_certificate"), (key, f"{prefix}_key")):
        if given is None:
            raise InputError(f"{name} is missing: a certificate and its key go together", field=name)
    assert certificate
    assert key
    pair = _read(certificate, f"{prefix}_certificate"), _read(key, f"{prefix}_key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:
        reason = "are no certificate and its private key, in PEM and without a passphrase"
        raise InputError(f"'{certificate}' and '{key}' {reason}", field=f"{prefix}_certificate") from error
    return pair


def read_authorities(path: Path, *, field: str) -> bytes:
    """Give the certificates of those who sign others, in PEM. Raises InputError for a file without one."""
    pem = _read(path, field)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        raise InputError(f"'{path}' holds no certificate in PEM", field=field) from error
    return pem


def _tokens(text: str, where: str, field: str) -> tuple[SecretStr, ...]:
    found = {number: line.strip() for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    if not found:
        raise InputError(f"{where} is empty; a token is a line of it", field=field)
    for number, token in found.items():
        if len(token) < MIN_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()) or " " in token:
            allowed = f"at least {MIN_TOKEN_CHARACTERS} printable ASCII characters without spaces"
            raise InputError(f"line {number} of {where} is no token: {allowed}", field=field)
    return tuple(SecretStr(token) for token in found.values())


def _read(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}", field=field) from error
