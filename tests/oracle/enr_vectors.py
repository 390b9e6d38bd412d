#!/usr/bin/env python3
"""Writes vectors/enr/*.json: `python3 enr_vectors.py DIRECTORY`.

Node records with a base64 and the pairs of its own, on the Keccak, secp256k1 and RLP of whisper_vectors.py. It asserts the
published record. Deterministic: running it again changes nothing.
"""

import sys
from base64 import urlsafe_b64encode
from pathlib import Path

from whisper_vectors import EIP8_A, EIP8_B, File, N, be32, integer, keccak, listed, number, public, sign, string

PUBLISHED = ("enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQ"
             "PKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM0xOIN1ZHCCdl8")


def compressed(secret):
    point = public(secret)
    return bytes([2 | (point[64] & 1)]) + point[1:33]


def body(seq, pairs):
    return [seq if isinstance(seq, bytes) else integer(seq)] + [part for key, value in pairs for part in (string(key), value)]


def record(seq, pairs, secret=EIP8_B, signature=None, more=()):
    signed = body(seq, pairs) + list(more)
    if signature is None:
        signature = sign(secret, keccak(listed(*signed)))[:64]
    return listed(string(signature), *signed)


def text(data):
    return "enr:" + urlsafe_b64encode(data).decode("ascii").rstrip("=")


ID = (b"id", string(b"v4"))
KEY = (b"secp256k1", string(compressed(EIP8_B)))
IP = (b"ip", string(bytes([127, 0, 0, 1])))
UDP = (b"udp", integer(30303))
TCP = (b"tcp", integer(30304))


