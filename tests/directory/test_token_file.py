"""The token's hash on a disk: what is kept, and what is refused."""

import os
from pathlib import Path

import pytest

from fastmix.directory.admission import Admission, token_hash
from fastmix.directory.token_file import read_token_hash, token_path, write_token_hash
from fastmix.errors import ConfigError, KeyStoreError

TOKEN, OTHER = bytes(range(16)), bytes(16)


def test_only_the_hash_is_kept_and_the_last_one_counts(tmp_path: Path) -> None:
    store = tmp_path / "identity.keys"
    assert read_token_hash(store) is None
    for token in (OTHER, TOKEN):
        write_token_hash(store, token)
        assert read_token_hash(store) == token_hash(token)
    path = token_path(store)
    assert (path, path.stat().st_mode & 0o777) == (tmp_path / "identity.keys.directory" / "token", 0o600)
    assert path.read_text() == token_hash(TOKEN).hex()
    admission = Admission("token", read_token_hash(store) or b"")
    assert (admission.refusal(bytes(32), TOKEN), admission.refusal(bytes(32), OTHER)) == ("", "the token is another one")


@pytest.mark.parametrize("data", [b"", b"ab", b"x" * 64, b"ab" * 33, b"\xff" * 64])
def test_a_damaged_one_is_refused(tmp_path: Path, data: bytes) -> None:
    store = tmp_path / "id"
    write_token_hash(store, TOKEN)
    token_path(store).write_bytes(data)
    with pytest.raises(KeyStoreError, match=r"token: (damaged|has more)"):
        read_token_hash(store)


def test_one_that_others_could_have_written_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "id"
    write_token_hash(store, TOKEN)
    token_path(store).chmod(0o666)
    with pytest.raises(KeyStoreError, match="mode 0666"):
        read_token_hash(store)
    token_path(store).parent.chmod(0o777)
    with pytest.raises(ConfigError, match="mode 0777"):
        write_token_hash(store, TOKEN)
    token_path(store).unlink()
    os.symlink(tmp_path / "elsewhere", token_path(store))
    with pytest.raises(KeyStoreError, match="symbolic link"):
        read_token_hash(store)


def test_no_directory_to_write_it_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_token_hash(tmp_path / "gone" / "id", TOKEN)
