#!/usr/bin/env python3
"""Writes vectors/discv4/*.json: `python3 discv4_vectors.py DIRECTORY`.

Packets of discv4 and what may be believed of neighbours, on the Keccak, secp256k1 and RLP of whisper_vectors.py; addresses come
from Python's `ipaddress`. Deterministic: running it again changes nothing.
"""

import sys
from ipaddress import ip_address
from pathlib import Path

from enr_vectors import ID, IP, KEY, UDP, record
from whisper_vectors import EIP8_A, EIP8_B, File, be32, integer, keccak, listed, public, sign, string

EXPIRED = 1136239445
PUBLISHED = {
    "a ping": "71dbda3a79554728d4f94411e42ee1f8b0d561c10e1e5f5893367948c6a7d70bb87b235fa28a77070271b6c164a2dce8c7e13a5739b53b5e96f2e5acb0e458a02902f5965d55ecbeb2ebb6cabb8b2b232896a36b737666c55265ad0a68412f250001ea04cb847f000001820cfa8215a8d790000000000000000000000000000000018208ae820d058443b9a355",
    "a ping and two more items": "e9614ccfd9fc3e74360018522d30e1419a143407ffcce748de3e22116b7e8dc92ff74788c0b6663aaa3d67d641936511c8f8d6ad8698b820a7cf9e1be7155e9a241f556658c55428ec0563514365799a4be2be5a685a80971ddcfa80cb422cdd0101ec04cb847f000001820cfa8215a8d790000000000000000000000000000000018208ae820d058443b9a3550102",
    "a ping of version 555, more items and bytes behind the list": "577be4349c4dd26768081f58de4c6f375a7a22f3f7adda654d1428637412c3d7fe917cadc56d4e5e7ffae1dbe3efffb9849feb71b262de37977e7c7a44e677295680e9e38ab26bee2fcbae207fba3ff3d74069a50b902a82c9903ed37cc993c50001f83e82022bd79020010db83c4d001500000000abcdef12820cfa8215a8d79020010db885a308d313198a2e037073488208ae82823a8443b9a355c5010203040531b9019afde696e582a78fa8d95ea13ce3297d4afb8ba6433e4154caa5ac6431af1b80ba76023fa4090c408f6b4bc3701562c031041d4702971d102c9ab7fa5eed4cd6bab8f7af956f7d565ee1917084a95398b6a21eac920fe3dd1345ec0a7ef39367ee69ddf092cbfe5b93e5e568ebc491983c09c76d922dc3",
    "a pong, more items and bytes behind the list": "09b2428d83348d27cdf7064ad9024f526cebc19e4958f0fdad87c15eb598dd61d08423e0bf66b2069869e1724125f820d851c136684082774f870e614d95a2855d000f05d1648b2d5945470bc187c2d2216fbe870f43ed0909009882e176a46b0102f846d79020010db885a308d313198a2e037073488208ae82823aa0fbc914b16819237dcd8801d7e53f69e9719adecb3cc0e790c57e91ca4461c9548443b9a355c6010203c2040506a0c969a58f6f9095004c0177a6b47f451530cab38966a25cca5cb58f055542124e",
    "a findnode, more items and bytes behind the list": "c7c44041b9f7c7e41934417ebac9a8e1a4c6298f74553f2fcfdcae6ed6fe53163eb3d2b52e39fe91831b8a927bf4fc222c3902202027e5e9eb812195f95d20061ef5cd31d502e47ecb61183f74a504fe04c51e73df81f25c4d506b26db4517490103f84eb840ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f8443b9a35582999983999999280dc62cc8255c73471e0a61da0c89acdc0e035e260add7fc0c04ad9ebf3919644c91cb247affc82b69bd2ca235c71eab8e49737c937a2c396",
    "neighbours, more items and bytes behind the list": "c679fc8fe0b8b12f06577f2e802d34f6fa257e6137a995f6f4cbfc9ee50ed3710faf6e66f932c4c8d81d64343f429651328758b47d3dbc02c4042f0fff6946a50f4a49037a72bb550f3a7872363a83e1b9ee6469856c24eb4ef80b7535bcf99c0004f9015bf90150f84d846321163782115c82115db8403155e1427f85f10a5c9a7755877748041af1bcd8d474ec065eb33df57a97babf54bfd2103575fa829115d224c523596b401065a97f74010610fce76382c0bf32f84984010203040101b840312c55512422cf9b8a4097e9a6ad79402e87a15ae909a4bfefa22398f03d20951933beea1e4dfa6f968212385e829f04c2d314fc2d4e255e0d3bc08792b069dbf8599020010db83c4d001500000000abcdef12820d05820d05b84038643200b172dcfef857492156971f0e6aa2c538d8b74010f8e140811d53b98c765dd2d96126051913f44582e8c199ad7c6d6819e9a56483f637feaac9448aacf8599020010db885a308d313198a2e037073488203e78203e8b8408dcab8618c3253b558d459da53bd8fa68935a719aff8b811197101a4b2b47dd2d47295286fc00cc081bb542d760717d1bdd6bec2c37cd72eca367d6dd3b9df738443b9a355010203b525a138aa34383fec3d2719a0",
}


