/* The replay set. Entries are never removed and a line fills from its first place on, so two threads with the same tag meet
 * at the same empty place: one of them wins the compare-and-swap, the other then reads its own fingerprint there. */
#include "fm_replay.h"

#include "bytes.h"

/* Tags are outputs of a keyed hash: their first eight bytes scaled to the table choose the line (Lemire's multiply-shift). */
static uint64_t line_of(const struct fm_replay *r, const uint8_t *tag)
{
    return (uint64_t)((unsigned __int128)fm_load64(tag) * r->line_count >> 64);
}

/* From other bytes of the tag than the line. */
static uint32_t fingerprint_of(const uint8_t *tag)
{
    uint32_t x = fm_load32(tag + 8);
    return x ? x : 1;
}

/* FM_OK inserted, DROP_REPLAY found, DROP_REPLAY_FULL neither: go on to the next line. */
static uint8_t line_insert(uint32_t *line, uint32_t fingerprint)
{
    for (int i = 0; i < FM_REPLAY_LINE; i++) {
        uint32_t found = __atomic_load_n(&line[i], __ATOMIC_RELAXED);
        if (!found && __atomic_compare_exchange_n(&line[i], &found, fingerprint, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return FM_OK;
        if (found == fingerprint) return FM_DROP_REPLAY;
    }
    return FM_DROP_REPLAY_FULL;
}

static uint8_t insert(const struct fm_replay *r, const uint8_t *tag)
{
    uint64_t line = line_of(r, tag), probes = r->line_count < FM_REPLAY_PROBES ? r->line_count : FM_REPLAY_PROBES;
    uint8_t verdict = FM_DROP_REPLAY_FULL;
    for (uint64_t i = 0; i < probes && verdict == FM_DROP_REPLAY_FULL; i++) {
        verdict = line_insert(r->lines + line * FM_REPLAY_LINE, fingerprint_of(tag));
        line = line + 1 == r->line_count ? 0 : line + 1;
    }
    return verdict;
}

void fm_replay_insert(const struct fm_replay *r, const uint8_t *tags, uint8_t *verdict, const uint32_t *slots, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (verdict[slots[i]] != FM_OK) continue;
        __builtin_prefetch(r->lines + line_of(r, tags + (size_t)slots[i] * FM_TAG_SIZE) * FM_REPLAY_LINE, 1);
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t *v = &verdict[slots[i]];
        if (*v == FM_OK) *v = insert(r, tags + (size_t)slots[i] * FM_TAG_SIZE);
    }
}
