"""Types of `_mmsg.pyx`."""

from fastmix.udp._datagram_io import DatagramIo

def probe() -> bool: ...

class MmsgIo(DatagramIo):
    def __init__(self, fd: int, row_size: int, batch: int = 256, owner: object = None) -> None: ...
