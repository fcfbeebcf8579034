"""Certificates for TLS tests, signed by a private authority."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority, and of the service and client certificates that it signed."""

    ca: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path

    @property
    def server(self) -> dict[str, Path]:
        """Service settings for TLS."""
        return {"tls_certificate": self.certificate, "tls_key": self.key}


def issue_certificates(folder: Path) -> Certificates:
    """Create an authority, and certificates for a service on this machine and for a client."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, names in (("server", ("localhost", "127.0.0.1")), ("client", ("client@zfscope.test",))):
        leaf = authority.issue_cert(*names)
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
        for part in leaf.cert_chain_pems:
            part.write_to_path(folder / f"{name}.pem", append=True)
    files = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    return Certificates(*(folder / file for file in files))
