"""The second oracle: Sphinx and the link frame glued from `cryptography`, PyCryptodome and hashlib, for comparisons in mass.

Same functions and results as the twins of fastmix.reference, about 0.2 ms a hop; it shares nothing with them but the result types
and the ziggurat's tables. `journeys.random_packets` makes many packets with what every hop must say of them.
"""

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Sequence

from Crypto.Cipher import ChaCha20
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20 as ChaCha20Blocks
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fastmix.packet.geometry import GEOMETRIES, Geometry
from fastmix.packet.verdict import Verdict
from fastmix.reference.delay import TAIL_AT, ZIGGURAT_F, ZIGGURAT_X
from fastmix.reference.link import Opened
from fastmix.reference.sphinx_unwrap import Unwrapped

Entropy = Callable[[int], bytes]
P = 2**255 - 19


def x25519(scalar: bytes, point: bytes) -> bytes:
    """RFC 7748; 32 zero bytes where OpenSSL refuses the result."""
    try:
        return X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        return bytes(32)


def keypair(secret: bytes) -> tuple[bytes, bytes]:
    """`(secret, public)`."""
    return secret, X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def chacha20(key: bytes, data: bytes) -> bytes:
    """With a zero nonce, from block 0."""
    return ChaCha20.new(key=key, nonce=bytes(12)).encrypt(data)


def keyed_hash(key: bytes, message: bytes, size: int, personal: bytes = b"", salt: int = 0) -> bytes:
    return hashlib.blake2b(message, digest_size=size, key=key, salt=salt.to_bytes(16, "little"), person=personal).digest()


def lioness_encrypt(key: bytes, block: bytes) -> bytes:
    left, right = block[:32], block[32:]
    right = chacha20(xor(left, key[:32]), right)
    left = xor(left, keyed_hash(key[32:96], right, 32))
    right = chacha20(xor(left, key[96:128]), right)
    return xor(left, keyed_hash(key[128:], right, 32)) + right


def lioness_decrypt(key: bytes, block: bytes) -> bytes:
    left, right = block[:32], block[32:]
    left = xor(left, keyed_hash(key[128:], right, 32))
    right = chacha20(xor(left, key[96:128]), right)
    left = xor(left, keyed_hash(key[32:96], right, 32))
    return left + chacha20(xor(left, key[:32]), right)


def payload_key(shared: bytes) -> bytes:
    return b"".join(keyed_hash(shared, b"", 64, b"sphinx-pl-en-key", number) for number in range(3))


def small_secrets(shared: bytes) -> tuple[bytes, bytes, bytes]:
    """`(mac_key, actions_key, delay_seed)`."""
    small = keyed_hash(shared, b"", 64, b"sphinx-small-d-s")
    return small[:16], small[16:48], small[48:]


def blinding(kx_public: bytes, shared: bytes) -> bytes:
    return keyed_hash(kx_public + shared, b"", 32, b"sphinx-blind-fac")


def random_u64(seed: bytes) -> Iterator[int]:
    stream = Cipher(ChaCha20Blocks(seed + seed, bytes(16)), mode=None).encryptor()
    while True:
        yield int.from_bytes(stream.update(bytes(8)), "little")


def delay(seed: bytes) -> float:
    """Exp(1), at most 10, by the ziggurat."""
    words = random_u64(seed)
    for word in words:
        layer = word & 255
        x = ((word >> 12) + 0.5) / 2**52 * ZIGGURAT_X[layer]
        if x < ZIGGURAT_X[layer + 1]:
            return min(x, 10.0)
        other = (next(words) >> 11) / 2**53
        if layer == 0:
            return min(TAIL_AT - math.log(other), 10.0)
        if ZIGGURAT_F[layer + 1] + (ZIGGURAT_F[layer] - ZIGGURAT_F[layer + 1]) * other < math.exp(-x):
            return min(x, 10.0)
    raise AssertionError("the stream is endless")


def _geometry(name: str | Geometry) -> Geometry:
    return name if isinstance(name, Geometry) else GEOMETRIES[name]


