#!/usr/bin/env python3
"""Writes vectors/mvds/*.json: `python3 mvds_vectors.py DIRECTORY`. The same bytes every time.

Made from the definitions with hashlib and a protobuf writer of a few lines: no code of the node, no protobuf library.
"""
import hashlib
import json
import struct
import sys
from pathlib import Path

GROUP = bytes.fromhex("4c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de6")
TIME = 1587550000
A, B, C = (bytes([n]) * 32 for n in (1, 2, 3))
# Field numbers of the four lists, and of group, time, body and metadata of a message.
FIELDS = {"5000": ((5001, 5002, 5003, 5004), (6001, 6002, 6003, 6004)), "compact": ((1, 2, 3, 4), (1, 2, 3, 4))}
NOTES = {
    "known": ("A value that circulates in other implementations.", ""),
    "sign": ("Time is signed: eight bytes of two's complement, least significant first, in the id; a plain varint on the wire.",
             "An implementation that sees this wrong does not recognise acknowledgements."),
    "split": ("Without length prefixes another split of the same bytes has the same hash; only the length of the group id tells them apart.",
              "Two different messages with one id."),
    "dialect": ("The two dialects differ in field numbers only.", "An application message is taken for a payload."),
    "sniff": ("Bytes are a payload only if they parse and some list has an entry.", "An application message is swallowed."),
    "drop": ("An entry of a wrong length is left out and the rest counts.", "One bad entry costs the others."),
    "bound": ("Lists have at most 1,000 entries and a message 64 parents; the longest body is an input.", "Memory without bound."),
    "wire": ("Protobuf itself: truncation, wire types, lengths.", "Bytes are read that are not there."),
    "order": ("Any order and unknown fields are taken, the last of a repeated scalar wins.", "A peer of another version is not understood."),
}


def message_id(group, time, body):
    return hashlib.sha256(b"MESSAGE_ID" + group + struct.pack("<q", time) + body).digest()


def varint(number):
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def key(number, wire_type):
    return varint(number << 3 | wire_type)


def field(number, content):
    return key(number, 2) + varint(len(content)) + content


def message(dialect, group=GROUP, time=TIME, body=b"hello", metadata=None):
    numbers = FIELDS[dialect][1]
    out = field(numbers[0], group) if group else b""
    out += key(numbers[1], 0) + varint(time) if time else b""
    out += field(numbers[2], body) if body else b""
    return out + (b"" if metadata is None else field(numbers[3], metadata))


def payload(dialect, acks=(), offers=(), requests=(), messages=()):
    lists = zip(FIELDS[dialect][0], (acks, offers, requests, messages))
    return b"".join(field(number, entry) for number, entries in lists for entry in entries)


class File:
    def __init__(self, kind):
        self.kind = kind
        self.tests = []

    def add(self, comment, flags, given, **result):
        self.tests.append({"id": len(self.tests) + 1, "comment": comment, "flags": flags, "input": given, **result})

    def write(self, path):
        refused = sum(test["result"] == "invalid" for test in self.tests)
        assert refused * 10 >= len(self.tests) * 6, "at least 60 % are refused"
        flags = sorted({flag for test in self.tests for flag in test["flags"]})
        notes = {flag: dict(zip(("description", "effect"), NOTES[flag])) for flag in flags}
        content = {"schema": "ferry-vectors/1", "kind": self.kind, "numberOfTests": len(self.tests), "notes": notes, "tests": self.tests}
        path.write_text(json.dumps(content, indent=1) + "\n")


