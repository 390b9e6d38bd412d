#!/usr/bin/env python3
"""Writes vectors/status/*.json: `python3 status_vectors.py DIRECTORY`.

The messages that Status added to Whisper. RLP and hashes are those of whisper_vectors.py. Deterministic.
"""

import sys
from pathlib import Path

from whisper_vectors import File, integer, keccak, listed, string

BATCH = bytes.fromhex("b2020ba262300f4458fab4fac5ee716a5b9fb0f7af653f9431efd5227e00a3f0")
ENVELOPE = bytes.fromhex("ee0438c3e437dc3accf500bf8178dd1a1416ac18254a6b39aa1775ee3b383442")
FUTURE = b"envelope from future"


def fault(envelope, code, text):
    return listed(string(envelope), integer(code), string(text))


def response(batch, *faults, version=1):
    return listed(integer(version), listed(string(batch), listed(*faults)))


def packets(folder):
    file = File("status-packet", {
        "published": ("Computed with the tagged sources of Status, or from a table that was.", ""),
        "encoding": ("The message itself breaks the encoding.", "Status nodes end the connection."),
        "inside": ("A code 12 whose outer list is good, and whose inside is not.", "Status nodes log it and go on."),
        "version": ("A code 12 of another version.", "It is ignored."),
        "list": ("Code 127 with a list: Status since whisper v1.1.", "go-ethereum ends the connection over it."),
    })

    def good(comment, flag, code, payload, **output):
        file.add(comment, [flag] if flag else [], {"code": code, "payload": payload.hex()}, output)

    def bad(comment, flag, code, payload, reason="malformed"):
        file.add(comment, [flag], {"code": code, "payload": payload.hex()}, reason=reason)

    def said(envelope, code, text):
        return {"envelope": envelope.hex(), "code": code, "text": text.decode()}

    def spoilt(what, code, payload):
        for comment, broken in (("nothing", b""), ("cut by a byte", payload[:-1]), ("a byte behind", payload + b"\x00"), ("it twice", payload + payload),
                                ("in a list", listed(payload))):
            bad(f"{what}: {comment}", "encoding", code, broken)

    short = string(BATCH)
    good("a bundle is there", "published", 11, short, batch=BATCH.hex())
    good("a bundle of zeros", None, 11, string(bytes(32)), batch=bytes(32).hex())
    spoilt("an acknowledgement", 11, short)
    for length in (0, 1, 31, 33, 64):
        bad(f"an acknowledgement of {length} bytes", "encoding", 11, string(bytes([0xAA]) * length))
    bad("an acknowledgement behind a long header", "encoding", 11, b"\xb8\x20" + BATCH)

    clean = response(BATCH)
    assert clean.hex() == f"e401e2a0{BATCH.hex()}c0"
    good("all of a bundle is accepted", "published", 12, clean, batch=BATCH.hex(), faults=[])
    late = response(BATCH, fault(ENVELOPE, 37, FUTURE))
    assert late.hex() == f"f85e01f85ba0{BATCH.hex()}f838f7a0{ENVELOPE.hex()}2594{FUTURE.hex()}"
    good("one is not", "published", 12, late, batch=BATCH.hex(), faults=[said(ENVELOPE, 37, FUTURE)])
    other = keccak(b"another")
    good("two are not, one of them twice", None, 12, response(BATCH, fault(other, 38, b""), fault(ENVELOPE, 36, FUTURE), fault(other, 38, b"x")),
         batch=BATCH.hex(), faults=[said(other, 38, b""), said(ENVELOPE, 36, FUTURE), said(other, 38, b"x")])
    good("a code of eight bytes", None, 12, response(BATCH, fault(other, 2**64 - 1, b"?")), batch=BATCH.hex(), faults=[said(other, 2**64 - 1, b"?")])
    spoilt("a response", 12, late)
    for comment, payload in (("a string", string(b"response")), ("an empty list", b"\xc0"), ("a version alone", listed(integer(1))),
                             ("three items", listed(integer(1), b"\xc0", b"\xc0")), ("a version that is a list", listed(b"\xc0", b"\xc0")),
                             ("a version of nine bytes", listed(string(b"\x01" + bytes(8)), b"\xc0")), ("a version with a leading zero", listed(b"\x82\x00\x01", b"\xc0"))):
        bad(f"as a response {comment}", "encoding", 12, payload)
    for version in (0, 2, 255, 2**64 - 1):
        bad(f"a response of version {version}", "version", 12, response(BATCH, version=version), "version")
    bad("a later version with anything inside", "version", 12, listed(integer(2), string(b"anything")), "version")
    for comment, inside in (
        ("a string", string(b"inside")), ("an empty list", b"\xc0"), ("a hash alone", listed(string(BATCH))), ("a hash of 31 bytes", listed(string(BATCH[:31]), b"\xc0")),
        ("a hash of 33 bytes", listed(string(BATCH + b"\x00"), b"\xc0")), ("three items", listed(string(BATCH), b"\xc0", b"\xc0")),
        ("faults that are a string", listed(string(BATCH), string(b""))), ("a fault that is a number", listed(string(BATCH), listed(integer(37)))),
        ("a fault of two fields", listed(string(BATCH), listed(listed(string(ENVELOPE), integer(37))))),
        ("a fault of four fields", listed(string(BATCH), listed(listed(string(ENVELOPE), integer(37), string(FUTURE), integer(1))))),
        ("a fault with a short id", listed(string(BATCH), listed(fault(ENVELOPE[:20], 37, FUTURE)))),
        ("a fault with a code of nine bytes", listed(string(BATCH), listed(listed(string(ENVELOPE), string(b"\x01" + bytes(8)), string(b""))))),
        ("a fault whose text is a list", listed(string(BATCH), listed(listed(string(ENVELOPE), integer(37), b"\xc0")))),
        ("a good fault and a bad one", listed(string(BATCH), listed(fault(ENVELOPE, 37, FUTURE), b"\x80"))),
    ):
        bad(f"inside a response {comment}", "inside", 12, listed(integer(1), inside), "ignored")

    for ip, peer, topic in ((10, 5, 0), (0, 0, 0), (1, 2, 3), (2**64 - 1, 1, 0)):
        good(f"limits of {ip}, {peer} and {topic}", "published" if ip == 10 else None, 20, listed(integer(ip), integer(peer), integer(topic)), ip=ip, peer=peer, topic=topic)
    spoilt("limits", 20, listed(integer(10), integer(5), integer(0)))
    for comment, payload in (("a number", integer(5)), ("an empty list", b"\xc0"), ("two numbers", listed(integer(1), integer(2))),
                             ("four numbers", listed(*map(integer, (1, 2, 3, 4)))), ("a list among them", listed(integer(1), b"\xc0", integer(3))),
                             ("a leading zero", listed(integer(1), b"\x82\x00\x01", integer(3))), ("nine bytes", listed(string(b"\x01" + bytes(8)), integer(1), integer(1)))):
        bad(f"as limits {comment}", "encoding", 20, payload)

    fields = [integer(1600000015), integer(15), string(bytes.fromhex("70a4beef")), string(bytes(range(32))), integer(309)]
    one = listed(*fields)
    odd = listed(integer(0), integer(0), string(bytes(4)), string(b""), integer(0))
    assert keccak(one) == ENVELOPE
    good("an envelope, bare", None, 127, one, envelopes=[ENVELOPE.hex()])
    good("an envelope without life or work, bare", None, 127, odd, envelopes=[keccak(odd).hex()])
    good("a list of one", "list", 127, listed(one), envelopes=[ENVELOPE.hex()])
    good("a list of three, one of them twice", "list", 127, listed(one, odd, one), envelopes=[keccak(each).hex() for each in (one, odd, one)])
    good("a list of none", "list", 127, b"\xc0", envelopes=[])
    for comment, payload in (("nothing", b""), ("a string", string(one)), ("a number", integer(5)), ("cut by a byte", one[:-1]), ("a byte behind", one + b"\x00"), ("two of them", one + one),
                             ("a list of numbers", listed(integer(1), integer(2))), ("a list of an empty list", listed(b"\xc0")), ("a list of a list of one", listed(listed(one))),
                             ("a good one and a number", listed(one, integer(1))), ("a good one and one of four fields", listed(one, listed(*fields[:4]))),
                             ("one of six fields", listed(*fields, integer(1))), ("a topic of three bytes", listed(*fields[:2], string(b"abc"), *fields[3:])),
                             ("an expiry of five bytes", listed(integer(2**32), *fields[1:]))):
        bad(f"straight from a peer: {comment}", "encoding", 127, payload)
    file.write(folder / "packet.json")


if __name__ == "__main__":
    packets(Path(sys.argv[1]))
