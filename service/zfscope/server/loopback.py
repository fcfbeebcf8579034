"""Which addresses are of this machine alone."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Tell whether a host, a name or an IP address, can be reached from this machine alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
