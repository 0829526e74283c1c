"""Files that a person asks a command for with an option: whole, or not there."""

from pathlib import Path

from fastmix.errors import ConfigError


def check_place(option: str, path: Path | None) -> None:
    """Before minutes are spent: `ConfigError` where a file could not be put."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        what = "is a directory" if path.is_dir() else f"there is no directory {path.absolute().parent}"
        raise ConfigError(f"{option} {path}: {what}: name a file in a directory that exists")


def write_text(option: str, path: Path, text: str, *, new: bool = False) -> None:
    """Writes it. `new`: never over a file that exists. `ConfigError` where it cannot be written; no part of it stays."""
    opened = False
    try:
        with path.open("x" if new else "w") as file:
            opened = True
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{option} {path}: exists already: name a new file") from None
    except OSError as error:
        if opened and path.is_file():  # not a device or a pipe
            path.unlink()
        remedy = "make room there, or name a file elsewhere" if opened else "name a file that you may write"
        raise ConfigError(f"{option} {path}: cannot be written: {error.strerror}; {remedy}") from None
