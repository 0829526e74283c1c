"""Writes tests/vectors/fastmix/ with the plain implementation of tests/peer: `python tests/make_vectors.py [SEED]`."""

import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "peer"))

import peer_fragments as fragments  # noqa: E402
import peer_link as link  # noqa: E402
import peer_sphinx as sphinx  # noqa: E402

SEED = 20260101


def roots(draw):
    cases = []
    for number, geometry in enumerate(["wan", "jumbo"] * 4):
        secret, peer = draw.randbytes(32), draw.randbytes(32)
        sender, receiver = [(peer, link.node_id(number)), (link.node_id(number), link.node_id(1 << number))][number % 3 == 0]
        index, root = link.static_root(secret, sender, receiver, geometry)
        keys = {str(step): link.batch_key(root, step).hex() for step in (0, 1, 2, 255, link.END - 1)}
        cases.append(
            {
                "geometry": geometry,
                "secret": secret.hex(),
                "sender": sender.hex(),
                "receiver": receiver.hex(),
                "receiver_index": index,
                "root": root.hex(),
                "mask_key": link.mask_key(root).hex(),
                "batch_keys": keys,
            }
        )
    return cases


def frames(draw):
    cases = []
    for geometry, size in sphinx.DATA_SIZES.items():
        for step, seq, key_slot in [(0, 0, 0), (0, 1, 0), (1, 2, 7), (70000, 1 << 24, 255), (link.END - 1, link.END - 1, 128)]:
            root, index, packet = draw.randbytes(32), draw.getrandbits(32), draw.randbytes(size + 204)
            frame = link.seal(root, index, step, seq, key_slot, packet)
            case = {"geometry": geometry, "root": root.hex(), "receiver_index": index, "step": step, "seq": seq}
            cases.append({**case, "key_slot": key_slot, "packet": packet.hex(), "frame": frame.hex()})
    return cases


def damaged(draw, good):
    """One flipped bit in each field of a good frame; counters at their end; flags and padding that are not zero."""
    frame, root = bytearray.fromhex(good["frame"]), bytes.fromhex(good["root"])
    cases = []
    for at in (0, 3, 4, 11, 12, 13, 16, len(frame) // 2, len(frame) - 17, len(frame) - 16, len(frame) - 1):
        frame[at] ^= 1 << draw.randrange(8)
        try:
            link.open_frame(root, bytes(frame))
        except sphinx.Dropped as why:
            cases.append({"at": at, "frame": bytes(frame).hex(), "dropped": str(why)})
        frame = bytearray.fromhex(good["frame"])
    packet = bytes.fromhex(good["packet"])
    for step, seq in ((link.END, 0), (0, link.END), (2**32 - 1, 2**32 - 1)):
        bad = link.seal(root, good["receiver_index"], step, seq, 0, packet)
        cases.append({"step": step, "seq": seq, "frame": bad.hex(), "dropped": "exhausted"})
    return {"root": root.hex(), "receiver_index": good["receiver_index"], "geometry": good["geometry"], "cases": cases}


def messages(draw):
    cases = []
    for geometry, size in sphinx.DATA_SIZES.items():
        chunk = size - fragments.HEADER
        for length, n in [(0, 0), (1, 0), (chunk, 0), (chunk + 1, 0), (5, 2), (3 * chunk, 3), (2 * chunk - 226, 1)]:
            message_id, data = draw.randbytes(16), draw.randbytes(length)
            records = [bytes(4) + draw.randbytes(222) for _ in range(n)]
            made = fragments.split(message_id, data, size, records)
            if len(made[-1].body) <= chunk - fragments.RECORD:
                made[-1].records = [bytes(4) + draw.randbytes(222)]
            case = {"geometry": geometry, "message_id": message_id.hex(), "data": data.hex()}
            case["reply_records"] = [record.hex() for record in records]
            case["last_records"] = [record.hex() for record in made[-1].records]
            cases.append({**case, "fragments": [f.to_bytes(size).hex() for f in made]})
    return cases


def acknowledgements(draw):
    cases = []
    arrivals = [(1, [0]), (1, []), (3, [0, 1, 2]), (3, [0, 2]), (20, [1, 19]), (20, [*range(12)]), (1454, [*range(0, 1454, 3)])]
    for count, arrived in arrivals:
        message_id = draw.randbytes(16)
        made = fragments.acknowledge(message_id, count, set(arrived))
        case = {"message_id": message_id.hex(), "count": count, "arrived": arrived}
        cases.append({**case, "fragment": made.to_bytes(sphinx.DATA_SIZES["wan"]).hex()})
    return cases


def malformed(draw):
    size, message_id = sphinx.DATA_SIZES["wan"], draw.randbytes(16)
    good = fragments.split(message_id, draw.randbytes(700), size)[0].to_bytes(size)
    changes = {
        "version": (0, 2), "type": (1, 4), "flags": (2, 1), "records": (3, 5), "index": (20, 1), "count": (24, 2),
        "total too large": (30, 255), "reply_records": (32, 9), "size": (34, 1), "zeros after the body": (size - 1, 1),
    }  # fmt: skip
    return [{"why": why, "fragment": (good[:at] + bytes([value]) + good[at + 1 :]).hex()} for why, (at, value) in changes.items()]


def make(seed):
    """All files by name, from one seed."""
    draw = random.Random(seed)
    made_frames = frames(draw)
    about = {"made_with": "tests/make_vectors.py", "seed": seed, "format": "docs/wire-format.md, sections 6, 7 and 9"}
    made = {
        "roots.json": {"cases": roots(draw)},
        "frames.json": {"cases": made_frames, "damaged": damaged(draw, made_frames[0])},
        "fragments.json": {"messages": messages(draw), "acknowledgements": acknowledgements(draw), "malformed": malformed(draw)},
    }
    return {name: json.dumps(about | content, indent=1) + "\n" for name, content in made.items()}


def main(seed):
    """Writes them."""
    folder = HERE / "vectors" / "fastmix"
    folder.mkdir(exist_ok=True)
    for name, text in make(seed).items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEED)
