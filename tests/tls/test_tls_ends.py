"""Two ends over real sockets: who is let in, who is not, and that both say why."""

import asyncio
import ssl
from contextlib import suppress

import msgspec
import pytest
from control_end import NOW, Town
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from node_records import NETWORK, Key, record

from fastmix.directory.records import Place, sign_record
from fastmix.errors import CryptoError, NetworkFailure
from fastmix.tls.certificate import check_certificate, make_certificate
from fastmix.tls.frames import FRAME_MAX, GREETING_MAX, LENGTH, Message, pack
from fastmix.tls.greeting import Speech, Visitor, pin_of
from fastmix.tls.server import Bucket


@pytest.fixture
def a() -> Town:
    return Town("a")


@pytest.fixture
def b() -> Town:
    return Town("b")


async def test_two_peers(a: Town, b: Town) -> None:
    a.knows(b)
    b.knows(a)
    async with a.door() as door:
        connection = await b.end.connect(a.place.pair, a.identity.public)
        assert await connection.ask("echo", b"hello") == b"hello"
        answers = await asyncio.gather(*(connection.ask("echo", bytes([i])) for i in range(50)))
        assert answers == [bytes([i]) for i in range(50)]
        assert connection.tls.version() == "TLSv1.3"
        assert await connection.ask("echo", bytes(1 << 20)) == bytes(1 << 20)
        (back,) = door.connections
        assert await back.ask("echo", b"and back") == b"and back"
        connection.end("done")
    assert a.visitors == [Visitor(b.identity.public, "node", True)]
    assert b.visitors == [Visitor(a.identity.public, "node", True)]


async def test_who_is_no_peer_any_more_is_let_go(a: Town, b: Town) -> None:
    """At both ends, though both trust stores still have the certificates; and is not let in again."""
    a.knows(b)
    b.knows(a)
    async with a.door() as door:
        connection = await b.end.connect(a.place.pair, a.identity.public)
        (back,) = door.connections
        a.knows()
        await asyncio.wait_for(asyncio.gather(connection.closed.wait(), back.closed.wait()), 10)
        assert "not in the network any more" in back.why
        with pytest.raises(NetworkFailure, match="the certificate is of no node that is in the network now"):
            await b.end.connect(a.place.pair, a.identity.public)
        a.knows(b)
        again = await b.end.connect(a.place.pair, a.identity.public)
        b.knows()
        await asyncio.wait_for(again.closed.wait(), 10)
        with pytest.raises(NetworkFailure, match="is not in the network now"):
            await b.end.connect(a.place.pair, a.identity.public)


async def test_strangers_certificates_end_the_handshake(a: Town, b: Town) -> None:
    b.knows(a)
    async with a.door() as door:
        with pytest.raises(NetworkFailure):
            await b.end.connect(a.place.pair, a.identity.public)
        assert not a.visitors
        assert not door.connections


async def test_another_peer_in_the_place_of_the_one_that_was_meant(a: Town, b: Town) -> None:
    c = Town("c")
    for town in (a, b, c):
        town.knows(a, b, c)
    async with c.door():
        with pytest.raises(NetworkFailure, match="the server is node"):
            await b.end.connect(c.place.pair, a.identity.public)
        assert not c.visitors


async def test_a_joiner_knows_the_pin_and_proves_who_it_is(a: Town, b: Town) -> None:
    async with a.door():
        connection, found = await b.end.join(a.place.pair, "node", pin_of(a.identity.public), b"token")
        assert (found.identity, found.control) == (a.identity.public, a.place)
        assert await connection.ask("echo", b"hello") == b"hello"
        assert a.visitors == [Visitor(b.identity.public, "node", False, b"token")]
        connection, _ = await b.end.join(a.place.pair, "client", None)
        assert a.visitors[1].role == "client"
        connection.end("done")


async def test_another_s_certificate_in_a_record_of_one_s_own(a: Town, b: Town) -> None:
    """Neither the very bytes, nor the key in a certificate that it has not signed: the victim stays who it is."""
    thief = Key("thief")
    forged = make_certificate(Ed25519PrivateKey.generate(), thief.public)
    a.knows(b)
    key, signed = b.identity.tls_private_key().public_key().public_bytes_raw(), bytearray(forged)
    there = forged.index(x509.load_der_x509_certificate(forged).public_key().public_bytes_raw())
    signed[there : there + 32] = key
    for stolen in (b.end.certificate, bytes(signed), b"none"):
        with pytest.raises(CryptoError, match="certificate: is"):
            check_certificate(stolen, thief.public)
        a.end.set_peers({b.identity.public: b.end.certificate, thief.public: stolen})
        assert a.end.is_peer(b.identity.public)
        assert not a.end.is_peer(thief.public)
        b.knows(a)
        async with a.door():
            await b.end.connect(a.place.pair, a.identity.public)
        assert a.visitors.pop().identity == b.identity.public


