"""Work that meets secrets is done in a child of a process that is to have none: what it leaves in memory goes with it."""

import os
import pickle
import sys
from collections.abc import Callable
from typing import TypeVar

from fastmix.errors import FastmixError

T = TypeVar("T")


def in_child(work: Callable[[], T]) -> T:
    """What `work` returns, or raises, in a child that has ended then. Both travel pickled."""
    sys.stdout.flush()
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        os._exit(_work(work, writer))
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        data = answer.read()
    _, status = os.waitpid(pid, 0)
    if not data:
        raise FastmixError(f"the preparation was ended ({os.waitstatus_to_exitcode(status)}): run the command again")
    value: T | BaseException = pickle.loads(data)
    if isinstance(value, BaseException):
        raise value
    return value


def _work(work: Callable[[], object], writer: int) -> int:
    try:
        value: object = work()
        sys.stdout.flush()
    except BaseException as error:
        value = error
    with os.fdopen(writer, "wb") as answer:
        pickle.dump(value, answer)
    return 0
