"""Types of `_mmsg.pyx`."""

from fastmix.udp._datagram_io import DatagramIo

class UdpIo(DatagramIo):
    def __init__(self, fd: int, row_size: int, batch: int = 256, owner: object = None) -> None: ...
