#!/usr/bin/env python3
"""Writes all of vectors/rlpx/*.json but auth.json and ack.json, which it reads: `python3 rlpx_vectors.py DIRECTORY`.

An implementation of its own of keys, frames and Hello, on the Keccak, secp256k1 and RLP of whisper_vectors.py; AES comes
from PyPI `cryptography`. It takes the packets of EIP-8 from the vectors of the handshake, and asserts the values that are
published. Deterministic: running it again changes nothing.
"""

import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from whisper_vectors import EIP8_A, EIP8_B, EPHEMERAL_A, File, be32, integer, keccak, listed, multiply, number, public, string

HANDSHAKES = Path(__file__).resolve().parent.parent.parent / "vectors" / "rlpx"
EPHEMERAL_B = bytes.fromhex("e238eb8e04fee6511ab04c6dd3c89ce097b11f25d584863ac2b6d5b35b1847e4")
NONCE_A = bytes.fromhex("7e968bba13b6c50e2c4cd7f241cc0d64d1ac25c7f5952df231ac6a2bda8ee5d6")
NONCE_B = bytes.fromhex("559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd")
HELLO = bytes.fromhex("f858058c727573742d7368682f302e31c6c5837368680680b840") + public(EIP8_A)[1:]


def packets(name):
    """Auth1 to Auth3, or Ack1 to Ack3."""
    tests = json.loads((HANDSHAKES / name).read_text(encoding="ascii"))["tests"]
    found = [bytes.fromhex(test["input"]["packet"]) for test in tests if "published" in test["flags"]]
    assert len(found) >= 3
    return found[:3]


AUTHS, ACKS = packets("auth.json"), packets("ack.json")


