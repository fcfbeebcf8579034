"""Secrets: read from files and the environment, validated, and never shown in messages."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from zfscope.client import Access
from zfscope.client.target import parse_target
from zfscope.errors import InputError
from zfscope.server.settings import Settings
from zfscope.wire.credentials import read_authorities, read_pair, read_tokens

TOKEN = "3f0c1d7e9b5a4c2881d6"


def values(tokens: tuple[SecretStr, ...]) -> list[str]:
    return [token.get_secret_value() for token in tokens]


def test_without_settings_there_are_no_tokens() -> None:
    assert read_tokens(None, None) == ()


def test_a_token_file_has_one_token_per_line(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"\n{TOKEN}-new \r\n\n{TOKEN}-old\n")

    assert values(read_tokens(None, tmp_path / "tokens")) == [f"{TOKEN}-new", f"{TOKEN}-old"]


def test_the_token_can_be_set_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZFSCOPE_TOKEN", TOKEN)

    assert values(read_tokens(Settings().token, None)) == [TOKEN]
    assert Access().metadata(parse_target("localhost:1"), tls=False) == (
        ("authorization", f"Bearer {TOKEN}"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it must contain one token per line"),
        ("\n \n", "is empty; it must contain one token per line"),
        (
            f"{TOKEN}\nshort-secret",
            "line 2 of .* is not a valid token; it must have at least 16 printable ASCII characters",
        ),
        (f"secret {TOKEN}", "line 1 of .* is not a valid token"),
        (f"secret-ü-{TOKEN}", "line 1 of .* is not a valid token"),
        (f"secret\x07{TOKEN}", "line 1 of .* is not a valid token"),
    ],
)
def test_an_invalid_token_is_rejected_and_not_shown(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)

    with pytest.raises(InputError, match=message) as in_file:
        read_tokens(None, path)
    with pytest.raises(InputError, match=message) as in_environment:
        read_tokens(SecretStr(text), None)

    assert (in_file.value.field, in_environment.value.field) == ("token_file", "token")
    for refusal in (in_file, in_environment):
        assert "secret" not in refusal.value.message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_token_file_may_have_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "tokens").write_text(f"{TOKEN}\r\n", encoding)
    assert values(read_tokens(None, tmp_path / "tokens")) == [TOKEN]


def test_a_binary_token_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(b"\xff" * 40)

    with pytest.raises(InputError, match=r"line 1 of .* is not a valid token"):
        read_tokens(None, tmp_path / "tokens")


def test_token_and_token_file_cannot_be_combined(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="token and token_file are both set"):
        read_tokens(SecretStr(TOKEN), tmp_path / "tokens")


@pytest.mark.parametrize("kind", [Settings, Access])
def test_no_representation_shows_the_token(kind: Any) -> None:
    settings = kind(token=TOKEN)

    assert TOKEN not in repr(settings) + str(settings) + settings.model_dump_json()


def test_a_certificate_requires_its_key_and_vice_versa(pems: Any) -> None:
    assert read_pair(None, None, prefix="tls") is None
    assert read_pair(pems.certificate, pems.key, prefix="tls") == (
        pems.certificate.read_bytes(),
        pems.key.read_bytes(),
    )
    with pytest.raises(InputError, match="tls_key is missing"):
        read_pair(pems.certificate, None, prefix="tls")
    with pytest.raises(InputError, match="tls_client_certificate is missing"):
        read_pair(None, pems.key, prefix="tls_client")


def test_a_key_of_another_certificate_is_rejected(pems: Any) -> None:
    with pytest.raises(InputError, match="are not a certificate and its private key in PEM") as refusal:
        read_pair(pems.certificate, pems.client_key, prefix="tls")

    assert refusal.value.field == "tls_certificate"


def test_an_encrypted_key_is_rejected_without_a_prompt(pems: Any, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(pems.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    (tmp_path / "locked.key").write_bytes(locked)

    with pytest.raises(InputError, match="without a passphrase"):
        read_pair(pems.certificate, tmp_path / "locked.key", prefix="tls")


@pytest.mark.parametrize("content", [b"", b"not PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_an_authority_file_without_a_certificate_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(content)

    with pytest.raises(InputError, match=r"ca.pem' contains no PEM certificate"):
        read_authorities(tmp_path / "ca.pem", field="tls_ca")


def test_a_missing_file_is_reported(pems: Any, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for read in (
        lambda: read_tokens(None, missing),
        lambda: read_pair(pems.certificate, missing, prefix="tls"),
        lambda: read_authorities(missing, field="tls_ca"),
    ):
        with pytest.raises(InputError, match="missing' cannot be read: No such file or directory"):
            read()