def id_file():
    file = File("mvds-id")

    def good(comment, flags, group, time, body):
        given = {"group_id": group.hex(), "timestamp": time, "body": body.hex()}
        file.add(comment, flags, given, result="valid", output={"id": message_id(group, time, body).hex()})

    def bad(comment, flags, group, time, body, reason):
        given = {"group_id": group.hex(), "timestamp": time, "body": body.hex()}
        file.add(comment, flags, given, result="invalid", reason=reason)

    envelope = bytes.fromhex("f84e845ea0178a5a8459cbac69b840") + bytes(range(64)) + b"\x31"
    good("the known message of a 1:1 chat", ["known"], GROUP, TIME, b"hello")
    good("an envelope delivered by a gateway: the body is an EnvelopeItem", ["known"], GROUP, TIME, field(1, envelope))
    assert [test["output"]["id"][:8] for test in file.tests] == ["8d99b844", "f5b555c6"]
    good("time -1", ["sign"], GROUP, -1, b"hello")
    good("time 0 and an empty body", ["sign"], GROUP, 0, b"")
    good("the smallest time", ["sign"], GROUP, -(2**63), b"x")
    good("the largest time", ["sign"], GROUP, 2**63 - 1, b"x")
    good("a body of 1,000 bytes, a group of zeros", [], bytes(32), 1, bytes(i % 256 for i in range(1000)))
    for length in (0, 1, 16, 24, 28, 31, 33, 40, 64, 65):
        bad(f"a group id of {length} bytes", ["split"], (GROUP * 3)[:length], TIME, b"hello", "group_id_length")
    time = struct.pack("<q", TIME)
    bad("the known message split eight bytes earlier: the same bytes are hashed", ["split"],
        GROUP[:24], struct.unpack("<q", GROUP[24:])[0], time + b"hello", "group_id_length")
    bad("the known message split four bytes later", ["split"],
        GROUP + time[:4], struct.unpack("<q", time[4:] + b"hell")[0], b"o", "group_id_length")
    for time in (2**63, -(2**63) - 1, 2**64, 2**64 - 1):
        bad(f"time {time} does not fit 64 signed bits", ["sign"], GROUP, time, b"hello", "timestamp_range")
    return file


def records(acks=(), offers=(), requests=(), messages=(), dropped=0):
    lists = {"acks": acks, "offers": offers, "requests": requests}
    hexed = {name: [entry.hex() for entry in entries] for name, entries in lists.items()}
    return {"records": {**hexed, "messages": list(messages)}, "dropped": dropped}


def record(group=GROUP, time=TIME, body=b"hello", metadata=None):
    return {"id": message_id(group, time, body).hex(), "group_id": group.hex(), "timestamp": time, "body": body.hex(), "metadata": metadata}


def payload_file():
    file = File("mvds-payload")

    def given(dialect, content, body_len_max):
        bound = {} if body_len_max is None else {"body_len_max": body_len_max}
        return {"dialect": dialect, "bytes": content.hex(), **bound}

    def good(comment, flags, dialect, content, output, body_len_max=None):
        file.add(comment, flags, given(dialect, content, body_len_max), result="valid", output=output)

    def bad(comment, flags, dialect, content, reason, body_len_max=None):
        file.add(comment, flags, given(dialect, content, body_len_max), result="invalid", reason=reason)

    for dialect in FIELDS:
        good_payloads(dialect, good)
    good("only a useless entry: still a payload", ["sniff", "drop"], "5000", payload("5000", acks=[b"\1"]), records(dropped=1))
    wrapper = field(1, bytes(65)) + field(2, b"text") + key(3, 0) + b"\1"
    known_id = message_id(GROUP, TIME, b"hello")
    bad("an application message with the fields 1, 2, 3", ["sniff"], "5000", wrapper, "not_mvds")
    bad("a payload of the compact dialect", ["dialect", "sniff"], "5000", payload("compact", messages=[message("compact")]), "not_mvds")
    bad("an ack of the compact dialect", ["dialect", "sniff"], "5000", payload("compact", acks=[known_id]), "not_mvds")
    bad("a payload of the 5000 dialect", ["dialect"], "compact", payload("5000", messages=[message("5000")]), "not_mvds")
    for dialect in FIELDS:
        bad_payloads(dialect, bad)
    return file


