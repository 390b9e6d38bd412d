#!/usr/bin/env python3
"""Writes vectors/mix/*.json: `python3 sphinx_vectors.py DIRECTORY`. The same bytes every time.

The inputs come from SHA-256 of a label, the outputs from the oracle in sphinx.py. Whatever can be forged is forged under a MAC
that verifies, so that the check behind the MAC is the one that must refuse.
"""
import json
import sys
from pathlib import Path

from sphinx import BETA, BLOCK, P, Drop, build, h, header_stream, lioness, mac, mul, open_reply, payload_key, peel, public, surb

NONE = bytes(94)
NOTES = {
    "known_path": "The path, keys and secrets of the known packet: mix secrets 11..11, 22..22, 33..33, addresses 10.0.0.n:600n.",
    "path_of_four": "Three relays, then a service: 128 zero bytes after the final block where a path of three leaves 240.",
    "other_length": "A path that is neither of three nor of four hops.",
    "circuit": "An address with a circuit relay.",
    "quic": "An address over QUIC.",
    "length": "Not 4608 bytes.",
    "bad_point": "An alpha that no honest sender makes.",
    "torsion_twin": "1/u mod p in place of u: another alpha with the same shared secret.",
    "bit_flip": "One bit changed on the way.",
    "wrong_key": "A packet for another hop.",
    "forged_block": "A routing block that nobody should make, under a MAC that verifies.",
    "bad_address": "An address that does not decode.",
    "bad_delay": "A delay that the format has no place for.",
    "bad_key": "A mix key that is not canonical or is of low order.",
    "torsion_key": "A mix key with a part of low order, or on the twist: sender and hop must agree on every product.",
    "reply": "A packet made from a reply block.",
    "bad_field": "A field of another length than its kind has.",
}
EFFECTS = {
    "torsion_twin": "A hop whose replay tag depends on alpha takes a captured packet twice.",
    "bit_flip": "A change that survives marks the packet for whoever sees it again.",
    "bad_point": "A shared secret that does not depend on the hop's key.",
    "torsion_key": "A sender that reduces the product mod the group order builds packets that the hop cannot read.",
    "path_of_four": "A hop that insists on 240 zero bytes cannot end a path of four.",
}