def endpoint(ip, udp, tcp, *more):
    packed = ip if isinstance(ip, bytes) else ip_address(ip).packed if ip else b""
    return listed(string(packed), integer(udp), integer(tcp), *more)


def shown(ip, udp, tcp, **more):
    return {"ip": ip, "udp": udp, "tcp": tcp} | more


def sealed(code, body, secret=EIP8_B, signature=None):
    signed = bytes([code]) + body
    rest = (sign(secret, keccak(signed)) if signature is None else signature) + signed
    return keccak(rest) + rest


def rehashed(packet):
    return keccak(packet[32:]) + packet[32:]


def packets(folder):
    file = File("discv4-packet", {
        "published": ("From EIP-8, long expired.", ""),
        "forward_compatible": ("Further items or bytes, or another version.", "A node that rejects it cannot talk to later versions."),
        "odd_address": ("An address of another length than 4 or 16: none.", "go-ethereum drops the neighbour, and not the packet."),
        "size": ("Below 98 or above 1280 bytes.", "Readers cut what is longer."),
        "hash": ("The hash is not of this packet.", ""),
        "type": ("A type that is not known.", ""),
        "encoding": ("The body is not what the type says.", ""),
        "signature": ("No key can have made the signature.", ""),
        "record": ("The record in an answer is none.", "Anybody could move anybody."),
        "clock": ("At or beyond its end.", "A packet that is good for ever can be sent again by anybody."),
    })
    key = public(EIP8_B)[1:]
    now = 1600000000
    later = integer(now + 20)
    a, b = ("127.0.0.1", 3322, 5544), ("::1", 2222, 3333)

    def good(comment, flags, packet, now=None, by=EIP8_B, **output):
        output = {"hash": packet[:32].hex(), "public_key": public(by)[1:].hex()} | output
        file.add(comment, flags, {"packet": packet.hex(), "now": now}, output)

    def bad(comment, flag, packet, reason, now=None):
        file.add(comment, [flag], {"packet": packet.hex(), "now": now}, reason=reason)

    def ping(*more, version=4, origin=a, to=b, end=later):
        return listed(integer(version), endpoint(*origin), endpoint(*to), end, *more)

    published = {comment: bytes.fromhex(packet) for comment, packet in PUBLISHED.items()}
    pings = {"type": "ping", "from": shown(*a), "to": shown(*b), "expiration": EXPIRED}
    far = "2001:db8:85a3:8d3:1319:8a2e:370:7348"
    outputs = [
        pings | {"version": 4, "record_seq": None},
        pings | {"version": 4, "record_seq": 1},
        pings | {"version": 555, "from": shown("2001:db8:3c4d:15::abcd:ef12", 3322, 5544), "to": shown(far, 2222, 33338), "record_seq": None},
        {"type": "pong", "to": shown(far, 2222, 33338), "ping": "fbc914b16819237dcd8801d7e53f69e9719adecb3cc0e790c57e91ca4461c954", "expiration": EXPIRED},
        {"type": "findnode", "target": key.hex(), "expiration": EXPIRED},
        {"type": "neighbours", "expiration": EXPIRED, "nodes": [
            shown("99.33.22.55", 4444, 4445, public_key="3155e1427f85f10a5c9a7755877748041af1bcd8d474ec065eb33df57a97babf54bfd2103575fa829115d224c523596b401065a97f74010610fce76382c0bf32"),
            shown("1.2.3.4", 1, 1, public_key="312c55512422cf9b8a4097e9a6ad79402e87a15ae909a4bfefa22398f03d20951933beea1e4dfa6f968212385e829f04c2d314fc2d4e255e0d3bc08792b069db"),
            shown("2001:db8:3c4d:15::abcd:ef12", 3333, 3333, public_key="38643200b172dcfef857492156971f0e6aa2c538d8b74010f8e140811d53b98c765dd2d96126051913f44582e8c199ad7c6d6819e9a56483f637feaac9448aac"),
            shown(far, 999, 1000, public_key="8dcab8618c3253b558d459da53bd8fa68935a719aff8b811197101a4b2b47dd2d47295286fc00cc081bb542d760717d1bdd6bec2c37cd72eca367d6dd3b9df73"),
        ]},
    ]
    for (comment, packet), output in zip(published.items(), outputs):
        flags = ["published"] if comment == "a ping" else ["published", "forward_compatible"]
        good(comment, flags, packet, **output)
    first = published["a ping"]
    good("a ping with the number of a record", [], sealed(1, ping(integer(9))), now, type="ping", record_seq=9, **{"from": shown(*a)})
    good("a ping in its last second", ["clock"], sealed(1, ping(end=integer(now))), now, type="ping", expiration=now)
    good("a ping from nowhere", ["odd_address"], sealed(1, ping(origin=("", 0, 0))), now, type="ping", **{"from": shown(None, 0, 0)})
    good("a ping from an address of five bytes", ["odd_address"], sealed(1, ping(origin=(bytes(5), 1, 2))), now, type="ping", **{"from": shown(None, 1, 2)})
    good("an item of another kind where a number of a record may be", ["forward_compatible"], sealed(1, ping(listed())), now, type="ping", record_seq=None)
    good("a request for a record", [], sealed(5, listed(later), EIP8_A), now, by=EIP8_A, type="enrrequest", expiration=now + 20)
    one = record(1, [ID, IP, KEY, UDP])
    good("a record", [], sealed(6, listed(string(first[:32]), one)), now, type="enrresponse", request=first[:32].hex(), record=one.hex())
    good("no neighbours", [], sealed(4, listed(listed(), later)), now, type="neighbours", nodes=[])
    good("a target that is no key", [], sealed(3, listed(string(b"\xff" * 64), later)), now, type="findnode", target="ff" * 64)

    bad("nothing", "size", b"", "too_short")
    for length in (1, 32, 97):
        bad(f"the first {length} bytes", "size", first[:length], "too_short")
    bad("1281 bytes", "size", sealed(1, ping() + bytes(1281 - 98 - len(ping()))), "too_long")
    bad("2000 zero bytes", "size", bytes(2000), "too_long")
    bad("1280 zero bytes", "hash", bytes(1280), "hash")
    bad("a byte less", "hash", first[:-1], "hash")
    bad("a byte more", "hash", first + b"\x00", "hash")
    for at, what in ((0, "hash"), (32, "signature"), (97, "type"), (120, "body")):
        bad(f"a changed byte of the {what}", "hash", first[:at] + bytes([first[at] ^ 1]) + first[at + 1:], "hash")
    for code in (0, 7, 255):
        bad(f"type {code}", "type", sealed(code, listed()), "type")
    bad("no body", "encoding", sealed(1, b""), "malformed")
    bad("a string as body", "encoding", sealed(1, b"\x80"), "malformed")
    bad("an empty ping", "encoding", sealed(1, listed()), "malformed")
    bad("a ping without its end", "encoding", sealed(1, listed(integer(4), endpoint(*a), endpoint(*b))), "malformed")
    bad("a port of three bytes", "encoding", sealed(1, ping(origin=("127.0.0.1", 65536, 1))), "malformed")
    bad("an endpoint with four items", "encoding", sealed(1, listed(integer(4), endpoint(*a, integer(1)), endpoint(*b), later)), "malformed")
    bad("an endpoint with two items", "encoding", sealed(1, listed(integer(4), listed(string(bytes(4)), integer(1)), endpoint(*b), later)), "malformed")
    bad("an end with a leading zero", "encoding", sealed(1, ping(end=b"\x82\x00\x01")), "malformed")
    bad("an end of nine bytes", "encoding", sealed(1, ping(end=string(b"\x01" + bytes(8)))), "malformed")
    bad("an end that is a list", "encoding", sealed(5, listed(listed())), "malformed")
    bad("a hash of 31 bytes in a pong", "encoding", sealed(2, listed(endpoint(*a), string(bytes(31)), later)), "malformed")
    bad("a target of 63 bytes", "encoding", sealed(3, listed(string(bytes(63)), later)), "malformed")
    bad("a target of 65 bytes", "encoding", sealed(3, listed(string(bytes(65)), later)), "malformed")
    bad("neighbours that are no list", "encoding", sealed(4, listed(string(b""), later)), "malformed")
    bad("a neighbour without a key", "encoding", sealed(4, listed(listed(endpoint(*a)), later)), "malformed")
    bad("a neighbour with a key of 33 bytes", "encoding", sealed(4, listed(listed(endpoint(*a, string(bytes(33)))), later)), "malformed")
    small = endpoint(b"", 0, 0, string(bytes(64)))
    bad("seventeen neighbours", "encoding", sealed(4, listed(listed(*[small] * 17), later)), "too_long")
    bad("a list that is longer than its datagram", "encoding", sealed(5, b"\xc6" + later), "malformed")
    for v in (4, 27, 255):
        bad(f"a recovery id of {v}", "signature", rehashed(first[:96] + bytes([v]) + first[97:]), "signature")
    body = ping()
    for comment, r, s in (("r of zero", bytes(32), be32(1)), ("s of zero", be32(1), bytes(32)), ("r of ff", b"\xff" * 32, be32(1)), ("s of ff", be32(1), b"\xff" * 32)):
        bad(comment, "signature", sealed(1, body, signature=r + s + b"\x00"), "signature")
    bad("r that is on no point", "signature", sealed(1, body, signature=be32(5) + be32(1) + b"\x00"), "signature")
    bad("a record with another signature", "record", sealed(6, listed(string(first[:32]), record(1, [ID, KEY], secret=EIP8_A))), "record")
    bad("a string as record", "record", sealed(6, listed(string(first[:32]), string(one))), "record")
    bad("a record of 301 bytes", "record", sealed(6, listed(string(first[:32]), record(1, [ID, KEY, (b"z", string(bytes(301 - 123)))]))), "record")
    bad("no record", "encoding", sealed(6, listed(string(first[:32]))), "malformed")
    bad("a ping a second too late", "clock", sealed(1, ping(end=integer(now - 1))), "expired", now)
    bad("a published ping today", "clock", first, "expired", now)
    bad("a findnode of the year 1970", "clock", sealed(3, listed(string(key), integer(0))), "expired", now)
    bad("neighbours a second too late", "clock", sealed(4, listed(listed(), integer(now - 1))), "expired", now)
    file.write(folder / "packet.json")


