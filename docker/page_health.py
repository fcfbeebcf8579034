"""Check the health of a page in its container: exit with 0 if it answers."""

import os
import ssl
from urllib.request import urlopen

# The connection does not leave the container, whose certificate names another host.
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
port = os.environ["ZFSCOPE_PAGE_LISTEN"].rpartition(":")[2]
scheme = "https" if os.environ.get("ZFSCOPE_PAGE_TLS_CERTIFICATE") else "http"
urlopen(f"{scheme}://127.0.0.1:{port}/healthz", timeout=5, context=context).close()  # noqa: S310  (a fixed scheme)
