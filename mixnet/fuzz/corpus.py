#!/usr/bin/env python3
"""The committed inputs of the fuzz targets: one file per target, an input per line, in hex; `#` starts a remark.

  corpus.py seed                     writes a first corpus of scripts for every target (what is there stays)
  corpus.py unpack TARGET DIR        one file per input, as libFuzzer wants them
  corpus.py pack TARGET DIR [KIB]    adds the inputs of a minimised folder, shortest first, up to so many KiB of hex
"""
import hashlib
import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent
CORPUS = HERE / "corpus"


def lines(target):
    path = CORPUS / f"{target}.txt"
    return path.read_text().splitlines() if path.exists() else []


def inputs(target):
    return [bytes.fromhex(line) for line in lines(target) if not line.startswith("#")]


def add(target, fresh, limit=None):
    kept, held = lines(target), set(inputs(target))
    room = limit if limit is not None else 1 << 20
    for data in sorted(set(fresh) - held, key=lambda data: (len(data), data)):
        if 2 * len(data) <= room:
            kept.append(data.hex())
            room -= 2 * len(data)
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{target}.txt").write_text("\n".join(kept) + "\n")
    print(f"{target}: {len(inputs(target))} inputs")


def scripts(name, count, longest):
    rng = random.Random(name)
    return [bytes(rng.randrange(256) for _ in range(rng.randrange(1, longest))) for _ in range(count)]


def address(n, transport=0, second=b""):
    peers = [bytes.fromhex("002508021221" + key) for key in (
        "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5")]
    found = bytes([10, 0, 0, n, transport]) + (6000 + n).to_bytes(2, "big") + peers[n % 2] + second
    return found + bytes(94 - len(found))


def frame(kind, index, count, length, body, version=1):
    head = bytes([version, kind]) + b"\x02" * 16 + b"\x03" * 8
    return head + b"".join(n.to_bytes(w, "big") for n, w in ((index, 2), (count, 2), (length, 4), (len(body), 2))) + body


def seed():
    add("address", [bytes(94), address(1), address(2, 1), address(1, 0, address(2)[7:46]), b"\x0a" * 94, address(1)[:50],
                    address(1)[:-1] + b"\x01", address(1, 2), address(3, 0, b"\x00\x24" + bytes(37))])
    frames = [frame(1, 0, 1, 5, b"hello"), frame(2, 0, 2, 3914, b"a" * 3913), frame(2, 1, 2, 3914, b"a"), frame(0, 0, 1, 0, b""),
              frame(9, 0, 1, 1, b"x"), frame(1, 5, 2, 1, b"x"), frame(1, 0, 600, 9, b"x"), frame(1, 0, 1, 1, b"x", 2), b"", b"\x01"]
    framed = [len(f).to_bytes(2, "big") + f for f in frames]
    add("frame", framed + [framed[1] + framed[2], framed[2] + framed[1] + framed[1], b"".join(framed)])
    codecs = [b"/ferry/gateway/1", b"/ferry/reply/1", b"/mix/cover/1.0.0", b"/ferry/loop/1", b""]
    said = [bytes(2) + bytes([len(c)]) + c + b"\x00" * 3 for c in codecs]
    add("message", said + [b"\xff\xff", b"\x0f\x6d" + bytes(0xf6d) + said[0][2:], bytes(3968), b"\x00\x01\x01"])
    add("packet", [bytes([kind, at]) + tail for kind in range(3) for at in (0, 3)
                   for tail in (b"", b"\x00\x00\x01", b"\x02\x60\x00\x01", b"\x02\x70\x80", bytes(4) + address(1) + b"\x00\x01",
                                b"\x00\x70\x00" + address(1) + bytes(130), b"\x00\x00\x00" + bytes(96) + b"\x01")])
    add("surb", [bytes([kind]) + tail for kind in range(2) for tail in
                 (b"", b"\x00\x00\x01", b"\x00\x04\x02", b"\x00\x5e\x80", b"\x02\xce\x01\x01", b"\x0f\x8f\x01")])
    text = '[{"version":1}]'
    statement = {"version": 1, "epoch": 0, "peer": "02" + "11" * 32, "address": "10.0.0.1:6001", "transport": "tcp",
                 "mix_key": "22" * 32, "capabilities": ["relay"], "gateway_key": None, "signature": "33" * 64}
    add("descriptor", [s.encode() for s in ("", "[]", "{}", "[{}]", text, "null", '[{"version":2}]', "[" * 200, json.dumps([statement]),
                                            json.dumps(statement))] + [b"\xff\xfe", b'["' + b"a" * 500 + b'"]'])
    good = [hashlib.sha256(b"%d" % n).digest() for n in range(8)]
    add("fragments", [bytes([0, 3, 0, 50]) + bytes([1, 0]) * 4, bytes([0, 2, 1, 1]) + bytes([2, 1, 1, 0, 1, 0, 1, 0]),
                      bytes([0, 1, 0, 9, 3, 0, 20, 1, 1, 0, 1, 0])] + good + scripts("fragments", 24, 120))
    add("node", [bytes([0, 1]) + bytes([7, 23, 39, 55, 71]) + bytes([0, 1, 1, 5, 15, 15, 14, 3, 232])] + good + scripts("node", 40, 160))
    mailboxes(good)


