"""Entry point group and reserved parameter names of analyzers; imports nothing."""

# Entry point group in which analyzers are registered.
GROUP = "zfscope.analyzers"

# Names that parameters of analyzers must not use: they are command-line options of every analyzer.
RESERVED = (
    "help",
    "indexes",
    "json",
    "model",
    "out",
    "photos",
    "server",
    "store",
    "tensors",
    "tls",
    "tls_ca",
    "tls_client_certificate",
    "tls_client_key",
    "token_file",
    "version",
)
