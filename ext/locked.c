/* Memory for secrets (fm_keychain.h): Linux keeps it out of swap, core dumps and forked children. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "fm_keychain.h"

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t in_pages(size_t size)
{
    return (size + page_size() - 1) & ~(page_size() - 1);
}

static int keep_private(uint8_t *area, size_t size)
{
    return mprotect(area, size, PROT_READ | PROT_WRITE) || madvise(area, size, MADV_DONTDUMP)
        || madvise(area, size, MADV_WIPEONFORK) || mlock(area, size);
}

void *fm_locked_take(size_t size)
{
    const size_t inner = in_pages(size), whole = inner + 2 * page_size();
    uint8_t *mapped = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return NULL;
    if (keep_private(mapped + page_size(), inner)) {
        int why = errno;
        munmap(mapped, whole);
        errno = why;
        return NULL;
    }
    return mapped + page_size();
}

void fm_locked_give(void *area, size_t size)
{
    if (!area) return;
    fm_wipe(area, in_pages(size));
    munmap((uint8_t *)area - page_size(), in_pages(size) + 2 * page_size()); /* unlocks, too */
}

int fm_random(uint8_t *out, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = getrandom(out + done, size - done, 0);
        if (n > 0) done += (size_t)n;
        else if (errno != EINTR) return -1;
    }
    return 0;
}
