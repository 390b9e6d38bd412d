#!/usr/bin/env python3
"""Writes vectors/mailbox/*.json: `python3 mailbox_vectors.py DIRECTORY`. The same bytes every time.

An independent reading of docs/mixnet-protocol.md, "Mailboxes": HMAC and SHA-256 from the standard library, ChaCha20-Poly1305 from
`cryptography`. Inputs come from SHA-256 of a label.
"""
import hashlib
import hmac
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CELL, CONTENT, FRAGMENT, HEAD, SURB = 3136, 3108, 3072, 36, 734
# Multiples 1 to 5 of the generator of secp256k1, compressed.
PEERS = (
    "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
    "02e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13",
    "022f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4",
)


def random(label, length=32):
    blocks = (hashlib.sha256(b"ferry/mailbox/" + label.encode() + bytes([i])).digest() for i in range(-(-length // 32)))
    return b"".join(blocks)[:length]


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def proof(key, index):
    return mac(key, index.to_bytes(8, "big"))


def box_id(key, index):
    return hashlib.sha256(proof(key, index)).digest()


def frame(first, part, count, object_len, fragment, version=1, kind=1, tag=bytes(16), fragment_len=None):
    numbers = part.to_bytes(2, "big") + count.to_bytes(2, "big") + object_len.to_bytes(4, "big")
    length = len(fragment) if fragment_len is None else fragment_len
    return bytes([version, kind]) + tag + first.to_bytes(8, "big") + numbers + length.to_bytes(2, "big") + fragment


def seal(key, index, content, nonce=None, aad=None):
    content = content + bytes(CONTENT - len(content))
    number = index.to_bytes(8, "big")
    nonce = nonce or mac(key, b"nonce", number, content)[:12]
    cell_key = mac(key, b"cell", number)
    return nonce + ChaCha20Poly1305(cell_key).encrypt(nonce, content, aad or box_id(key, index))


def part_of(key, first, data, part):
    count = max(1, -(-len(data) // FRAGMENT))
    fragment = data[part * FRAGMENT:(part + 1) * FRAGMENT]
    return seal(key, first + part, frame(first, part, count, len(data), fragment))


def block(label, first_hop=None):
    address = bytes([10, 0, 0, 1, 0]) + (6001).to_bytes(2, "big") + bytes.fromhex("002508021221" + PEERS[0])
    first_hop = address + bytes(94 - len(address)) if first_hop is None else first_hop
    return first_hop + random(label, SURB - 94)


class File:
    def __init__(self, kind, notes):
        self.data = {"schema": "ferry-vectors/1", "kind": kind, "numberOfTests": 0, "notes": notes, "tests": []}

    def add(self, comment, flags, data, output=None, reason=None):
        tests = self.data["tests"]
        test = {"id": len(tests) + 1, "comment": comment, "flags": flags, "input": data}
        if reason is None:
            test |= {"result": "valid", "output": output}
        else:
            test |= {"result": "invalid", "reason": reason}
        tests.append(test)
        self.data["numberOfTests"] = len(tests)

    def write(self, path):
        path.write_text(json.dumps(self.data, indent=1) + "\n")


def note(description, effect=None):
    return {"description": description} | ({"effect": effect} if effect else {})


BAD_FIELD = {"bad_field": note("A field that is missing, no hex, or of another length than its kind has.")}


def chain():
    out = File("mailbox-chain", BAD_FIELD)
    key = random("chain")
    for index in (0, 1, 2**32, 2**53 - 1):
        output = {"proof": proof(key, index).hex(), "id": box_id(key, index).hex()}
        out.add(f"index {index}", [], {"key": key.hex(), "index": index}, output)
    for comment, data in (
        ("a key of 31 bytes", {"key": key[:31].hex(), "index": 0}),
        ("a key of 33 bytes", {"key": key.hex() + "00", "index": 0}),
        ("no key", {"index": 0}),
        ("no index", {"key": key.hex()}),
        ("an index below zero", {"key": key.hex(), "index": -1}),
        ("an index with a fraction", {"key": key.hex(), "index": 0.5}),
        ("an index in quotes", {"key": key.hex(), "index": "0"}),
    ):
        out.add(comment, ["bad_field"], data, reason="malformed_input")
    return out


def place():
    out = File("mailbox-place", BAD_FIELD)
    for n in range(3):
        name = random(f"place {n}")
        score = lambda peer: hashlib.sha256(b"ferry mailbox place" + name + bytes.fromhex(peer)).digest()
        out.add(f"five mailboxes, box {n}", [], {"id": name.hex(), "peers": list(PEERS)}, {"order": sorted(PEERS, key=score)})
    name = random("place").hex()
    for comment, data in (
        ("an id of 31 bytes", {"id": name[2:], "peers": list(PEERS)}),
        ("an id of 33 bytes", {"id": name + "00", "peers": list(PEERS)}),
        ("no peers", {"id": name}),
        ("a peer key of 32 bytes", {"id": name, "peers": [PEERS[0][2:]]}),
        ("a peer key that is no point", {"id": name, "peers": ["05" + PEERS[0][2:]]}),
    ):
        out.add(comment, ["bad_field"], data, reason="malformed_input")
    return out


def cell():
    out = File("mailbox-cell", BAD_FIELD | {
        "forged": note("A cell that was not sealed for this box by somebody who has the key.", "A mailbox could put words into the mouth of a writer."),
        "form": note("A writer who breaks the form.", "One object would have several forms, and a repetition another cell than the first."),
    })
    key, first = random("cell"), 7
    for data in (b"", b"one", random("full", FRAGMENT)):
        output = {"first": first, "count": 1, "object_len": len(data), "fragment": data.hex()}
        sealed = part_of(key, first, data, 0)
        out.add(f"an object of {len(data)} bytes", [], {"key": key.hex(), "index": first, "cell": sealed.hex()}, output)
    long = random("long", 2 * FRAGMENT + 5)
    for part in range(3):
        fragment = long[part * FRAGMENT:(part + 1) * FRAGMENT]
        output = {"first": first, "count": 3, "object_len": len(long), "fragment": fragment.hex()}
        sealed = part_of(key, first, long, part)
        out.add(f"part {part} of an object of {len(long)} bytes", [], {"key": key.hex(), "index": first + part, "cell": sealed.hex()}, output)

    def bad(comment, flag, reason, sealed, index=first, by=key):
        out.add(comment, [flag], {"key": by.hex(), "index": index, "cell": sealed.hex()}, reason=reason)

    good = part_of(key, first, b"one", 0)
    bad("the cell of another box", "forged", "forged", good, index=first + 1)
    bad("the cell of another chain", "forged", "forged", good, by=random("other"))
    for at in (0, 11, 12, 1_000, CELL - 17, CELL - 1):
        flipped = bytearray(good)
        flipped[at] ^= 1
        bad(f"bit flipped in byte {at}", "forged", "forged", bytes(flipped))
    bad("random bytes, as a mailbox sends when it has nothing", "forged", "forged", random("random", CELL))
    bad("associated data of another box", "forged", "forged", seal(key, first, frame(first, 0, 1, 3, b"one"), aad=random("aad")))
    bad("a byte short", "bad_field", "malformed_input", good[:-1])
    bad("a byte long", "bad_field", "malformed_input", good + b"\0")
    for comment, content in (
        ("a frame of version 2", frame(first, 0, 1, 3, b"one", version=2)),
        ("a frame of cover", frame(first, 0, 1, 3, b"one", kind=0)),
        ("a frame of another kind", frame(first, 0, 1, 3, b"one", kind=2)),
        ("a tag that is not zero", frame(first, 0, 1, 3, b"one", tag=b"\1" + bytes(15))),
        ("an object that begins elsewhere", frame(first + 1, 0, 1, 3, b"one")),
        ("a part beyond the object", frame(first - 1, 1, 1, 3, b"one")),
        ("two boxes for three bytes", frame(first, 0, 2, 3, b"on")),
        ("a short first part", frame(first, 0, 2, FRAGMENT + 1, bytes(100))),
        ("one box for more than fits", frame(first, 0, 1, FRAGMENT + 1, bytes(FRAGMENT))),
        ("a length beyond the cell", frame(first, 0, 1, 3, b"one", fragment_len=FRAGMENT + 1)),
        ("padding that is not zero", frame(first, 0, 1, 3, b"one") + b"\0\0\1"),
        ("an object of more than 1,200,000 bytes", frame(first, 0, 391, 1_200_001, bytes(FRAGMENT))),
        ("zeros", b""),
    ):
        bad(comment, "form", "malformed", seal(key, first, content))
    return out


def put():
    out = File("mailbox-put", BAD_FIELD | {
        "proof": note("A proof that does not open the box.", "Strangers could fill the boxes of others."),
        "block": note("A reply block whose first hop cannot be read."),
        "length": note("Not 3934 bytes."),
    })
    key = random("put")

    def body(index, **change):
        parts = {"id": box_id(key, index), "proof": proof(key, index), "cell": part_of(key, index, b"one", 0), "block": block(f"put {index}")}
        return b"".join((parts | change).values())

    for index in (0, 1, 2**40):
        output = {"id": box_id(key, index).hex(), "proof": proof(key, index).hex(), "cell": part_of(key, index, b"one", 0).hex()}
        out.add(f"index {index}", [], {"body": body(index).hex()}, output)
    good = body(0)
    for comment, flag, reason, data in (
        ("nothing", "length", "length", b""),
        ("a byte short", "length", "length", good[:-1]),
        ("a byte long", "length", "length", good + b"\0"),
        ("without a reply block", "length", "length", good[:-SURB]),
        ("the proof of the next box", "proof", "wrong_proof", body(0, proof=proof(key, 1))),
        ("the id as its own proof", "proof", "wrong_proof", body(0, proof=box_id(key, 0))),
        ("the proof in place of the id", "proof", "wrong_proof", body(0, id=proof(key, 0))),
        ("a reply block without a first hop", "block", "reply_block", body(0, block=block("b", bytes(94)))),
        ("a first hop over transport 2", "block", "reply_block", body(0, block=block("b", b"\x0a\0\0\1\2" + bytes(89)))),
    ):
        out.add(comment, [flag], {"body": data.hex()}, reason=reason)
    return out


def get():
    out = File("mailbox-get", BAD_FIELD | {
        "count": note("A number of answers that cannot be."),
        "block": note("A reply block whose first hop cannot be read."),
        "length": note("Not 161 + 734 n bytes."),
    })
    ids = [random(f"id {n}") for n in range(5)]
    blocks = [block(f"get {n}") for n in range(6)]

    def body(count, blocks):
        return bytes([count]) + b"".join(ids) + b"".join(blocks)

    for count in (1, 3, 5):
        output = {"ids": [one.hex() for one in ids], "answers": count}
        out.add(f"{count} answers", [], {"body": body(count, blocks[:count]).hex()}, output)
    for comment, flag, reason, data in (
        ("nothing", "length", "length", b""),
        ("no answers", "count", "answer_count", body(0, [])),
        ("six answers", "count", "answer_count", body(6, blocks)),
        ("255 answers", "count", "answer_count", body(255, blocks[:5])),
        ("a block fewer than answers", "length", "length", body(3, blocks[:2])),
        ("a block more than answers", "length", "length", body(2, blocks[:3])),
        ("a byte short", "length", "length", body(1, blocks[:1])[:-1]),
        ("a byte long", "length", "length", body(1, blocks[:1]) + b"\0"),
        ("four ids", "length", "length", bytes([1]) + b"".join(ids[:4]) + blocks[0]),
        ("the second block without a first hop", "block", "reply_block", body(2, [blocks[0], block("b", bytes(94))])),
    ):
        out.add(comment, [flag], {"body": data.hex()}, reason=reason)
    return out


def answer():
    out = File("mailbox-answer", BAD_FIELD | {
        "place": note("A place that none of the five ids has."),
        "status": note("A status that is not known."),
        "kind": note("A reply that is not from a mailbox; 01 begins a frame."),
        "length": note("Another length than the answer to a put or a get has."),
    })
    sent = random("answer", CELL)
    for byte, name in enumerate(("stored", "stored_before", "taken", "full", "busy")):
        out.add(f"a put: {name}", [], {"body": bytes([0x11, byte]).hex()}, {"type": "put", "status": name})
    for at in (0, 4, None):
        data = bytes([0x10, 0xFF if at is None else at]) + sent
        out.add("a get: " + ("none of the ids" if at is None else f"id {at}"), [], {"body": data.hex()}, {"type": "get", "place": at, "cell": sent.hex()})
    for comment, flag, reason, data in (
        ("nothing", "length", "length", b""),
        ("a put without a status", "length", "length", b"\x11"),
        ("a put with two", "length", "length", b"\x11\0\0"),
        ("a get without a place", "length", "length", b"\x10"),
        ("a get without a cell", "length", "length", b"\x10\0"),
        ("a get with a cell that is a byte short", "length", "length", b"\x10\0" + sent[:-1]),
        ("a get with a cell that is a byte long", "length", "length", b"\x10\0" + sent + b"\0"),
        ("status 5", "status", "status", b"\x11\5"),
        ("status 255", "status", "status", b"\x11\xff"),
        ("place 5", "place", "place", b"\x10\5" + sent),
        ("place 254", "place", "place", b"\x10\xfe" + sent),
        ("a frame", "kind", "kind", b"\1\1" + bytes(34)),
        ("kind 12", "kind", "kind", b"\x12\0"),
    ):
        out.add(comment, [flag], {"body": data.hex()}, reason=reason)
    return out


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for make in (chain, place, cell, put, get, answer):
        make().write(folder / f"{make.__name__}.json")
