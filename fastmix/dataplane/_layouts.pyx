"""Where C has the fields of the structures that processes share, for `fastmix.dataplane` to compare.

Road: **here** is beside it: what its parts read of each other.
"""

cdef extern from *:
    """
    #include <stddef.h>
    #include "fm_road.h"
    #define AT(type, field) {#field, offsetof(struct type, field)}
    struct fm_offset { const char *field; size_t at; };
    static const struct fm_offset link_state[] = {AT(fm_link_state, send_counter), AT(fm_link_state, send_limit),
        AT(fm_link_state, lock), AT(fm_link_state, address), AT(fm_link_state, heard), AT(fm_link_state, peer_serial),
        AT(fm_link_state, bucket_ns), AT(fm_link_state, window), AT(fm_link_state, serial), {"", sizeof(struct fm_link_state)}};
    static const struct fm_offset snapshot_link[] = {AT(fm_snapshot_link, index_in), AT(fm_snapshot_link, index_out),
        AT(fm_snapshot_link, peer_id), AT(fm_snapshot_link, is_client), AT(fm_snapshot_link, live),
        AT(fm_snapshot_link, sends), AT(fm_snapshot_link, ingress), AT(fm_snapshot_link, next), AT(fm_snapshot_link, address),
        AT(fm_snapshot_link, interval_ns), AT(fm_snapshot_link, burst_ns), AT(fm_snapshot_link, serial),
        AT(fm_snapshot_link, peer_serial), AT(fm_snapshot_link, send_limit), AT(fm_snapshot_link, since_ns),
        AT(fm_snapshot_link, recv), AT(fm_snapshot_link, send), {"", sizeof(struct fm_snapshot_link)}};
    static const struct fm_offset snapshot_key[] = {AT(fm_snapshot_key, id), AT(fm_snapshot_key, slot),
        AT(fm_snapshot_key, from_ns), AT(fm_snapshot_key, until_ns), AT(fm_snapshot_key, key_slot),
        AT(fm_snapshot_key, live), {"", sizeof(struct fm_snapshot_key)}};
    static const struct fm_offset snapshot_copy[] = {AT(fm_snapshot_copy, link_count), AT(fm_snapshot_copy, classes),
        AT(fm_snapshot_copy, mean_delay_ns), AT(fm_snapshot_copy, last_serial),
        AT(fm_snapshot_copy, pool_limit), AT(fm_snapshot_copy, keys), AT(fm_snapshot_copy, routes),
        AT(fm_snapshot_copy, links), {"", sizeof(struct fm_snapshot_copy)}};
    static const struct fm_offset snapshot[] = {AT(fm_snapshot, generation), AT(fm_snapshot, copy),
        {"", sizeof(struct fm_snapshot)}};
    static const struct fm_offset counters[] = {AT(fm_counters, life), AT(fm_counters, page), {"", sizeof(struct fm_counters)}};
    static const struct fm_offset command[] = {AT(fm_command, drain), AT(fm_command, wake), {"", sizeof(struct fm_command)}};
    static const struct fm_offset origin[] = {AT(fm_origin, next_index), AT(fm_origin, key_slot), AT(fm_origin, due_ns),
        AT(fm_origin, packet), {"", sizeof(struct fm_origin)}};
    static const struct fm_offset cover[] = {AT(fm_cover, mark), AT(fm_cover, offered), AT(fm_cover, taken),
        AT(fm_cover, returned), AT(fm_cover, read), AT(fm_cover, missing), AT(fm_cover, upstreams),
        AT(fm_cover, loops_sent), AT(fm_cover, loops_returned), AT(fm_cover, loops_lost), AT(fm_cover, ids),
        AT(fm_cover, origins), {"", sizeof(struct fm_cover)}};
    """
    struct fm_offset:
        const char *field
        size_t at
    const fm_offset link_state[1]
    const fm_offset snapshot_link[1]
    const fm_offset snapshot_key[1]
    const fm_offset snapshot_copy[1]
    const fm_offset snapshot[1]
    const fm_offset counters[1]
    const fm_offset command[1]
    const fm_offset origin[1]
    const fm_offset cover[1]


cdef dict _read(const fm_offset *entries):
    cdef int i = 0
    found = {}
    while True:
        found[entries[i].field.decode()] = entries[i].at
        if entries[i].field[0] == 0:
            return found
        i += 1


def layouts():
    """Offsets of the shared C structures by name and field; the empty field is the size."""
    return {"link_state": _read(link_state), "snapshot_link": _read(snapshot_link), "snapshot_key": _read(snapshot_key),
            "snapshot_copy": _read(snapshot_copy),
            "snapshot": _read(snapshot), "counters": _read(counters), "command": _read(command), "origin": _read(origin),
            "cover": _read(cover)}