def random(label, length=32):
    return b"".join(h(b"ferry/", label.encode(), bytes([i])) for i in range(-(-length // 32)))[:length]


# Multiples 1 to 5 of the generator of secp256k1, as compressed keys.
PEERS = [bytes.fromhex("002508021221" + key) for key in (
    "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
    "02e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13",
    "022f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4",
)]


def address(n, transport=0, second=b""):
    a = bytes([10, 0, 0, n, transport]) + (6000 + n).to_bytes(2, "big") + PEERS[n - 1] + second
    return a + bytes(94 - len(a))


KEYS = [bytes([0x11 * n]) * 32 for n in range(1, 6)]
PATH = [{"public_key": public(key), "address": address(n + 1)} for n, key in enumerate(KEYS)]
MESSAGE = bytes(i % 251 for i in range(3968))
DELAYS = [100, 200, 300, 400]
KNOWN_X = b"\x44" * 32


def flip(data, at, mask=1):
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1:]


class File:
    def __init__(self, kind):
        self.kind, self.tests = kind, []

    def add(self, comment, flags, given, expected):
        test = {"id": len(self.tests) + 1, "comment": comment, "flags": flags.split(), "input": given}
        if isinstance(expected, str):
            test |= {"result": "invalid", "reason": expected}
        else:
            test |= {"result": "valid", "output": expected}
        self.tests.append(test)

    def write(self, directory):
        used = sorted({flag for test in self.tests for flag in test["flags"]})
        notes = {f: {"description": NOTES[f], "effect": EFFECTS.get(f, "")} for f in used}
        head = {"schema": "ferry-vectors/1", "kind": self.kind, "numberOfTests": len(self.tests), "notes": notes}
        text = json.dumps(head | {"tests": self.tests}, indent=1, default=bytes.hex)
        (directory / f"{self.kind.removeprefix('sphinx-')}.json").write_text(text + "\n")


def walk(packet, hops):
    """The packet as it reaches hop `hops`."""
    for key in KEYS[:hops]:
        packet = peel(key, packet)["packet"]
    return packet


def forge(hops, change, x=KNOWN_X):
    """A packet for hop 0 whose deciphered routing `change` has altered."""
    packet = build(PATH[:hops], DELAYS, x, NONE, MESSAGE)["packet"]
    s = mul(KEYS[0], packet[:32])
    beta = header_stream(s, bytes(change(bytearray(header_stream(s, packet[32:608])))))
    return packet[:32] + beta + mac(s, beta) + packet[624:]


def patch(at, data):
    def change(block):
        block[at:at + len(data)] = data
        return block
    return change


def peel_file():
    file = File("sphinx-peel")

    def case(comment, flags, key, packet):
        try:
            expected = peel(key, packet)
        except Drop as drop:
            expected = str(drop)
        file.add(comment, flags, {"private_key": key, "packet": packet}, expected)
        return expected

    known = build(PATH[:3], DELAYS, KNOWN_X, NONE, MESSAGE)["packet"]
    for hop in range(3):
        case(f"known packet at hop {hop}", "known_path", KEYS[hop], walk(known, hop))
    four = build(PATH[:4], DELAYS, random("four"), NONE, random("four message", 3968))["packet"]
    for hop in (0, 2, 3):
        case(f"path of four at hop {hop}", "path_of_four", KEYS[hop], walk(four, hop))
    elsewhere = build(PATH[:1], [], random("one"), address(5, 1), MESSAGE)["packet"]
    case("path of one, with a destination", "other_length quic", KEYS[0], elsewhere)
    via = [PATH[0], {"public_key": PATH[1]["public_key"], "address": address(3, 1, PEERS[1])}]
    case("next hop behind a circuit relay", "circuit quic", KEYS[0], build(via, [65535], random("via"), NONE, MESSAGE)["packet"])
    reply = surb(PATH[:4], DELAYS, random("reply"), random("id", 16), random("reply key", 16), MESSAGE)["packet"]
    case("reply at its maker", "reply path_of_four", KEYS[3], walk(reply, 3))
    case("reply on its way", "reply path_of_four", KEYS[1], walk(reply, 1))
    case("changed reply: only its maker can tell", "reply bit_flip", KEYS[3], flip(walk(reply, 3), 700))
    case("changed payload at a relay: it cannot tell", "bit_flip", KEYS[1], flip(walk(known, 1), 4000))
    twin = pow(int.from_bytes(known[:32], "little"), P - 2, P).to_bytes(32, "little") + known[32:]
    case("torsion twin to a hop that has not seen the packet", "torsion_twin", KEYS[0], twin)
    case("delay zero in the middle", "forged_block", KEYS[0], forge(2, patch(94, bytes(2))))
    case("a byte beyond 128 zeros: filler of a path of four", "forged_block", KEYS[0], forge(1, patch(240, b"\x01")))

    for length in (0, 1, 624, 4607, 4609, 4908):
        case(f"{length} bytes", "length", KEYS[0], (known + bytes(300))[:length])
    for name, point in {
        "0": 0, "1, of low order": 1, "p - 1, of low order": P - 1, "p, which is 0": P, "p + 1, which is 1": P + 1,
        "2^255 - 1": 2**255 - 1, "2^256 - 1": 2**256 - 1, "0 with the top bit": 2**255,
    }.items():
        case(f"alpha {name}", "bad_point", KEYS[0], point.to_bytes(32, "little") + known[32:])
    for point in ("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"):
        case("alpha of order 8", "bad_point", KEYS[0], bytes.fromhex(point) + known[32:])
    case("alpha with its top bit set", "bad_point bit_flip", KEYS[0], flip(known, 31, 0x80))
    for at in (0, 30, 32, 143, 144, 319, 607, 608, 623):
        where = "alpha" if at < 32 else "beta" if at < 608 else "gamma"
        case(f"one bit of {where} (byte {at})", "bit_flip", KEYS[0], flip(known, at, 1 << at % 8))
    for at in (624, 639, 640, 655, 656, 4607):
        case(f"one bit of the payload (byte {at}) at the end", "bit_flip", KEYS[2], flip(walk(known, 2), at, 0x80))
    case("payload of another packet", "bit_flip", KEYS[3], walk(four, 3)[:624] + walk(known, 2)[624:])
    case("hop 1's packet at hop 0", "wrong_key", KEYS[0], walk(known, 1))
    case("hop 0's packet at hop 1", "wrong_key", KEYS[1], known)
    five = build(PATH, DELAYS, random("five"), NONE, MESSAGE)["packet"]
    case("path of five at its end: 16 zero bytes are too few", "other_length", KEYS[4], walk(five, 4))

    for name, hops, change in (
        ("final block with a delay", 1, patch(94, b"\x00\x01")),
        ("final block with id and delay", 1, patch(94, b"\x01\x00\x01")),
        ("final block with id and destination", 1, lambda b: patch(96, b"\x01")(patch(0, address(2))(b))),
        ("final block with one byte right behind it", 1, patch(BLOCK, b"\x01")),
        ("final block without its last zero", 1, patch(BLOCK + 127, b"\x80")),
        ("next hop without an address", 2, patch(0, NONE)),
        ("next hop without an address and delay", 2, patch(0, bytes(96))),
    ):
        case(name, "forged_block", KEYS[0], forge(hops, change))
    for name, hops, change in (
        ("transport 2", 2, patch(4, b"\x02")),
        ("peer id of 38 bytes", 2, patch(7, bytes.fromhex("002408011220") + random("ed25519") + b"\x00")),
        ("peer key that is not compressed", 2, patch(13, b"\x04")),
        ("no peer id", 2, patch(7, bytes(39))),
        ("garbage for a second peer id", 2, patch(46, random("garbage", 39))),
        ("second peer id cut off", 2, patch(46, PEERS[3][1:])),
        ("a byte behind the peer ids", 2, patch(93, b"\x01")),
        ("random bytes", 2, patch(0, random("address", 94))),
        ("destination of random bytes", 1, patch(0, random("destination", 94))),
        ("destination with a port alone", 1, patch(5, b"\x17\x71")),
    ):
        case(name, "forged_block bad_address", KEYS[0], forge(hops, change))
    return file


def bad_keys():
    return {"0": bytes(32), "1": (1).to_bytes(32, "little"), "p - 1": (P - 1).to_bytes(32, "little"),
            "p": P.to_bytes(32, "little"), "top bit set": flip(PATH[1]["public_key"], 31, 0x80), "all ones": b"\xff" * 32}


def twin_key(key):
    return pow(int.from_bytes(key, "little"), P - 2, P).to_bytes(32, "little")


def with_key(path, at, key):
    return [hop | {"public_key": key} if i == at else hop for i, hop in enumerate(path)]


def bad_paths(file, base):
    """What no path may be, for packets and reply blocks alike."""
    def refuse(comment, flags, reason, **change):
        file.add(comment, flags, base | change, reason)

    refuse("no hop", "other_length", "path_length", path=[], delays_ms=[])
    refuse("six hops", "other_length", "path_length", path=PATH + PATH[:1], delays_ms=[1] * 5)
    refuse("one delay too few", "bad_delay", "delay_count", delays_ms=[100, 200])
    refuse("two delays too many", "bad_delay", "delay_count", delays_ms=[100, 200, 300, 0, 0])
    refuse("delay zero at the first hop", "bad_delay", "delay_zero", delays_ms=[0, 200, 300])
    refuse("delay zero before the end", "bad_delay", "delay_zero", delays_ms=[100, 200, 0])
    refuse("a delay for the last hop", "bad_delay", "delay_at_end", delays_ms=[100, 200, 300, 1])
    for name, key in bad_keys().items():
        refuse(f"mix key {name}", "bad_key", "bad_key", path=with_key(PATH[:4], 1, key))
    refuse("last mix key 0", "bad_key", "bad_key", path=with_key(PATH[:4], 3, bytes(32)))
    refuse("a hop without an address", "bad_address", "no_address", path=PATH[:3] + [PATH[3] | {"address": NONE}])
    refuse("the first hop without an address", "bad_address", "no_address", path=[PATH[0] | {"address": NONE}] + PATH[1:4])
    for name, bad in (("an Ed25519 peer id", address(2)[:7] + bytes.fromhex("002408011220") + random("ed25519") + bytes(49)),
                      ("transport 7", flip(address(2), 4, 7)), ("bytes behind the peer ids", flip(address(2), 90))):
        refuse(f"a hop with {name}", "bad_address", "malformed_address", path=[PATH[0], PATH[1] | {"address": bad}] + PATH[2:4])
    for length in (0, 3967, 3969):
        refuse(f"payload of {length} bytes", "bad_field", "payload_length", payload=(MESSAGE + b"\x00")[:length])
    refuse("secret of 31 bytes", "bad_field", "malformed_input", secret=bytes(31))
    refuse("mix key of 33 bytes", "bad_field", "malformed_input", path=with_key(PATH[:4], 0, bytes(33)))
    refuse("a delay of 65536", "bad_delay", "malformed_input", delays_ms=[100, 65536, 300])


def build_file():
    file = File("sphinx-build")

    def case(comment, flags, **change):
        given = base | change
        inner = {"delays": given["delays_ms"], "x": given["secret"]}
        inner |= {k: given[k] for k in ("path", "destination", "payload")}
        file.add(comment, flags, given, build(**inner))

    base = {"path": PATH[:3], "delays_ms": DELAYS[:2], "secret": KNOWN_X, "payload": MESSAGE, "destination": NONE}
    case("the known packet", "known_path")
    case("the known packet, with the delay 0 of the last hop", "known_path", delays_ms=[100, 200, 0])
    base |= {"path": PATH[:4], "delays_ms": DELAYS[:3], "secret": random("build")}
    case("path of four", "path_of_four")
    for hops in (1, 2, 5):
        case(f"path of {hops}", "other_length", path=PATH[:hops], delays_ms=DELAYS[:hops - 1], secret=random(f"hops {hops}"))
    case("to another than the last hop", "circuit quic", destination=address(5, 1, PEERS[0]), delays_ms=[1, 65535, 1])
    case("the same hop twice", "path_of_four", path=[PATH[0], PATH[1], PATH[0], PATH[1]])
    case("mix key with torsion", "torsion_key", path=with_key(PATH[:4], 1, twin_key(PATH[1]["public_key"])))
    case("mix key on the twist", "torsion_key", path=with_key(PATH[:4], 2, (2).to_bytes(32, "little")))
    case("secret of zeros", "path_of_four", secret=bytes(32))
    case("secret of ones", "path_of_four", secret=b"\xff" * 32)
    bad_paths(file, base)
    file.add("destination with a port alone", "bad_address", base | {"destination": flip(NONE, 6)}, "malformed_address")
    file.add("destination of 93 bytes", "bad_field", base | {"destination": bytes(93)}, "malformed_input")
    return file


def surb_file():
    file = File("sphinx-surb")

    def make(given):
        made = surb(given["path"], given["delays_ms"], given["secret"], given["id"], given["reply_key"], given["payload"])
        delta = made["packet"][624:]
        for key in made["payload_keys"]:
            delta = lioness(key, delta, False)
        opened = open_reply(made.pop("payload_keys"), given["reply_key"], delta)["payload"]
        return made | {"opened": opened}, delta

    def case(comment, flags, **change):
        file.add(comment, flags, base | change, make(base | change)[0])

    base = {"path": PATH[:3], "delays_ms": DELAYS[:2], "secret": KNOWN_X, "id": b"\x55" * 16, "reply_key": b"\x66" * 16, "payload": MESSAGE}
    case("on the known path", "known_path")
    base |= {"path": PATH[:4], "delays_ms": DELAYS[:3], "secret": random("surb")}
    case("path of four", "path_of_four")
    for hops in (1, 2, 5):
        case(f"path of {hops}", "other_length", path=PATH[:hops], delays_ms=DELAYS[:hops - 1], secret=random(f"surb {hops}"))
    case("smallest id, key of zeros", "path_of_four", id=(1).to_bytes(16, "big"), reply_key=bytes(16))
    case("mix key with torsion", "torsion_key", path=with_key(PATH[:4], 0, twin_key(PATH[0]["public_key"])))
    behind = [PATH[0] | {"address": address(1, 1, PEERS[3])}] + PATH[1:4]
    case("first hop behind a circuit relay", "circuit quic", path=behind)
    delta = make(base)[1]
    case("with the delta that the last hop finds", "path_of_four", delta=delta)
    bad_paths(file, base)
    file.add("id of zeros", "bad_field", base | {"id": bytes(16)}, "zero_id")
    file.add("id of 15 bytes", "bad_field", base | {"id": b"\x55" * 15}, "malformed_input")
    file.add("reply key of 32 bytes", "bad_field", base | {"reply_key": bytes(32)}, "malformed_input")
    for at in (0, 31, 32, 3983):
        file.add(f"reply changed at byte {at}", "bit_flip", base | {"delta": flip(delta, at)}, "reply_corrupt")
    file.add("reply that passed no hop", "bit_flip", base | {"delta": make(base)[0]["packet"][624:]}, "reply_corrupt")
    file.add("reply under another key", "bit_flip", base | {"reply_key": b"\x67" * 16, "delta": delta}, "reply_corrupt")
    return file


if __name__ == "__main__":
    for made in (peel_file(), build_file(), surb_file()):
        made.write(Path(sys.argv[1]))
