/* Every way a packet can leave a stage. The names, in order, are those of fastmix/packet/verdict.py, which also holds the
 * sentence for each; fastmix.kernels compares the two at import. */
#ifndef FM_VERDICT_H
#define FM_VERDICT_H

#define FM_VERDICTS(X)                                                                                               \
    X(OK) X(DROP_LENGTH) X(DROP_OTHER_GEOMETRY) X(DROP_UNKNOWN_INDEX) X(DROP_LINK_AUTH) X(DROP_LINK_REPLAY)        \
    X(DROP_LINK_OLD) X(DROP_LINK_RATE) X(DROP_LINK_EXHAUSTED) X(DROP_LINK_FLAGS)                                   \
    X(DROP_DRAINING) X(DROP_KEY_SLOT) X(DROP_KX_NON_CANONICAL) X(DROP_KX_LOW_ORDER) X(DROP_MAC) X(DROP_REPLAY)     \
    X(DROP_REPLAY_FULL) X(DROP_ACTION) X(DROP_PAYLOAD_TAG) X(DROP_SINK_FULL) X(DROP_POOL_FULL) X(DROP_NO_LINK)     \
    X(DROP_NO_ADDRESS) X(DROP_LINK_STALLED) X(DROP_SEND) X(DROP_DRAINED) X(DROP_CRASH) X(DROP_UNKNOWN_SURB)        \
    X(DROP_MESSAGE_FORMAT) X(DROP_KX_SUBGROUP) X(DROP_LINK_GONE)

#define FM_VERDICT_ENUM(name) FM_##name,
enum fm_verdict { FM_VERDICTS(FM_VERDICT_ENUM) FM_VERDICT_COUNT };

#endif
