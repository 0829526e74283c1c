"""The exchange of link roots: both ends agree, and whoever lacks a part has nothing."""

import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fastmix.errors import CryptoError
from fastmix.links import exchange
from fastmix.links.channel import Channel
from fastmix.links.exchange import Answer, Ends, Initiator, Offer, Roots, respond
from fastmix.links.static import root_info
from fastmix.packet.geometry import WAN
from fastmix.packet.verdict import Verdict

ENDS = Ends(b"a" * 32, b"b" * 32, WAN.code)


def exchanged(ends: Ends = ENDS) -> tuple[bytes, bytes, Roots, Roots]:
    """Offer, answer, the initiator's roots, the responder's."""
    initiator = Initiator(ends, 0x11111111)
    answer, theirs = respond(ends, 0x22222222, initiator.offer)
    return initiator.offer, answer, initiator.finish(answer), theirs


def channel(roots: Roots) -> Channel:
    return Channel(roots.recv.view, roots.send.view, roots.index_in, roots.index_out, WAN)


def test_frames_go_both_ways() -> None:
    _, _, ours, theirs = exchanged()
    packets = np.frombuffer(random.Random(1).randbytes(3 * WAN.packet_size), np.uint8).reshape(3, -1)
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        verdicts, _, opened = channel(receiver).open(channel(sender).seal(packets))
        assert (verdicts == Verdict.OK).all()
        assert (opened == packets).all()
    assert ours.send.view != ours.recv.view


def test_no_two_exchanges_have_a_root_in_common() -> None:
    roots = [bytes(root.view) for _ in range(20) for root in (lambda ours: (ours.send, ours.recv))(exchanged()[2])]
    assert len(set(roots)) == len(roots)


def test_wiped_roots_are_gone() -> None:
    ours = exchanged()[2]
    views = ours.send.view, ours.recv.view
    ours.wipe()
    assert not any(map(any, views))


@pytest.mark.parametrize("lacking", ["the ML-KEM secret", "the random parts", "nothing"])
def test_a_part_alone_opens_no_frame(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root as somebody computes it who has broken TLS, or ML-KEM; the control has all and opens the frame."""
    secrets: list[bytes] = []
    derive = exchange._derive
    monkeypatch.setattr(exchange, "_derive", lambda secret, *rest: secrets.append(secret) or derive(secret, *rest))
    offer, answer, ours, theirs = exchanged()
    frames = channel(ours).seal(np.zeros((1, WAN.packet_size), np.uint8))
    kem, randoms = secrets[0][:32], secrets[0][32:]
    assert randoms == msgspec.msgpack.decode(offer, type=Offer).random + msgspec.msgpack.decode(answer, type=Answer).random
    known = {"the ML-KEM secret": bytes(32) + randoms, "the random parts": kem + bytes(64), "nothing": kem + randoms}[lacking]
    info = root_info(ENDS.initiator, ENDS.responder, ours.index_out, WAN.code, ENDS.exchange(offer, answer))
    root = HKDF(SHA256(), 32, None, info).derive(known)
    eavesdropper = Channel(root, bytes(range(32)), theirs.index_in, 1, WAN)
    assert (eavesdropper.open(frames)[0][0] == Verdict.OK) == (lacking == "nothing")


def test_both_ends_and_both_messages_are_bound() -> None:
    """Who answers to another offer, or as another end, has other roots."""
    initiator = Initiator(ENDS, 1)
    for wrong in (
        replace(ENDS, initiator=b"c" * 32),
        replace(ENDS, responder=b"c" * 32),
        replace(ENDS, initiator=ENDS.responder, responder=ENDS.initiator),
        replace(ENDS, geometry=ENDS.geometry + 1),
    ):
        answer, theirs = respond(wrong, 2, initiator.offer)
        ours = initiator.finish(answer)
        assert ours.send.view != theirs.recv.view
        assert ours.recv.view != theirs.send.view
    changed = msgspec.structs.replace(msgspec.msgpack.decode(initiator.offer, type=Offer), index=7)
    answer, theirs = respond(ENDS, 2, msgspec.msgpack.encode(changed))
    ours = initiator.finish(answer)
    assert ours.send.view != theirs.recv.view


def test_messages_that_are_none() -> None:
    """Each length, and each byte with a flipped bit: refused, or roots that the other end has not."""
    offer, answer, _, _ = exchanged()
    initiator = Initiator(ENDS, 1)
    draw = random.Random(5)
    for size in range(0, len(offer), 13):
        with pytest.raises(CryptoError, match="is no offer"):
            respond(ENDS, 2, offer[:size])
    for size in range(0, len(answer), 13):
        with pytest.raises(CryptoError, match="is no answer"):
            initiator.finish(answer[:size])
    good, theirs = respond(ENDS, 2, initiator.offer)
    for at in range(0, len(good), 29):
        flipped = good[:at] + bytes([good[at] ^ 1 << draw.randrange(8)]) + good[at + 1 :]
        try:
            assert initiator.finish(flipped).send.view != theirs.recv.view
        except CryptoError:
            continue
    kem_key_at = offer.index(msgspec.msgpack.decode(offer, type=Offer).kem_key)
    with pytest.raises(CryptoError, match=r"FIPS 203"):
        respond(ENDS, 2, offer[:kem_key_at] + b"\xff" * 3 + offer[kem_key_at + 3 :])


def test_nothing_secret_is_shown() -> None:
    offer, answer, ours, _ = exchanged()
    shown = repr(msgspec.msgpack.decode(offer, type=Offer)) + repr(msgspec.msgpack.decode(answer, type=Answer)) + repr(ours)
    assert shown == "Offer(index 11111111)Answer(index 22222222)Roots(in 11111111, out 22222222)"
