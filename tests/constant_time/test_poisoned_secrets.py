"""No branch and no address depends on a secret: memcheck reports each that does, once the secrets are marked as undefined.

valgrind knows no AVX-512; test_timed_secrets.py looks at all instruction sets.
"""

import shutil
import subprocess

import pytest

from fastmix.kernels import isa

pytestmark = [pytest.mark.constant_time, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def poisoned(build_driver):
    assert shutil.which("valgrind"), "valgrind is missing: apt-get install valgrind"
    return build_driver("poisoned", "fm_equal", "fm_delay_batch")


@pytest.mark.parametrize("name", [name for name in ("portable", "avx2") if name in isa.supported()])
def test_no_branch_and_no_address_depends_on_a_secret(poisoned, name):
    done = subprocess.run(["valgrind", "-q", str(poisoned), name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reports = {subject: int(count) for subject, count in map(str.split, done.stdout.splitlines())}
    planted = {subject: count for subject, count in reports.items() if subject.startswith("planted_")}
    assert len(planted) == 3
    assert all(count > 0 for count in planted.values()), f"memcheck did not find what was planted: {planted}"
    found = {subject: count for subject, count in reports.items() if count and subject not in planted}
    assert not found, f"{found} (-1: the result does not depend on the secrets)\n{done.stderr}"
