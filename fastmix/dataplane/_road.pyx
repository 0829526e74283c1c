"""The road's boundary: binds shared arrays once, then every call runs without the GIL.

Road: receive → open → unwrap → replay → pool (**here**, ext/road_in.c) → strategy, shuffle, grouping (Python) → seal → send
(**here**, ext/road_out.c).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t

cimport cython

import os

import numpy as np

from fastmix.kernels.fm_kernels cimport fm_kernels
from fastmix.kernels.fm_sphinx cimport fm_columns

from fastmix.kernels.isa import active


cdef extern from "fm_road.h" nogil:
    enum: FM_FREE, FM_RECEIVING, FM_POOLED, FM_LEAVING
    enum: FM_KEYS_MAX, FM_KEY_PLACES, FM_BATCH_MAX, FM_COUNTERS_MAX, FM_COUNT_DROPS, FM_VERDICT_COUNT, FM_WORKERS_MAX
    enum: FM_COUNT_RELEASED_BELOW_FLOOR, FM_COUNT_STRATEGY_FAULTS, FM_COUNT_KERNEL_DROP_EVENTS
    struct fm_io:
        pass
    struct fm_counters:
        pass
    struct fm_command:
        pass
    struct fm_cover:
        pass
    struct fm_scratch:
        pass
    struct fm_snapshot_copy:
        pass
    struct fm_link_state:
        pass
    struct fm_arena:
        uint8_t *rows
        uint64_t stride
        uint32_t capacity
        uint8_t *state
        uint8_t *class_
        uint8_t *key_slot
        uint16_t *link
        uint16_t *ingress
        int64_t *arrival_ns
        int64_t *deadline_ns
        fm_columns columns
    struct fm_replay:
        uint32_t *lines
        uint64_t line_count
    struct fm_key:
        const uint64_t *whole
        const uint8_t *secret
        const uint8_t *replay_key
        fm_replay replay
        int64_t from_ns, until_ns
        uint32_t ended
        uint8_t key_slot
    struct fm_view:
        uint64_t seed
    struct fm_free:
        uint32_t count
        uint32_t *slots
    struct fm_inbox:
        uint32_t *slots
        uint32_t mask
    struct fm_road:
        const fm_io *io
        fm_scratch *scratch
        fm_inbox inbox
        uint64_t counters[64]
        int thread_id
    struct fm_plane:
        const fm_kernels *kernels
        fm_arena arena
        fm_link_state *links
        fm_key keys[6]
        int64_t boot_ahead_ns
        fm_counters *counters
        const fm_command *command
        fm_cover *cover
        uint64_t *sink_head
        const uint64_t *sink_tail
        uint8_t *sink_rows
        uint32_t sink_capacity, packet_size, payload_size, frame_size, other_frame_size, batch
        uint8_t strict_kx
        int64_t tick_ns, nap_ns
        fm_road *roads
        uint32_t road_count
        fm_view views[2]
        fm_free free
        uint32_t fail_place, fail_after
    fm_plane *fm_plane_new(uint32_t road_count)
    void fm_plane_free(fm_plane *p)
    void fm_plane_recover(fm_plane *p)
    int fm_plane_adopt(fm_plane *p, const fm_snapshot_copy *s, const uint8_t *places)
    void fm_plane_end_key(fm_plane *p, uint32_t place)
    int fm_plane_adopted(const fm_plane *p)
    void fm_plane_settle(fm_plane *p)
    int fm_plane_start(fm_plane *p)
    void fm_plane_stop(fm_plane *p)
    void fm_plane_wait(fm_plane *p, int64_t until_ns)
    uint32_t fm_plane_inbox(fm_plane *p, uint32_t *slots, uint32_t n)
    int fm_road_receive(fm_road *r, int64_t now_ns)
    void fm_road_run(fm_road *r, int64_t until_ns)
    uint32_t fm_road_originate(fm_road *r, int64_t now_ns)
    void fm_road_leave(fm_road *r, const uint32_t *slots, uint32_t n)
    void fm_road_drop(fm_road *r, const uint32_t *slots, uint32_t n, uint8_t verdict)
    void fm_road_commit(fm_road *r)


cdef extern from *:
    size_t scratch_bytes "sizeof(struct fm_scratch)"


def column_sizes():
    """Bytes of one item of each slot column, as C reads it."""
    cdef fm_arena a
    return {"state": sizeof(a.state[0]), "class_": sizeof(a.class_[0]), "key_slot": sizeof(a.key_slot[0]),
            "link": sizeof(a.link[0]),
            "ingress": sizeof(a.ingress[0]), "arrival_ns": sizeof(a.arrival_ns[0]), "deadline_ns": sizeof(a.deadline_ns[0]),
            "verdict": sizeof(a.columns.verdict[0]), "action": sizeof(a.columns.action[0]),
            "next_index": sizeof(a.columns.next_index[0]), "delay": sizeof(a.columns.delay[0]),
            "peer_id": sizeof(a.columns.peer_id[0]), "surb_id": sizeof(a.columns.surb_id[0]), "tag": sizeof(a.columns.tag[0])}


def slot_states():
    """The states of a slot, in the order of `SlotState`."""
    return FM_FREE, FM_RECEIVING, FM_POOLED, FM_LEAVING


def counter_layout():
    """(position of the first drop counter, number of verdicts, counters in a page)."""
    return FM_COUNT_DROPS, FM_VERDICT_COUNT, FM_COUNTERS_MAX


def scratch_size():
    """Bytes of secret scratch that a road needs."""
    return scratch_bytes


def road_count(workers):
    """Roads of so many workers: one of two or more has a road of its own beside the mixer's."""
    return workers + 1 if workers > 1 else 1


