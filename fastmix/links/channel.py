"""A link's two directions as one object, for clients, observers and tests.

The node's data plane calls `ext/link.c` itself.
"""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmix.errors import CryptoError, ResourceExhausted
from fastmix.kernels._link import Root, Window, open_frames, seal
from fastmix.packet.geometry import COUNTER_END, FRAME_PACKET_AT, FRAME_SEALED_AT, Geometry
from fastmix.packet.verdict import Verdict

INDEX = np.dtype("<u4")
Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint32]


class Channel:
    """Seals under `root_out` and opens under `root_in`, 32 bytes each; wiped by `wipe` and when it is dropped.

    `receiver_index_in` is ours, in the frames that come; `receiver_index_out` the peer's. Every call of `seal` is one step.
    `first_step` and `first_seq` go on from an earlier channel: one more than its last step, and its `next_seq`.
    A channel is of the process that made it: in a fork both would use the same keys with the same numbers.
    """

    def __init__(
        self,
        root_in: bytes | bytearray | memoryview,
        root_out: bytes | bytearray | memoryview,
        receiver_index_in: int,
        receiver_index_out: int,
        geometry: Geometry,
        first_step: int = 0,
        first_seq: int = 0,
    ) -> None:
        self._root_in, self._root_out = Root(root_in), Root(root_out)
        self._window = Window()
        self._pid = os.getpid()
        self.receiver_index_in = receiver_index_in
        self.receiver_index_out = receiver_index_out
        self.geometry = geometry
        self.next_step = first_step
        self.next_seq = first_seq

    def seal(self, packets: Bytes, key_slot: int = 0) -> Bytes:
        """Packets u8[n, P] as frames u8[n, F], under one step and n sequence numbers, all of one key slot (mod 256).

        Raises `ResourceExhausted` when a number of the root would reach 2^31, `ValueError` for another shape, `CryptoError` in
        another process.
        """
        self._check_process()
        n = self._rows(packets, self.geometry.packet_size, "packets")
        if self.next_step >= COUNTER_END or self.next_seq + n > COUNTER_END:
            at = f"step {self.next_step}, sequence number {self.next_seq}"
            raise ResourceExhausted(f"the link root is used up ({at}, {n} packets more): the link needs a new one")
        frames = np.zeros((n, self.geometry.frame_size), np.uint8)
        frames[:, FRAME_SEALED_AT] = key_slot & 0xFF
        frames[:, FRAME_PACKET_AT : FRAME_PACKET_AT + self.geometry.packet_size] = packets
        step, seq = self.next_step, self.next_seq
        self.next_step, self.next_seq = step + 1, seq + n
        seal(frames, self._root_out, self.receiver_index_out, step, seq)
        return frames

    def open(self, frames: Bytes) -> tuple[Bytes, Bytes, Bytes]:
        """Frames u8[n, F] as (Verdict u8[n], key slots u8[n], packets u8[n, P]); a dropped row holds zeros.

        Each sequence number is accepted once (window of 8,192). Raises `ValueError` for another shape, `CryptoError` in another
        process.
        """
        self._check_process()
        verdicts, _, rows = self._open(frames, self._window)
        bad = verdicts != Verdict.OK
        rows[bad] = 0
        packets = rows[:, FRAME_PACKET_AT : FRAME_PACKET_AT + self.geometry.packet_size]
        return verdicts, rows[:, FRAME_SEALED_AT].copy(), np.ascontiguousarray(packets)

    def counters(self, frames: Bytes) -> tuple[Bytes, Numbers, Numbers]:
        """(Verdict u8[n], steps u32[n], sequence numbers u32[n]) of frames u8[n, F] that come; nothing is remembered.

        Both numbers are zero in rows that are dropped.
        """
        verdicts, counters, _ = self._open(frames, None)
        counters[verdicts != Verdict.OK] = 0
        return verdicts, counters.astype(np.uint32), (counters >> np.uint64(32)).astype(np.uint32)

    def wipe(self) -> None:
        """Overwrites both roots; the channel is of no use afterwards."""
        self._root_in.wipe()
        self._root_out.wipe()

    @property
    def is_ours(self) -> bool:
        """Whether this process made the channel, rather than the one that it was forked from."""
        return self._pid == os.getpid()

    def _check_process(self) -> None:
        if not self.is_ours:
            raise CryptoError(
                f"process {os.getpid()} uses a channel of process {self._pid}: a fork would seal two packets under one key and "
                "number; open the client or the channel after the fork"
            )

    def _open(self, frames: Bytes, window: Window | None) -> tuple[Bytes, npt.NDArray[Any], Bytes]:
        """Verdicts, counters and rows of the frames that carry our index; the others are DROP_UNKNOWN_INDEX."""
        n = self._rows(frames, self.geometry.frame_size, "frames")
        verdicts, counters = np.full(n, Verdict.DROP_UNKNOWN_INDEX, np.uint8), np.zeros(n, np.uint64)
        rows = np.zeros_like(frames)
        mine = np.flatnonzero(np.ascontiguousarray(frames[:, :4]).view(INDEX)[:, 0] == self.receiver_index_in)
        opened = np.zeros((len(mine), self.geometry.frame_size), np.uint8)
        roots = [self._root_in] * len(mine)
        verdicts[mine], counters[mine] = open_frames(np.ascontiguousarray(frames[mine]), roots, window, opened)
        rows[mine] = opened
        return verdicts, counters, rows

    def _rows(self, array: Bytes, size: int, name: str) -> int:
        """Number of rows of u8[n, size]; `ValueError` otherwise."""
        if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != size:
            wanted = f"uint8[n, {size}] for geometry {self.geometry.name}"
            raise ValueError(f"{name} are {array.dtype}{list(array.shape)}: expected {wanted}")
        return len(array)
