"""The outermost frame of the command: every end is an exit code, and no error of a user's shows a traceback.

| code | meaning |
|---|---|
| 0 | done |
| 1 | the command ran and failed |
| 2 | wrong usage, file or value: one message says which and what to do |
| 78 | a key store, its passphrase, token, TPM or audit log was refused: one message says why and what to do (EX_CONFIG) |
| 130 | interrupted by Ctrl-C |
"""

import os
import sys
from collections.abc import Sequence

OK, FAILED, USAGE, KEYS, INTERRUPTED = 0, 1, 2, 78, 130


def main(tokens: Sequence[str] | None = None) -> int:
    """Runs one command line (by default that of the process); returns its exit code."""
    if not has_output():
        print("fastmix: the standard output is closed: open it, or send it to /dev/null", file=sys.stderr)
        return FAILED
    try:
        return _run(sys.argv[1:] if tokens is None else list(tokens))
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.filename is not None:  # of a file that no part has looked after: its name says more than a traceback
            print(f"fastmix: {error.filename}: {error.strerror}: check path, owner and mode", file=sys.stderr)
            return FAILED
        # of the output: a full disk, or the reader of a pipe went away, as `head` does
        if not isinstance(error, BrokenPipeError):
            print(f"fastmix: the output cannot be written: {error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def has_output() -> bool:
    """Whether the process has a standard output. Each of the three that was closed when it started is /dev/null from now on:
    the next file or socket would get its number, and what is printed.
    """
    found = sys.stdout is not None
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  (for the life of the process)
    return found


def _run(tokens: list[str]) -> int:
    """Parses and runs; turns errors into messages and codes. Imports wait until here so that Ctrl-C is caught during them."""
    from cyclopts import CycloptsError

    from fastmix.cli.app import app
    from fastmix.cli.output import complain
    from fastmix.errors import ConfigError, FastmixError, KeyStoreError

    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except CycloptsError as error:
        return complain(f"{error} Try: {' '.join(('fastmix', *(error.command_chain or ())))} --help", USAGE)
    except ConfigError as error:
        return complain(error, USAGE)
    except KeyStoreError as error:
        return complain(error, KEYS)
    except FastmixError as error:
        return complain(error, FAILED)
    except ValueError as error:
        from fastmix.kernels.isa import UnusableIsa

        if isinstance(error, UnusableIsa):
            return complain(error, USAGE)
        raise
