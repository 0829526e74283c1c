"""Types of `_socket.pyx`."""

import socket

from fastmix.udp._datagram_io import DatagramIo

class SocketIo(DatagramIo):
    def __init__(self, sock: socket.socket, row_size: int, batch: int = 256, owner: object = None) -> None: ...
