#!/usr/bin/env python3
"""Writes vectors/mixcodec/*.json: `python3 mix_codec_vectors.py DIRECTORY`. The same bytes every time.

What the 3968 bytes of a packet say, and the frames in them, from the words of docs/mixnet-protocol.md and from no code of the node.
"""
import json
import sys
from pathlib import Path

MESSAGE, SURB = 3968, 734
GATEWAY, COVER = b"/ferry/gateway/1", b"/ferry/cover/1"
ROOM_REPLY = MESSAGE - 2 - 1
ROOM_GATEWAY = ROOM_REPLY - len(GATEWAY)
HEAD, FRAGMENTS, OBJECT = 36, 512, 1_200_000
NOTES = {
    "room": ("As long as it can be.", "Objects are cut in other places than the other side expects."),
    "padding": ("The padding is longer than the message, or not zero.", "Bytes that nobody reads carry marks through the network."),
    "codec": ("A codec that is unknown, cut short, or longer than the message.", "What one node says, another takes for something else."),
    "cover": ("Cover: 0 and 16 bytes for a loop, 1 and nothing for a drop, 2 and a reply block for a probe, 3 and 4 bytes for its answer.", "A loop that is not recognised counts as lost."),
    "kind": ("The second byte of a frame.", "What is meant for a later version is handed on as something else."),
    "version": ("The first byte of a frame.", "Frames of a later version are read as this one."),
    "length": ("Shorter than the head, or than what the head announces.", "Bytes are read that are not there."),
    "bounds": ("Numbers that contradict each other or a bound.", "An object that can never be complete takes room."),
    "zeros": ("What follows the fragment is zero.", "Bytes that nobody reads carry marks through the network."),
}


class File:
    def __init__(self, kind, name):
        self.kind, self.name, self.tests = kind, name, []

    def add(self, comment, flags, data, **result):
        entry = {"id": len(self.tests) + 1, "comment": comment, "flags": flags, "input": {self.name: data.hex()}}
        self.tests.append({**entry, **result})

    def good(self, comment, flags, data, **output):
        self.add(comment, flags, data, result="valid", output=output)

    def bad(self, comment, flag, data, reason):
        self.add(comment, [flag], data, result="invalid", reason=reason)

    def write(self, path):
        refused = sum(test["result"] == "invalid" for test in self.tests)
        assert refused * 10 >= len(self.tests) * 6, f"{refused} of {len(self.tests)} are refused"
        flags = sorted({flag for test in self.tests for flag in test["flags"]})
        notes = {flag: dict(zip(("description", "effect"), NOTES[flag])) for flag in flags}
        content = {"schema": "ferry-vectors/1", "kind": self.kind, "numberOfTests": len(self.tests), "notes": notes, "tests": self.tests}
        path.write_text(json.dumps(content, indent=1) + "\n")


def message(codec, body, pad=None):
    data = bytes([len(codec)]) + codec + body
    zeros = MESSAGE - 2 - len(data)
    return (zeros if pad is None else pad).to_bytes(2, "big") + bytes(zeros) + data


def counted(length, step=7):
    return bytes(i * step % 256 for i in range(length))


def messages():
    file = File("mix-message", "message")
    good, bad = file.good, file.bad
    for length in (0, 1, 100):
        frame = counted(length)
        good(f"a gateway frame of {length} bytes", [], message(GATEWAY, frame), type="gateway", frame=frame.hex())
    longest = counted(ROOM_GATEWAY)
    good("a gateway frame of 3949 bytes: no padding is left", ["room"], message(GATEWAY, longest), type="gateway", frame=longest.hex())
    good("a reply: its codec is empty", [], message(b"", counted(50)), type="reply", frame=counted(50).hex())
    longest = counted(ROOM_REPLY)
    good("a reply of 3965 bytes", ["room"], message(b"", longest), type="reply", frame=longest.hex())
    good("a loop", ["cover"], message(COVER, b"\0" + counted(16)), type="loop", id=counted(16).hex())
    good("a drop", ["cover"], message(COVER, b"\1"), type="drop")
    block = counted(SURB, 11)
    good("a probe", ["cover"], message(COVER, b"\2" + block), type="probe", block=block.hex())
    for rate in (0, 1448, 2**32 - 1):
        load = message(COVER, b"\3" + rate.to_bytes(4, "big"))
        good(f"a relay forwards {rate} packets in a thousand seconds", ["cover"], load, type="load", millipackets_per_second=rate)

    drop = message(COVER, b"\1")
    bad("padding of 3967 bytes, one more than there is room for", "padding", (3967).to_bytes(2, "big") + drop[2:], "message_padding")
    bad("padding of 65535 bytes", "padding", b"\xff\xff" + drop[2:], "message_padding")
    for at in (2, 100, 3949):
        marked = bytearray(drop)
        marked[at] = 1
        bad(f"byte {at}, in the padding, is 1", "padding", bytes(marked), "message_padding")
    bad("the padding reaches a byte into the codec's length", "padding", message(COVER, b"\1", pad=3951), "message_padding")
    bad("nothing but padding: there is no codec", "codec", (3966).to_bytes(2, "big") + bytes(3966), "unknown_codec")
    bad("a codec of a length that does not end", "codec", (3964).to_bytes(2, "big") + bytes(3964) + b"\x80\x80", "unknown_codec")
    bad("a codec of 127 bytes of which 3 are there", "codec", (3962).to_bytes(2, "big") + bytes(3962) + b"\x7fabc", "unknown_codec")
    bad("a codec of two to the 63rd bytes", "codec", (3956).to_bytes(2, "big") + bytes(3956) + b"\x80" * 9 + b"\x01", "unknown_codec")
    for codec in (b"/ferry/gateway/2", b"/ferry/gateway/", b"/ferry/gateway/1 ", b"/ferry/Gateway/1", b"/mix/cover/1.0.0", b"\0", b"\xff\xfe"):
        bad(f"the codec {codec!r}"[:40], "codec", message(codec, b"body"), "unknown_codec")
    for body, what in ((b"", "nothing"), (b"\0", "a loop without its id"), (b"\0" + bytes(15), "an id of 15 bytes"),
                       (b"\0" + bytes(17), "an id of 17 bytes"), (b"\1\0", "a drop with a byte more"), (b"\2", "a probe without a block"),
                       (b"\2" + bytes(SURB - 1), "a block of 733 bytes"), (b"\2" + bytes(SURB + 1), "a block of 735 bytes"),
                       (b"\3", "a load without a number"), (b"\3" + bytes(3), "a load of 3 bytes"), (b"\3" + bytes(5), "a load of 5 bytes"),
                       (b"\4", "cover of a fifth kind"), (b"\xff" + bytes(16), "cover of kind 255")):
        bad(f"cover: {what}", "cover", message(COVER, body), "unknown_codec")
    bad("3967 bytes", "length", drop[1:], "malformed_input")
    bad("3969 bytes", "length", drop + b"\0", "malformed_input")
    return file


