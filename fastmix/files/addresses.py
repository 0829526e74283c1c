"""Addresses as text: an IP address and a UDP port. No name is ever looked up."""

from ipaddress import ip_address

Address = tuple[str, int]
"""(IP address in its usual form, port)."""


def parse_address(text: str, least_port: int = 1) -> Address:
    """Reads `1.2.3.4:9000` or `[::1]:9000`; `ValueError` says how to write one. The port is `least_port` to 65535."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        ip = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError('is not an IP address and a port: write "203.0.113.7:9000" or "[2001:db8::7]:9000"') from None
    if (ip.version == 6) != bracketed:
        raise ValueError('needs brackets around an IPv6 address, and only there: write "[2001:db8::7]:9000"')
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and least_port <= int(port) < 1 << 16):
        raise ValueError(f"has no port from {least_port} to 65535 behind the last colon")
    return str(ip), int(port)


def format_address(address: Address) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
