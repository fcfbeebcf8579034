"""Names of analyzers' entry points and options, without the imports of an analysis."""

# The group of entry points by which analyzers are found.
GROUP = "zfscope.analyzers"

# The names that no parameter of an analyzer may have: at the command line they are options of every one.
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
