"""Where a client's socket stands: it must be able to reach the nodes that the client is linked to."""

from ipaddress import ip_address

from fastmix.errors import ConfigError
from fastmix.network import Network

Place = tuple[str, int]


def bind_place(network: Network, peer_id: bytes, wanted: Place | None) -> Place:
    """`wanted`, or any port of all interfaces; of loopback, where the nodes are there.

    `ConfigError` where the nodes cannot be reached from there.
    """
    addresses = [ip_address(network.node(end).address[0]) for end in network.neighbours(peer_id) if isinstance(end, int)]
    versions = sorted({address.version for address in addresses})
    if len(versions) > 1:
        raise ConfigError(f"{network.path}: this client's nodes have addresses of IPv4 and of IPv6: it can reach only one kind")
    if wanted is None:
        local = all(address.is_loopback for address in addresses)
        return {4: "127.0.0.1" if local else "0.0.0.0", 6: "::1" if local else "::"}[versions[0]], 0
    host, port = wanted
    try:
        own = ip_address(host)
    except ValueError:
        raise ConfigError(f"bind {host!r} is not an IP address: write 0.0.0.0 or ::, or leave it out") from None
    if own.version != versions[0]:
        raise ConfigError(f"bind {host} is IPv{own.version}, but the nodes of {network.path} have IPv{versions[0]}")
    if own.is_loopback and not all(address.is_loopback for address in addresses):
        raise ConfigError(f"bind {host} reaches this machine only, but the nodes of {network.path} are elsewhere: leave bind out")
    if not 0 <= port <= 65535:
        raise ConfigError(f"bind port {port} must be from 0 to 65535")
    return host, port
