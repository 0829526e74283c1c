"""Passphrases from descriptors, files, credentials and a real terminal."""

import os
import pty
import select
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fastmix.errors import KeyStoreError
from fastmix.keys.passphrase import CREDENTIAL, credential_path, from_credential, from_fd, from_file, from_prompt


def private_file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def piped(data: bytes) -> int:
    ends = os.pipe()
    os.write(ends[1], data)
    os.close(ends[1])
    return ends[0]


@pytest.mark.parametrize(
    ("data", "passphrase"),
    [(b"word", b"word"), (b"word\n", b"word"), (b"two words\n\n", b"two words\n"), (b" x \n", b" x "), (b"\xff\0", b"\xff\0")],
)
def test_bytes_are_taken_as_they_are_but_one_newline(tmp_path: Path, data: bytes, passphrase: bytes) -> None:
    fd = piped(data)
    assert from_fd(fd).view == passphrase
    os.close(fd)
    assert from_file(private_file(tmp_path / "word", data)).view == passphrase


@pytest.mark.parametrize(("data", "words"), [(b"", "is empty"), (b"\n", "is empty"), (b"x" * 1025, "more than 1024 bytes")])
def test_what_is_no_passphrase(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(KeyStoreError, match=f"word: the passphrase file .*{words}|word: the passphrase file {words}"):
        from_file(private_file(tmp_path / "word", data))


def test_a_long_one_comes_in_parts(tmp_path: Path) -> None:
    ends = os.pipe()

    def write() -> None:
        for _ in range(4):
            os.write(ends[1], b"y" * 256)
        os.close(ends[1])

    writer = threading.Thread(target=write)
    writer.start()
    assert from_fd(ends[0]).view == b"y" * 1024
    writer.join()
    os.close(ends[0])


def test_a_file_that_others_can_read(tmp_path: Path) -> None:
    path = private_file(tmp_path / "word", b"word")
    path.chmod(0o644)
    with pytest.raises(KeyStoreError, match=r"word: the passphrase file has mode 0644, so others .* chmod 600"):
        from_file(path)
    with pytest.raises(KeyStoreError, match="there is no passphrase file: make one"):
        from_file(tmp_path / "none")


def test_a_closed_descriptor() -> None:
    fd = piped(b"word")
    os.close(fd)
    with pytest.raises(KeyStoreError, match=f"descriptor {fd} cannot be read: Bad file descriptor"):
        from_fd(fd)


def test_a_systemd_credential(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert credential_path({}) is None
    with pytest.raises(KeyStoreError, match=f"there is no systemd credential {CREDENTIAL}: set LoadCredential="):
        from_credential(environ)
    path = private_file(tmp_path / CREDENTIAL, b"word\n")
    path.chmod(0o440)  # what an access list for the service's user looks like
    assert from_credential(environ).view == b"word"
    path.chmod(0o444)
    with pytest.raises(KeyStoreError, match="others can use the credential"):
        from_credential(environ)


def typed(lines: list[bytes], ask: Callable[[str], object]) -> tuple[object, bytes]:
    """What `ask` gives on a terminal where these lines are typed, each after a question, and what the terminal has shown."""
    person, program = pty.openpty()
    shown = bytearray()

    def type_lines() -> None:
        for n, line in enumerate(lines, 1):
            while shown.count(b": ") < n:
                shown.extend(os.read(person, 100))
            os.write(person, line + b"\n")

    typist = threading.Thread(target=type_lines)
    typist.start()
    try:
        found = ask(os.ttyname(program))
    except KeyStoreError as error:
        found = error
    typist.join()
    while select.select([person], [], [], 0)[0]:
        shown.extend(os.read(person, 100))
    os.close(person)
    os.close(program)
    return found, bytes(shown)


def test_a_prompt_shows_nothing_of_what_is_typed() -> None:
    found, shown = typed([b"hush"], lambda terminal: bytes(from_prompt("passphrase: ", terminal=terminal).view))
    assert found == b"hush"
    assert b"passphrase: " in shown
    assert b"hush" not in shown


def test_a_new_one_is_typed_twice() -> None:
    def ask(terminal: str) -> bytes:
        return bytes(from_prompt("new passphrase: ", twice=True, terminal=terminal).view)

    assert typed([b"hush", b"hush"], ask)[0] == b"hush"
    error, _ = typed([b"hush", b"hash"], ask)
    assert "the two passphrases differ: nothing was changed" in str(error)
    error, _ = typed([b""], ask)
    assert str(error) == "no passphrase: nothing was typed: try again"


def test_no_terminal(tmp_path: Path) -> None:
    for terminal in (str(tmp_path / "none"), os.devnull):
        with pytest.raises(KeyStoreError, match="no terminal to ask on; use --passphrase-fd"):
            from_prompt("passphrase: ", terminal=terminal)