async def test_a_wrong_pin_and_a_record_of_another_key(a: Town, b: Town) -> None:
    """Nothing was sent: the server has seen no hello."""
    async with a.door() as door:
        with pytest.raises(NetworkFailure, match="the server's PIN is"):
            await b.end.join(a.place.pair, "node", bytes(32))
        own = make_certificate(Ed25519PrivateKey.generate(), a.identity.public)
        real, a.end._record = (
            a.end._record,
            lambda: sign_record(record(Key("x"), NOW, identity=a.identity.public, certificate=own), a.identity),
        )  # somebody who has the record of a node, and not its TLS key
        with pytest.raises(NetworkFailure, match="names another TLS key than it has: somebody is between"):
            await b.end.join(a.place.pair, "node", pin_of(a.identity.public))
        a.end._record = real
        assert not a.visitors
        assert not door.connections


@pytest.mark.parametrize(
    ("speech", "told"),
    [
        (Speech(2, "wan", NETWORK), "version 2 of the wire here, 1 there"),
        (Speech(1, "jumbo", NETWORK), "geometry jumbo here, wan there"),
        (Speech(1, "wan", b"o" * 16), f"network {(b'o' * 16).hex()} here, {NETWORK.hex()} there"),
    ],
)
async def test_a_mismatch_is_named_at_both_ends(a: Town, speech: Speech, told: str) -> None:
    b = Town("b", speech)
    async with a.door():
        with pytest.raises(NetworkFailure, match=told):
            await b.end.join(a.place.pair, "node", None)
        b.end.speech = Speech(1)  # looks at nothing; now the server does
        real, b.end.signer = b.end.signer, b.end.signer
        connection = None
        with suppress(NetworkFailure):
            connection, _ = await b.end.join(a.place.pair, "node", None)
        assert connection is not None
        assert real is b.end.signer
        a.end.speech = speech
        b.end.speech = Speech(1, "wan", NETWORK)
        with pytest.raises(NetworkFailure, match=r" here, .* there"):
            await b.end.join(a.place.pair, "node", None)


async def test_a_refusal_is_told(a: Town, b: Town) -> None:
    a.refuses = "the token is another one"
    async with a.door():
        with pytest.raises(NetworkFailure, match="refused: the token is another one"):
            await b.end.join(a.place.pair, "node", None)


async def test_only_tls_1_3(a: Town) -> None:
    async with a.door() as door:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError):  # noqa: PT011  the alert, or the end of the connection, whatever is seen first
            await asyncio.open_connection(*a.place.pair, ssl=context)
        while not door.counts["no_handshake"]:
            await asyncio.sleep(0)
        assert not door.connections


async def raw(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream under TLS by whoever it may be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection(*place.pair, ssl=context)


@pytest.mark.parametrize(
    "sent",
    [
        LENGTH.pack(GREETING_MAX + 1),
        LENGTH.pack(3) + b"\xc1\xc1\xc1",
        pack(Message("tell", 0, "hello", b"")),
        pack(Message("tell", 0, "hello", msgspec.msgpack.encode({"role": "king"}))),
        pack(Message("ask", 1, "echo", b"before a hello")) * 5,
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_hello(a: Town, sent: bytes) -> None:
    """The connection ends, with a word on why at most."""
    async with a.door() as door:
        reader, writer = await raw(a.place)
        writer.write(sent)
        rest = await asyncio.wait_for(reader.read(), 10)
        assert len(rest) < FRAME_MAX
        writer.close()
        assert not a.visitors
        assert not door.connections


async def test_as_many_connections_as_there_may_be(a: Town, b: Town) -> None:
    async with a.door(most=2) as door:
        first, _ = await b.end.join(a.place.pair, "client", None)
        await b.end.join(a.place.pair, "client", None)
        with pytest.raises(NetworkFailure):
            await b.end.join(a.place.pair, "client", None)
        assert door.counts["too_many"] == 1
        first.end("done")
        await asyncio.wait_for(first.closed.wait(), 10)
        while len(door.connections) > 1:
            await asyncio.sleep(0)
        await b.end.join(a.place.pair, "client", None)


async def test_an_address_that_knocks_too_often(a: Town, b: Town) -> None:
    """It is turned away before a handshake begins."""
    async with a.door(bucket=Bucket(rate=0.0, burst=3.0)) as door:
        for _ in range(3):
            await b.end.join(a.place.pair, "client", None)
        with pytest.raises(NetworkFailure):
            await b.end.join(a.place.pair, "client", None)
        assert door.counts["too_often"] == 1


async def test_questions_that_get_no_answer(a: Town, b: Town) -> None:
    async with a.door():
        connection, _ = await b.end.join(a.place.pair, "node", None)
        with pytest.raises(NetworkFailure, match=r"refused: not today\?\[2J"):
            await connection.ask("refuse", b"")
        with pytest.raises(NetworkFailure, match="nothing that is answered here"):
            await connection.ask("nonsense", b"")
        with pytest.raises(NetworkFailure, match=r"no answer to never in 0\.01 s"):
            await connection.ask("never", b"", 0.01)
        waiting = asyncio.ensure_future(connection.ask("never", b""))
        await asyncio.sleep(0)
        connection.end("enough")
        with pytest.raises(NetworkFailure, match="enough"):
            await waiting


async def test_who_asks_too_much_is_let_go(a: Town, b: Town) -> None:
    async with a.door():
        connection, _ = await b.end.join(a.place.pair, "node", None)
        for _ in range(1000):
            with suppress(NetworkFailure):
                connection.tell("echo", b"")
        await asyncio.wait_for(connection.closed.wait(), 10)
