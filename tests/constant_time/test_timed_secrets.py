"""No time depends on a secret: fixed and random secrets in random turns, compared by Welch's t, on every instruction set.

The turns are random, so noise of the machine, however loud, gives neither class more than the other: it can hide a leak but not
feign one. What looks like a leak is measured again, longer; a real one only stands out more.
"""

import subprocess

import numpy as np
import pytest
from welch import largest_t

from fastmix.kernels import isa

pytestmark = [pytest.mark.constant_time, pytest.mark.timeout(900)]
SUSPECT, LEAK = 5, 10
"""|t| above which a subject is measured again, and above which it leaks (dudect is sure from there on)."""
LANES = {"portable": 1, "avx2": 9, "avx512f": 17, "avx512ifma_a": 17, "avx512ifma_b": 17}
"""Two vectors that are worked on in turns, and one more. avx512ifma has two ladders and measures which one it takes."""
SUPPORTED = [name for name in LANES if name.partition("_")[0] in isa.supported()]
ROUNDS_MS = (300, 1000, 3000)


@pytest.fixture(scope="module")
def timed(build_driver):
    return build_driver("timed", "fm_delay_batch")


def measured_t(timed, name, subject, milliseconds, seed):
    """t of one round."""
    words = [str(timed), name, subject, str(LANES[name]), str(milliseconds), str(seed)]
    done = subprocess.run(words, capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.uint64)
    return largest_t(found >> np.uint64(1), (found & np.uint64(1)).astype(bool))


def rounds_of(timed, name, subject):
    """The t of as many rounds as it takes to find one that is quiet; of all of them if none is."""
    found = []
    for seed, milliseconds in enumerate(ROUNDS_MS):
        found.append(measured_t(timed, name, subject, milliseconds, seed))
        if abs(found[-1]) <= SUSPECT:
            break
    return found


def is_leak(found):
    """Whether all rounds point the same way, the longest with certainty."""
    return abs(found[-1]) > LEAK and len({t > 0 for t in found}) == 1


def is_seen(timed, name, subject):
    """Whether one of the rounds shows the leak."""
    return any(abs(measured_t(timed, name, subject, length, seed)) > LEAK for seed, length in enumerate(ROUNDS_MS))


@pytest.mark.parametrize("name", SUPPORTED)
def test_no_time_depends_on_a_secret(timed, name):
    subjects = subprocess.run([str(timed), "list"], capture_output=True, text=True, check=True).stdout.split()
    planted = [subject for subject in subjects if subject.startswith("planted_")]
    assert len(planted) == 3
    assert len(subjects) > 15
    unseen = [subject for subject in planted if not is_seen(timed, name, subject)]
    assert not unseen, f"planted, but not seen: {unseen}"
    rounds = {subject: rounds_of(timed, name, subject) for subject in subjects if subject not in planted}
    print(*(f"{name} {subject}: t {np.round(found, 1).tolist()}" for subject, found in rounds.items()), sep="\n")
    found = {subject: t for subject, t in rounds.items() if is_leak(t)}
    assert not found, f"the time depends on the secret, t of each round: {found}"