def good_payloads(dialect, good):
    lists, numbers = FIELDS[dialect]
    known = payload(dialect, messages=[message(dialect)])
    known_id = message_id(GROUP, TIME, b"hello")
    good("the known message", ["known"], dialect, known, records(messages=[record()]))
    good("the ack of the known message", ["known"], dialect, payload(dialect, acks=[known_id]), records(acks=[known_id]))
    bodies = [message(dialect, body=b"1"), message(dialect, body=b"2")]
    good("all four lists", [], dialect, payload(dialect, [A, B], [C], [known_id, A], bodies),
         records([A, B], [C], [known_id, A], [record(body=b"1"), record(body=b"2")]))
    mixed = (field(numbers[2], b"x") + key(numbers[1], 0) + varint(1) + field(7001, b"?") + key(numbers[1], 0) + varint(TIME)
             + field(numbers[2], b"hello") + field(numbers[0], GROUP))
    good("fields in another order, the last time and body win, unknown fields", ["order"], dialect,
         key(7000, 0) + varint(5) + field(lists[3], mixed) + field(lists[0], A), records(acks=[A], messages=[record()]))
    good("ids of 31, 33 and 0 bytes beside a good one", ["drop"], dialect,
         payload(dialect, acks=[A[:31], A, A + b"\1", b""]), records(acks=[A], dropped=3))
    good("a group id of 24 bytes beside a good message", ["drop"], dialect,
         payload(dialect, messages=[message(dialect, group=GROUP[:24]), message(dialect)]), records(messages=[record()], dropped=1))
    good("a message with time -1", ["sign"], dialect, payload(dialect, messages=[message(dialect, time=-1)]), records(messages=[record(time=-1)]))
    metadata = field(1, A) + field(1, B) + key(2, 0) + b"\1"
    good("metadata: two parents, ephemeral", [], dialect, payload(dialect, messages=[message(dialect, metadata=metadata)]),
         records(messages=[record(metadata={"parents": [A.hex(), B.hex()], "ephemeral": True})]))
    good("a body of exactly the longest length", ["bound"], dialect, known, records(messages=[record()]), 5)


def bad_payloads(dialect, bad):
    lists, numbers = FIELDS[dialect]
    known = payload(dialect, messages=[message(dialect)])
    bad("nothing at all: the echo of old clients", ["sniff"], dialect, b"", "not_mvds")
    bad("unknown fields only", ["sniff"], dialect, key(9000, 0) + b"\7" + field(9001, b"x"), "not_mvds")
    for length in (1, 2, 3, 4, len(known) // 2, len(known) - 1):
        bad(f"the known payload cut to {length} bytes", ["wire"], dialect, known[:length], "malformed")
    broken = {
        "an ack list as a number": key(lists[0], 0) + b"\1",
        "a message list as 64 fixed bits": key(lists[3], 1) + bytes(8),
        "a length far beyond the end": key(lists[0], 2) + varint(2**31) + A,
        "a length of ten bytes of ff": key(lists[0], 2) + b"\xff" * 10 + A,
        "field number 0": b"\x02\x00" + known,
        "wire type 7": varint(lists[0] << 3 | 7) + known,
        "a group that does not end": key(900, 3) + known,
        "the end of a group that did not begin": key(900, 4),
        "a message whose group id is a number": field(lists[3], key(numbers[0], 0) + b"\1"),
        "a message whose time is bytes": field(lists[3], field(numbers[1], b"\1") + field(numbers[0], GROUP)),
        "a message whose body goes beyond it": field(lists[3], field(numbers[0], GROUP) + key(numbers[2], 2) + b"\x09hello"),
        "a message of three bytes of ff": field(lists[3], b"\xff\xff\xff"),
        "metadata that are a number": field(lists[3], field(numbers[0], GROUP) + key(numbers[3], 0) + b"\1"),
    }
    for comment, content in broken.items():
        bad(comment, ["wire"], dialect, content, "malformed")
    bad("1,001 empty acks", ["bound"], dialect, field(lists[0], b"") * 1001, "list_too_long")
    bad("1,001 empty messages", ["bound"], dialect, field(lists[3], b"") * 1001, "list_too_long")
    parents = message(dialect, metadata=field(1, b"") * 65)
    bad("65 empty parents", ["bound"], dialect, payload(dialect, messages=[parents]), "too_many_parents")
    bad("a body one byte too long", ["bound"], dialect, known, "body_too_long", 4)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    id_file().write(folder / "id.json")
    payload_file().write(folder / "payload.json")