def records(folder):
    file = File("enr-text", {
        "published": ("The example of EIP-778.", ""),
        "unknown_key": ("A key that says nothing about where the node is.", "A reader that drops it cannot pass the record on."),
        "odd_value": ("A value of another form than its key asks for. The record stands, the value does not.",
                      "go-ethereum reads it so; a reader that refuses the record loses the node."),
        "text": ("Not the one text of a record.", "Two texts for one record."),
        "size": ("At or above 300 bytes.", "Records travel in datagrams of 1280 bytes."),
        "encoding": ("Not the one encoding of the list.", ""),
        "order": ("Keys that are not in ascending order, each once.", "Two readers take different values for the same key."),
        "scheme": ("Signed in a way that is not known.", ""),
        "invalid_curve": ("The key is no point on the curve.", ""),
        "signature": ("The signature is not of this content by this key.", "Anybody could move anybody."),
    })

    def good(comment, flags, data, **output):
        fields = {"seq": 1, "public_key": public(EIP8_B)[1:].hex(), "ip": None, "ip6": None, "tcp": None, "tcp6": None, "udp": None, "udp6": None}
        file.add(comment, flags, {"text": text(data)}, fields | {"record": data.hex()} | output)

    def bad(comment, flag, data, reason):
        file.add(comment, [flag], {"text": data if isinstance(data, str) else text(data)}, reason=reason)

    published = record(1, [ID, IP, KEY, UDP])
    assert text(published) == PUBLISHED
    good("the published record", ["published"], published, ip="127.0.0.1", udp=30303)
    good("a record that says nothing", [], record(0, [ID, KEY]), seq=0)
    good("the largest number", [], record(2**64 - 1, [ID, KEY]), seq=2**64 - 1)
    ip6 = (b"ip6", string(bytes.fromhex("20010db8000000000000000000000001")))
    good("every place", [], record(7, [ID, IP, ip6, KEY, TCP, (b"tcp6", integer(1)), UDP, (b"udp6", integer(65535))]),
         seq=7, ip="127.0.0.1", ip6="2001:db8::1", tcp=30304, tcp6=1, udp=30303, udp6=65535)
    good("keys of others", ["unknown_key"], record(1, [(b"", listed()), (b"eth", listed(listed(string(b"abcd"), integer(0)))), ID, KEY]))
    full = 300 - len(record(1, [ID, KEY, (b"z", string(bytes(170)))])) + 170
    good("300 bytes", ["size"], record(1, [ID, KEY, (b"z", string(bytes(full)))]))
    assert len(record(1, [ID, KEY, (b"z", string(bytes(full)))])) == 300
    for comment, pairs in (("an address of three bytes", [ID, (b"ip", string(bytes(3))), KEY]), ("an address that is a list", [ID, (b"ip", listed()), KEY]),
                           ("a port of three bytes", [ID, KEY, (b"udp", integer(65536))]), ("a port with a leading zero", [ID, KEY, (b"tcp", b"\x82\x00\x01")])):
        good(comment, ["odd_value"], record(1, pairs))

    bad("nothing", "text", "", "prefix")
    bad("no prefix", "text", PUBLISHED[4:], "prefix")
    bad("a prefix in capitals", "text", PUBLISHED.replace("enr:", "ENR:"), "prefix")
    bad("an enode", "text", "enode://" + public(EIP8_B)[1:].hex() + "@127.0.0.1:30303", "prefix")
    bad("padding", "text", PUBLISHED + "=", "base64")
    bad("the other alphabet", "text", PUBLISHED.replace("_", "/"), "base64")
    bad("a blank", "text", PUBLISHED + " ", "base64")
    bad("a line break", "text", PUBLISHED[:80] + "\n" + PUBLISHED[80:], "base64")
    bad("a character less", "text", PUBLISHED[:-1], "base64")
    bad("only the prefix", "text", "enr:", "malformed")
    assert published[-1] & 3 == 3 or len(published) % 3, "the last character has bits to spare"
    spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    bad("bits behind the last byte", "text", PUBLISHED[:-1] + spare[spare.index(PUBLISHED[-1]) + 1], "base64")
    bad("301 bytes", "size", record(1, [ID, KEY, (b"z", string(bytes(full + 1)))]), "too_long")
    bad("a thousand bytes", "size", record(1, [ID, KEY, (b"z", string(bytes(1000)))]), "too_long")
    bad("a string", "encoding", b"\x83abc", "malformed")
    bad("an empty list", "encoding", listed(), "malformed")
    bad("a signature alone", "encoding", listed(string(bytes(64))), "malformed")
    bad("a byte behind the list", "encoding", published + b"\x00", "malformed")
    bad("a byte less", "encoding", published[:-1], "malformed")
    bad("a number with a leading zero", "encoding", record(b"\x82\x00\x01", [ID, KEY]), "malformed")
    bad("a number of nine bytes", "encoding", record(string(b"\x01" + bytes(8)), [ID, KEY]), "malformed")
    bad("a number that is a list", "encoding", record(listed(), [ID, KEY]), "malformed")
    bad("a key that is a list", "encoding", record(1, [ID, KEY], more=[listed(), integer(1)]), "malformed")
    bad("a list header longer than needed", "encoding", b"\xf9" + (len(published) - 2).to_bytes(2, "big") + published[2:], "malformed")
    bad("a key without a value", "encoding", record(1, [ID, KEY], more=[string(b"udp")]), "odd_count")
    bad("a signature, a number and a key", "encoding", record(1, [], more=[string(b"id")]), "odd_count")
    bad("keys in another order", "order", record(1, [KEY, ID]), "not_sorted")
    bad("places in another order", "order", record(1, [ID, KEY, UDP, TCP]), "not_sorted")
    bad("a short key after one that it starts", "order", record(1, [ID, (b"ip6", integer(1)), IP, KEY]), "not_sorted")
    bad("a key twice", "order", record(1, [ID, ID, KEY]), "duplicate_key")
    bad("a key twice, with two values", "order", record(1, [ID, KEY, UDP, (b"udp", integer(1))]), "duplicate_key")
    bad("no scheme", "scheme", record(1, [KEY]), "scheme")
    bad("scheme v5", "scheme", record(1, [(b"id", string(b"v5")), KEY]), "scheme")
    bad("a scheme that is a list", "scheme", record(1, [(b"id", listed()), KEY]), "scheme")
    bad("no key", "scheme", record(1, [ID]), "no_key")
    bad("a key of 32 bytes", "invalid_curve", record(1, [ID, (b"secp256k1", string(bytes(32)))]), "malformed")
    bad("a key of 64 bytes", "invalid_curve", record(1, [ID, (b"secp256k1", string(public(EIP8_B)[1:]))]), "malformed")
    bad("a key with another prefix", "invalid_curve", record(1, [ID, (b"secp256k1", string(b"\x05" + compressed(EIP8_B)[1:]))]), "key")
    bad("a key off the curve", "invalid_curve", record(1, [ID, (b"secp256k1", string(b"\x02" + be32(5)))]), "key")
    bad("a key of ff", "invalid_curve", record(1, [ID, (b"secp256k1", string(b"\x02" + b"\xff" * 32))]), "key")
    plain = body(1, [ID, IP, KEY, UDP])
    signature = sign(EIP8_B, keccak(listed(*plain)))
    bad("a signature of 63 bytes", "signature", listed(string(signature[:63]), *plain), "signature_length")
    bad("a signature with its recovery id", "signature", listed(string(signature), *plain), "signature_length")
    bad("no signature", "signature", listed(string(b""), *plain), "signature_length")
    bad("the signature of another number", "signature", listed(string(signature[:64]), *body(2, [ID, IP, KEY, UDP])), "signature")
    bad("the signature of another port", "signature", listed(string(signature[:64]), *body(1, [ID, IP, KEY, (b"udp", integer(30304))])), "signature")
    bad("the signature of somebody else", "signature", record(1, [ID, IP, KEY, UDP], secret=EIP8_A), "signature")
    bad("a signature of zeros", "signature", record(1, [ID, KEY], signature=bytes(64)), "signature")
    high = signature[:32] + be32(N - number(signature[32:64]))
    bad("the same signature with a large s", "signature", listed(string(high), *plain), "signature")
    bad("a signature of the content without its list", "signature", listed(string(sign(EIP8_B, keccak(b"".join(plain)))[:64]), *plain), "signature")
    file.write(folder / "text.json")


if __name__ == "__main__":
    records(Path(sys.argv[1]))
