"""The chain of mix keys against its plain twin, and what it refuses."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmix.errors import CryptoError
from fastmix.keys._chain import SEALED_SIZE, SKIP_MAX, Chain, LockedBytes
from fastmix.reference import keychain as twin

SEED = bytes(range(48))
STATE, ID = SEED[:32], SEED[32:]
KEY, NONCE = bytes(range(100, 132)), bytes(range(12))


def taken(chain: Chain) -> bytes:
    into = np.zeros(32, np.uint8)
    chain.take(into)
    return into.tobytes()


def test_secrets_are_those_of_the_twin() -> None:
    chain = Chain.fresh(7, SEED)
    assert [taken(chain) for _ in range(5)] == twin.secrets(STATE, 7, 5)
    assert (chain.slot, chain.id) == (12, ID)


@given(st.binary(min_size=48, max_size=48), st.integers(0, 2**63 - 1))
def test_any_seed_at_any_slot(seed: bytes, slot: int) -> None:
    assert taken(Chain.fresh(slot, seed)) == twin.secret_of(seed[:32], slot)


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 70])
def test_publics_ahead_are_those_of_the_twin(n: int) -> None:
    chain = Chain.fresh(2**40, SEED)
    publics = chain.publics(n)
    assert publics.shape == (n, 32)
    checked = [i for i in (0, 1, 30, 31, 32, 69) if i < n]
    expected = twin.publics(STATE, 2**40, n) if n <= 1 else None
    secrets = twin.secrets(STATE, 2**40, n)
    assert [publics[i].tobytes() for i in checked] == (expected or [twin.x25519(secrets[i]) for i in checked])
    assert chain.slot == 2**40
    assert taken(chain) == twin.secret_of(STATE, 2**40)


@pytest.mark.parametrize("n", [0, 1, 100])
def test_skipping_is_advancing(n: int) -> None:
    chain = Chain.fresh(3, SEED)
    chain.skip_to(3 + n)
    assert taken(chain) == twin.secrets(STATE, 3, n + 1)[n]


def test_there_is_no_way_back() -> None:
    chain = Chain.fresh(5, SEED)
    chain.skip_to(9)
    for slot in (8, 0, -1, 9 + SKIP_MAX + 1, 2**64):
        with pytest.raises(ValueError, match=f"slot {slot}: the chain is at 9"):
            chain.skip_to(slot)
    assert chain.slot == 9


def test_a_copy_goes_its_own_way() -> None:
    chain = Chain.fresh(5, SEED)
    ahead = chain.copy()
    taken(ahead)
    assert (chain.slot, ahead.slot, ahead.id) == (5, 6, ID)
    ahead.wipe()
    assert taken(chain) == twin.secret_of(STATE, 5)


@pytest.mark.parametrize("aad", [b"", b"a", bytes(8), bytes(64)])
def test_sealed_as_the_twin_seals(aad: bytes) -> None:
    sealed = Chain.fresh(7, SEED).seal(KEY, NONCE, aad)
    assert len(sealed) == SEALED_SIZE
    assert sealed == twin.seal_chain(STATE, ID, 7, KEY, NONCE, aad)
    opened = Chain.open(sealed, KEY, NONCE, aad)
    assert (opened.slot, opened.id) == (7, ID)
    assert taken(opened) == twin.secret_of(STATE, 7)
    assert twin.open_chain(sealed, KEY, NONCE, aad) == (STATE, ID, 7)


def test_a_sealed_chain_with_any_bit_changed_is_refused() -> None:
    sealed = Chain.fresh(7, SEED).seal(KEY, NONCE, b"head")
    parts = [sealed, KEY, NONCE, b"head"]
    for part, data in enumerate(parts):
        for at in range(len(data)):
            changed = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
            with pytest.raises(CryptoError, match="damaged, or sealed under another key"):
                Chain.open(*parts[:part], changed, *parts[part + 1 :])


@pytest.mark.parametrize("size", [0, 1, SEALED_SIZE - 1, SEALED_SIZE + 1])
def test_a_sealed_chain_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(CryptoError, match=f"{SEALED_SIZE} bytes, not {size}"):
        Chain.open(bytes(size), KEY, NONCE)


def test_fresh_chains_differ() -> None:
    one, other = Chain.fresh(1), Chain.fresh(1)
    assert one.id != other.id
    assert taken(one) != taken(other)


def test_a_wiped_chain_gives_nothing() -> None:
    chain = Chain.fresh(7, SEED)
    chain.wipe()
    assert repr(chain) == "<Chain, wiped>"
    uses = (lambda: chain.slot, lambda: chain.id, lambda: chain.publics(1), lambda: taken(chain), lambda: chain.skip_to(9))
    for use in (*uses, chain.copy, lambda: chain.seal(KEY, NONCE)):
        with pytest.raises(ValueError, match="has been wiped"):
            use()
    chain.wipe()
    assert not chain.is_live


def test_no_secret_is_shown_or_carried_away() -> None:
    chain, secret = Chain.fresh(7, SEED), LockedBytes(32)
    assert (repr(chain), repr(secret)) == ("<Chain at slot 7>", "<LockedBytes of 32>")
    for thing in (chain, secret):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
        with pytest.raises(TypeError):
            copy.deepcopy(thing)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda: Chain.fresh(-1), "first_slot = -1"),
        (lambda: Chain.fresh(2**63), "first_slot"),
        (lambda: Chain.fresh(1, bytes(32)), "seed has 32 bytes, not 48"),
        (lambda: Chain.fresh(1, SEED).publics(-1), "n = -1"),
        (lambda: Chain.fresh(1, SEED).publics(SKIP_MAX + 1), "n = "),
        (lambda: Chain.fresh(1, SEED).take(bytearray(31)), "into has 31 bytes, not 32"),
        (lambda: Chain.fresh(1, SEED).seal(bytes(31), NONCE), "key has 31 bytes"),
        (lambda: Chain.fresh(1, SEED).seal(KEY, bytes(11)), "nonce has 11 bytes"),
        (lambda: Chain.fresh(1, SEED).seal(KEY, NONCE, bytes(65)), "aad has 65 bytes, at most 64"),
        (lambda: LockedBytes(0), "size = 0"),
        (lambda: LockedBytes(-1), "size = -1"),
    ],
)
def test_wrong_arguments_are_named(use, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        use()


def test_locked_bytes_are_a_buffer() -> None:
    with LockedBytes(5000) as secret:
        assert len(secret) == 5000
        assert bytes(secret.view) == bytes(5000)
        view = secret.view
        view[:3] = b"abc"
        assert np.frombuffer(secret, np.uint8)[:3].tobytes() == b"abc"
        assert secret.fill_random() is secret
        assert len(set(view)) > 200
    assert not secret.is_live
    assert bytes(view) == bytes(5000), "a view that is left sees zeros"
    with pytest.raises(ValueError, match="has been wiped"):
        memoryview(secret)
    with pytest.raises(ValueError, match="has been wiped"):
        secret.fill_random()
    secret.wipe()
