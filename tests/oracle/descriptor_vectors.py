#!/usr/bin/env python3
"""Writes vectors/descriptor/*.json: `python3 descriptor_vectors.py DIRECTORY`. The same bytes every time.

An independent reading of docs/mixnet-protocol.md, "Descriptors" and "The active set": SHA-256 from the standard library, secp256k1
from whisper_vectors.py. Inputs come from SHA-256 of a label.
"""
import hashlib
import json
import sys
from pathlib import Path

from whisper_vectors import N, G, multiply

RELAY, BRIDGE, MAILBOX = 1, 2, 4
BITS = 16


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def be(number, length):
    return number.to_bytes(length, "big")


def random(label):
    return sha(b"ferry/descriptor/", label.encode())


class Node:
    """An identity with its proof of admission."""

    def __init__(self, name):
        self.secret = int.from_bytes(random("identity " + name), "big") % N
        x, y = multiply(self.secret, G)
        self.peer = bytes([2 + (y & 1)]) + be(x, 32)
        self.nonce = self.search(lambda zeros: zeros >= BITS)

    def search(self, wanted):
        nonce = 0
        while not wanted(256 - int.from_bytes(sha(b"ferry node id", self.peer, be(nonce, 8)), "big").bit_length()):
            nonce += 1
        return nonce

    def sign(self, signed, high=False, domain=b"ferry mix descriptor"):
        digest = sha(domain, signed)
        k = int.from_bytes(sha(be(self.secret, 32), digest), "big") % N
        r = multiply(k, G)[0] % N
        s = pow(k, -1, N) * (int.from_bytes(digest, "big") + r * self.secret) % N
        if (s > N // 2) != high:
            s = N - s
        return be(r, 32) + be(s, 32)


def key(label):
    """A public key of X25519; every second string of bytes is one."""
    return random("mix key " + label)[:31] + b"\x11"


FIELDS = ("version", "epoch", "serial", "peer", "ip", "transport", "port", "mix_key", "next", "capabilities", "capacity", "load", "proof", "gateway", "places")


def fields(node, **changed):
    values = {
        "version": be(1, 1),
        "epoch": be(118057, 4),
        "serial": be(17, 4),
        "peer": node.peer,
        "ip": bytes([192, 0, 2, 7]),
        "transport": be(0, 1),
        "port": be(4001, 2),
        "mix_key": key("a"),
        "next": key("b"),
        "capabilities": be(RELAY, 2),
        "capacity": be(3000, 2),
        "load": be(64, 2),
        "proof": be(node.nonce, 8),
        "gateway": b"",
        "places": be(0, 1),
    }
    assert set(changed) <= set(values)
    values.update(changed)
    return values


def signed(values):
    return b"".join(values[name] for name in FIELDS)


def descriptor(node, **changed):
    body = signed(fields(node, **changed))
    return body + node.sign(body)


def output(values):
    number = lambda name: int.from_bytes(values[name], "big")
    port = number("port")
    bits = number("capabilities")
    return {
        "epoch": number("epoch"),
        "serial": number("serial"),
        "peer": values["peer"].hex(),
        "address": None if port == 0 else ".".join(map(str, values["ip"])) + f":{port}",
        "transport": ("tcp", "quic")[values["transport"][0]],
        "mix_key": values["mix_key"].hex(),
        "next_mix_key": None if values["next"] == bytes(32) else values["next"].hex(),
        "capabilities": [name for bit, name in ((RELAY, "relay"), (BRIDGE, "bridge"), (MAILBOX, "mailbox")) if bits & bit],
        "capacity": number("capacity"),
        "load": number("load"),
        "gateway_key": values["gateway"].hex() or None,
        "digest": sha(b"ferry mix descriptor", signed(values)).hex(),
    }


def note(description, effect=None):
    return {"description": description} | ({"effect": effect} if effect else {})


class File:
    def __init__(self, kind, notes):
        self.kind, self.notes, self.tests = kind, notes, []

    def add(self, comment, flags, given, output=None, reason=None):
        result = {"result": "valid", "output": output} if reason is None else {"result": "invalid", "reason": reason}
        self.tests.append({"id": len(self.tests) + 1, "comment": comment, "flags": flags, "input": given} | result)

    def write(self, path):
        invalid = sum(test["result"] == "invalid" for test in self.tests)
        assert invalid * 10 >= len(self.tests) * 6, (self.kind, invalid, len(self.tests))
        text = {"schema": "ferry-vectors/1", "kind": self.kind, "numberOfTests": len(self.tests), "notes": self.notes, "tests": self.tests}
        path.write_text(json.dumps(text, indent=1) + "\n")


NODES = [Node(str(n)) for n in range(5)]
V4 = lambda kind, port=4002, ip=(198, 51, 100, 3): bytes([kind, *ip]) + be(port, 2)
V6 = lambda kind, port=4003, ip=bytes.fromhex("20010db8000000000000000000000001"): bytes([kind | 0x80]) + ip + be(port, 2)


def descriptor_file():
    out = File("mix-descriptor", {
        "bad_field": note("A field that is missing or no hex."),
        "length": note("No descriptor with these fields has this length.", "One statement would have several forms."),
        "field": note("A field without a meaning, signed all the same.", "Implementations would disagree on who is in the network."),
        "key": note("A mix key with which nobody can share a secret.", "Packets for the node could be read by everybody, or be built by nobody."),
        "proof": note("The work for the identity was not done.", "Identities would be free."),
        "signature": note("Not signed by the peer over these bytes.", "Anybody could speak for the node."),
    })
    a = NODES[0]
    gateway = random("gateway")
    for comment, changed in (
        ("a relay", {}),
        ("a relay without the key of the next epoch, as in a static list", {"next": bytes(32), "epoch": be(0, 4)}),
        ("a relay over QUIC", {"transport": be(1, 1)}),
        ("a relay that says neither capacity nor load", {"capacity": be(0, 2), "load": be(0, 2)}),
        ("a mailbox", {"capabilities": be(MAILBOX, 2)}),
        ("a bridge", {"capabilities": be(BRIDGE, 2), "gateway": gateway}),
        ("a bridge without an address", {"capabilities": be(BRIDGE, 2), "gateway": gateway, "ip": bytes(4), "port": bytes(2)}),
        ("everything at once", {"capabilities": be(7, 2), "gateway": gateway}),
        ("nothing", {"capabilities": be(0, 2), "ip": bytes(4), "port": bytes(2)}),
        ("one more place", {"places": be(1, 1) + V4(1)}),
        ("four places of both families", {"places": be(4, 1) + V4(0) + V4(1) + V6(0) + V6(1)}),
        ("the greatest numbers", {"epoch": b"\xff" * 4, "serial": b"\xff" * 4, "capacity": b"\xff" * 2, "load": be(32768, 2)}),
    ):
        values = fields(a, **changed)
        body = signed(values)
        out.add(comment, [], {"descriptor": (body + a.sign(body)).hex()}, output(values))
    refuse = lambda comment, flag, reason, data: out.add(comment, [flag], {"descriptor": data.hex()}, reason=reason)
    good = descriptor(a)
    refuse("nothing", "length", "length", b"")
    refuse("a byte short", "length", "length", good[:-1])
    refuse("a byte long", "length", "length", good + b"\0")
    refuse("without a signature", "length", "length", good[:-64])
    refuse("a place that is cut off", "length", "length", descriptor(a, places=be(1, 1) + V4(0)[:-1]))
    refuse("one place more than it says", "length", "length", descriptor(a, places=be(0, 1) + V4(0)))
    for comment, reason, changed in (
        ("version 0", "version", {"version": be(0, 1)}),
        ("version 2", "version", {"version": be(2, 1)}),
        ("transport 2", "transport", {"transport": be(2, 1)}),
        ("a place with transport 2", "transport", {"places": be(1, 1) + V4(2)}),
        ("a place with transport 127 over IPv6", "transport", {"places": be(1, 1) + V6(127)}),
        ("capability 8", "capability", {"capabilities": be(9, 2)}),
        ("capability 32768", "capability", {"capabilities": be(0x8001, 2)}),
        ("five places", "places", {"places": be(5, 1) + V4(0) * 5}),
        ("a gateway key of a relay, which stands where its places do", "places", {"gateway": b"\xff" * 32}),
        ("255 places", "places", {"places": be(255, 1) + V4(0)}),
        ("port 0", "address", {"port": bytes(2)}),
        ("0.0.0.0 with a port", "address", {"ip": bytes(4)}),
        ("a relay without an address", "address", {"ip": bytes(4), "port": bytes(2)}),
        ("a mailbox without an address", "address", {"ip": bytes(4), "port": bytes(2), "capabilities": be(MAILBOX, 2)}),
        ("QUIC without an address", "address", {"ip": bytes(4), "port": bytes(2), "transport": be(1, 1), "capabilities": be(0, 2)}),
        ("a place with port 0", "address", {"places": be(1, 1) + V4(0, port=0)}),
        ("a place at 0.0.0.0", "address", {"places": be(1, 1) + V4(0, ip=(0, 0, 0, 0))}),
        ("a place at ::", "address", {"places": be(1, 1) + V6(0, ip=bytes(16))}),
        ("a bridge with a gateway key of zeros", "gateway_key", {"capabilities": be(BRIDGE, 2), "gateway": bytes(32)}),
        ("a load of 3", "load", {"load": be(3, 2)}),
        ("a load of 65535", "load", {"load": be(65535, 2)}),
    ):
        refuse(comment, "field", reason, descriptor(a, **changed))
    for comment, point in (
        ("zeros", bytes(32)),
        ("one", b"\1" + bytes(31)),
        ("a point of order 8", bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")),
        ("p", bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")),
        ("the highest bit", b"\x09" + bytes(30) + b"\x80"),
    ):
        refuse(f"a mix key: {comment}", "key", "mix_key", descriptor(a, mix_key=point))
        if point != bytes(32):
            refuse(f"a next mix key: {comment}", "key", "mix_key", descriptor(a, next=point))
    refuse("a proof with a bit too little", "proof", "proof", descriptor(a, proof=be(a.search(lambda zeros: zeros == BITS - 1), 8)))
    refuse("the proof of another node", "proof", "proof", descriptor(a, proof=be(NODES[1].nonce, 8)))
    for comment, peer in (("04", b"\x04" + a.peer[1:]), ("00", b"\x00" + a.peer[1:])):
        refuse(f"a peer key: {comment}", "field", "peer", descriptor(a, peer=peer))
    body = good[:-64]
    refuse("a high s", "signature", "signature", body + a.sign(body, high=True))
    refuse("another domain", "signature", "signature", body + a.sign(body, domain=b"ferry mix descriptors"))
    refuse("without a domain", "signature", "signature", body + a.sign(body, domain=b""))
    refuse("r and s of zeros", "signature", "signature", body + bytes(64))
    refuse("r of the group order", "signature", "signature", body + be(N, 32) + good[-32:])
    refuse("signed by somebody else", "signature", "signature", body + NODES[1].sign(body))
    for at, what in ((1, "epoch"), (5, "serial"), (42, "ip"), (47, "port"), (49, "mix key"), (85, "next mix key"), (116, "capacity"), (len(good) - 40, "signature")):
        refuse(f"a flipped bit in the {what}", "signature", "signature", good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
    out.add("no hex", ["bad_field"], {"descriptor": "zz"}, reason="malformed_input")
    out.add("no descriptor", ["bad_field"], {}, reason="malformed_input")
    return out


def root(epoch, bodies):
    digests = [sha(b"ferry mix descriptor", body[:-64]) for body in bodies]
    return sha(b"ferry active set", be(epoch, 4), be(len(bodies), 4), *digests)


def score(epoch, peer):
    return sha(b"ferry sortition", sha(b"epoch", be(epoch, 4)), peer)


def active_set_file():
    out = File("mix-active-set", {
        "bad_field": note("A field that is missing or of another kind."),
        "order": note("Descriptors in another order are the same set."),
        "member": note("A node that cannot be in the set.", "A relay could give a client a set of its own."),
        "descriptor": note("A descriptor that does not hold."),
    })
    epoch = 118057
    ordered = sorted(NODES, key=lambda node: node.peer)
    relays = {node.peer: descriptor(node) for node in ordered}
    bridge = descriptor(NODES[3], capabilities=be(BRIDGE, 2), gateway=random("gateway"))

    def good(comment, flags, of, chosen, given=None):
        bodies = [chosen[peer] for peer in sorted(chosen)]
        order = sorted((peer for peer in chosen if chosen[peer][113 + 1] & RELAY), key=lambda peer: score(of, peer))
        out.add(comment, flags, {"epoch": of, "descriptors": [body.hex() for body in given or bodies]}, {"root": root(of, bodies).hex(), "relays": [peer.hex() for peer in order]})

    good("five relays", [], epoch, relays)
    good("five relays in the epoch of the next keys", [], epoch + 1, relays)
    good("three relays and a bridge", [], epoch, {node.peer: relays[node.peer] for node in NODES[:3]} | {NODES[3].peer: bridge})
    good("five relays in reverse", ["order"], epoch, relays, [relays[peer] for peer in sorted(relays, reverse=True)])
    given = lambda bodies, of=epoch: {"epoch": of, "descriptors": [body.hex() for body in bodies]}
    refuse = lambda comment, flag, reason, bodies, of=epoch: out.add(comment, [flag], given(bodies, of), reason=reason)
    all_of = list(relays.values())
    refuse("of an epoch before", "member", "no_key", all_of, epoch - 1)
    refuse("of two epochs later", "member", "no_key", all_of, epoch + 2)
    refuse("without a key for the next epoch", "member", "no_key", [*all_of[1:], descriptor(ordered[0], next=bytes(32))], epoch + 1)
    refuse("a node twice", "member", "duplicate", [*all_of, all_of[0]])
    refuse("two statements of a node", "member", "duplicate", [*all_of, descriptor(ordered[0], serial=be(18, 4))])
    refuse("a node that offers nothing", "member", "offers_nothing", [*all_of[1:], descriptor(ordered[0], capabilities=be(0, 2))])
    refuse("a flipped bit", "descriptor", "signature", [*all_of[1:], all_of[0][:5] + bytes([all_of[0][5] ^ 1]) + all_of[0][6:]])
    refuse("an empty descriptor", "descriptor", "length", [*all_of, b""])
    out.add("no epoch", ["bad_field"], {"descriptors": []}, reason="malformed_input")
    out.add("no descriptors", ["bad_field"], {"epoch": epoch}, reason="malformed_input")
    return out


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    descriptor_file().write(folder / "descriptor.json")
    active_set_file().write(folder / "active_set.json")
