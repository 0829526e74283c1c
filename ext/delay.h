/* Delays of a batch. Private to ext/. */
#ifndef FM_DELAY_H
#define FM_DELAY_H

#include "fm_sphinx.h"

/* delay[i] from seed[i], 16 bytes, as fm_delay does it; n <= FM_BATCH_MAX. One ChaCha20 call gives nearly all that is needed. */
void fm_delay_batch(const struct fm_kernels *k, double *delay, const uint8_t *const *seed, size_t n);

#endif