def unwrap(packet: bytes, secret: bytes, geometry: str | Geometry = "wan", *, replay_key: bytes = bytes(32)) -> Unwrapped:
    """As fastmix.reference.sphinx_unwrap.unwrap."""
    assert len(packet) == _geometry(geometry).packet_size
    kx_public, mac, actions, payload = packet[:32], packet[32:48], packet[48:188], packet[188:]
    if int.from_bytes(kx_public, "little") >= P:
        return Unwrapped(Verdict.DROP_KX_NON_CANONICAL)
    shared = x25519(secret, kx_public)
    if not any(shared):
        return Unwrapped(Verdict.DROP_KX_LOW_ORDER)
    mac_key, actions_key, delay_seed = small_secrets(shared)
    if keyed_hash(mac_key, actions, 16) != mac:
        return Unwrapped(Verdict.DROP_MAC)
    tag = keyed_hash(replay_key, shared, 16, b"sphinx-replay-tg")
    plain = chacha20(actions_key, actions + bytes(50))
    action = plain[0] | plain[1] << 8
    if action > 0xFF00:
        return _delivery(action, plain, payload, shared, tag)
    start = 34 if action == 0xFF00 else 2
    onward = x25519(blinding(kx_public, shared), kx_public) + plain[start : start + 156]
    onward += lioness_decrypt(payload_key(shared), payload)
    if action == 0xFF00:
        return Unwrapped(Verdict.OK, action, peer_id=plain[2:34], delay=delay(delay_seed), tag=tag, packet=onward)
    return Unwrapped(Verdict.OK, action, next_index=action, delay=delay(delay_seed), tag=tag, packet=onward)


def _delivery(action: int, plain: bytes, payload: bytes, shared: bytes, tag: bytes) -> Unwrapped:
    if action == 0xFF01:
        data = lioness_decrypt(payload_key(shared), payload)
        if any(data[-16:]):
            return Unwrapped(Verdict.DROP_PAYLOAD_TAG)
        return Unwrapped(Verdict.OK, action, tag=tag, packet=data)
    if action == 0xFF02:
        return Unwrapped(Verdict.OK, action, surb_id=plain[2:18], tag=tag, packet=payload)
    if action == 0xFF03:
        return Unwrapped(Verdict.OK, action, tag=tag)
    if action == 0xFF04:
        return Unwrapped(Verdict.OK, action, surb_id=plain[2:18], tag=tag)
    return Unwrapped(Verdict.DROP_ACTION)


def open_reply(payload: bytes, keys: Sequence[bytes]) -> bytes | None:
    """As fastmix.reference.sphinx_unwrap.open_reply."""
    for key in reversed(keys):
        payload = lioness_encrypt(key, payload)
    return None if any(payload[-16:]) else payload[:-16]


def _exchange(publics: Sequence[bytes], secret: bytes) -> tuple[list[bytes], list[bytes]]:
    """`(kx_publics, shareds)` of all hops. Every later hop's key is blinded as soon as a hop's factor is known."""
    kx_publics, shareds = [keypair(secret)[1]], []
    pending = [x25519(secret, public) for public in publics]
    while pending:
        shareds.append(pending.pop(0))
        factor = blinding(kx_publics[-1], shareds[-1])
        pending = [x25519(factor, point) for point in pending]
        if pending:
            kx_publics.append(x25519(factor, kx_publics[-1]))
    return kx_publics, shareds


def build_header(
    publics: Sequence[bytes], targets: Sequence[int], peer_id: bytes | None, last: bytes, entropy: Entropy
) -> tuple[bytes, list[bytes]]:
    """`(header, shareds)`. The filler is a sum of keystreams: hop j's action begins at byte `starts[j]` of the whole route's."""
    forwards = [target.to_bytes(2, "little") for target in targets] + ([b"\x00\xff" + peer_id] if peer_id else [])
    assert len(forwards) == len(publics) - 1
    kx_publics, shareds = _exchange(publics, entropy(32))
    keys = [small_secrets(shared) for shared in shareds]
    starts = [sum(len(action) + 16 for action in forwards[:hop]) for hop in range(len(publics))]
    filler = bytes(starts[-1])
    for (_, actions_key, _), start, end in zip(keys, starts, starts[1:], strict=False):
        stream = chacha20(actions_key, bytes(140 + end - start))[140 - start :]
        filler = xor(stream, filler[:end]) + filler[end:]
    own = 140 - starts[-1]
    actions = chacha20(keys[-1][1], last + entropy(own - len(last))) + filler
    mac = keyed_hash(keys[-1][0], actions, 16)
    for action, (mac_key, actions_key, _) in reversed(list(zip(forwards, keys, strict=False))):
        actions = chacha20(actions_key, (action + mac + actions)[:140])
        mac = keyed_hash(mac_key, actions, 16)
    return kx_publics[0] + mac + actions, shareds


