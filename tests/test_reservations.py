"""Counter reservations: what was handed out once is never handed out again, whatever dies, and damage is refused."""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastmix.errors import CryptoError, ResourceExhausted
from fastmix.links.reservations import BLOCK, Reservations, Reserved
from fastmix.packet.geometry import COUNTER_END

A, B = b"a" * 32, b"b" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reservations"


def test_new_roots_begin_at_zero(path: Path) -> None:
    assert Reservations.open(path).begin([A]) == {A: Reserved(0, 0, 2 * BLOCK, 2 * BLOCK)}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["reservations"]


def test_next_start_begins_beyond_all_that_was_reserved(path: Path) -> None:
    Reservations.open(path).begin([A])
    assert Reservations.open(path).begin([A, B]) == {
        A: Reserved(2 * BLOCK, 2 * BLOCK, 4 * BLOCK, 4 * BLOCK),
        B: Reserved(0, 0, 2 * BLOCK, 2 * BLOCK),
    }


def test_roots_that_come_back_go_on_where_they_were(path: Path) -> None:
    for root in (A, B):
        Reservations.open(path).begin([root])
    assert Reservations.open(path).begin([A])[A].seq == 2 * BLOCK


def test_extends_only_within_a_block_of_the_limit(path: Path) -> None:
    reservations = Reservations.open(path)
    reservations.begin([A])
    before = path.stat().st_ino
    assert reservations.extend(A, 3, BLOCK) == (2 * BLOCK, 2 * BLOCK)
    assert path.stat().st_ino == before
    assert reservations.extend(A, 3, BLOCK + 1) == (2 * BLOCK, 3 * BLOCK)
    assert path.stat().st_ino != before
    assert reservations.extend(A, 3, 3 * BLOCK) == (2 * BLOCK, 5 * BLOCK)
    assert Reservations.open(path).limits(A) == (2 * BLOCK, 5 * BLOCK)


def test_new_control_goes_on_beside_a_running_data_plane(path: Path) -> None:
    Reservations.open(path).begin([A])
    assert Reservations.open(path).extend(A, BLOCK + 9, 5) == (3 * BLOCK, 2 * BLOCK)


def test_counters_beyond_the_limit_are_refused(path: Path) -> None:
    reservations = Reservations.open(path)
    reservations.begin([A])
    for step, seq in ((2 * BLOCK + 1, 0), (0, 2 * BLOCK + 1), (-1, 0)):
        with pytest.raises(ValueError, match="beyond the reserved"):
            reservations.extend(A, step, seq)
    with pytest.raises(ValueError, match="beyond the reserved"):
        reservations.extend(B, 1, 0)


def test_ends_at_the_end(path: Path) -> None:
    reservations = Reservations.open(path)
    for _ in range(COUNTER_END // (2 * BLOCK)):
        last = reservations.begin([A])[A]
    assert last == Reserved(COUNTER_END - 2 * BLOCK, COUNTER_END - 2 * BLOCK, COUNTER_END, COUNTER_END)
    assert reservations.extend(A, COUNTER_END - 1, COUNTER_END) == (COUNTER_END, COUNTER_END)
    assert reservations.begin([A])[A] == Reserved(*[COUNTER_END] * 4)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2 * BLOCK), st.integers(0, 2 * BLOCK)), max_size=30))
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_counter_is_used_in_two_lives(path: Path, steps: list[tuple[bool, int, int]]) -> None:
    """A life uses counters up to its limits; the next one begins at or above them, though only the disk is left."""
    path.unlink(missing_ok=True)
    reservations = Reservations.open(path)
    now = reservations.begin([A])[A]
    step, seq = now.step, now.seq
    for dies, more_steps, more_seqs in steps:
        limits = reservations.extend(A, step, seq)
        step, seq = min(step + more_steps, limits[0]), min(seq + more_seqs, limits[1])
        if dies:
            reservations = Reservations.open(path)
            now = reservations.begin([A])[A]
            assert now.step >= step
            assert now.seq >= seq
            step, seq = now.step, now.seq


def test_every_damaged_byte_is_refused(path: Path) -> None:
    Reservations.open(path).begin([A])
    whole = path.read_bytes()
    for i in range(len(whole) - 1):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        try:
            found = Reservations.open(path).limits(A)
        except CryptoError as error:
            assert "damaged" in str(error) and "make new link secrets" in str(error)  # noqa: PT017, PT018
        else:
            assert found == (2 * BLOCK, 2 * BLOCK)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "7", '{"body": {}, "sha256": ""}', "\xff", '{"body": '])
def test_other_files_are_refused(path: Path, text: str) -> None:
    path.write_text(text, "latin-1")
    with pytest.raises(CryptoError, match="damaged"):
        Reservations.open(path)


def test_truncated_file_is_refused(path: Path) -> None:
    Reservations.open(path).begin([A])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CryptoError, match="damaged"):
        Reservations.open(path)


def test_future_format_is_refused(path: Path) -> None:
    body = {"format": 2, "roots": {}}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({"body": body, "sha256": digest}))
    with pytest.raises(CryptoError, match="format 2 is not 1"):
        Reservations.open(path)


def test_failed_write_hands_out_nothing(path: Path) -> None:
    reservations = Reservations.open(path.parent / "none" / "reservations")
    with pytest.raises(ResourceExhausted, match="cannot write the counter reservations: No such file"):
        reservations.begin([A])
    assert reservations.limits(A) == (0, 0)