cdef uintptr_t _address(array) except 0:
    return array.ctypes.data


@cython.no_gc_clear
cdef class Road:
    """The roads of all threads of a data plane over shared arrays, all of which it keeps alive until the last thread has ended.

    arena: the arrays of `fastmix.seam.memory.arena_sections`; page: those of `page_sections`; ios: for each worker an object
    with the `address` of a `struct fm_io`; the mixer sends through the first. A single worker is the mixer too; several have
    threads of their own. scratch: locked u8[road_count(workers), scratch_size()], all zero; batch: datagrams a receive call,
    1..256.
    """

    cdef fm_plane *plane
    cdef dict kept
    cdef object inbox

    def __cinit__(self, geometry, other_frame_size, arena, page, ios, *args, **kwargs):
        if not 1 <= len(ios) <= FM_WORKERS_MAX:
            raise ValueError(f"{len(ios)} workers: use 1 to {FM_WORKERS_MAX}")
        self.plane = fm_plane_new(<uint32_t>road_count(len(ios)))
        if self.plane is NULL:
            raise MemoryError("road state")

    def __dealloc__(self):
        if self.plane is not NULL:
            with nogil:
                fm_plane_stop(self.plane)
        fm_plane_free(self.plane)

    def __init__(self, geometry, other_frame_size, arena, page, ios, scratch, *, batch=256, tick_ns=1_000_000,
                 nap_ns=200_000, lookup_seed=0, bint strict_kx=False):
        if not 1 <= batch <= FM_BATCH_MAX:
            raise ValueError(f"batch {batch} is out of range: use 1 to {FM_BATCH_MAX}")
        self.plane.kernels = <const fm_kernels *><uintptr_t>active().address
        self.kept = {"arena": arena, "page": page, "scratch": scratch, "ios": tuple(ios)}
        self._bind_arena(geometry, arena)
        self._bind_page(page)
        self._bind_plane(geometry, len(arena["state"]))
        self.plane.other_frame_size = other_frame_size
        self.plane.tick_ns, self.plane.nap_ns, self.plane.batch = tick_ns, nap_ns, batch
        self.plane.strict_kx = strict_kx
        self.plane.views[0].seed = self.plane.views[1].seed = lookup_seed
        for at in range(self.plane.road_count):
            self._bind_road(at, ios[max(at - 1, 0)].address, scratch[at])

    cdef _bind_arena(self, geometry, arena):
        cdef fm_arena *a = &self.plane.arena
        a.rows = <uint8_t *>_address(arena["rows"])
        a.stride = geometry.row_stride
        a.capacity = len(arena["state"])
        a.state = <uint8_t *>_address(arena["state"])
        a.class_ = <uint8_t *>_address(arena["class_"])
        a.key_slot = <uint8_t *>_address(arena["key_slot"])
        a.link = <uint16_t *>_address(arena["link"])
        a.ingress = <uint16_t *>_address(arena["ingress"])
        a.arrival_ns = <int64_t *>_address(arena["arrival_ns"])
        a.deadline_ns = <int64_t *>_address(arena["deadline_ns"])
        a.columns.verdict = <uint8_t *>_address(arena["verdict"])
        a.columns.action = <uint16_t *>_address(arena["action"])
        a.columns.next_index = <uint16_t *>_address(arena["next_index"])
        a.columns.delay = <double *>_address(arena["delay"])
        a.columns.peer_id = <uint8_t *>_address(arena["peer_id"])
        a.columns.surb_id = <uint8_t *>_address(arena["surb_id"])
        a.columns.tag = <uint8_t *>_address(arena["tag"])
        self.plane.sink_rows = <uint8_t *>_address(arena["sink_rows"])
        self.plane.sink_capacity = len(arena["sink_rows"]) // geometry.payload_size

    cdef _bind_page(self, page):
        cdef fm_plane *p = self.plane
        p.links = <fm_link_state *>_address(page["links"])
        p.counters = <fm_counters *>_address(page["counters"])
        p.command = <const fm_command *>_address(page["command"])
        p.cover = <fm_cover *>_address(page["cover"])
        p.sink_head = <uint64_t *>_address(page["sink"])
        p.sink_tail = p.sink_head + 1

    cdef _bind_plane(self, geometry, capacity):
        cdef fm_plane *p = self.plane
        free_slots = np.zeros(capacity, np.uint32)
        self.inbox = np.zeros(capacity, np.uint32)
        self.kept["free_slots"] = free_slots
        p.packet_size, p.payload_size, p.frame_size = geometry.packet_size, geometry.payload_size, geometry.frame_size
        p.free.slots = <uint32_t *>_address(free_slots)

    cdef _bind_road(self, uint32_t at, uintptr_t io_address, scratch):
        cdef fm_road *r = &self.plane.roads[at]
        inbox = np.zeros(1 << (self.plane.arena.capacity - 1).bit_length(), np.uint32)
        self.kept["inbox", at] = inbox
        r.io = <const fm_io *>io_address
        r.scratch = <fm_scratch *>_address(scratch)
        r.inbox.slots, r.inbox.mask = <uint32_t *>_address(inbox), <uint32_t>len(inbox) - 1

    def use_key(self, int place, whole, secret, replay_key, lines, uint8_t key_slot):
        """Puts a key into a place (0..5) that no snapshot in use names: `secret` u8[32], `replay_key` u8[32], `lines` u32[m, 16],
        64-byte aligned, all of which stay where they are; `whole`: u64[1], zero once they are wiped by another process. The key
        is live once `key_times` has said when."""
        if not 0 <= place < FM_KEY_PLACES or len(secret) != 32 or len(replay_key) != 32:
            raise ValueError(f"key in place {place}: use 0 to {FM_KEY_PLACES - 1}, and secrets of 32 bytes")
        cdef fm_key *key = &self.plane.keys[place]
        self.kept["key", place] = (whole, secret, replay_key, lines)
        key.whole = <const uint64_t *>_address(whole)
        key.secret, key.replay_key = <const uint8_t *>_address(secret), <const uint8_t *>_address(replay_key)
        key.replay.lines, key.replay.line_count = <uint32_t *>_address(lines), len(lines)
        key.key_slot = key_slot
        key.from_ns = key.until_ns = 0
        key.ended = 0

    def key_times(self, int place, int64_t from_ns, int64_t until_ns):
        """When the key in a place is accepted, CLOCK_BOOTTIME."""
        self.plane.keys[place].from_ns, self.plane.keys[place].until_ns = from_ns, until_ns

    def end_key(self, uint32_t place):
        """Ends the key in a place. When this returns no thread uses its bytes any more: they may be wiped."""
        with nogil:
            fm_plane_end_key(self.plane, place)

    def forget_key(self, int place):
        """Lets go of the bytes of a key that has ended and that no snapshot in use names."""
        self.kept.pop(("key", place))

    def follow_boot_time(self, int64_t boot_ahead_ns):
        """How far CLOCK_BOOTTIME is ahead of the clock that `receive` is given."""
        self.plane.boot_ahead_ns = boot_ahead_ns

    def recover(self):
        """Repairs arena and counters after whatever came before, and fills the inbox with the slots that are pooled."""
        with nogil:
            fm_plane_recover(self.plane)

    def adopt(self, copy, const uint8_t[::1] places):
        """Takes one copy of the snapshot (an array of one `SNAPSHOT_COPY`) as current; `places` u8[3]: where its keys are,
        NO_KEY where one is not to be had. False, and not taken, while a worker still uses the one before the last: ask again
        later."""
        if len(places) != FM_KEYS_MAX:
            raise ValueError(f"{len(places)} places of keys: give {FM_KEYS_MAX}")
        if not fm_plane_adopt(self.plane, <const fm_snapshot_copy *>_address(copy), &places[0]):
            return False
        self.kept["before"], self.kept["snapshot"] = self.kept.get("snapshot"), copy
        return True

    @property
    def adopted(self):
        """True if every thread uses the snapshot that was adopted last: the one before may be written."""
        return bool(fm_plane_adopted(self.plane))

    def settle(self):
        """Every thread uses the snapshot that was adopted last: packets that wait for a row which it has not, or which another
        one has taken over, wait for that one from now on."""
        with nogil:
            fm_plane_settle(self.plane)

    def start(self):
        """Starts the workers' threads; their ids, none for a single thread. Raises `OSError`, and none runs."""
        cdef int error
        with nogil:  # where one cannot be had, those that run may need the GIL to end
            error = fm_plane_start(self.plane)
        if error:
            raise OSError(error, f"worker thread: {os.strerror(error)}")
        return [self.plane.roads[at].thread_id for at in range(1, self.plane.road_count)]

    def stop(self):
        """Ends the workers' threads; returns when they have ended."""
        with nogil:
            fm_plane_stop(self.plane)

    def receive(self, int64_t now_ns):
        """One receive call of each road that receives and all that follows up to the pool. Returns datagrams received; raises
        `OSError`. Not while workers run."""
        cdef int n, received = 0
        cdef uint32_t at
        for at in range(1 if self.plane.road_count > 1 else 0, self.plane.road_count):
            with nogil:
                n = fm_road_receive(&self.plane.roads[at], now_ns)
            if n < 0:
                raise OSError(-n, "receive")
            received += n
        return received

    def run(self, int64_t until_ns):
        """A single thread receives, a mixer beside workers waits: until `until_ns` (CLOCK_MONOTONIC), a tick after something was
        pooled, or a change of the command's wake word."""
        with nogil:
            if self.plane.road_count == 1:
                fm_road_run(self.plane.roads, until_ns)
            else:
                fm_plane_wait(self.plane, until_ns)

    def take_inbox(self):
        """The slots pooled since the last call, as u32[k]."""
        cdef uint32_t[::1] inbox = self.inbox
        return self.inbox[: fm_plane_inbox(self.plane, &inbox[0], <uint32_t>len(inbox))].copy()

    def originate(self, int64_t now_ns):
        """The mixer takes the node's own packets that control has made, as far as there is room; how many joined the pool."""
        return fm_road_originate(self.plane.roads, now_ns)

    def leave(self, const uint32_t[::1] slots):
        """Seals and sends pooled slots, those of one link side by side."""
        cdef uint32_t n = <uint32_t>len(slots)
        if n:
            with nogil:
                fm_road_leave(self.plane.roads, &slots[0], n)

    def drop(self, const uint32_t[::1] slots, uint8_t verdict):
        """Ends pooled slots with a drop."""
        cdef uint32_t n = <uint32_t>len(slots)
        if n:
            with nogil:
                fm_road_drop(self.plane.roads, &slots[0], n, verdict)

    def note(self, *, released_below_floor, strategy_faults, kernel_drop_events):
        """Sets the counters that Python keeps, and publishes."""
        cdef fm_road *r = self.plane.roads
        r.counters[FM_COUNT_RELEASED_BELOW_FLOOR] = released_below_floor
        r.counters[FM_COUNT_STRATEGY_FAULTS] = strategy_faults
        r.counters[FM_COUNT_KERNEL_DROP_EVENTS] = kernel_drop_events
        fm_road_commit(r)

    def kill_at(self, place, after):
        """Tests only: the process kills itself when `place` (1 received, 2 opened, 3 pooled, 4 leaving, 5 sealed, 6 sent, 7
        committed, 8 half of a row's state begun anew, 9 all of them, 10 a waiting packet given to another row, 11 packets of the
        node's own counted, 12 taken out of the ring) is passed for the `after`-th time, by whichever thread."""
        self.plane.fail_place, self.plane.fail_after = place, after

    @property
    def private_size(self):
        """Bytes of memory of its own, without scratch: the lists of free and of pooled slots."""
        return 4 * (self.plane.road_count * (self.plane.roads.inbox.mask + 1) + 2 * self.plane.arena.capacity)

    @property
    def free_count(self):
        """Free slots."""
        return self.plane.free.count
