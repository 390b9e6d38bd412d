#!/usr/bin/env python3
"""Writes vectors/whisper/*.json: `python3 whisper_vectors.py DIRECTORY`.

An implementation of its own (Keccak, secp256k1 and RLP are written out here; AES, PBKDF2 and HMAC come from the Python
package `cryptography` and the standard library), so that these files are not the echo of the code that they test.
Deterministic: running it again changes nothing.
"""

import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# ---- Keccak-256 -----------------------------------------------------------------------------------

MASK = (1 << 64) - 1
ROTATIONS = [[0, 36, 3, 41, 18], [1, 44, 10, 45, 2], [62, 6, 43, 15, 61], [28, 55, 25, 21, 56], [27, 20, 39, 8, 14]]


def round_constants():
    constants, lfsr = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if lfsr & 1:
                constant |= 1 << ((1 << j) - 1)
            lfsr = (lfsr << 1) ^ (0x171 if lfsr & 0x80 else 0)
        constants.append(constant)
    return constants


CONSTANTS = round_constants()


def permute(a):
    def rotate(value, by):
        return ((value << by) | (value >> (64 - by))) & MASK if by else value

    for constant in CONSTANTS:
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[x - 1] ^ rotate(c[(x + 1) % 5], 1) for x in range(5)]
        b = [[0] * 5 for _ in range(5)]
        for x in range(5):
            for y in range(5):
                b[y][(2 * x + 3 * y) % 5] = rotate(a[x][y] ^ d[x], ROTATIONS[x][y])
        a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y] & MASK) for y in range(5)] for x in range(5)]
        a[0][0] ^= constant
    return a