def neighbours(folder):
    file = File("discv4-neighbour", {
        "wan": ("Told by a node of the public internet.", ""),
        "lan": ("Told by a node of a private network.", ""),
        "loopback": ("Told by a node of this machine.", ""),
        "port": ("The UDP port is 1024 or below.", "Others could be made to send packets to anybody's services; the nodes of Status at port 443 are not passed on."),
        "special": ("Nobody is reachable there.", ""),
        "inside": ("A place inside the receiver's own network that the teller cannot know.", "Strangers could have packets sent there."),
        "invalid_curve": ("The key is no point on the curve.", ""),
    })
    key = public(EIP8_B)[1:]

    def case(comment, flags, sender, ip, udp=30303, public_key=key, reason=None):
        packed = ip_address(ip).packed if isinstance(ip, str) else ip
        input = {"sender": sender, "ip": packed.hex(), "udp": udp, "tcp": 30303, "public_key": public_key.hex()}
        output = None
        if reason is None:
            address = ip_address(ip)
            mapped = getattr(address, "ipv4_mapped", None)
            output = {"ip": str(mapped or address), "udp": udp, "tcp": 30303, "public_key": public_key.hex()}
        file.add(comment, flags, input, output, reason)

    wan, lan, local = "8.8.8.8", "10.0.0.1", "127.0.0.1"
    case("a public address", ["wan"], wan, "1.1.1.1")
    case("a public address of IPv6", ["wan"], wan, "2a00::1")
    case("the least port", ["wan", "port"], wan, "1.1.1.1", udp=1025)
    case("a mapped public address", ["wan"], wan, "::ffff:1.1.1.1")
    case("a private address", ["lan"], lan, "192.168.3.4")
    case("a public address", ["lan"], lan, "1.1.1.1")
    case("loopback", ["loopback"], local, "127.0.0.9")
    case("loopback of IPv6", ["loopback"], "::1", "::1")
    case("a private address", ["loopback"], local, "172.31.0.1")
    case("an address that was assigned by itself", ["wan"], wan, "169.254.1.1")
    for port in (0, 1, 80, 443, 1023, 1024):
        case(f"port {port}", ["wan", "port"], wan, "1.1.1.1", udp=port, reason="low_port")
    for length in (0, 3, 5, 15, 17):
        case(f"an address of {length} bytes", ["wan", "special"], wan, bytes([1]) * length, reason="no_address")
    for sender, flag in ((wan, "wan"), (local, "loopback")):
        case("0.0.0.0", [flag, "special"], sender, "0.0.0.0", reason="no_address")
        case("::", [flag, "special"], sender, "::", reason="no_address")
        for ip in ("192.0.0.1", "192.0.0.170", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.175.48.1", "198.18.0.1", "198.19.255.255",
                   "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "255.255.255.255", "100::1", "2001::1", "2001:2::1", "2001:db8::1",
                   "2002::1", "ff02::1"):
            case(ip, [flag, "special"], sender, ip, reason="special_network")
    for ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        case(ip, ["wan", "inside"], wan, ip, reason="loopback")
        case(ip, ["lan", "inside"], lan, ip, reason="loopback")
    for ip in ("0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fe80::1", "fd00::1", "::ffff:10.0.0.1"):
        case(ip, ["wan", "inside"], wan, ip, reason="lan")
    for comment, wrong in (("zeros", bytes(64)), ("ff", b"\xff" * 64), ("a changed key", key[:63] + bytes([key[63] ^ 1])),
                           ("x and y swapped", key[32:] + key[:32])):
        case(f"a key of {comment}", ["wan", "invalid_curve"], wan, "1.1.1.1", public_key=wrong, reason="key")
    file.write(folder / "neighbour.json")


if __name__ == "__main__":
    packets(Path(sys.argv[1]))
    neighbours(Path(sys.argv[1]))