def exclusive(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


class Keys:
    """What both ends have after an auth and an ack; the seeds are what the running MACs have absorbed."""

    def __init__(self, auth, ack):
        point = public(EPHEMERAL_B)
        self.agreement = be32(multiply(number(EPHEMERAL_A), (number(point[1:33]), number(point[33:])))[0])
        self.shared = keccak(self.agreement + keccak(NONCE_B + NONCE_A))
        self.aes = keccak(self.agreement + self.shared)
        self.mac = keccak(self.agreement + self.aes)
        self.dialled = exclusive(self.mac, NONCE_B) + auth
        self.accepted = exclusive(self.mac, NONCE_A) + ack


class Sender:
    """One direction. The sponge is kept as the bytes that it absorbed."""

    def __init__(self, keys, absorbed):
        self.cipher = Cipher(algorithms.AES(keys.aes), modes.CTR(bytes(16))).encryptor()
        self.block = Cipher(algorithms.AES(keys.mac), modes.ECB()).encryptor()
        self.absorbed = absorbed

    def tag(self, seed):
        self.absorbed += exclusive(self.block.update(keccak(self.absorbed)[:16]), seed)
        return keccak(self.absorbed)[:16]

    def head(self, size, rest=b"\xc2\x80\x80" + bytes(10)):
        header = self.cipher.update(size.to_bytes(3, "big") + rest)
        return header + self.tag(header)

    def body(self, text, fill=0):
        body = self.cipher.update(text + bytes([fill]) * (-len(text) % 16))
        self.absorbed += body
        return body + self.tag(keccak(self.absorbed)[:16])

    def frame(self, text, size=None, fill=0, **header):
        return self.head(len(text) if size is None else size, **header) + self.body(text, fill)


def side(role, auth, ack):
    own = (EIP8_A, EPHEMERAL_A, NONCE_A) if role == "initiator" else (EIP8_B, EPHEMERAL_B, NONCE_B)
    names = ("private_key", "ephemeral_key", "nonce")
    return {"role": role} | {name: value.hex() for name, value in zip(names, own)} | {"auth": auth.hex(), "ack": ack.hex()}


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def secrets(folder):
    file = File("rlpx-secrets", {
        "published": ("From EIP-8, or computed from its exchange.", ""),
        "old_form": ("The packets have the form before EIP-8.", ""),
        "forward_compatible": ("The packets have another version and further items.", ""),
        "cut": ("The packet of the other side ends early.", ""),
        "modified": ("A byte of the packet of the other side is changed.", ""),
        "trailing": ("Something follows the packet of the other side.", "It would be taken for part of what the running MAC starts with."),
        "wrong_receiver": ("The packet was made for another key.", ""),
        "bad_size": ("The size prefix is below the old form or above 2048 bytes in all.", ""),
        "swapped": ("The two packets stand in each other's place.", ""),
    })
    for at, (auth, ack) in enumerate(zip(AUTHS, ACKS)):
        keys = Keys(auth, ack)

        def digests(seed):
            return {"initial": keccak(seed).hex(), "foo": keccak(seed + b"foo").hex()}

        if at == 1:
            assert keys.agreement.hex() == "1a08ef840fa6b55e5b2630351aa45804cc16b48e526b64e6ee667b224967ef24"
            assert keys.shared.hex() == "0a7852c54cc789cda72cabbf628b7a70025451b7aea971eace9097b2ebbd4d9a"
            assert keys.aes.hex() == "80e8632c05fed6fc2a13b0f8d31a3cf645366239170ea067065aba8e28bac487"
            assert keys.mac.hex() == "2ea74ec5dae199227dff1af715362700e989d889d7a493cb0639691efb8e5f98"
            assert digests(keys.dialled)["foo"] == "0c7ec6340062cc46f5e9f1e3cf86f8c8c403c5a0964f5df0ebd34a75ddc86db5"
            assert digests(keys.dialled)["initial"] == "1876ff58fc175e0a177afd2044d57eff497080dc0386a382aa44d9eb2f182aab"
            assert digests(keys.accepted)["initial"] == "7a076efd50d3771655f22190654053ba82f6f47f3123be6a4ba61df58845abc6"
        flags = ["published"] + [["old_form"], [], ["forward_compatible"]][at]
        for role, out, into in (("recipient", keys.accepted, keys.dialled), ("initiator", keys.dialled, keys.accepted)):
            output = {"aes": keys.aes.hex(), "mac": keys.mac.hex(), "agreement": keys.agreement.hex(), "shared": keys.shared.hex()}
            output |= {"egress": digests(out), "ingress": digests(into)}
            file.add(f"Auth{at + 1} and Ack{at + 1}, {role}", flags, side(role, auth, ack), output)
    for role in ("recipient", "initiator"):
        auth, ack = AUTHS[1], ACKS[1]
        theirs = auth if role == "recipient" else ack
        old = AUTHS[0] if role == "recipient" else ACKS[0]

        def bad(comment, flag, packet, reason, **other):
            pair = (packet, ack) if role == "recipient" else (auth, packet)
            file.add(f"{comment}, {role}", [flag], side(role, *pair) | other, reason=reason)

        bad("no packet", "cut", b"", "incomplete")
        bad("a packet of one byte", "cut", theirs[:1], "incomplete")
        bad("a packet without its last byte", "cut", theirs[:-1], "incomplete")
        bad("an old packet without its last byte", "cut", old[:-1], "incomplete")
        bad("a packet and one byte", "trailing", theirs + b"\x00", "trailing")
        bad("an old packet and one byte", "trailing", old + b"\x00", "trailing")
        bad("a changed first byte of the text", "modified", flipped(theirs, 2 + 65 + 16), "tag")
        bad("a changed tag", "modified", flipped(theirs, len(theirs) - 1), "tag")
        bad("a changed point", "modified", flipped(theirs, 2 + 64), "point")
        bad("the packet of another receiver", "wrong_receiver", theirs, "tag", private_key=EPHEMERAL_A.hex())
        bad("a size of zero", "bad_size", bytes(2) + theirs[2:], "size_underflow")
        bad("a size of ffff", "bad_size", b"\xff\xff" + theirs[2:], "size_overflow")
        file.add(f"the packets swapped, {role}", ["swapped"], side(role, ack, auth), reason="tag")
    file.write(folder / "secrets.json")


def frames(folder):
    file = File("rlpx-frame", {
        "published": ("Computed from the exchange of EIP-8 and cross-checked with another implementation.", ""),
        "tolerated": ("Another padding or header than usual.", "A peer that looks at it cannot talk to later versions."),
        "bad_mac": ("A changed byte.", ""),
        "order": ("Frames out of their order.", ""),
        "size": ("A size that no message has, or none that this state expects.", "A peer that trusts it holds up to 16 MiB for a stranger."),
        "truncated": ("The last frame ends early.", ""),
        "code": ("What stands in place of a code is none.", ""),
        "keys": ("Sealed under other keys.", ""),
        "handshake": ("There are no keys.", ""),
        "send": ("What goes out for given messages.", ""),
    })
    auth, ack = AUTHS[1], ACKS[1]
    keys = Keys(auth, ack)
    hello, ping = b"\x80" + HELLO, b"\x02\x01\x00\xc0"

    def sender(role="initiator"):
        return Sender(keys, keys.dialled if role == "initiator" else keys.accepted)

    def said(*bodies):
        out = []
        for code, payload in bodies:
            out.append({"code": code, "payload": payload.hex()})
        return {"messages": out}

    def case(comment, flags, frames, output=None, reason=None, role="recipient", auth=auth, ack=ack, **more):
        file.add(comment, flags, side(role, auth, ack) | {"frames": [frame.hex() for frame in frames]} | more, output, reason)

    out = sender()
    first, second = out.frame(hello), out.frame(ping)
    assert len(hello) == 91 and len(first) == 144
    assert first.hex().startswith("f2597bf27a7e8fa7ba4cbb3756ff0ca15b6c60611fa5147be008910bf76ae69e")
    assert first.hex().endswith("d29286d2d8ec0892785864592d6e9f17c615e5")
    assert second.hex() == ("652de58dd989aca3ccfce0cf9b9d9081b987ce1f862b73babe514583b38ff525"
                            "a4b4afcd7700ba8d65a612a3835279ab551d551ebde770590eeccf61dac58071")
    both = said((0, HELLO), (2, ping[1:]))
    case("a Hello and a compressed Ping", ["published"], [first, second], both)
    case("the same in three pieces", ["published"], [first[:10], first[10:] + second[:40], second[40:]], both)
    file.add("sending them", ["published", "send"], side("initiator", auth, ack) | both, {"frames": [first.hex(), second.hex()]})
    back = sender("recipient").frame(hello)
    case("the other direction", [], [back], said((0, HELLO)), role="initiator")
    file.add("sending in the other direction", ["send"], side("recipient", auth, ack) | said((0, HELLO)), {"frames": [back.hex()]})
    codes = [(16, b"\xc1\x06"), (127, b""), (128, b"\x01"), (143, b"\xc0"), (2**64 - 1, b"\x05" * 40)]
    out = sender()
    wire = [out.frame(integer(code) + payload) for code, payload in codes]
    case("codes of one, two and nine bytes", [], wire, said(*codes))
    file.add("sending them", ["send"], side("initiator", auth, ack) | said(*codes), {"frames": [frame.hex() for frame in wire]})
    case("a padding of ones", ["tolerated"], [sender().frame(ping, fill=0xFF)], said((2, ping[1:])))
    case("a header of other content", ["tolerated"], [sender().frame(ping, rest=b"\xff" * 13)], said((2, ping[1:])))
    case("as long as allowed", ["size"], [first], said((0, HELLO)), len_max=91)

    for at in (0, 15, 16, 31):
        case(f"byte {at} of the header changed", ["bad_mac"], [flipped(first, at)], reason="header_mac")
    for at in (32, 127, 128, 143):
        case(f"byte {at - 32} of the body changed", ["bad_mac"], [flipped(first, at)], reason="body_mac")
    case("a second frame with a changed header", ["bad_mac"], [first, flipped(second, 3)], reason="header_mac")
    case("a second frame with a changed body", ["bad_mac"], [first, flipped(second, 40)], reason="body_mac")
    case("MACs of zeros", ["bad_mac"], [first[:16] + bytes(16) + first[32:]], reason="header_mac")
    case("the second frame first", ["order"], [second, first], reason="header_mac")
    case("the first frame twice", ["order"], [first, first], reason="header_mac")
    case("a frame sent back to its sender", ["order"], [first], role="initiator", reason="header_mac")
    case("a size of zero", ["size"], [sender().frame(b"")], reason="empty")
    case("a size of zero, its header alone", ["size"], [sender().head(0)], reason="empty")
    out = sender()
    case("a size of zero behind a good frame", ["size"], [out.frame(hello), out.head(0)], reason="empty")
    case("one byte more than allowed", ["size"], [first], len_max=90, reason="too_long")
    case("ffffff bytes where a Hello is due, its header alone", ["size"], [sender().head(0xFFFFFF)], len_max=2057, reason="too_long")
    case("2058 bytes where a Hello is due, its header alone", ["size"], [sender().head(2058)], len_max=2057, reason="too_long")
    case("ffffff bytes, and none of them", ["size", "truncated"], [sender().head(0xFFFFFF)], reason="truncated")
    for length in (1, 16, 31, 32, 33, 128, 143):
        case(f"cut to {length} bytes", ["truncated"], [first[:length]], reason="truncated")
    case("the second cut", ["truncated"], [first, second[:-1]], reason="truncated")
    case("one byte behind a frame", ["truncated"], [first, b"\x00"], reason="truncated")
    case("a size above the body", ["truncated"], [sender().frame(ping, size=17)], reason="truncated")
    for comment, text in (
        ("a list as code", b"\xc0\x01"), ("a code with a leading zero", b"\x82\x00\x10"), ("a zero byte as code", b"\x00\xc0"),
        ("a small code behind a prefix", b"\x81\x10"), ("a code of nine bytes", string(b"\x01" + bytes(8))),
        ("a code that does not end", b"\x88\x01"),
    ):
        case(comment, ["code"], [sender().frame(text)], reason="code")
    case("the keys of the old packets", ["keys"], [Sender(Keys(AUTHS[0], ACKS[0]), Keys(AUTHS[0], ACKS[0]).dialled).frame(hello)], reason="header_mac")
    case("a running MAC without the size prefix of the auth", ["keys"], [Sender(keys, keys.dialled[:32] + auth[2:]).frame(hello)], reason="header_mac")
    case("a running MAC that starts with the other nonce", ["keys"], [Sender(keys, exclusive(keys.mac, NONCE_A) + auth).frame(hello)], reason="header_mac")
    case("no auth", ["handshake"], [first], auth=b"", reason="incomplete")
    case("a changed auth", ["handshake"], [first], auth=flipped(auth, 200), reason="tag")
    case("a changed ack, of which only the MAC of the other direction knows", ["handshake"], [back], role="initiator", ack=flipped(ack, 300), reason="tag")
    case("the auth of another connection", ["keys"], [first], auth=AUTHS[2], reason="header_mac")
    file.write(folder / "frame.json")


def ciphertexts(folder):
    file = File("rlpx-frame-ciphertext", {
        "published": ("From the tests of go-ethereum, where the MACs are constants and say nothing.", ""),
        "size": ("A size that no message has, or that is not that of the body.", ""),
        "code": ("What stands in place of a code is none.", ""),
        "keys": ("Encrypted with another key or counter.", ""),
    })
    aes = keccak(b"")

    def encrypt(size, text, key=aes, counter=bytes(16)):
        cipher = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
        header = cipher.update(size.to_bytes(3, "big") + b"\xc2\x80\x80" + bytes(10))
        return header, cipher.update(text + bytes(-len(text) % 16))

    def case(comment, flags, parts, message=None, reason=None):
        input = {"aes": aes.hex(), "header": parts[0].hex(), "body": parts[1].hex()}
        output = None
        if message:
            header, body = encrypt(len(integer(message[0]) + message[1]), integer(message[0]) + message[1])
            output = {"code": message[0], "payload": message[1].hex(), "sent_header": header.hex(), "sent_body": body.hex()}
        file.add(comment, flags, input, output, reason)

    text = bytes.fromhex("08c401020304")
    published = encrypt(6, text)
    assert published[0].hex() == "00828ddae471818bb0bfa6b551d1cb42" and published[1].hex() == "ba628a4ba590cb43f7848f41c4382885"
    case("message 8 of [1, 2, 3, 4]", ["published"], published, (8, text[1:]))
    case("another payload of a whole block", [], encrypt(16, b"\x10" * 16), (16, b"\x10" * 15))
    case("a payload of two blocks", [], encrypt(17, b"\x10" * 17), (16, b"\x10" * 16))
    case("a code of two bytes and no payload", [], encrypt(2, b"\x81\x8f"), (143, b""))
    case("a size of zero", ["size"], encrypt(0, text), reason="empty")
    case("a size of zero and no body", ["size"], encrypt(0, b""), reason="empty")
    case("a size of one block and a byte", ["size"], encrypt(17, text), reason="truncated")
    case("a size of ffffff", ["size"], encrypt(0xFFFFFF, text), reason="truncated")
    case("no body", ["size"], (published[0], b""), reason="truncated")
    case("half a header", ["size"], (published[0][:8], published[1]), reason="truncated")
    case("half a body", ["size"], (published[0], published[1][:8]), reason="truncated")
    case("a block too much", ["size"], (published[0], published[1] + bytes(16)), reason="trailing")
    case("a list as code", ["code"], encrypt(6, b"\xc0" + text[1:]), reason="code")
    case("a zero byte as code", ["code"], encrypt(6, b"\x00" + text[1:]), reason="code")
    case("a code that does not end", ["code"], encrypt(2, b"\x82\x01"), reason="code")
    for comment, parts in (("the key of somebody else", encrypt(6, text, keccak(b"x"))),
                           ("a counter that starts at one", encrypt(6, text, aes, bytes(15) + b"\x01"))):
        size = number(exclusive(encrypt(0, b"")[0], parts[0])[:3])
        assert size > 16, "the wrong key must show"
        case(comment, ["keys"], parts, reason="truncated")
    file.write(folder / "frame_ciphertext.json")


def hellos(folder):
    file = File("p2p-hello", {
        "published": ("From EIP-8, or computed for Whisper.", ""),
        "forward_compatible": ("Another version, further items, bytes after the list.", "A peer that rejects it cannot talk to later versions."),
        "size": ("At or above 2048 bytes.", "A stranger must not make us hold more."),
        "identity": ("The key names nobody, or somebody else than the handshake.", "A peer that believes it can be told that it talks to somebody else."),
        "encoding": ("Not a list of the fields.", ""),
    })
    key = public(EIP8_A)[1:]
    eip8 = bytes.fromhex("f87137916b6e6574682f76302e39312f706c616e39cdc5836574683dc6846d6f726b1682270fb840fda1cff674c90c9a197539fe3dfb53086ace64f8"
                         "3ed7c6eabec741f7f381cc803e52ab2cd55d5569bce4347107a310dfd5f88a010cd2ffd1005ca406f1842877c883666f6f836261720304")

    def caps(*pairs):
        return listed(*(listed(string(name), integer(version)) for name, version in pairs))

    def payload(version=5, name=b"ferry", shared=((b"shh", 6),), port=0, key=key, more=b""):
        return listed(integer(version), string(name), caps(*shared), integer(port), string(key), more)

    def output(version=5, name=b"ferry", shared=((b"shh", 6),), port=0, **_):
        pairs = [{"name": one.decode(), "version": of} for one, of in shared]
        return {"version": version, "client_name": name.decode(), "capabilities": pairs, "listen_port": port, "public_key": key.hex(),
                "snappy": version >= 5}

    def good(comment, flags, tail=b"", **fields):
        file.add(comment, flags, {"payload": (payload(**fields) + tail).hex(), "public_key": key.hex()}, output(**fields))

    def bad(comment, flag, data, reason, proven=key):
        file.add(comment, [flag], {"payload": data.hex(), "public_key": proven.hex()}, reason=reason)

    extra = listed(string(b"foo"), string(b"bar")) + integer(3) + integer(4)
    fields = {"version": 55, "name": b"kneth/v0.91/plan9", "shared": ((b"eth", 61), (b"mork", 22)), "port": 9999}
    assert payload(more=extra, **fields) == eip8
    good("the Hello of EIP-8", ["published", "forward_compatible"], more=extra, **fields)
    file.add("the same without knowing its sender", ["published"], {"payload": eip8.hex()}, output(**fields))
    assert payload(name=b"rust-shh/0.1") == HELLO
    good("the Hello of the frame vectors", ["published"], name=b"rust-shh/0.1")
    good("version 4, without compression", [], version=4)
    good("version 0 and nothing to say", [], version=0, name=b"", shared=())
    good("bytes after the list", ["forward_compatible"], tail=b"\xff\x00")
    good("capabilities in no order", [], shared=((b"waku", 1), (b"shh", 6), (b"eth", 63), (b"shh", 5)))
    full = 2048 - len(payload(name=bytes(1900))) + 1900
    good("2048 bytes", ["size"], name=b"x" * full)
    assert len(payload(name=b"x" * full)) == 2048

    bad("2049 bytes", "size", payload(name=b"x" * (full + 1)), "too_long")
    bad("2049 bytes, of which one follows the list", "size", payload(name=b"x" * full) + b"\x00", "too_long")
    bad("ten thousand capabilities", "size", payload(shared=((b"shh", 6),) * 10000), "too_long")
    bad("2049 zero bytes", "size", bytes(2049), "too_long")
    for comment, wrong in (("no key", b""), ("a key of zeros", bytes(64)), ("a key of 63 bytes", key[:63]), ("a key of 65 bytes", b"\x04" + key),
                           ("a key of 32 bytes", key[:32]), ("33 bytes, a compressed key", b"\x02" + key[:32])):
        bad(comment, "identity", payload(key=wrong), "null_identity")
    bad("the key of somebody else", "identity", payload(key=public(EIP8_B)[1:]), "unexpected_identity")
    bad("a handshake with somebody else", "identity", payload(), "unexpected_identity", public(EIP8_B)[1:])
    bad("a key off by one bit", "identity", payload(key=flipped(key, 63)), "unexpected_identity")
    bad("nothing", "encoding", b"", "malformed")
    bad("an empty list", "encoding", b"\xc0", "malformed")
    bad("a string", "encoding", string(payload()), "malformed")
    bad("a list in a list", "encoding", listed(payload()), "malformed")
    bad("cut in the middle", "encoding", payload()[:40], "malformed")
    bad("cut by a byte", "encoding", payload()[:-1], "malformed")
    five = [integer(5), string(b"ferry"), caps((b"shh", 6)), integer(0), string(key)]
    for count in (1, 2, 3, 4):
        bad(f"{count} of five fields", "encoding", listed(*five[:count]), "malformed")
    for at, comment, wrong in (
        (0, "a list as version", b"\xc0"), (0, "a version with a leading zero", b"\x82\x00\x05"), (0, "a version of nine bytes", string(b"\x01" * 9)),
        (1, "a list as name", b"\xc0"), (2, "a string as capabilities", string(b"shh")), (2, "a capability that is a string", listed(string(b"shh/6"))),
        (2, "a capability of one item", listed(listed(string(b"shh")))), (2, "a capability of three items", listed(listed(string(b"shh"), b"\x06", b"\x06"))),
        (2, "a capability whose name is a list", listed(listed(b"\xc0", b"\x06"))), (2, "a capability whose version is a list", listed(listed(string(b"shh"), b"\xc0"))),
        (3, "a list as port", b"\xc0"), (4, "a list as key", listed(string(key))),
    ):
        bad(comment, "encoding", listed(*five[:at], wrong, *five[at + 1:]), "malformed")
    file.write(folder / "hello.json")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    secrets(folder)
    frames(folder)
    ciphertexts(folder)
    hellos(folder)