def keccak(data):
    padded = bytearray(data + b"\x01" + bytes(-(len(data) + 1) % 136))
    padded[-1] |= 0x80
    a = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), 136):
        for i, word in enumerate(struct.unpack("<17Q", padded[start:start + 136])):
            a[i % 5][i // 5] ^= word
        a = permute(a)
    return b"".join(struct.pack("<Q", a[i % 5][i // 5]) for i in range(4))


assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"

# ---- secp256k1 ------------------------------------------------------------------------------------

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
     0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)


def add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % P == 0:
        return None
    slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, P) if p == q else (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def multiply(k, p):
    total = None
    while k:
        if k & 1:
            total = add(total, p)
        p, k = add(p, p), k >> 1
    return total


def number(data):
    return int.from_bytes(data, "big")


def be32(value):
    return value.to_bytes(32, "big")


def public(secret):
    x, y = multiply(number(secret), G)
    return b"\x04" + be32(x) + be32(y)


def deterministic_nonce(secret, digest):
    k, v = bytes(32), b"\x01" * 32
    seed = secret + be32(number(digest) % N)
    for separator in (b"\x00", b"\x01"):
        k = hmac.digest(k, v + separator + seed, "sha256")
        v = hmac.digest(k, v, "sha256")
    return number(hmac.digest(k, v, "sha256"))


def sign(secret, digest, high_s=False):
    k = deterministic_nonce(secret, digest)
    x, y = multiply(k, G)
    r, v = x % N, (y & 1) | (2 if x >= N else 0)
    s = pow(k, -1, N) * (number(digest) + r * number(secret)) % N
    if (s > N // 2) != high_s:
        s, v = N - s, v ^ 1
    return be32(r) + be32(s) + bytes([v])


# ---- RLP ------------------------------------------------------------------------------------------

def header(base, length):
    if length < 56:
        return bytes([base + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(size)]) + size


def string(data):
    return data if len(data) == 1 and data[0] < 0x80 else header(0x80, len(data)) + data


def integer(value):
    return string(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def listed(*items):
    content = b"".join(items)
    return header(0xC0, len(content)) + content


# ---- Whisper --------------------------------------------------------------------------------------

def zero_bits(digest):
    return 256 - number(digest).bit_length()


def short(expiry, ttl, topic, data):
    return listed(integer(expiry), integer(ttl), string(topic), string(data))


def envelope(expiry, ttl, topic, data, nonce):
    return listed(integer(expiry), integer(ttl), string(topic), string(data), integer(nonce))


def work(expiry, ttl, topic, data, nonce, now=None):
    prefix = short(expiry, ttl, topic, data)
    bits = zero_bits(keccak(prefix + nonce.to_bytes(8, "big")))
    sent = expiry - ttl
    ahead = sent - now + 1 if now is not None and sent > now else 0
    return float(2**bits) / float(len(prefix)) / float(ttl + ahead)


def mine(expiry, ttl, topic, data, bits):
    prefix, nonce = short(expiry, ttl, topic, data), 0
    while zero_bits(keccak(prefix + nonce.to_bytes(8, "big"))) < bits:
        nonce += 1
    return nonce


def bits_of(topic):
    return [topic[j] + 256 * (topic[3] >> j & 1) for j in range(3)]


def bloom(topic):
    filter = bytearray(64)
    for bit in bits_of(topic):
        filter[bit // 8] = 1 << bit % 8
    return bytes(filter)


def merged(*topics):
    filter = bytearray(64)
    for topic in topics:
        for bit in bits_of(topic):
            filter[bit // 8] |= 1 << bit % 8
    return bytes(filter)


def plaintext(payload, padding, secret=None, length=None, flags=0, **signing):
    size = (len(payload).bit_length() + 7) // 8 or 1
    length = len(payload).to_bytes(size, "little") if length is None else length
    text = bytes([len(length) | (4 if secret else 0) | flags]) + length + payload + padding
    return text + (sign(secret, keccak(text), **signing) if secret else b"")


def seal_symmetric(key, text, nonce=bytes(range(12))):
    return AESGCM(key).encrypt(nonce, text, b"") + nonce


def ecies(to, text, ephemeral, iv=bytes(range(16)), point=None):
    peer = (number(to[1:33]), number(to[33:]))
    z = be32(multiply(number(ephemeral), peer)[0])
    keys = hashlib.sha256(b"\x00\x00\x00\x01" + z).digest()
    cipher = Cipher(algorithms.AES(keys[:16]), modes.CTR(iv)).encryptor()
    body = iv + cipher.update(text)
    tag = hmac.digest(hashlib.sha256(keys[16:]).digest(), body, "sha256")
    return (point or public(ephemeral)) + body + tag


def password_key(password):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), b"", 65356, 32)


# ---- Files ----------------------------------------------------------------------------------------

class File:
    def __init__(self, kind, notes):
        self.kind, self.notes, self.tests = kind, notes, []

    def add(self, comment, flags, input, output=None, reason=None):
        test = {"id": len(self.tests) + 1, "comment": comment, "flags": flags, "input": input}
        test |= {"result": "valid", "output": output} if reason is None else {"result": "invalid", "reason": reason}
        self.tests.append(test)

    def write(self, path):
        notes = {flag: {"description": text, "effect": effect} for flag, (text, effect) in sorted(self.notes.items())}
        assert all(flag in notes for test in self.tests for flag in test["flags"])
        whole = {"schema": "ferry-vectors/1", "kind": self.kind, "numberOfTests": len(self.tests), "notes": notes, "tests": self.tests}
        path.write_text(json.dumps(whole, indent=1) + "\n", encoding="ascii")
        negative = sum(test["result"] == "invalid" for test in self.tests)
        print(f"{path.name}: {len(self.tests)} tests, {negative} of them negative")


def envelopes(folder):
    file = File("whisper-envelope", {
        "published": ("From go-ethereum, or from a table that was computed with it.", ""),
        "least_nonce": ("The nonce is the least one that suffices, as every Go node and every canonical sealer finds it.", ""),
        "skew": ("Sent ahead of the receiver's clock: the work is divided by a longer life.", "A node that ignores it forwards what its peers punish."),
        "bloom_form": ("Two bits of the topic share a byte of the filter; the later one replaces the earlier.", "A node that ORs withholds what Go nodes want."),
        "wrap": ("The ttl exceeds the expiry, so the time of sending wraps.", "A crafted wrap makes a tiny life and a huge work."),
        "infinite_work": ("A ttl of zero makes the work infinite.", "Passes any requirement, and is kept for free."),
        "encoding": ("Not the one encoding of an envelope.", "Two encodings are two ids for one message, or a crash."),
        "clock": ("At or beyond the edges of the time window.", ""),
        "size": ("At or beyond the size limit.", ""),
        "work": ("At or below the work asked for.", ""),
    })
    now, topic, data = 1600000000, bytes.fromhex("70a4beef"), bytes(range(32))

    def case(comment, flags, args, now=None, min_pow=None, filter=None, max_size=None, reason=None):
        input = {"rlp": envelope(*args).hex(), "now": now, "min_pow": min_pow, "bloom": filter and filter.hex()}
        if max_size is not None:
            input["max_size"] = max_size
        output = None
        if reason is None:
            output = {"hash": keccak(envelope(*args)).hex(), "pow": work(*args, now=now), "sent": args[0] - args[1], "size": 20 + len(args[3])}
        file.add(comment, flags, input, output, reason)

    status = (1600000015, 15, topic, data, 309)
    assert mine(*status[:4], 8) == 309 and work(*status) == 0.3792592592592593 and work(*status, now=now - 5) == 0.2708994708994709
    assert keccak(envelope(*status)).hex() == "ee0438c3e437dc3accf500bf8178dd1a1416ac18254a6b39aa1775ee3b383442"
    case("the published envelope", ["published", "least_nonce"], status, now)
    case("the same with nothing checked", ["published"], status)
    case("seen by a clock five seconds behind", ["published", "skew"], status, now - 5)
    case("seen ten seconds ahead", ["skew", "clock"], status, now - 10, 0.2)
    case("seen at its last second", ["clock"], status, now + 15)
    case("with the filter of its topic", [], status, now, 0.37, bloom(topic))
    case("with a full filter", [], status, now, 0.0, b"\xff" * 64)
    canonical = (1587550090, 90, bytes.fromhex("59cbac69"), bytes(range(64)), 49)
    assert mine(*canonical[:4], 4) == 49
    assert keccak(envelope(*canonical)).hex() == "3733b93defeec5fe1139c52fac56aa7a0612b21093f0b79f43602cf126fba7ee"
    case("the published canonical sealing", ["published", "least_nonce"], canonical, 1587550000, 0.002)
    padding = bytes([0xAA]) * 176
    text = plaintext(b"hello whisper", padding, EIP8_A)
    sealed = seal_symmetric(password_key("test"), text)
    chat = (1600000010, 10, keccak(b"test")[:4], sealed, 4)
    assert mine(*chat[:4], 3) == 4 and keccak(envelope(*chat)).hex().startswith("bf698cea")
    case("the published message of a public chat", ["published", "least_nonce"], chat, now, 0.002)
    case("empty data and nonce zero", [], (now + 10, 10, bytes(4), b"", 0), now)
    case("the largest nonce", [], (now + 10, 10, bytes(4), b"\x7f", 2**64 - 1), now)
    case("data of one byte above 7f", [], (now + 10, 10, bytes(4), b"\x80", 1), now)
    for length in (54, 55, 56, 255, 256, 1024):
        case(f"data of {length} bytes", ["size"], (now + 10, 10, topic, bytes(length), 0), now)
    case("at the size limit", ["size"], (now + 10, 10, topic, bytes(80), 0), now, max_size=100)
    for colliding in ("01020300", "08090a00", "0102ff07", "080aff00"):
        one = (now + 10, 10, bytes.fromhex(colliding), b"data", 0)
        case("colliding bits, under the filter that a Go node makes of them", ["bloom_form"], one, now, filter=bloom(one[2]))
    half = (now + 8, 8, topic, bytes(50), None)
    half = half[:4] + (next(n for n in range(10**6) if zero_bits(keccak(short(*half[:4]) + n.to_bytes(8, "big"))) == 8),)
    assert len(short(*half[:4])) == 64 and work(*half) == 0.5
    case("exactly the work asked for", ["work"], half, now, 0.5)

    case("a requirement just above", ["work"], half, now, 0.5001, reason="low_pow")
    case("exactly enough, less the skew of one second", ["work", "skew"], half, now - 1, 0.5, reason="low_pow")
    case("below the requirement of a Status node", ["work"], (now + 120, 120, topic, bytes(1000), 0), now, 0.002, reason="low_pow")
    case("the published envelope under its skew", ["work", "skew"], status, now - 5, 0.3, reason="low_pow")
    case("a good nonce plus one", ["work"], status[:4] + (310,), now, 0.3, reason="low_pow")
    case("a good nonce for another expiry", ["work"], (1600000016,) + status[1:], now, 0.3, reason="low_pow")
    for expiry, ttl in ((now + 5, 0), (now, 0), (0, 0), (2**32 - 1, 0)):
        case("a ttl of zero", ["infinite_work"], (expiry, ttl, topic, b"data", 0), now, reason="zero_ttl")
    for expiry, ttl in ((now + 5, 2**32 - 1), (5, 6), (0, 10), (now, now + 1), (0, 2**32 - 1), (now - 30, 2**32 - 40)):
        case("a ttl above the expiry", ["wrap"], (expiry, ttl, topic, b"data", 0), now, reason="future")
    for ahead in (11, 12, 3600, 2**31):
        case(f"sent {ahead} s ahead", ["clock"], (now + ahead + 10, 10, topic, b"data", 0), now, reason="future")
    case("an expiry at the end of time", ["clock"], (2**32 - 1, 10, topic, b"data", 0), now, reason="future")
    for ago in (1, 2, 19, 20):
        case(f"dead for {ago} s", ["clock"], (now - ago, 10, topic, b"data", 0), now, reason="expired")
    for ago in (21, 22, 3600, now - 100):
        case(f"dead for {ago} s", ["clock"], (now - ago, 10, topic, b"data", 0), now, reason="very_old")
    case("one byte above the size limit", ["size"], (now + 10, 10, topic, bytes(81), 0), now, max_size=100, reason="oversize")
    case("far above the size limit", ["size"], (now + 10, 10, topic, bytes(5000), 0), now, max_size=100, reason="oversize")
    case("an empty filter", [], status, now, filter=bytes(64), reason="bloom_mismatch")
    case("a filter of another topic", [], status, now, filter=merged(bytes.fromhex("deadbeef")), reason="bloom_mismatch")
    for bit in (46 * 8, 52 * 8 + 4, 55 * 8 + 6):
        partial = bytearray(b"\xff" * 64)
        partial[bit // 8] &= ~(1 << bit % 8) & 0xFF
        case("a filter that lacks one bit", [], status, now, filter=bytes(partial), reason="bloom_mismatch")
    case("the bit that is lost is there, the one that stays is not", ["bloom_form"], (now + 10, 10, bytes.fromhex("01020300"), b"data", 0), now, filter=bytes([0x06]) + bytes(63), reason="bloom_mismatch")

    good = [integer(1600000015), integer(15), string(topic), string(data), integer(309)]

    def broken(comment, raw):
        file.add(comment, ["encoding"], {"rlp": raw.hex(), "now": None, "min_pow": None, "bloom": None}, reason="malformed")

    def replaced(at, item):
        return listed(*(item if i == at else part for i, part in enumerate(good)))

    whole = listed(*good)
    broken("nothing", b"")
    broken("a string", string(b"".join(good)))
    broken("an empty list", b"\xc0")
    broken("four fields", listed(*good[:4]))
    broken("six fields", listed(*good, integer(1)))
    broken("a byte after the end", whole + b"\x00")
    broken("a byte short", whole[:-1])
    broken("a list header one byte too long", bytes([whole[0] + 1]) + whole[1:])
    broken("a list header of the long form", b"\xf8" + bytes([len(whole) - 1]) + whole[1:])
    broken("a list header that claims 2^56 bytes", b"\xfe" + b"\x01" + bytes(6) + whole[1:])
    broken("a list in a list", listed(whole))
    broken("a topic of three bytes", replaced(2, string(topic[:3])))
    broken("a topic of five bytes", replaced(2, string(topic + b"\x00")))
    broken("an empty topic", replaced(2, b"\x80"))
    broken("a list as topic", replaced(2, listed(integer(1))))
    broken("an expiry with a leading zero", replaced(0, string(b"\x00\x5f\x5e\x10")))
    broken("an expiry of five bytes", replaced(0, string(b"\x01" + bytes(4))))
    broken("a ttl of five bytes", replaced(1, string(b"\x01" + bytes(4))))
    broken("a ttl of zero as a zero byte", replaced(1, b"\x00"))
    broken("a ttl below 80 behind a prefix", replaced(1, b"\x81\x0f"))
    broken("a list as ttl", replaced(1, b"\xc0"))
    broken("a list as data", replaced(3, listed(data)))
    broken("data with a long header for a short length", replaced(3, b"\xb8\x20" + data))
    broken("data with a length that starts with zero", replaced(3, b"\xb9\x00\x20" + data))
    broken("data that reaches beyond the envelope", replaced(3, b"\xb8\x80" + data))
    broken("a nonce of nine bytes", replaced(4, string(b"\x01" + bytes(8))))
    broken("a nonce with a leading zero", replaced(4, string(b"\x00\x01")))
    broken("a nonce of zero as a zero byte", replaced(4, b"\x00"))
    broken("a list as nonce", replaced(4, b"\xc0"))
    deep = b"\xc0"
    for _ in range(200):
        deep = listed(deep)
    broken("two hundred lists in each other", deep)
    file.write(folder / "envelope.json")


def payloads(folder):
    file = File("whisper-payload", {
        "published": ("From a table that was computed with go-ethereum's whisperv6.", ""),
        "padding": ("Lengths around the padding unit of 256.", ""),
        "length_field": ("Another form of the length field.", ""),
        "high_s": ("A signature with a large s: every peer accepts it.", ""),
        "bounds": ("A length points outside of the text.", "Went through the end of a slice in every geth 1.9: one message into a public chat stopped all its subscribers."),
        "signature": ("A signature that names nobody.", ""),
        "modified": ("Sealed for somebody else, or changed on the way.", ""),
        "curve": ("The ephemeral key is not on the curve.", "Accepting it leaks the private key bit by bit."),
        "short_body": ("An ECIES packet without room for its parts, its tag valid.", "Reached a slice of negative length in geth: a crash."),
    })
    key, secret, to = password_key("test"), EIP8_B, public(EIP8_B)
    assert key.hex() == "a82a520aff70f7a989098376e48ec128f25f767085e84d7fb995a9815eebff0a"
    signer, ephemeral = EIP8_A, EPHEMERAL_A

    def both(comment, flags, text, payload=b"", padding=b"", by=None, reason=None):
        """The same text under a symmetric key and to a public one."""
        output = None if reason else {"payload": payload.hex(), "padding": padding.hex(), "signer": by and public(by).hex()}
        file.add(comment + ", symmetric", flags, {"data": seal_symmetric(key, text).hex(), "sym_key": key.hex()}, output, reason)
        file.add(comment + ", asymmetric", flags, {"data": ecies(to, text, ephemeral).hex(), "private_key": secret.hex()}, output, reason)

    padding = bytes([0xAA]) * 176
    text = plaintext(b"hello whisper", padding, signer)
    assert keccak(text[:-65]).hex() == "43bf6005b7b68a835b00de08aea2d1b9d353d629959fdd6ed4471b6a39f567a7"
    assert text[-65:].hex().startswith("37699eb1969884465cb17d09bc8808ea")
    assert keccak(seal_symmetric(key, text)).hex().startswith("3b11d1c86ccb4d2a") and keccak(ecies(to, text, ephemeral)).hex().startswith("413faed3d37d6a9d")
    both("the published message", ["published"], text, b"hello whisper", padding, signer)
    for length in (0, 1, 188, 189, 190, 253, 254, 255, 256):
        payload, by = bytes([0x5A]) * length, signer if length % 2 else None
        size = 2 if length > 255 else 1
        fill = bytes(256 - (1 + size + length + (65 if by else 0)) % 256)
        both(f"a payload of {length} bytes", ["padding"], plaintext(payload, fill, by), payload, fill, by)
    both("no padding", ["padding"], plaintext(b"bare", b""), b"bare")
    both("no length field: all is padding", ["length_field"], plaintext(b"", b"fill", length=b""), b"", b"fill")
    both("a length field of three bytes", ["length_field"], plaintext(b"payload", b"fill", length=b"\x07\x00\x00"), b"payload", b"fill")
    both("unknown flags", [], plaintext(b"payload", b"fill", flags=0xF8), b"payload", b"fill")
    both("a signature with a large s", ["high_s"], plaintext(b"payload", b"fill", signer, high_s=True), b"payload", b"fill", signer)

    both("an empty text", ["bounds"], b"", reason="empty")
    for comment, bad in (
        ("only flags, with a length and a signature", b"\x07"),
        ("only flags, with a length", b"\x03"),
        ("a length of three bytes with two left", b"\x03\x01\x00"),
        ("a length of two bytes with one left", b"\x02\x01"),
        ("a payload one byte beyond the end", b"\x01\x05abcd"),
        ("a payload of sixteen megabytes", b"\x03\xff\xff\xff" + bytes(252)),
        ("signed, and 65 bytes long", b"\x04" + bytes(64)),
        ("signed, and 66 bytes long", b"\x04" + bytes(65)),
        ("signed, and short", b"\x04\x00\x00"),
    ):
        both(comment, ["bounds"], bad, reason="bounds")
    for length, payload in ((b"\xff", b"payload"), (b"\x20", b"payload"), (b"\xff\xff\xff", b"")):
        both("a payload that reaches into its signature", ["bounds"], plaintext(payload, b"fill", signer, length=length), reason="bounds")
    for v in (4, 5, 27, 28, 255):
        both(f"a recovery id of {v}", ["signature"], text[:-1] + bytes([v]), reason="signature")
    both("an r of zero", ["signature"], text[:-65] + bytes(32) + text[-33:], reason="signature")
    both("an s of zero", ["signature"], text[:-33] + bytes(32) + text[-1:], reason="signature")
    both("an r of the group order", ["signature"], text[:-65] + be32(N) + text[-33:], reason="signature")
    both("an s of the group order", ["signature"], text[:-33] + be32(N) + text[-1:], reason="signature")

    def closed(comment, flags, data, **by):
        file.add(comment, flags, {"data": data.hex()} | {name: key.hex() for name, key in by.items()}, reason="decryption")

    sym, asym = seal_symmetric(key, text), ecies(to, text, ephemeral)
    closed("another symmetric key", ["modified"], sym, sym_key=password_key("status"))
    closed("another private key", ["modified"], asym, private_key=signer)
    closed("symmetric data under a private key", ["modified"], sym, private_key=secret)
    closed("asymmetric data under a symmetric key", ["modified"], asym, sym_key=key)
    for at in (0, 255, 256, 271, 272, 283):
        closed(f"byte {at} changed", ["modified"], sym[:at] + bytes([sym[at] ^ 1]) + sym[at + 1:], sym_key=key)
    for length in (0, 11, 12, 27, 28, 283):
        closed(f"cut to {length} bytes", ["modified"], sym[:length], sym_key=key)
    closed("the nonce in front, where others put it", ["modified"], sym[-12:] + sym[:-12], sym_key=key)
    for at in (65, 80, 81, 336, 337, 368):
        closed(f"byte {at} changed, asymmetric", ["modified"], asym[:at] + bytes([asym[at] ^ 1]) + asym[at + 1:], private_key=secret)
    for length in (0, 1, 65, 97, 98, 112, 368):
        closed(f"cut to {length} bytes, asymmetric", ["modified"], asym[:length], private_key=secret)
    for prefix in (0, 2, 3, 5, 6, 7):
        closed(f"a point that starts with {prefix:02x}", ["curve"], bytes([prefix]) + asym[1:], private_key=secret)
    point = public(ephemeral)
    for comment, bad in (
        ("a point off the curve", point[:64] + bytes([point[64] ^ 1])),
        ("the point at infinity", b"\x04" + bytes(64)),
        ("an X that is the field prime", b"\x04" + be32(P) + point[33:]),
        ("a Y above the field prime", point[:33] + b"\xff" * 32),
    ):
        closed(comment, ["curve"], ecies(to, text, ephemeral, point=bad), private_key=secret)
    for length in (1, 8, 15):
        closed(f"a body of {length} bytes under a valid tag", ["short_body"], ecies(to, b"", ephemeral, iv=bytes(16))[:65] + short_body(to, ephemeral, length), private_key=secret)
    file.write(folder / "payload.json")


def short_body(to, ephemeral, length):
    z = be32(multiply(number(ephemeral), (number(to[1:33]), number(to[33:])))[0])
    keys = hashlib.sha256(b"\x00\x00\x00\x01" + z).digest()
    return bytes(length) + hmac.digest(hashlib.sha256(keys[16:]).digest(), bytes(length), "sha256")


def blooms(folder):
    file = File("whisper-bloom", {
        "published": ("From a table that was computed with go-ethereum's whisperv6.", ""),
        "collision": ("Two bits share a byte; the later one replaces the earlier.", "A node that ORs withholds what Go nodes want."),
        "or_form": ("The filter is made by OR, as nodes that are not written in Go do.", "Must match as well."),
        "length": ("No topic has this length.", ""),
    })
    published = "70a4beef deadbeef 00000000 f8946aac 59cbac69 e1240bce cd423760".split()
    collisions = "01020300 08090a00 0102ff07 080aff00".split()
    for text in published + collisions:
        topic = bytes.fromhex(text)
        flags = ["published"] + (["collision"] if text in collisions else [])
        file.add(text, flags, {"topic": text}, {"bloom": bloom(topic).hex()})
        file.add(f"{text} under the OR form", ["or_form"], {"topic": text, "filter": merged(topic).hex()}, {"bloom": bloom(topic).hex()})
    for text in "ffffffff 0000ff04 7f7f7f07".split():
        file.add(text, [], {"topic": text, "filter": "ff" * 64}, {"bloom": bloom(bytes.fromhex(text)).hex()})
    for text in published + collisions:
        topic = bytes.fromhex(text)
        file.add(f"{text} under an empty filter", [], {"topic": text, "filter": "00" * 64}, reason="mismatch")
        form = bloom(topic)
        for at in range(64):
            if form[at]:
                lacking = bytearray(b"\xff" * 64)
                lacking[at] &= ~form[at] & 0xFF
                file.add(f"{text} under all but its bit of byte {at}", [], {"topic": text, "filter": bytes(lacking).hex()}, reason="mismatch")
    for text in ("", "70", "70a4be", "70a4beef00", "70a4beef70a4beef"):
        file.add("no topic", ["length"], {"topic": text}, reason="length")
    file.write(folder / "bloom.json")


EIP8_A = bytes.fromhex("49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee")
EIP8_B = bytes.fromhex("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291")
EPHEMERAL_A = bytes.fromhex("869d6ecf5211f1cc60418a13b9d870b22959d0c16f02bec714c960dd2298a32d")

if __name__ == "__main__":
    import whisper_protocol_vectors

    folder = Path(sys.argv[1])
    envelopes(folder)
    payloads(folder)
    blooms(folder)
    whisper_protocol_vectors.write(folder)
