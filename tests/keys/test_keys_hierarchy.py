"""What hangs off the seed, against HKDF written out by hand."""

import copy
import hmac
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from secrets_of_tests import locked

from fastmix.errors import KeyStoreError
from fastmix.keys import labels
from fastmix.keys.hierarchy import Identity

SEED = bytes(range(32))


def hkdf(seed: bytes, label: bytes) -> bytes:
    """RFC 5869 for one block: extract with a salt of zeros, expand with counter 1."""
    return hmac.digest(hmac.digest(bytes(32), seed, "sha256"), label + b"\x01", "sha256")


@pytest.fixture
def identity() -> Identity:
    return Identity(locked(SEED))


def test_identity_key(identity: Identity) -> None:
    expected = Ed25519PrivateKey.from_private_bytes(hkdf(SEED, b"fastmix identity v1"))
    assert identity.public == expected.public_key().public_bytes_raw()
    assert identity.sign(b"descriptor") == expected.sign(b"descriptor")
    Ed25519PublicKey.from_public_bytes(identity.public).verify(identity.sign(b"x"), b"x")


def test_tls_key(identity: Identity) -> None:
    assert identity.tls_private_key().private_bytes_raw() == hkdf(SEED, b"fastmix tls v1")


@pytest.mark.parametrize("purpose", labels.STORAGE)
def test_storage_keys(identity: Identity, purpose: str) -> None:
    with identity.storage_key(purpose) as key:
        assert key.view == hkdf(SEED, labels.STORAGE[purpose])


def test_an_unknown_purpose_is_named(identity: Identity) -> None:
    with pytest.raises(KeyError, match="'audits' is no purpose of a storage key: did you mean 'audit'"):
        identity.storage_key("audits")


def test_no_label_begins_another() -> None:
    for label in labels.LABELS:
        assert [other for other in labels.LABELS if other.startswith(label)] == [label]


def test_fresh_identities_differ() -> None:
    assert Identity.fresh().public != Identity.fresh().public


@pytest.mark.parametrize("seed", [bytes(32), b"\x01" * 31, b"\x01" * 33])
def test_seeds_that_are_none(seed: bytes) -> None:
    with pytest.raises(KeyStoreError):
        Identity(locked(seed))


def test_an_identity_shows_and_copies_nothing(identity: Identity) -> None:
    assert repr(identity) == f"Identity({identity.public.hex()})"
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            attempt(identity)


def test_wiped(identity: Identity) -> None:
    with identity:
        view = identity.seed.view
    assert bytes(view) == bytes(32)
    with pytest.raises(ValueError, match="wiped"):
        identity.sign(b"x")
    identity.wipe()