TAG, OBJECT_ID = counted(16, 3), counted(8, 5)


def frame(kind=2, index=0, count=1, total=None, fragment=b"hello", version=1, said=None, after=b""):
    total = len(fragment) if total is None else total
    said = len(fragment) if said is None else said
    head = bytes([version, kind]) + TAG + OBJECT_ID + index.to_bytes(2, "big") + count.to_bytes(2, "big")
    return head + total.to_bytes(4, "big") + said.to_bytes(2, "big") + fragment + after


def frames():
    file = File("mix-frame", "frame")
    bad = file.bad

    def good(comment, flags, data, kind=2, index=0, count=1, total=5, fragment=b"hello"):
        head = {"kind": kind, "tag": TAG.hex(), "object_id": OBJECT_ID.hex(), "index": index, "count": count}
        file.good(comment, flags, data, **head, object_len=total, fragment=fragment.hex())

    for kind, what in ((1, "an MVDS payload"), (2, "a request"), (3, "a response"), (4, "a top-up")):
        good(what, [], frame(kind), kind)
    good("an empty object", ["room"], frame(fragment=b""), total=0, fragment=b"")
    good("zeros after the fragment", ["zeros"], frame(after=bytes(100)))
    full = counted(3913)
    good("a full fragment, the first of two", ["room"], frame(count=2, total=3914, fragment=full), count=2, total=3914, fragment=full)
    good("the last of 307, of the longest object", ["room"],
         frame(index=306, count=307, total=OBJECT, fragment=counted(2622)), index=306, count=307, total=OBJECT, fragment=counted(2622))
    file.good("cover", [], frame(0, index=9, count=3, total=1, version=1), kind=0)

    for length in (0, 1, 35):
        bad(f"{length} bytes", "length", frame()[:length], "frame_short")
    bad("a fragment of 6 bytes of which 5 are there", "length", frame(said=6, total=6), "frame_short")
    bad("a fragment of 65535 bytes of which 5 are there", "length", frame(said=65535, total=65535), "frame_short")
    for version in (0, 2, 255):
        bad(f"version {version}", "version", frame(version=version), "frame_version")
    for kind in (64, 200, 255):
        bad(f"kind {kind}", "kind", frame(kind), "frame_kind")
    bad("cover of version 2", "version", frame(0, version=2), "frame_version")
    bad("a short frame of version 2", "length", frame(version=2)[:20], "frame_short")
    for at in (0, 50, 99):
        after = bytearray(100)
        after[at] = 1
        bad(f"byte {at} after the fragment is 1", "zeros", frame(after=bytes(after)), "frame_padding")
    bad("a fragment that says to be a byte shorter", "zeros", frame(said=4, total=4), "frame_padding")
    for comment, data in (
        ("no fragments", frame(count=0)),
        ("the second of one", frame(index=1)),
        ("index 65535 of 65535", frame(index=65535, count=65535, total=70000)),
        ("513 fragments", frame(count=513, total=5 + 512)),
        ("an object of 1,200,001 bytes", frame(count=307, total=OBJECT + 1, fragment=full)),
        ("an object of four gigabytes", frame(count=512, total=2**32 - 1, fragment=full)),
        ("a fragment longer than its object", frame(total=4)),
        ("an empty fragment of an object that is not", frame(count=2, total=5, fragment=b"")),
        ("an empty object in two fragments", frame(count=2, total=0, fragment=b"")),
        ("the others would be empty", frame(count=3, total=6)),
        ("the others would not fit their packets", frame(count=2, total=5 + 3930)),
        ("one fragment, and more of the object", frame(total=6)),
    ):
        bad(comment, "bounds", data, "frame_bounds")
    return file


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    messages().write(folder / "message.json")
    frames().write(folder / "frame.json")


if __name__ == "__main__":
    main()