def mailboxes(good):
    """Scripts for the targets of mailboxes; a cell is 3136 bytes, a reply block 734."""
    head = frame(1, 0, 1, 5, b"hello")
    head = head[:2] + bytes(16) + (3).to_bytes(8, "big") + head[26:]
    add("cell", [b"\x00\x00\x03" + b"\x55" * 40, b"\x00", b"\x01\x00\x03" + head, b"\x01\x00\x04" + head, b"\x01\x00\x03" + head + b"\x01",
                 b"\x01\x00\x03" + frame(1, 0, 1, 5, b"hello"), b"\x02\x00\x03\x00\x05\x00\x01\x00\x0c", b"\x02\x00\x00\x20\x00\x01\x80\x0c\x3f",
                 b"\x03\x01\x00\x00\x00", b"\x03\xff\xff\xff\xff\x15\x01\x00\x0d"])
    block, proof = b"\x01" * 734, b"\x07" * 32
    put = hashlib.sha256(proof).digest() + proof + bytes(3136) + address(1) + bytes(640)
    got = b"".join(bytes([n]) * 32 for n in range(5))
    add("request", [b"\x00" + put, b"\x00" + put[:-1], b"\x00" + bytes(len(put)), b"\x00" + put[:3200] + block, b"\x01\x01" + got + address(1) + bytes(640),
                    b"\x01\x02" + got + (address(1) + bytes(640)) * 2, b"\x01\x00" + got, b"\x01\x06" + got, b"\x02\x11\x00", b"\x02\x11\x05",
                    b"\x02\x10\x00" + bytes(3136), b"\x02\x10\xff" + bytes(3136), b"\x02\x10\x05" + bytes(3136), b"\x02\x12", b"\x02"])
    add("mailbox", [bytes([0, 0, 8, 1, 16, 2, 4, 0, 1, 8, 1, 4]), bytes([0, 0, 4, 3, 0, 0, 1, 2, 3, 4, 4]), bytes([0, 0, 4, 7, 8, 0, 4, 4, 15, 4]),
                    bytes([0, 0xff, 0, 3, 4, 0, 0xff, 0, 100, 4])] + [bytes([6, 255] * 3 + [4])] + good + scripts("mailbox", 40, 120))
    add("reader", [bytes([1, 0, 0, 5, 0] + [1, 6] * 8), bytes([1, 0, 31, 64, 0, 0, 0, 9, 0] + [1, 6] * 12), bytes([2, 0, 0, 5, 0x80, 0, 0, 5, 0] + [1, 6, 7, 255] * 16),
                   bytes([3, 0, 0, 5, 0] + [41, 6] * 4 + [49, 6] * 4 + [57, 6, 1, 5, 1, 5, 0])] + good + scripts("reader", 40, 160))


def unpack(target, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs(target):
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def pack(target, folder, kib=48):
    add(target, [path.read_bytes() for path in pathlib.Path(folder).iterdir() if path.is_file()], int(kib) * 1024)


if __name__ == "__main__":
    {"seed": seed, "unpack": unpack, "pack": pack}[sys.argv[1]](*sys.argv[2:])
