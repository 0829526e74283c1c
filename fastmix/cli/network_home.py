"""`fastmix network init|join|token`: a node of a network that forms itself, set up without being started."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from fastmix.cli.start import START, StartOptions, home_of, prepare, tell
from fastmix.errors import ConfigError
from fastmix.home.child import in_child
from fastmix.home.lock import CONFIG, Taken

if TYPE_CHECKING:
    from fastmix.config import MixnodeConfig


def init(directory: Path | None = None, /, *, start: StartOptions = START) -> None:
    """Set up the first node of a network, the authority that lets others in. Starts nothing; prints the token, once.

    Parameters
    ----------
    directory
        Home of the node, a new directory. By default that of `fastmix run` without a file.
    """
    set_up(directory, (), start)


def join(bootstrap: str, directory: Path | None = None, /, *, trust_first: bool = False, start: StartOptions = START) -> None:
    """Set up a node that joins a network. Starts nothing, and asks nobody.

    Parameters
    ----------
    bootstrap
        A node of the network, as it has said itself: HOST:PORT#PIN?TOKEN, in quotes.
    directory
        Home of the node, a new directory. By default that of `fastmix run` without a file.
    trust_first
        Believe a bootstrap node without a PIN, whoever answers there.
    """
    set_up(directory, (bootstrap,), start, trust_first=trust_first)


def token(directory: Path | None = None, /) -> None:
    """Make a new token for who joins, in place of the one before; nodes that are in stay in. Prints the text to join with.

    Parameters
    ----------
    directory
        Home of an authority, or its configuration file. By default the first home of `fastmix run` without a file.
    """
    path = config_of(directory)
    print(in_child(lambda: new_token(path)))


def new_token(path: Path) -> str:
    """Of the node of a configuration, now."""
    from fastmix.home.telling import Speaker

    return Speaker.of(joining(path), path).new_token()


def set_up(directory: Path | None, bootstrap: tuple[str, ...], start: StartOptions, *, trust_first: bool = False) -> None:
    """Prepares a home, and says so. `ConfigError` where it is prepared already."""
    taken = home_of(directory)
    path, made = prepare(taken, bootstrap, start, trust_first=trust_first)
    run = f"fastmix run{taken.options}"
    if not made:
        raise ConfigError(f"{path}: the node is set up already: start it with `{run}`, or name another directory")
    tell(joining(path), path, argument(taken))
    print(f"start       {run}")


def argument(taken: Taken) -> str:
    """What names a home to `fastmix network token`: nothing for the first of them."""
    from fastmix.home.places import NODE

    return f" {quote(str(taken.path))}" if taken.is_named or taken.path.name != NODE else ""


def config_of(directory: Path | None) -> Path:
    """The configuration of a home, of a file, or of the first home of this user."""
    import os

    from fastmix.home.places import base, homes

    if directory is None:
        directory = next(homes(base(os.environ, os.geteuid())))
    path = directory / CONFIG if directory.is_dir() else directory
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file: name the home of a node, or its configuration")
    return path


def joining(path: Path) -> "MixnodeConfig":
    """A configuration with a `[join]` table; `ConfigError` where it has none."""
    from fastmix.config import MixnodeConfig

    config = MixnodeConfig.load(path)
    if config.join is None:
        raise ConfigError(f"{path}: has no [join] table, so its network is what its network file says: name a node that has one")
    return config
