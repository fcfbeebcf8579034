"""Entry point group and reserved parameter names of analyzers; imports nothing."""

# Entry point group in which analyzers are registered.
GROUP = "zfscope.analyzers"

# Names that parameters of analyzers must not use: they are command-line options of every analyzer.
RESERVED = (
    "address",
    "device",
    "engine",
    "help",
    "indexes",
    "json",
    "model",
    "out",
    "photos",
    "pictures",
    "precision",
    "runtime",
    "server",
    "store",
    "tensors",
    "threads",
    "tls",
    "tls_ca",
    "tls_client_certificate",
    "tls_client_key",
    "token_file",
    "torchserve",
    "version",
)
