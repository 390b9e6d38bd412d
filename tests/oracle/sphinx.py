#!/usr/bin/env python3
"""A second reading of the Sphinx packet (LIP-99 with the payload of LIP-183), to check the first one against.

Reads one JSON request a line on standard input, writes one JSON answer a line. Byte strings are hex. Written from the
specification, with PyPI `cryptography` for X25519, AES-CTR and HMAC; it multiplies by every blinding factor in turn, keeps no
replay tags and takes no care of time: an oracle for tests, not an implementation to use. README.md has the requests.
"""
import hashlib
import hmac
import json
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

BETA, BLOCK, PAYLOAD = 576, 112, 3984
P = 2**255 - 19


class Drop(Exception):
    """A packet that a hop drops, with the reason as in vectors/mix/README.md."""


def h(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mul(scalar, point):
    try:
        return X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:  # the result would be zero
        raise Drop("low_order_alpha")


def public(scalar):
    return X25519PrivateKey.from_private_bytes(scalar).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def ctr(key, iv, data):
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def header_stream(s, data):
    return ctr(h(b"aes_key", s)[:16], h(b"iv", s)[:16], data)


def mac(s, beta):
    return hmac.digest(h(b"mac_key", s)[:16], beta, "sha256")[:16]


def lioness(seed, block, encrypt):
    k1, k2, k3, k4 = (h(b"lioness_key", digit, seed) for digit in (b"1", b"2", b"3", b"4"))
    left, right = block[:32], block[32:]
    for key in (k1, k2, k3, k4) if encrypt else (k4, k3, k2, k1):
        if key in (k1, k3):
            mixed = xor(left, key)
            right = ctr(mixed[:16], mixed[16:], right)
        else:
            left = xor(left, h(key, right))
    return left + right


def payload_key(s):
    return h(b"payload_enc_key", s)


def header(path, delays, x, destination, reply_id):
    alphas, secrets, factors = [public(x)], [], [x]
    for hop in path:
        s = hop["public_key"]
        for factor in factors:
            s = mul(factor, s)
        secrets.append(s)
        factors.append(h(alphas[-1], s))
        alphas.append(mul(factors[-1], alphas[-1]))
    filler = b""
    for s in secrets[:-1]:
        stream = header_stream(s, bytes(BETA + BLOCK))
        filler = xor(filler + bytes(BLOCK), stream[BETA - len(filler):])
    final = destination + bytes(2) + reply_id
    beta = header_stream(secrets[-1], final + bytes(BETA - len(final) - len(filler))) + filler
    gamma = mac(secrets[-1], beta)
    for i in reversed(range(len(path) - 1)):
        block = path[i + 1]["address"] + delays[i].to_bytes(2, "big") + gamma
        beta = header_stream(secrets[i], block + beta[:BETA - BLOCK])
        gamma = mac(secrets[i], beta)
    return alphas[0] + beta + gamma, secrets


def build(path, delays, x, destination, payload):
    head, secrets = header(path, delays, x, destination, bytes(16))
    delta = bytes(16) + payload
    for s in reversed(secrets):
        delta = lioness(payload_key(s), delta, True)
    return {"packet": head + delta, "entry_address": path[0]["address"]}


def surb(path, delays, x, reply_id, reply_key, payload):
    head, secrets = header(path, delays, x, bytes(94), reply_id)
    return {
        "surb": path[0]["address"] + head + reply_key,
        "packet": use(path[0]["address"] + head + reply_key, payload)["packet"],
        "payload_keys": [payload_key(s) for s in secrets],
    }


def use(block, payload):
    return {"packet": block[94:718] + lioness(block[718:], bytes(16) + payload, True), "entry_address": block[:94]}


def open_reply(payload_keys, reply_key, delta):
    for key in reversed(payload_keys):
        delta = lioness(key, delta, True)
    delta = lioness(reply_key, delta, False)
    if delta[:16] != bytes(16):
        raise Drop("reply_corrupt")
    return {"payload": delta[16:]}


def peel(y, packet, hops_max=4):
    if len(packet) != 4608:
        raise Drop("length")
    alpha, beta, gamma, delta = packet[:32], packet[32:608], packet[608:624], packet[624:]
    if int.from_bytes(alpha, "little") >= P:
        raise Drop("non_canonical_alpha")
    s = mul(y, alpha)
    if mac(s, beta) != gamma:
        raise Drop("mac")
    delta = lioness(payload_key(s), delta, False)
    b = header_stream(s, beta + bytes(BLOCK))
    address, delay, ident, rest = b[:94], b[94:96], b[96:112], b[112:]
    if any(rest[:BETA - BLOCK * hops_max]):
        check_address(address)
        if not any(address):
            raise Drop("malformed_routing")
        inner = mul(h(alpha, s), alpha) + rest + ident + delta
        return {"type": "forward", "next_address": address, "delay_ms": int.from_bytes(delay, "big"), "packet": inner}
    check_address(address)
    if any(delay) or (any(ident) and any(address)):
        raise Drop("malformed_routing")
    if any(ident):
        return {"type": "reply", "id": ident, "delta": delta}
    if any(delta[:16]):
        raise Drop("payload_tag")
    return {"type": "exit", "destination": address, "payload": delta[16:]}


def check_address(a):
    def peer(part):
        return part[:6] == bytes.fromhex("002508021221") and part[6] in (2, 3)

    second = a[46:85]
    good = a[4] < 2 and peer(a[7:46]) and (not any(second) or peer(second)) and not any(a[85:])
    if any(a) and not good:
        raise Drop("malformed_address")


def from_json(value):
    if isinstance(value, dict):
        return {k: from_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [from_json(v) for v in value]
    return bytes.fromhex(value) if isinstance(value, str) else value


def to_json(value):
    if isinstance(value, list):
        return [to_json(v) for v in value]
    return value.hex() if isinstance(value, bytes) else value


OPERATIONS = {"build": build, "peel": peel, "surb": surb, "use": use, "open": open_reply}


def main():
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = OPERATIONS[request["op"]](**from_json(request["input"]))
            reply = {"output": {k: to_json(v) for k, v in answer.items()}}
        except Drop as drop:
            reply = {"drop": str(drop)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
