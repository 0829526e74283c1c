"""The twins of the primitives against every published vector."""

import hashlib
import random

import pytest
from published import records, wycheproof

from fastmix.reference import lioness
from fastmix.reference.aead import open_sealed, seal
from fastmix.reference.blake2b import blake2b
from fastmix.reference.chacha20 import encrypt
from fastmix.reference.hkdf import hkdf_sha256
from fastmix.reference.poly1305 import poly1305
from fastmix.reference.x25519 import is_canonical, x25519

unhex = bytes.fromhex


def test_x25519_wycheproof(vectors):
    tests = wycheproof(vectors("wycheproof/x25519_test.json"))
    assert len(tests) == 518
    for test in tests:
        assert x25519(unhex(test["private"]), unhex(test["public"])).hex() == test["shared"], test["tcId"]


def test_x25519_canonical_encodings_agree_with_wycheproof_flags(vectors):
    for test in wycheproof(vectors("wycheproof/x25519_test.json")):
        if "NonCanonicalPublic" in test["flags"]:
            assert not is_canonical(unhex(test["public"])), test["tcId"]
    assert is_canonical((2**255 - 20).to_bytes(32, "little"))
    assert not is_canonical((2**255 - 19).to_bytes(32, "little"))
    assert not is_canonical((2**255 + 9).to_bytes(32, "little"))


def test_x25519_rfc_7748(vectors):
    tests = records(vectors("rfc/x25519_rfc7748.txt"))
    assert len(tests) == 3
    for test in tests:
        assert x25519(unhex(test["INPUT_SCALAR"]), unhex(test["INPUT_U"])) == unhex(test["OUTPUT_U"])


def test_x25519_rfc_7748_iterated():
    k = u = (9).to_bytes(32, "little")
    for _ in range(1000):
        k, u = x25519(k, u), k
    assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_chacha20_rfc_8439(vectors):
    tests = records(vectors("rfc/chacha20_rfc7539.txt"))
    assert len(tests) == 3
    for test in tests:
        counter = int(test["INITIAL_BLOCK_COUNTER"])
        assert encrypt(unhex(test["KEY"]), unhex(test["PLAINTEXT"]), unhex(test["NONCE"]), counter) == unhex(test["CIPHERTEXT"])


def test_poly1305_rfc_8439(vectors):
    tests = records(vectors("rfc/poly1305_rfc7539.txt"))
    assert len(tests) == 11
    for test in tests:
        assert poly1305(unhex(test["KEY"]), unhex(test["MSG"])) == unhex(test["TAG"])


def test_aead_openssl(vectors):
    tests = records(vectors("rfc/chacha20poly1305_openssl_rfc7539.txt"))
    assert len(tests) == 5
    for test in tests:
        key, nonce, aad, ciphertext, tag = (unhex(test[name]) for name in ("KEY", "IV", "AAD", "CIPHERTEXT", "TAG"))
        opened = open_sealed(key, nonce, ciphertext + tag, aad)
        assert opened == (None if "RESULT" in test else unhex(test["PLAINTEXT"]))


def test_aead_wycheproof(vectors):
    tests = wycheproof(vectors("wycheproof/chacha20_poly1305_test.json"))
    assert len(tests) == 325
    for test in tests:
        key, nonce, aad, message = (unhex(test[name]) for name in ("key", "iv", "aad", "msg"))
        sealed = unhex(test["ct"] + test["tag"])
        if len(nonce) != 12:
            assert test["result"] == "invalid"
            with pytest.raises(ValueError, match="nonce of 12"):
                seal(key, nonce, message, aad)
        elif test["result"] == "valid":
            assert seal(key, nonce, message, aad) == sealed, test["tcId"]
            assert open_sealed(key, nonce, sealed, aad) == message, test["tcId"]
        else:
            assert open_sealed(key, nonce, sealed, aad) is None, test["tcId"]


def test_hkdf_rfc_5869(vectors):
    tests = records(vectors("rfc/hkdf_rfc5869_sha256.txt"))
    assert len(tests) == 3
    for test in tests:
        okm = hkdf_sha256(unhex(test["IKM"]), int(test["L"]), unhex(test.get("INFO", "")), unhex(test.get("SALT", "")))
        assert okm == unhex(test["OKM"])


def test_hkdf_wycheproof(vectors):
    tests = wycheproof(vectors("wycheproof/hkdf_sha256_test.json"))
    assert len(tests) == 86
    for test in tests:
        secret, salt, info = (unhex(test[name]) for name in ("ikm", "salt", "info"))
        if test["result"] == "valid":
            assert hkdf_sha256(secret, test["size"], info, salt).hex() == test["okm"], test["tcId"]
        else:
            with pytest.raises(ValueError, match="at most 8160 bytes"):
                hkdf_sha256(secret, test["size"], info, salt)


def test_blake2b_known_answers(vectors):
    tests = [test for test in vectors("blake2/blake2-kat.json") if test["hash"] == "blake2b"]
    assert len(tests) == 512
    for test in tests:
        assert blake2b(unhex(test["in"]), key=unhex(test["key"])).hex() == test["out"]


def test_blake2b_unkeyed(vectors):
    tests = records(vectors("rfc/blake2b.txt"))
    assert len(tests) == 7
    for test in tests:
        assert blake2b(unhex(test["MSG"])[: int(test["LEN"]) // 8]) == unhex(test["MD"])


def test_blake2b_salted_and_personalised_like_hashlib():
    random_ = random.Random(1)
    for size in (1, 16, 32, 63, 64):
        for length in (0, 1, 32, 127, 128, 129, 140, 256, 300):
            message, key = random_.randbytes(length), random_.randbytes(random_.randrange(65))
            salt, personal = random_.randbytes(random_.randrange(17)), random_.randbytes(random_.randrange(17))
            expected = hashlib.blake2b(message, digest_size=size, key=key, salt=salt, person=personal).digest()
            assert blake2b(message, size, key, salt, personal) == expected


def test_lioness(vectors):
    document = vectors("lioness/lioness_blake2b_chacha20.json")
    assert len(document["tests"]) == 1
    for test in document["tests"]:
        key, block, output = (unhex(test[name]) for name in ("key", "input", "output"))
        assert lioness.encrypt(key, block) == output
        assert lioness.decrypt(key, output) == block


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: x25519(bytes(31)), "32 bytes, not 31"),
        (lambda: encrypt(bytes(31), b"a"), "not 31 and 12"),
        (lambda: poly1305(bytes(16), b""), "32 bytes, not 16"),
        (lambda: blake2b(b"", size=65), "1 to 64 bytes, not 65"),
        (lambda: blake2b(b"", key=bytes(65)), "at most 64 bytes, not 65"),
        (lambda: lioness.encrypt(bytes(191), bytes(64)), "192 bytes, not 191"),
    ],
)
def test_wrong_sizes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
