/* A kernel's working function is FM_FRAME: its vectors, spilled ones too, then lie in a frame of its own, and frame_burn, called
 * by the same caller afterwards, overwrites that frame. Private to ext/. */
#ifndef FM_FRAME_H
#define FM_FRAME_H

#include "fm_kernels.h"

#define FM_FRAME __attribute__((noinline))

enum { FRAME_SIZE = 5120 }; /* the largest of the frames is less */

static FM_FRAME void frame_burn(void)
{
    uint8_t below[FRAME_SIZE];
    fm_wipe(below, sizeof below);
}

#endif
