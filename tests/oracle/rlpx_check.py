#!/usr/bin/env python3
"""Reads the packets of vectors/rlpx/auth.json and ack.json and compares with what the files say: `python3 rlpx_check.py DIRECTORY`.

A reader of its own, made from EIP-8 and the definition of ECIES: the curve is that of whisper_vectors.py, AES comes from PyPI
`cryptography`. Prints what differs, and ends with 1 if anything does.
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from whisper_vectors import G, N, P, add, be32, multiply, number

# ECIES adds a point (65), an IV (16) and a tag (32).
OVERHEAD = 113
WHOLE_MAX = 2048
# Lengths in the old form: signature, hash, key, nonce, flag; and key, nonce, flag.
OLD = {"rlpx-auth": 65 + 32 + 64 + 32 + 1, "rlpx-ack": 64 + 32 + 1}


class Refused(Exception):
    pass


def demand(holds, reason):
    if not holds:
        raise Refused(reason)


def point(data, reason):
    x, y = number(data[:32]), number(data[32:])
    demand(x < P and y < P and (y * y - x * x * x - 7) % P == 0, reason)
    return x, y


def unseal(secret, sealed, bound):
    """ECIES; `bound` is what the tag covers besides the ciphertext."""
    demand(len(sealed) >= OVERHEAD, "incomplete")
    demand(sealed[0] == 4, "point")
    shared = be32(multiply(number(secret), point(sealed[1:65], "point"))[0])
    key = hashlib.sha256(b"\x00\x00\x00\x01" + shared).digest()
    mac_key = hashlib.sha256(key[16:]).digest()
    tag = hmac.digest(mac_key, sealed[65:-32] + bound, "sha256")
    demand(hmac.compare_digest(tag, sealed[-32:]), "tag")
    cipher = Cipher(algorithms.AES(key[:16]), modes.CTR(sealed[65:81])).decryptor()
    return cipher.update(sealed[81:-32])


def item(text, at):
    """The kind, content and end of the RLP item at `at`; strict."""
    demand(at < len(text), "body")
    first = text[at]
    if first < 0x80:
        return "string", text[at:at + 1], at + 1
    kind, base = ("string", 0x80) if first < 0xC0 else ("list", 0xC0)
    start, length = at + 1, first - base
    if length > 55:
        size = length - 55
        digits = text[start:start + size]
        demand(len(digits) == size and digits[0] != 0, "body")
        start, length = start + size, number(digits)
        demand(length > 55, "body")
    content = text[start:start + length]
    demand(len(content) == length, "body")
    demand(not (kind == "string" and length == 1 and content[0] < 0x80), "body")
    return kind, content, start + length


def items(text):
    """The items of the list at the start of `text`; what follows the list is padding."""
    kind, content, _ = item(text, 0)
    demand(kind == "list", "body")
    found, at = [], 0
    while at < len(content):
        kind, value, at = item(content, at)
        found.append(value if kind == "string" else None)
    return found


def fields(text, lengths):
    found = items(text)
    demand(len(found) > len(lengths), "body")
    for value, length in zip(found, lengths):
        demand(value is not None and len(value) == length, "body")
    version = found[len(lengths)]
    demand(version is not None and len(version) <= 8 and version[:1] != b"\x00", "body")
    return found[:len(lengths)] + [number(version)]


def open_packet(kind, secret, packet):
    """The form and the plain text."""
    old = OLD[kind] + OVERHEAD
    if len(packet) >= old:
        try:
            text = unseal(secret, packet[:old], b"")
        except Refused:
            pass
        else:
            demand(len(packet) == old, "trailing")
            return "legacy", text
    demand(len(packet) >= 2, "incomplete")
    size = number(packet[:2])
    demand(size >= old, "size_underflow")
    demand(2 + size <= WHOLE_MAX, "size_overflow")
    demand(len(packet) >= 2 + size, "incomplete")
    demand(len(packet) == 2 + size, "trailing")
    return "eip8", unseal(secret, packet[2:], packet[:2])


def recover(digest, signature):
    """The key that made the signature."""
    r, s, v = number(signature[:32]), number(signature[32:64]), signature[64]
    demand(v < 4 and 0 < r < N and 0 < s < N, "signature")
    x = r + (N if v & 2 else 0)
    square = (x * x * x + 7) % P
    y = pow(square, (P + 1) // 4, P)
    demand(x < P and y * y % P == square, "signature")
    if y & 1 != v & 1:
        y = P - y
    inverse = pow(r, -1, N)
    key = add(multiply(s * inverse % N, (x, y)), multiply(-number(digest) * inverse % N, G))
    demand(key is not None, "signature")
    return key


def read(kind, secret, packet):
    form, text = open_packet(kind, secret, packet)
    if kind == "rlpx-ack":
        key, nonce, version = (text[:64], text[64:96], 4) if form == "legacy" else fields(text, (64, 32))
        point(key, "ephemeral_key")
        return {"form": form, "version": version, "nonce": nonce.hex(), "ephemeral_public_key": key.hex()}
    if form == "legacy":
        signature, key, nonce, version = text[:65], text[97:161], text[161:193], 4
    else:
        signature, key, nonce, version = fields(text, (65, 64, 32))
    shared = be32(multiply(number(secret), point(key, "static_key"))[0])
    x, y = recover(bytes(a ^ b for a, b in zip(shared, nonce)), signature)
    return {"form": form, "version": version, "nonce": nonce.hex(), "signature": signature.hex(), "public_key": key.hex(),
            "ephemeral_public_key": (be32(x) + be32(y)).hex()}


def compare(kind, test):
    secret, packet = (bytes.fromhex(test["input"][name]) for name in ("private_key", "packet"))
    try:
        found = ("valid", read(kind, secret, packet))
    except Refused as refused:
        found = ("invalid", str(refused))
    told = (test["result"], test.get("output", test.get("reason")))
    return None if found == told else f"{kind} {test['id']} ({test['comment']}): {found}, not {told}"


def main():
    checked, failures = 0, []
    for path in sorted(Path(sys.argv[1]).glob("*.json")):
        file = json.loads(path.read_text(encoding="ascii"))
        if file["kind"] not in OLD:
            continue
        answers = [compare(file["kind"], test) for test in file["tests"]]
        checked += len(answers)
        failures += filter(None, answers)
    print(*failures, f"{checked - len(failures)} agree, {len(failures)} differ", sep="\n")
    return 1 if failures or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
