"""Where secrets of the chain lie, and that they are nowhere once wiped: a process of its own is searched from outside."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from process_memory import places_of

from fastmix.reference import keychain as twin

CHILD = """
import os, sys
from fastmix.keys._chain import Chain, LockedBytes

seed, secret, key = LockedBytes(48), LockedBytes(32), LockedBytes(32).fill_random()
with open(0, "rb", buffering=0) as orders:
    assert orders.readinto(seed) == 48
    chain = Chain.fresh(7, seed)
    seed.wipe()
    for order in orders.readline, orders.readline:
        print("at the next", flush=True)
        words = order().decode()
        exec(words)
    print("done", flush=True)
    orders.readline()
"""
SEED = os.urandom(48)
STATES = [SEED[:32]]
for _ in range(66):
    STATES.append(twin.advance(STATES[-1]))
SECRETS = twin.secrets(SEED[:32], 7, 66)
NEEDLES = [*STATES[:2], *SECRETS[:2], STATES[13], STATES[14], SECRETS[13], STATES[-1], SECRETS[-1]]


class Searched:
    """The process, one order at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.tell(SEED)

    def tell(self, words: bytes) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(words)
        assert self.process.stdout.readline(), "the process has failed"

    def found(self) -> dict[bytes, int]:
        """How often each needle that is in its memory is there."""
        return {needle: len(places) for needle, places in places_of(self.process.pid, NEEDLES).items() if places}


@pytest.fixture
def searched() -> Iterator[Searched]:
    child = Searched()
    yield child
    child.process.kill()
    child.process.communicate()


def test_only_the_present_state_is_in_memory_and_after_the_wipe_nothing(searched: Searched) -> None:
    assert searched.found() == {STATES[0]: 1}
    searched.tell(b"chain.take(secret); chain.publics(66); chain.seal(key, bytes(12)); chain.copy().wipe()\n")
    assert searched.found() == {STATES[1]: 1, SECRETS[0]: 1}
    searched.tell(b"chain.wipe(); secret.wipe()\n")
    assert searched.found() == {}


def test_what_is_dropped_is_wiped(searched: Searched) -> None:
    searched.tell(b"chain.skip_to(20); chain.take(secret); other = chain.copy()\n")
    assert searched.found() == {STATES[14]: 2, SECRETS[13]: 1}
    searched.tell(b"del chain, secret, other\n")
    assert searched.found() == {}


FLAGS = """
import ctypes, os, re
from fastmix.keys._chain import LockedBytes

secret = LockedBytes(8192)
secret.view[:] = bytes(range(256)) * 32
address = ctypes.addressof(ctypes.c_char.from_buffer(secret.view))
areas = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", open("/proc/self/smaps").read())[1:]
ends = [(tuple(int(end, 16) for end in area.split(" ", 1)[0].split("-")), area) for area in areas]
(own,) = (area for (begin, end), area in ends if begin <= address < end)
print(re.search("VmFlags: (.*)", own)[1])
first = address // 4096 * 4096
print(*(area.split()[1] for (begin, end), area in ends if end == first or begin == first + 3 * 4096))
child = os.fork()
if child == 0:
    os._exit(secret.is_live or any(ctypes.string_at(address, 8192)))
print(os.waitpid(child, 0)[1], bytes(secret.view[:3]))
"""


def run(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_locked_not_dumped_fenced_and_wiped_on_fork() -> None:
    flags, fences, forked = run(FLAGS)
    assert {"lo", "dd", "wf"} <= set(flags.split())
    assert fences == "---p ---p"
    assert forked == "0 b'\\x00\\x01\\x02'"


FORKED_CHAIN = """
import os
from fastmix.keys._chain import Chain

chain = Chain.fresh(7)
child = os.fork()
if child == 0:
    try:
        chain.take(bytearray(32))
    except ValueError as error:
        os._exit("has been wiped" not in str(error) or chain.is_live)
    os._exit(1)
print(os.waitpid(child, 0)[1], chain.slot)
"""


def test_a_forked_child_derives_nothing_from_zeros() -> None:
    assert run(FORKED_CHAIN) == ["0 7"]


LIMITED = """
import os, resource
from fastmix.errors import ResourceExhausted
from fastmix.keys._chain import Chain, LockedBytes

if os.geteuid() == 0:
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (8192, 8192))
held = []
try:
    for _ in range(3):
        held.append(LockedBytes(100))
except ResourceExhausted as error:
    print(len(held), error)
try:
    Chain.fresh(1)
except ResourceExhausted as error:
    print("RLIMIT_MEMLOCK" in str(error))
"""


def test_a_limit_on_locked_memory_is_named() -> None:
    told, chain = run(LIMITED)
    assert told.startswith("2 cannot lock memory for keys: ")
    assert "the limit on locked memory (RLIMIT_MEMLOCK) is 8192 bytes: raise it with `ulimit -l`" in told
    assert chain == "True"
