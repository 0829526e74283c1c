/* Sizes and offsets of the packet, the link frame and an arena row. The Python side is fastmix/packet/geometry.py;
 * fastmix.kernels compares the two at import, so neither can change alone. */
#ifndef FM_GEOMETRY_H
#define FM_GEOMETRY_H

enum {
    /* packet: kx_public 32 | mac 16 | actions 140 | payload (data, then a zero tag) */
    FM_KX_PUBLIC_SIZE = 32,
    FM_MAC_SIZE = 16,
    FM_ACTIONS_SIZE = 140,
    FM_MAC_AT = FM_KX_PUBLIC_SIZE,
    FM_ACTIONS_AT = FM_MAC_AT + FM_MAC_SIZE,
    FM_HEADER_SIZE = FM_ACTIONS_AT + FM_ACTIONS_SIZE, /* 188, the payload begins here */
    FM_PAYLOAD_TAG_SIZE = 16,
    FM_MAX_HOPS = 6,
    FM_ACTIONS_PAD_MAX = 50, /* the largest first action: u16, 32-byte peer id, 16-byte mac */
    FM_PEER_ID_SIZE = 32,
    FM_SURB_ID_SIZE = 16,
    FM_TAG_SIZE = 16,          /* replay tag */
    FM_PAYLOAD_KEY_SIZE = 192, /* LIONESS: 32 + 64 + 32 + 64 */
    FM_SURB_SIZE = 2 + FM_HEADER_SIZE + 32,

    FM_WAN_DATA_SIZE = 996,
    FM_JUMBO_DATA_SIZE = 2048,
    FM_WAN_PACKET_SIZE = FM_HEADER_SIZE + FM_WAN_DATA_SIZE + FM_PAYLOAD_TAG_SIZE,     /* 1200 */
    FM_JUMBO_PACKET_SIZE = FM_HEADER_SIZE + FM_JUMBO_DATA_SIZE + FM_PAYLOAD_TAG_SIZE, /* 2252 */

    /* frame: receiver_index 4 | counter 8 | sealed ( key_slot 1 | flags 1 | zero 2 | packet ) | tag 16 */
    FM_FRAME_INDEX_AT = 0,
    FM_FRAME_COUNTER_AT = 4,
    FM_FRAME_SEALED_AT = 12,
    FM_FRAME_PACKET_AT = 16,
    FM_FRAME_TAG_SIZE = 16,
    FM_FRAME_OVERHEAD = FM_FRAME_PACKET_AT + FM_FRAME_TAG_SIZE,

    FM_WINDOW_SIZE = 8192, /* link replay window, in frames (RFC 6479) */
    FM_BATCH_MAX = 256     /* most rows that one kernel call takes */
};

#endif
