"""Counter reservations: what was handed out once is never handed out again, whatever dies, and damage is refused."""

import hashlib
import json
import multiprocessing
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastmix.errors import ConfigError, CryptoError, ResourceExhausted
from fastmix.links.reservations import BLOCK, Reservations, Reserved, counter_files
from fastmix.packet.geometry import COUNTER_END
from fastmix.plan import plan_network

Life = Callable[[], Reservations]
A, B = b"a" * 32, b"b" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reservations"


@pytest.fixture
def lives() -> Iterator[list[Reservations]]:
    """The lives that a test has begun; only the last one holds the file."""
    begun: list[Reservations] = []
    yield begun
    if begun:
        begun[-1].close()


@pytest.fixture
def next_life(path: Path, lives: list[Reservations]) -> Callable[[], Reservations]:
    """Ends the life before, as a kill does, and opens the file anew."""

    def opened() -> Reservations:
        if lives:
            lives.pop().close()
        lives.append(Reservations.open({A: path, B: path.with_name("other")}))
        return lives[-1]

    return opened


def test_new_roots_begin_at_zero(path: Path, next_life: Life) -> None:
    assert next_life().begin([A]) == {A: Reserved(0, 0, 2 * BLOCK, 2 * BLOCK)}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(os.listdir(path.parent)) == {"reservations", "other"}


def test_next_start_begins_beyond_all_that_was_reserved(path: Path, next_life: Life) -> None:
    next_life().begin([A])
    assert next_life().begin([A, B]) == {
        A: Reserved(2 * BLOCK, 2 * BLOCK, 4 * BLOCK, 4 * BLOCK),
        B: Reserved(0, 0, 2 * BLOCK, 2 * BLOCK),
    }


def test_roots_that_come_back_go_on_where_they_were(path: Path, next_life: Life) -> None:
    for root in (A, B):
        next_life().begin([root])
    assert next_life().begin([A])[A].seq == 2 * BLOCK


def test_extends_only_within_a_block_of_the_limit(path: Path, next_life: Life) -> None:
    reservations = next_life()
    reservations.begin([A])
    before = path.stat().st_ino
    assert reservations.extend(A, 3, BLOCK) == (2 * BLOCK, 2 * BLOCK)
    assert path.stat().st_ino == before
    assert reservations.extend(A, 3, BLOCK + 1) == (2 * BLOCK, 3 * BLOCK)
    assert path.stat().st_ino != before
    assert reservations.extend(A, 3, 3 * BLOCK) == (2 * BLOCK, 5 * BLOCK)
    assert next_life().limits(A) == (2 * BLOCK, 5 * BLOCK)


def test_new_control_goes_on_beside_a_running_data_plane(path: Path, next_life: Life) -> None:
    next_life().begin([A])
    assert next_life().extend(A, BLOCK + 9, 5) == (3 * BLOCK, 2 * BLOCK)


def test_counters_beyond_the_limit_are_refused(path: Path, next_life: Life) -> None:
    reservations = next_life()
    reservations.begin([A])
    for step, seq in ((2 * BLOCK + 1, 0), (0, 2 * BLOCK + 1), (-1, 0)):
        with pytest.raises(CryptoError, match="beyond the reserved"):
            reservations.extend(A, step, seq)
    with pytest.raises(CryptoError, match="beyond the reserved"):
        reservations.extend(B, 1, 0)


def test_ends_at_the_end(path: Path, next_life: Life) -> None:
    reservations = next_life()
    for _ in range(COUNTER_END // (2 * BLOCK)):
        last = reservations.begin([A])[A]
    assert last == Reserved(COUNTER_END - 2 * BLOCK, COUNTER_END - 2 * BLOCK, COUNTER_END, COUNTER_END)
    assert reservations.extend(A, COUNTER_END - 1, COUNTER_END) == (COUNTER_END, COUNTER_END)
    assert reservations.begin([A])[A] == Reserved(*[COUNTER_END] * 4)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2 * BLOCK), st.integers(0, 2 * BLOCK)), max_size=30))
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_counter_is_used_in_two_lives(path: Path, next_life: Life, steps: list[tuple[bool, int, int]]) -> None:
    """A life uses counters up to its limits; the next one begins at or above them, though only the disk is left."""
    path.unlink(missing_ok=True)
    reservations = next_life()
    now = reservations.begin([A])[A]
    step, seq = now.step, now.seq
    for dies, more_steps, more_seqs in steps:
        limits = reservations.extend(A, step, seq)
        step, seq = min(step + more_steps, limits[0]), min(seq + more_seqs, limits[1])
        if dies:
            reservations = next_life()
            now = reservations.begin([A])[A]
            assert now.step >= step
            assert now.seq >= seq
            step, seq = now.step, now.seq


