"""Verdicts: every way a packet can leave a stage, each with its sentence.

One declaration is the C enum (`ext/include/fm_verdict.h`), the counter, the metric label and the manual's row.
"""

from enum import IntEnum


class Verdict(IntEnum):
    """The outcome of one packet. Everything but `OK` is a drop, counted under its own name."""

    OK = 0
    DROP_LENGTH = 1
    DROP_OTHER_GEOMETRY = 2
    DROP_UNKNOWN_INDEX = 3
    DROP_LINK_AUTH = 4
    DROP_LINK_REPLAY = 5
    DROP_LINK_OLD = 6
    DROP_LINK_RATE = 7
    DROP_LINK_EXHAUSTED = 8
    DROP_LINK_FLAGS = 9
    DROP_DRAINING = 10
    DROP_KEY_SLOT = 11
    DROP_KX_NON_CANONICAL = 12
    DROP_KX_LOW_ORDER = 13
    DROP_MAC = 14
    DROP_REPLAY = 15
    DROP_REPLAY_FULL = 16
    DROP_ACTION = 17
    DROP_PAYLOAD_TAG = 18
    DROP_SINK_FULL = 19
    DROP_POOL_FULL = 20
    DROP_NO_LINK = 21
    DROP_NO_ADDRESS = 22
    DROP_LINK_STALLED = 23
    DROP_SEND = 24
    DROP_DRAINED = 25
    DROP_CRASH = 26
    DROP_UNKNOWN_SURB = 27
    DROP_MESSAGE_FORMAT = 28
    DROP_KX_SUBGROUP = 29
    DROP_LINK_GONE = 30

    @property
    def label(self) -> str:
        """The name in counters and metrics: `drop_mac`."""
        return self.name.lower()

    @property
    def sentence(self) -> str:
        """What it means, for a person."""
        return SENTENCES[self]


SENTENCES = {
    Verdict.OK: "The packet goes on.",
    Verdict.DROP_LENGTH: "The datagram has not the length of a frame of either geometry.",
    Verdict.DROP_OTHER_GEOMETRY: "The datagram has the length of the other geometry: two networks are mixed up.",
    Verdict.DROP_UNKNOWN_INDEX: "No link of this node has the frame's receiver index.",
    Verdict.DROP_LINK_AUTH: "The frame's tag is wrong: it was not sealed by the peer of this link, or was changed.",
    Verdict.DROP_LINK_REPLAY: "A frame with this sequence number was accepted before.",
    Verdict.DROP_LINK_OLD: "The frame's sequence number lies behind the window of 8,192.",
    Verdict.DROP_LINK_RATE: "The peer sends more than its link may carry.",
    Verdict.DROP_LINK_EXHAUSTED: "Step or sequence number of the link root reached 2^31: the link needs a new root.",
    Verdict.DROP_LINK_FLAGS: "The opened frame has flags or padding that are not zero.",
    Verdict.DROP_DRAINING: "The node is draining and takes nothing new.",
    Verdict.DROP_KEY_SLOT: "The node holds no mix key of the frame's key slot.",
    Verdict.DROP_KX_NON_CANONICAL: "kx_public is not the canonical encoding of a field element.",
    Verdict.DROP_KX_LOW_ORDER: "kx_public has low order: the shared secret is all zero.",
    Verdict.DROP_MAC: "The header's MAC is wrong: built for another key, or changed.",
    Verdict.DROP_REPLAY: "A packet with this shared secret was accepted before.",
    Verdict.DROP_REPLAY_FULL: "The replay set has no room for one more tag.",
    Verdict.DROP_ACTION: "The first routing action is none of the format's, or none for this node.",
    Verdict.DROP_PAYLOAD_TAG: "The payload's zero tag is wrong: the payload was changed on the way.",
    Verdict.DROP_SINK_FULL: "A packet for this node itself found the bounded sink full.",
    Verdict.DROP_POOL_FULL: "The mixing pool of the packet's class is full.",
    Verdict.DROP_NO_LINK: "No link leads to the next hop that the packet names.",
    Verdict.DROP_NO_ADDRESS: "The client behind the link has not been heard, so its address is unknown.",
    Verdict.DROP_LINK_STALLED: "The link has no reserved counters left; the control process must reserve the next block.",
    Verdict.DROP_SEND: "The kernel refused the datagram.",
    Verdict.DROP_DRAINED: "The drain ended before the packet's time came.",
    Verdict.DROP_CRASH: "The data plane died while it held the packet outside the pool.",
    Verdict.DROP_UNKNOWN_SURB: "A reply came for a SURB that this client has not made, or has used up.",
    Verdict.DROP_MESSAGE_FORMAT: "An end-to-end fragment does not follow the message format.",
    Verdict.DROP_KX_SUBGROUP: "kx_public is outside the prime-order subgroup: made to mark the packet (strict_kx is on).",
    Verdict.DROP_LINK_GONE: "The link of the packet ended while it waited, and none has taken over.",
}

DROPS = tuple(verdict for verdict in Verdict if verdict is not Verdict.OK)
