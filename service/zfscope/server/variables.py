"""Variables of the environment that look like settings but are not read, such as those with a typo."""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches

from zfscope.server.settings import Settings

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


def unknown_variables() -> Iterator[tuple[str, str]]:
    """Yield each ZFSCOPE_ variable that nothing reads, with the nearest name of a setting or an empty one."""
    settings = [f"{PREFIX}{name}".upper() for name in Settings.model_fields]
    for name in sorted(os.environ):
        shouted = name.upper()
        known = shouted in settings or shouted in OTHERS or _SERVICE_LINK.fullmatch(shouted)
        if shouted.startswith(PREFIX) and not known:
            nearest = get_close_matches(shouted, [*settings, *OTHERS], n=1, cutoff=0.75)
            yield name, "".join(nearest)
