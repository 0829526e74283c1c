"""Files that are whole or not there, also after a power cut: what is synced, and in which order."""

import os
from pathlib import Path

import pytest

from fastmix.files.durable import write_durably


@pytest.mark.parametrize("replace", [True, False])
def test_data_is_synced_before_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    done: list[tuple[str, str]] = []
    sync, name = os.fsync, "replace" if replace else "link"
    give_name = getattr(os, name)

    def noted_sync(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        done.append(("sync", "directory" if path == tmp_path else path.read_text()))
        sync(fd)

    def noted_name(old: Path, new: Path) -> None:
        done.append((name, new.name))
        give_name(old, new)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, name, noted_name)
    write_durably(tmp_path / "state", b"all of it", replace=replace)
    assert done == [("sync", "all of it"), (name, "state"), ("sync", "directory")]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
