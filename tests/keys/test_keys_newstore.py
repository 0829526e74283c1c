"""The log of a store that is being made, after kills at points that a command cannot be killed at from outside."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from secrets_of_tests import locked

from fastmix.errors import KeyStoreError
from fastmix.keys._chain import LockedBytes
from fastmix.keys.audit import AuditLog, examine, head_path, log_path
from fastmix.keys.newstore import recorded_making


@pytest.fixture
def keys() -> Iterator[tuple[LockedBytes, LockedBytes]]:
    """Of two identities."""
    with locked(bytes(range(32))) as one, locked(bytes(range(32, 64))) as other:
        yield one, other


def killed(log: Path, key: LockedBytes, *, has_log: bool) -> None:
    """As a kill before the first record leaves it: the first head, and the empty log or none."""
    heads: list[bytes] = []
    AuditLog(log, key, unix_ns=lambda: bool(heads.append(head_path(log).read_bytes()))).append("ann", "keys.init")
    head_path(log).write_bytes(heads[0])
    log.write_bytes(b"")
    if not has_log:
        log.unlink()


def make(store: Path, key: LockedBytes) -> None:
    with recorded_making(store, key, "ann", "keys.import"):
        store.touch()


@pytest.mark.parametrize("has_log", [False, True])
def test_a_kill_before_the_first_record(tmp_path: Path, keys: tuple[LockedBytes, LockedBytes], has_log: bool) -> None:
    """The same identity goes on with it, another sets it aside."""
    for name, key in (("one", keys[0]), ("two", keys[1])):
        store = tmp_path / name
        log = log_path(store)
        killed(log, keys[0], has_log=has_log)
        make(store, key)
        assert examine(log, key)[0] == []
        record = json.loads(log.read_text().splitlines()[0])
        aside = log.with_name(f"{log.name}.unfinished-1")
        assert (aside.exists(), head_path(aside).exists()) == (name == "two" and has_log, name == "two")
        assert record.get("unfinished_before") == (aside.name if name == "two" else None)


@pytest.mark.parametrize("has_log", [False, True])
def test_one_that_fails_after_such_a_kill(tmp_path: Path, keys: tuple[LockedBytes, LockedBytes], has_log: bool) -> None:
    store = tmp_path / "store"
    killed(log_path(store), keys[0], has_log=has_log)
    with pytest.raises(ZeroDivisionError), recorded_making(store, keys[0], "ann", "keys.import"):
        raise ZeroDivisionError
    assert has_log == log_path(store).exists() == head_path(log_path(store)).exists()
    make(store, keys[1])
    assert examine(log_path(store), keys[1])[0] == []


def test_a_line_that_was_cut_off_is_gone_on_behind(tmp_path: Path, keys: tuple[LockedBytes, LockedBytes]) -> None:
    """By a kill in its writing, under the same identity."""
    store = tmp_path / "store"
    killed(log_path(store), keys[0], has_log=True)
    log_path(store).write_bytes(b'{"n":0,"at":"20')
    make(store, keys[0])
    assert examine(log_path(store), keys[0])[0] == []
    assert not list(tmp_path.glob("*unfinished*"))


def test_a_log_that_is_gone_while_its_head_names_records(tmp_path: Path, keys: tuple[LockedBytes, LockedBytes]) -> None:
    store = tmp_path / "store"
    AuditLog(log_path(store), keys[0]).append("ann", "keys.init")
    log_path(store).unlink()
    before = head_path(log_path(store)).read_bytes()
    for key in keys:
        with pytest.raises(KeyStoreError, match="there is no audit log: put it back"), ExitStack() as making:
            making.enter_context(recorded_making(store, key, "ann", "keys.import"))
    assert head_path(log_path(store)).read_bytes() == before
    assert list(tmp_path.iterdir()) == [head_path(log_path(store))]
