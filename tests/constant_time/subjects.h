/* What is checked for constant time: each subject is a state in memory with secrets in it, and one call of ext/ on it. Both
 * drivers use them: poisoned.c under valgrind, timed.c with a cycle counter. */
#ifndef SUBJECTS_H
#define SUBJECTS_H

#include "fm_build.h"
#include "fm_keychain.h"
#include "fm_kernels.h"
#include "fm_link.h"
#include "fm_sphinx.h"

enum { LANES_MAX = 17 }; /* two vectors at a time, and one more, of 512 bits */

/* Where a state's secrets come from: zeros, or random bytes. */
struct source {
    int is_random;
    uint64_t random;
};
void source_fill(struct source *s, void *out, size_t size);

/* A state is plain bytes without pointers into itself, so it may be copied; it begins with its number of lanes. */
struct subject {
    const char *name;
    size_t size;
    size_t secret_at, secret_size; /* no branch and no address may depend on it */
    size_t result_at, result_size; /* must depend on the secrets */
    void (*make)(const struct fm_kernels *k, void *state, struct source *secrets); /* all but the number of lanes */
    void (*before)(const struct fm_kernels *k, void *state);                       /* not looked at; may be NULL */
    void (*run)(const struct fm_kernels *k, void *state);
};

#define BYTES_OF(type, member) offsetof(type, member), sizeof(((type *)0)->member)

extern const struct subject PRIMITIVES[], PACKETS[], PLANTED[]; /* a NULL name ends each; the planted ones leak */
const struct subject *subject_at(size_t i); /* of all of them; NULL behind the last */
/* NULL if this CPU does not run it. Of avx512ifma, which chooses one of two ladders, avx512ifma_a and avx512ifma_b are either. */
const struct fm_kernels *kernels_find(const char *isa);

void public_fill(void *out, size_t size); /* the same bytes every time */
void require(int condition, const char *what); /* ends the program */

#endif
