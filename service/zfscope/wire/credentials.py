"""Certificates and tokens read from files and settings; their contents never appear in messages or reprs."""

import hmac
import ssl
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from pydantic import SecretStr

from zfscope.errors import InputError
from zfscope.text import decode_text

# Minimum length of a token; shorter ones could be guessed.
MIN_TOKEN_CHARACTERS = 16


class AcceptedTokens:
    """Tokens that a service accepts, compared in a time that reveals nothing about them."""

    def __init__(self, tokens: Iterable[SecretStr]) -> None:
        self.replace(tokens)

    def replace(self, tokens: Iterable[SecretStr]) -> None:
        """Accept these tokens instead, from the next comparison on."""
        self._digests = [_digest(token.get_secret_value()) for token in tokens]

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._digests)

    def __contains__(self, token: str) -> bool:
        # Digests of equal length hide the tokens' lengths; the list, unlike any(), compares with all of them.
        digest = _digest(token)
        matches = [hmac.compare_digest(digest, accepted) for accepted in self._digests]
        return any(matches)


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()


def read_tokens(token: SecretStr | None, token_file: Path | None) -> tuple[SecretStr, ...]:
    """Return the tokens from a setting or a file with one per line; empty if neither is set.

    Raises InputError if both are set, or for an unreadable file or invalid token.
    """
    if token and token_file:
        raise InputError("token and token_file are both set; set only one", field="token")
    if token_file:
        text = decode_text(_read(token_file, "token_file"), "replace")
        return _tokens(text, f"'{token_file}'", "token_file")
    return _tokens(token.get_secret_value(), "the token", "token") if token is not None else ()


def read_pair(certificate: Path | None, key: Path | None, *, prefix: str) -> tuple[bytes, bytes] | None:
    """Return a PEM certificate with its chain and its private key; None if neither is set.

    prefix: prefix of both settings' names, for messages. Raises InputError if only one is set, or for files
    that are unreadable, not PEM or do not match.
    """
    if certificate is None and key is None:
        return None
    for path, name in ((certificate, f"{prefix}_certificate"), (key, f"{prefix}_key")):
        if path is None:
            raise InputError(f"{name} is missing: a certificate requires its key and vice versa", field=name)
    assert certificate
    assert key
    pair = _read(certificate, f"{prefix}_certificate"), _read(key, f"{prefix}_key")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:
        reason = "are not a certificate and its private key in PEM without a passphrase"
        raise InputError(f"'{certificate}' and '{key}' {reason}", field=f"{prefix}_certificate") from error
    return pair


def read_authorities(path: Path, *, field: str) -> bytes:
    """Return PEM certificates of certificate authorities. Raises InputError for a file without any."""
    pem = _read(path, field)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        raise InputError(f"'{path}' contains no PEM certificate", field=field) from error
    return pem


def _tokens(text: str, where: str, field: str) -> tuple[SecretStr, ...]:
    tokens = {number: line.strip() for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    if not tokens:
        raise InputError(f"{where} is empty; it must contain one token per line", field=field)
    for number, token in tokens.items():
        if len(token) < MIN_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()) or " " in token:
            allowed = f"at least {MIN_TOKEN_CHARACTERS} printable ASCII characters without spaces"
            raise InputError(
                f"line {number} of {where} is not a valid token; it must have {allowed}", field=field
            )
    return tuple(SecretStr(token) for token in tokens.values())


def _read(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}", field=field) from error
