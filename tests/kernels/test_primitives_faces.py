"""The constants' comparison, the choice of the instruction set, and bad arguments of the thin faces."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fastmix import kernels
from fastmix.kernels import _native, isa
from fastmix.packet.verdict import Verdict


def test_verdicts_and_actions_come_from_the_headers():
    constants = _native.constants()
    assert constants["VERDICTS"] == tuple(verdict.name for verdict in Verdict)
    assert constants["ACTIONS"]["COVER_ID"] == 0xFF04
    assert constants["WAN_PACKET_SIZE"] == 1200


def test_a_difference_between_c_and_python_is_named():
    native = _native.constants()
    with pytest.raises(ImportError, match="disagree on MAC_SIZE: ext/include says 16, fastmix/packet says 17"):
        kernels.compare_constants(native, native | {"MAC_SIZE": 17, "VERDICTS": ()})


@pytest.mark.parametrize(
    ("name", "message"),
    [("sse9", "'sse9' is not known: use one of portable, avx2, avx512f, avx512ifma"), ("portable", "Kernels(name='portable'")],
)
def test_environment_forces_the_instruction_set(name, message):
    command = [sys.executable, "-c", "from fastmix.kernels import isa; print(isa.active())"]
    done = subprocess.run(command, env=os.environ | {"FASTMIX_ISA": name}, capture_output=True, text=True, check=False)
    assert message in done.stdout + done.stderr
    assert (done.returncode == 0) == (name == "portable")


def test_portable_is_always_supported_and_the_fastest_is_active():
    assert isa.supported()[0] == "portable"
    assert isa.active().address == _native.kernels_address(isa.active().name)
    with pytest.raises(ValueError, match="is not available here"):
        _native.kernels_address("sse9")


def test_kernels_do_not_import_numba():
    code = "import sys, fastmix.kernels.isa; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: _native.x25519(np.zeros((2, 31), np.uint8), np.zeros((2, 32), np.uint8)),
        lambda: _native.x25519(np.zeros((2, 32), np.uint8), np.zeros((3, 32), np.uint8)),
        lambda: _native.subgroup(np.zeros((2, 31), np.uint8)),
        lambda: _native.chacha20(np.zeros((2, 32), np.int8), np.zeros((2, 9), np.uint8)),
        lambda: _native.chacha20(np.zeros((2, 32), np.uint8), np.zeros((2, 9), np.uint8), counters=np.zeros(3, np.uint32)),
        lambda: _native.poly1305(np.zeros(32, np.uint8), np.zeros((1, 9), np.uint8)),
        lambda: _native.blake2b(np.zeros((1, 9), np.uint8), out_size=65),
        lambda: _native.blake2b(np.zeros((1, 9), np.uint8), keys=np.zeros((1, 65), np.uint8)),
        lambda: _native.blake2b(np.zeros((1, 9), np.uint8), personal=b"short"),
    ],
)
def test_wrong_shapes_say_what_was_expected(call):
    with pytest.raises(ValueError, match="expected"):
        call()


@pytest.mark.parametrize("size", [0, 1, 16, 33])
def test_equal_sees_every_bit(size):
    data = bytes(range(size))
    assert _native.equal(data, data)
    for at in range(size * 8):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        assert not _native.equal(data, bytes(changed))
