"""A name server for tests: one zone, over real UDP and TCP on a port of its own."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.asyncresolver
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

HERE = "127.0.0.1"
UDP_MAX = 512


@dataclass
class NameServer:
    """`records`: (name, type) -> texts as a zone file has them. `refuses`: answers SERVFAIL; `silent`: nothing."""

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    refuses: bool = False
    silent: bool = False
    asked: int = 0
    port: int = 0

    def resolver(self) -> dns.asyncresolver.Resolver:
        made = dns.asyncresolver.Resolver(configure=False)
        made.nameservers, made.port, made.timeout = [HERE], self.port, 1.0
        return made

    def answer(self, wire: bytes, most: int) -> bytes | None:
        self.asked += 1
        question = dns.message.from_wire(wire)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.AA
        (asked,) = question.question
        texts = self.records.get((asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)))
        if self.silent:
            return None
        if self.refuses:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif texts:
            answer.answer.append(dns.rrset.from_text_list(asked.name, 60, dns.rdataclass.IN, asked.rdtype, texts))
        elif not any(name == asked.name.to_text() for name, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        whole = answer.to_wire()
        if len(whole) <= most:
            return whole
        answer.answer.clear()
        answer.flags |= dns.flags.TC
        return answer.to_wire()

    async def answer_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        whole = self.answer(await reader.readexactly(size), 65535)
        if whole is not None:
            writer.write(struct.pack("!H", len(whole)) + whole)
        writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        whole = self._server.answer(data, UDP_MAX)
        if whole is not None:
            self._transport.sendto(whole, address)  # type: ignore[attr-defined]


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """Runs one, on the same port for UDP and TCP."""
    server, loop = NameServer(), asyncio.get_running_loop()
    while True:
        tcp = await asyncio.start_server(server.answer_tcp, HERE, 0)
        server.port = tcp.sockets[0].getsockname()[1]
        try:
            udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), (HERE, server.port))
        except OSError:  # somebody has that port for UDP
            tcp.close()
        else:
            break
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
