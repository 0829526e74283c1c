"""The files of a home, each made whole or not at all, the configuration last: without it a home is not finished, and the next
start goes on where the one before was killed.

| file | what |
|---|---|
| `home.lock` | held while the node runs |
| `identity.passphrase` | 128 random bits, as hex digits |
| `identity.keys` | the identity's store, under that passphrase; its audit log and the chain of keys lie beside it |
| `identity.keys.directory/` | what the node knows of its network; of an authority, the token's hash |
| `node.toml` | the configuration |
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastmix.config import MixnodeConfig
from fastmix.directory.token_file import directory_folder
from fastmix.errors import ConfigError
from fastmix.files.durable import write_durably
from fastmix.files.private import lock
from fastmix.files.toml import toml_text
from fastmix.home.lock import CONFIG
from fastmix.home.places import make_memory, state_directory
from fastmix.home.text import STORE, configuration
from fastmix.home.wishes import Wishes, check_agree, new_bootstraps, place
from fastmix.keys.hierarchy import Identity
from fastmix.keys.newstore import recorded_making
from fastmix.keys.passphrase import from_file
from fastmix.keys.store import create_store, open_store, read_store
from fastmix.keys.wrapping import PassphraseWrapping
from fastmix.plan import RANDOM_COST, passphrase_path
from fastmix.process.swap import check_memory, check_swap
from fastmix.tls.greeting import pin_of

OURS = re.compile(r"home\.lock|identity\.passphrase|identity\.keys(\..+)?|\.(node\.toml|identity\.[a-z.]+)\.\d+\.new")
"""What an unfinished home may hold."""
INTRODUCTION = "introduction"
"""In the directory's folder once a node has come into a network."""
LOCK_WAIT_S = 10.0


def check_home(home: Path) -> None:
    """`ConfigError` where files lie in a home without a configuration that nobody has made for one."""
    if (home / CONFIG).is_symlink() or (home / CONFIG).exists():
        return
    foreign = sorted(name for name in os.listdir(home) if not OURS.fullmatch(name))
    if foreign:
        raise ConfigError(
            f"{home}: there is no {CONFIG}, but {foreign[0]!r}, which is no file of a node: name an empty directory, or a new one"
        )


def make_files(home: Path, wishes: Wishes, actor: str) -> bool:
    """Prepares a home that was taken; False where it was prepared before, and then agrees with the wishes. `actor`: for the audit
    log. `FastmixError` says what is wrong; what was finished stays."""
    check_home(home)
    path = home / CONFIG
    if path.is_symlink() or path.exists():
        _go_on(path, wishes)
        return False
    identity = make_identity(home, actor)
    check_others(home, identity, wishes)
    name = identity.hex()[:16]
    state_dir = state_directory(home, name, os.geteuid(), allow_disk=wishes.allow_swap)
    check_memory_of(state_dir, wishes)
    make_memory(state_dir, os.geteuid())
    with _alone(home.parent):
        write_durably(path, configuration(home, wishes, name, state_dir).encode(), replace=False)
    return True


def _go_on(path: Path, wishes: Wishes) -> None:
    """A home that is prepared."""
    config = MixnodeConfig.load(path)
    if config.join is None or config.identity is None:
        raise ConfigError(f"{path}: has no [join] table: run it as `fastmix run {path}`, or name another directory with --home")
    check_agree(config, path, wishes)
    check_others(path.parent, read_store(config.identity.store).public, wishes)
    joined = (directory_folder(config.identity.store) / INTRODUCTION).exists()
    if (bootstraps := new_bootstraps(config, path, wishes, joined=joined)) is not None:
        _rewrite(path, bootstraps)
    make_memory(config.state_dir, os.geteuid())


def _rewrite(path: Path, bootstraps: tuple[str, ...]) -> None:
    """Other bootstrap nodes, in place of the line that has them."""
    line = f"bootstrap = {toml_text(list(bootstraps))}"
    text, n = re.subn(r"^bootstrap *= *\[[^\]\n]*\]", lambda _: line, path.read_text(), flags=re.MULTILINE)
    if n != 1:
        raise ConfigError(f"--bootstrap: {path} does not have it in a line of its own: edit it there, and leave the option out")
    write_durably(path, text.encode())


def check_memory_of(state_dir: Path, wishes: Wishes) -> None:
    """Before anything names a state directory: `ConfigError` where keys in it could come to a disk."""
    try:
        check_swap(state_dir, wishes.allow_swap)
        check_memory(state_dir, wishes.allow_swap)
    except ConfigError as error:
        raise ConfigError(f"{error} (as an option: --allow-swap)") from None


def make_identity(home: Path, actor: str) -> bytes:
    """The public key of the identity in a home, made where there is none. `KeyStoreError` where the passphrase beside a store is
    not its own."""
    store = home / STORE
    passphrase, cost = passphrase_path(store), None
    if not store.exists() and not passphrase.exists():
        write_durably(passphrase, os.urandom(16).hex().encode(), replace=False)
        cost = RANDOM_COST
    with PassphraseWrapping(lambda: from_file(passphrase), cost) as kept:
        if store.exists():
            with open_store(store, kept) as identity:
                return identity.public
        with Identity.fresh() as identity, identity.storage_key("audit") as key:
            with recorded_making(store, key, actor, "keys.init", kept_by=kept.name, identity=identity.public.hex()):
                create_store(store, identity, kept)
            return identity.public


def check_others(home: Path, identity: bytes, wishes: Wishes) -> None:
    """`ConfigError` where a node is to join itself."""
    for each in wishes.bootstraps:
        if each.pin == pin_of(identity):
            raise ConfigError(f"--bootstrap {place(each)}: is the node of {home} itself: name another one, or leave it out")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One at a time chooses ports for a home in a directory, and names them in its file."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):  # some file systems have no locks for directories
            lock(fd, LOCK_WAIT_S)
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)
