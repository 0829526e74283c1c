/* What the design lets be seen (linked with --wrap, so that ext/ is checked as it is built): delays are not constant time. */
#ifndef DECLARED_H
#define DECLARED_H

#include "delay.h"

/* Called by ext/ instead of the functions without the prefix; __real_ is the function itself. */
void __real_fm_delay_batch(const struct fm_kernels *k, double *delay, const uint8_t *const *seed, size_t n);
void __wrap_fm_delay_batch(const struct fm_kernels *k, double *delay, const uint8_t *const *seed, size_t n);
int __real_fm_equal(const uint8_t *a, const uint8_t *b, size_t size);
int __wrap_fm_equal(const uint8_t *a, const uint8_t *b, size_t size);

#endif
