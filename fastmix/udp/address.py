"""Socket addresses as the bytes that the system calls take: the items of arrays that are received from and sent to."""

from fastmix.seam.address import address_pair, pack_address
from fastmix.udp._datagram_io import ADDRESS

__all__ = ["ADDRESS", "address_pair", "pack_address"]