def build_request(
    data: bytes,
    publics: Sequence[bytes],
    targets: Sequence[int],
    peer_id: bytes | None = None,
    entropy: Entropy = random.randbytes,
    geometry: str | Geometry = "wan",
) -> bytes:
    """As fastmix.reference.sphinx_build.build_request."""
    assert len(data) == _geometry(geometry).data_size
    header, shareds = build_header(publics, targets, peer_id, b"\x01\xff", entropy)
    payload = data + bytes(16)
    for shared in reversed(shareds):
        payload = lioness_encrypt(payload_key(shared), payload)
    return header + payload


def build_cover(
    publics: Sequence[bytes],
    targets: Sequence[int],
    id: bytes | None = None,
    peer_id: bytes | None = None,
    entropy: Entropy = random.randbytes,
    geometry: str | Geometry = "wan",
) -> bytes:
    """As fastmix.reference.sphinx_build.build_cover."""
    last = b"\x03\xff" if id is None else b"\x04\xff" + id
    header, _ = build_header(publics, targets, peer_id, last, entropy)
    return header + entropy(_geometry(geometry).payload_size)


def build_surb(
    publics: Sequence[bytes],
    targets: Sequence[int],
    first: int,
    surb_id: bytes,
    peer_id: bytes | None = None,
    entropy: Entropy = random.randbytes,
) -> tuple[bytes, list[bytes]]:
    """As fastmix.reference.sphinx_build.build_surb."""
    header, shareds = build_header(publics, targets, peer_id, b"\x02\xff" + surb_id, entropy)
    secret = entropy(32)
    return first.to_bytes(2, "little") + header + secret, [payload_key(shared) for shared in [secret, *shareds[:-1]]]


def build_reply(data: bytes, surb: bytes, geometry: str | Geometry = "wan") -> tuple[int, bytes]:
    """As fastmix.reference.sphinx_build.build_reply."""
    assert len(data) == _geometry(geometry).data_size
    payload = lioness_decrypt(payload_key(surb[190:]), data + bytes(16))
    return surb[0] | surb[1] << 8, surb[2:190] + payload


def hkdf(secret: bytes, size: int, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), size, None, info).derive(secret)


def seal(root: bytes, receiver_index: int, step: int, seq: int, key_slot: int, packet: bytes, rest: bytes = bytes(3)) -> bytes:
    """As fastmix.reference.link.seal, but without its limit; `rest` are flags and padding."""
    index, counter = receiver_index.to_bytes(4, "little"), step.to_bytes(4, "little") + seq.to_bytes(4, "little")
    key = keyed_hash(root, counter[:4], 32, b"fastmix-batchkey")
    sealed = ChaCha20Poly1305(key).encrypt(bytes(4) + counter, bytes([key_slot]) + rest + packet, index)
    return index + _masked(root, counter, sealed[-16:]) + sealed


def _masked(root: bytes, counter: bytes, tag: bytes) -> bytes:
    stream = Cipher(ChaCha20Blocks(keyed_hash(root, b"", 32, b"fastmix-mask-key"), tag), mode=None).encryptor()
    return stream.update(counter)


def open_frame(root: bytes, frame: bytes) -> Opened:
    """As fastmix.reference.link.open_frame."""
    counter = _masked(root, frame[4:12], frame[-16:])
    key = keyed_hash(root, counter[:4], 32, b"fastmix-batchkey")
    try:
        plain = ChaCha20Poly1305(key).decrypt(bytes(4) + counter, frame[12:], frame[:4])
    except InvalidTag:
        return Opened(Verdict.DROP_LINK_AUTH)
    step, seq = int.from_bytes(counter[:4], "little"), int.from_bytes(counter[4:], "little")
    if max(step, seq) >= 2**31:
        return Opened(Verdict.DROP_LINK_EXHAUSTED)
    if any(plain[1:4]):
        return Opened(Verdict.DROP_LINK_FLAGS)
    return Opened(Verdict.OK, step, seq, plain[0], plain[4:])
