"""Ties a child's life to its parent's, and keeps its memory to itself."""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_TIMERSLACK, PR_GET_TIMERSLACK = 29, 30


def set_lifeline(parent_pid: int) -> None:
    """SIGTERM will come when the parent dies. Exits at once if it has died already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(0)


def end_at_once() -> None:
    """From now on Ctrl-C and SIGTERM end this process without a word. For the time of imports and compiling, where an exception
    could be swallowed by a callback of C code, and where there is nothing yet to tidy up.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: os._exit(128 + number))


def set_timer_slack(slack_ns: int) -> int:
    """How late the kernel may end a sleep of this thread to join it with others. Returns what it was before, in ns."""
    libc = ctypes.CDLL(None)
    before = int(libc.prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0))
    libc.prctl(PR_SET_TIMERSLACK, slack_ns, 0, 0, 0)
    return before


def keep_unseen() -> None:
    """No core dump of this process, and no other of its user may look into its memory or its files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