def test_every_damaged_byte_is_refused(path: Path, next_life: Life) -> None:
    next_life().begin([A])
    whole = path.read_bytes()
    for i in range(len(whole) - 1):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        try:
            found = next_life().limits(A)
        except CryptoError as error:
            assert "damaged" in str(error) and "make a new link secret" in str(error)  # noqa: PT017, PT018
        else:
            assert found == (2 * BLOCK, 2 * BLOCK)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "7", '{"body": {}, "sha256": ""}', "\xff", '{"body": '])
def test_other_files_are_refused(path: Path, text: str, next_life: Life) -> None:
    path.write_text(text, "latin-1")
    with pytest.raises(CryptoError, match="damaged"):
        next_life()


def test_truncated_file_is_refused(path: Path, next_life: Life) -> None:
    next_life().begin([A])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CryptoError, match="damaged"):
        next_life()


def test_future_format_is_refused(path: Path, next_life: Life) -> None:
    body = {"format": 2, "roots": {}}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({"body": body, "sha256": digest}))
    with pytest.raises(CryptoError, match="format 2 is not 1"):
        next_life()


def test_failed_write_hands_out_nothing(path: Path, next_life: Life) -> None:
    reservations = next_life()
    path.unlink()
    path.mkdir()  # no file can take its place
    with pytest.raises(ResourceExhausted, match="cannot write the counter reservations"):
        reservations.begin([B, A])
    assert reservations.limits(A) == reservations.limits(B) == (0, 0)
    path.rmdir()
    assert next_life().begin([B])[B] == Reserved(0, 0, 2 * BLOCK, 2 * BLOCK)


def test_no_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResourceExhausted, match="cannot use the counter reservations: No such file"):
        Reservations.open({A: tmp_path / "none" / "reservations"})


def test_an_end_in_order_wastes_no_number(next_life: Life) -> None:
    first = next_life()
    first.begin([A])
    first.settle(A, 7, 1234)
    assert next_life().begin([A])[A] == Reserved(7, 1234, 2 * BLOCK + 7, 2 * BLOCK + 1234)
    assert next_life().begin([A])[A] == Reserved(2 * BLOCK + 7, 2 * BLOCK + 1234, 4 * BLOCK + 7, 4 * BLOCK + 1234), "killed"
    with pytest.raises(CryptoError, match="beyond the reserved"):
        next_life().settle(A, 0, COUNTER_END)


def test_a_lost_file_is_written_anew(path: Path, next_life: Life) -> None:
    """From the memory of the one that runs, or from what a data plane was given."""
    running = next_life()
    running.begin([A])
    assert running.renew() == []
    path.unlink()
    assert running.renew() == [path]
    assert running.renew() == []
    path.unlink()
    after = next_life()
    assert after.adopt(A, 2 * BLOCK, 3 * BLOCK)
    assert not after.adopt(A, 2 * BLOCK, BLOCK)
    assert next_life().limits(A) == (2 * BLOCK, 3 * BLOCK)


def held_elsewhere(path: Path, told: Any) -> None:
    """A process that holds the file until it is told to end."""
    reservations = Reservations.open({A: path})
    reservations.begin([A])
    told.send("held")
    told.recv()
    reservations.extend(A, 0, 2 * BLOCK)
    told.send("replaced")
    told.recv()


def test_one_holder_at_a_time(path: Path, next_life: Life) -> None:
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(target=held_elsewhere, args=(path, theirs))
    other.start()
    try:
        for word in ("held", "replaced"):
            assert ours.recv() == word
            with pytest.raises(ConfigError, match="is in use: another node or client"):
                next_life()
            ours.send("go on")
    finally:
        other.join()
    assert next_life().limits(A) == (2 * BLOCK, 4 * BLOCK)


def test_a_fork_reserves_nothing(next_life: Life) -> None:
    """It would put the file back to where the parent was when it forked."""
    ours = next_life()
    ours.begin([A])
    pid = os.fork()
    if pid == 0:
        try:
            ours.settle(A, 0, 0)
        except CryptoError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert next_life().limits(A) == (2 * BLOCK, 2 * BLOCK)


def test_files_of_others_are_refused(path: Path, next_life: Life) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(ConfigError, match="symbolic link"):
        next_life()
    path.unlink()
    path.write_text("x")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="others can write"):
        next_life()


def test_each_end_of_a_link_has_a_file_beside_its_secret(tmp_path: Path) -> None:
    plan = plan_network([[("127.0.0.1", port)] for port in (1, 2, 3)], 1).write(tmp_path / "network")
    peer = plan.network.clients[0].peer_id
    secrets = tmp_path / "network" / "secrets"
    assert counter_files(plan.network, 1) == [secrets / "link-0.node-1.counters", secrets / "link-1.node-1.counters"]
    assert counter_files(plan.network, peer)[0] == secrets / f"link-2.client-{peer.hex()[:16]}.counters"
