"""Where a passphrase comes from: a file descriptor, a file, a systemd credential, or a prompt on the terminal.

Never from the command line or the environment, which other processes can read. Its bytes go from the system call into locked
memory and are in no object of Python's.
"""

import os
import termios
from collections.abc import Mapping
from pathlib import Path

from fastmix.errors import KeyStoreError
from fastmix.keys._chain import LockedBytes
from fastmix.keys.privatefile import open_private

PASSPHRASE_MAX = 1024
"""Bytes that a passphrase may have."""
CREDENTIAL = "fastmix-passphrase"
"""Name of the systemd credential that is looked for by itself (`LoadCredentialEncrypted=fastmix-passphrase:…`)."""
TERMINAL = "/dev/tty"
INSTEAD = "--passphrase-fd, --passphrase-file"


def from_fd(fd: int) -> LockedBytes:
    """All bytes of a descriptor up to its end, without one newline there. The descriptor stays open."""
    return _read(fd, f"descriptor {fd}")


def from_file(path: Path, what: str = "passphrase file") -> LockedBytes:
    """The content of a file of mode 0600 without one newline at its end."""
    fd = open_private(path, what, f"make one: (umask 077; cat > {path})")
    try:
        return _read(fd, f"{path}: the {what}")
    finally:
        os.close(fd)


def credential_path(environ: Mapping[str, str], name: str = CREDENTIAL) -> Path | None:
    """The file of a systemd credential (systemd.exec(5)); None where the service was given none of this name."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(directory, name) if directory else None
    return path if path and path.exists() else None


def from_credential(environ: Mapping[str, str], name: str = CREDENTIAL) -> LockedBytes:
    """The content of a systemd credential. systemd owns the file and guards it; here only "others" may have no access."""
    path = credential_path(environ, name)
    if path is None:
        raise KeyStoreError(f"there is no systemd credential {name}: set LoadCredential={name}:FILE in the service's unit")
    if path.stat().st_mode & 0o007:
        raise KeyStoreError(f"{path}: others can use the credential: let systemd make it, with LoadCredential={name}:FILE")
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return _read(fd, f"{path}: the credential")
    finally:
        os.close(fd)


def from_prompt(question: str, *, twice: bool = False, terminal: str = TERMINAL, instead: str = INSTEAD) -> LockedBytes:
    """What is typed on the terminal, unseen; `twice` asks again and compares. `instead` names other ways, for the refusal."""
    try:
        fd = os.open(terminal, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        raise _no_terminal(instead) from None
    try:
        first = _ask(fd, question, instead)
        if twice:
            with _ask(fd, "once more: ", instead) as second:
                if first.view != second.view:
                    first.wipe()
                    raise KeyStoreError("the two passphrases differ: nothing was changed, try again")
        return first
    finally:
        os.close(fd)


def _no_terminal(instead: str) -> KeyStoreError:
    return KeyStoreError(f"no passphrase: there is no terminal to ask on; use {instead} or the systemd credential {CREDENTIAL}")


def _ask(fd: int, question: str, instead: str) -> LockedBytes:
    """One line of a terminal with its echo off. What was typed ahead is thrown away."""
    try:
        before = termios.tcgetattr(fd)
    except termios.error:
        raise _no_terminal(instead) from None
    silent = [*before]
    silent[3] &= ~(termios.ECHO | termios.ECHONL)
    try:
        termios.tcsetattr(fd, termios.TCSAFLUSH, silent)
        os.write(fd, question.encode())
        return _read(fd, "the terminal", one_line=True)
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
        os.write(fd, b"\n")


def _read(fd: int, source: str, *, one_line: bool = False) -> LockedBytes:
    """Reads to the end of the file, or of the line, into locked memory; `KeyStoreError` if that is nothing or too much."""
    with LockedBytes(PASSPHRASE_MAX + 2) as room:
        size = 0
        while size < len(room.view):
            try:
                n = os.readv(fd, [room.view[size:]])
            except OSError as error:
                raise KeyStoreError(f"no passphrase: {source} cannot be read: {error.strerror}; name another") from None
            size += n
            if not n or (one_line and room.view[size - 1] == ord("\n")):
                break
        if size and room.view[size - 1] == ord("\n"):
            size -= 1
        if not size:
            problem = "nothing was typed: try again" if one_line else f"{source} is empty: write the passphrase into it"
            raise KeyStoreError(f"no passphrase: {problem}")
        if size > PASSPHRASE_MAX:
            raise KeyStoreError(f"no passphrase: {source} has more than {PASSPHRASE_MAX} bytes: use a shorter one")
        passphrase = LockedBytes(size)
        passphrase.view[:] = room.view[:size]
        return passphrase
