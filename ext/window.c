/* Replay window of a link, RFC 6479: a ring of words, one more than the window needs, so that a word is cleared whole when
 * the top enters it and no bit is ever shifted. */
#include "fm_link.h"

enum { WORDS = FM_WINDOW_SIZE / 64 + 1 };

/* Clears the words between the old top's and the new one's; after a jump over the whole ring, all. */
static void advance(struct fm_window *w, uint64_t seq)
{
    uint64_t word = w->top ? (w->top - 1) / 64 : 0, last = seq / 64;
    if (last - word > WORDS) word = last - WORDS;
    while (word < last) w->bits[++word % WORDS] = 0;
    w->top = seq + 1;
}

uint8_t fm_window_accept(struct fm_window *w, uint32_t seq)
{
    uint64_t bit = (uint64_t)1 << seq % 64;
    uint64_t *word = &w->bits[seq / 64 % WORDS];
    if ((uint64_t)seq + FM_WINDOW_SIZE < w->top) return FM_DROP_LINK_OLD;
    if (seq >= w->top) advance(w, seq);
    else if (*word & bit) return FM_DROP_LINK_REPLAY;
    *word |= bit;
    return FM_OK;
}
