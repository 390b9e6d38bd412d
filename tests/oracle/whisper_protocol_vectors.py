"""Status, the messages after it, proof of work, password keys and names: the part of vectors/whisper that whisper_vectors.py writes with this.

RLP and hashes are those of whisper_vectors.py. Deterministic.
"""

import hashlib
import struct

from whisper_vectors import (EIP8_A, EIP8_B, P, File, be32, integer, keccak, listed, mine, number, password_key, plaintext,
                             public, seal_symmetric, short, string, work, zero_bits)

NONE = bytes(64)
ALL = b"\xff" * 64


def double(value):
    """A double as Status has it: its bits as an integer."""
    return integer(number(struct.pack(">d", value)))


def statuses(folder):
    file = File("whisper-status", {
        "published": ("A form that geth or a Status node sends.", ""),
        "tolerated": ("Fields that are missing, unreadable or unknown.", "This is what lets nodes of different age talk."),
        "work": ("A requirement that cannot be compared.", "NaN compares as false with everything: nothing would ever be sent, or everything."),
        "bloom": ("A filter of a wrong length.", ""),
        "version": ("Another version.", ""),
        "encoding": ("Not a list that starts with a version.", ""),
    })

    def output(min_pow=0.0, bloom=None, light=False, confirmations=False, rate_limits=None):
        limits = rate_limits and dict(zip(("ip", "peer", "topic"), rate_limits))
        return {"min_pow": min_pow, "min_pow_bits": struct.pack(">d", min_pow).hex(), "bloom": bloom and bloom.hex(), "light": light,
                "confirmations": confirmations, "rate_limits": limits}

    def good(comment, flag, payload, **fields):
        file.add(comment, [flag] if flag else [], {"payload": payload.hex()}, output(**fields))

    def bad(comment, flag, payload, reason):
        file.add(comment, [flag], {"payload": payload.hex()}, reason=reason)

    six, yes, no = integer(6), b"\x01", b"\x80"
    geth = listed(six, double(0.2), no, no)
    assert geth.hex() == "cc06883fc999999999999a8080"
    client = listed(six, double(0.001), string(NONE), no, yes)
    assert client.hex() == "f84e06883f50624dd2f1a9fcb840" + "00" * 64 + "8001"
    newest = listed(six, double(0.000002), string(ALL), no, yes, listed(integer(10), integer(5), integer(0)))
    assert newest.hex() == "f85206883ec0c6f7a0b5ed8db840" + "ff" * 64 + "8001c30a0580"
    assert double(0.002).hex() == "883f60624dd2f1a9fc" and listed(six).hex() == "c106"
    good("geth as it starts", "published", geth, min_pow=0.2)
    good("the shortest", "published", listed(six), min_pow=0.0)
    good("a Status client as it starts, wanting nothing yet", "published", client, min_pow=0.001, bloom=NONE, confirmations=True)
    good("a Status node of the last generation; a filter of ones is everything", "published", newest, min_pow=0.000002, confirmations=True, rate_limits=(10, 5, 0))
    good("work of a Status node", "published", listed(six, double(0.002)), min_pow=0.002)
    some = bytes(46) + b"\x01" + bytes(5) + b"\x10" + bytes(2) + b"\x40" + bytes(8)
    good("a filter of one topic, light", None, listed(six, double(0.5), string(some), yes), min_pow=0.5, bloom=some, light=True)
    good("limits of zero", None, listed(six, no, no, no, no, listed(no, no, no)), rate_limits=(0, 0, 0))
    good("the largest limits", None, listed(six, no, no, no, yes, listed(integer(2**64 - 1), no, integer(1))), confirmations=True, rate_limits=(2**64 - 1, 0, 1))
    good("work of minus zero", None, listed(six, double(-0.0)), min_pow=-0.0)
    good("the least work above zero", None, listed(six, integer(1)), min_pow=5e-324)
    good("the most work", None, listed(six, double(1.5e308)), min_pow=1.5e308)
    good("a list as work", "tolerated", listed(six, b"\xc0", string(some)), bloom=some)
    good("work of nine bytes", "tolerated", listed(six, string(b"\x01" + bytes(8)), string(some)), bloom=some)
    good("a list as filter", "tolerated", listed(six, double(0.5), b"\xc0", yes), min_pow=0.5, light=True)
    good("flags that are neither", "tolerated", listed(six, no, no, integer(2), string(b"yes")))
    good("limits that are no list", "tolerated", listed(six, no, no, no, yes, integer(5)), confirmations=True)
    good("two limits", "tolerated", listed(six, no, no, no, no, listed(yes, yes)))
    good("four limits", "tolerated", listed(six, no, no, no, no, listed(yes, yes, yes, yes)), rate_limits=(1, 1, 1))
    good("unknown fields", "tolerated", listed(six, no, no, yes, no, listed(yes, no, no), integer(7), listed(integer(8))), light=True, rate_limits=(1, 0, 0))

    for comment, bits in (
        ("NaN", "7ff8000000000000"), ("a signalling NaN", "7ff0000000000001"), ("a negative NaN", "fff8000000000000"), ("a NaN of ones", "ff" * 8),
        ("infinity", "7ff0000000000000"), ("minus infinity", "fff0000000000000"), ("-1", "bff0000000000000"), ("-0.002", "bf60624dd2f1a9fc"),
        ("the least below zero", "8000000000000001"),
    ):
        bad(f"work of {comment}", "work", listed(six, integer(int(bits, 16)), no, no), "pow")
        bad(f"work of {comment}, all six fields", "work", listed(six, integer(int(bits, 16)), string(ALL), no, yes, listed(no, no, no)), "pow")
    for length in (1, 4, 32, 63, 65, 128):
        bad(f"a filter of {length} bytes", "bloom", listed(six, double(0.2), string(bytes([0xAA]) * length), no), "bloom_length")
    for version in (0, 1, 2, 5, 7, 2**64 - 1):
        bad(f"version {version}", "version", listed(integer(version), double(0.2), no, no), "version")
    bad("work that no one has in another version", "version", listed(integer(5), double(-1.0)), "version")
    for comment, payload in (
        ("nothing", b""), ("a bare version", six), ("a string", string(geth)), ("an empty list", b"\xc0"), ("a list as version", listed(b"\xc0")),
        ("a version with a leading zero", listed(b"\x82\x00\x06")), ("a version behind a prefix", listed(b"\x81\x06")),
        ("a version of nine bytes", listed(string(b"\x06" + bytes(8)))), ("cut by a byte", geth[:-1]), ("a list of which nothing came", geth[:1]),
        ("a long header for a short list", b"\xf8\x01\x06"), ("a byte behind the list", geth + b"\x00"), ("two of them", geth + geth),
        ("a list in a list", listed(geth)),
    ):
        bad(comment, "encoding", payload, "malformed")
    file.write(folder / "status.json")


def packets(folder):
    file = File("whisper-packet", {
        "published": ("From a table that was computed with an implementation that reproduces go-ethereum's vectors.", ""),
        "encoding": ("Not the one encoding of a list of envelopes.", "One such envelope ends the connection, whatever else is in the packet."),
        "work": ("A requirement that is no number, or that cannot be compared.", ""),
        "bloom": ("Not a filter. Unlike in Status it may not be empty.", ""),
    })

    def good(comment, flag, code, payload, **output):
        file.add(comment, [flag] if flag else [], {"code": code, "payload": payload.hex()}, {"hash": keccak(payload).hex()} | output)

    def bad(comment, flag, code, payload, reason="malformed"):
        file.add(comment, [flag], {"code": code, "payload": payload.hex()}, reason=reason)

    fields = [integer(1600000015), integer(15), string(bytes.fromhex("70a4beef")), string(bytes(range(32))), integer(309)]
    one = listed(*fields)
    other = listed(integer(1600000010), integer(10), string(keccak(b"test")[:4]), string(b""), integer(0))
    assert listed(one).hex()[:2] == "f0" and keccak(listed(one)).hex() == "b2020ba262300f4458fab4fac5ee716a5b9fb0f7af653f9431efd5227e00a3f0"
    good("one envelope", "published", 1, listed(one), envelopes=["ee0438c3e437dc3accf500bf8178dd1a1416ac18254a6b39aa1775ee3b383442"])
    good("no envelope", None, 1, b"\xc0", envelopes=[])
    good("three, one of them twice", None, 1, listed(one, other, one), envelopes=[keccak(each).hex() for each in (one, other, one)])
    for value in (0.2, 0.002, 0.001, 0.000002, 0.0, -0.0, 5e-324):
        good(f"a requirement of {value}", None, 2, double(value), min_pow_bits=struct.pack(">d", value).hex())
    for comment, bloom in (("everything", ALL), ("nothing", NONE), ("a topic", bytes(53) + b"\x20\x00\x40" + bytes(3) + b"\x40" + bytes(4))):
        good(f"a filter of {comment}", None, 3, string(bloom), bloom=bloom.hex())

    def spoilt(comment, element):
        bad(comment, "encoding", 1, listed(element))
        bad(comment + ", between good ones", "encoding", 1, listed(one, element, other))

    for comment, payload in (
        ("nothing", b""), ("a string", string(one)), ("a bare envelope", one), ("a byte behind the list", listed(one) + b"\x00"), ("cut by a byte", listed(one)[:-1]),
        ("a header that promises more", b"\xf7" + one[:40]), ("a long header for a short list", b"\xf8\x30" + one),
    ):
        bad(comment, "encoding", 1, payload)
    deep = b"\xc0"
    for _ in range(500):
        deep = listed(deep)
    for comment, element in (
        ("a string as envelope", string(b"envelope")), ("an empty list as envelope", b"\xc0"), ("an envelope of four fields", listed(*fields[:4])),
        ("an envelope of six fields", listed(*fields, integer(1))), ("a topic of three bytes", listed(*fields[:2], string(b"abc"), *fields[3:])),
        ("a topic of five bytes", listed(*fields[:2], string(b"abcde"), *fields[3:])), ("a ttl of five bytes", listed(fields[0], integer(2**32), *fields[2:])),
        ("a nonce of nine bytes", listed(*fields[:4], string(b"\x01" + bytes(8)))), ("a nonce with a leading zero", listed(*fields[:4], b"\x82\x00\x05")),
        ("a nonce behind a prefix", listed(*fields[:4], b"\x81\x05")), ("five hundred lists in each other", deep),
    ):
        spoilt(comment, element)
    for comment, payload in (
        ("a list", listed(double(0.2))), ("nothing", b""), ("nine bytes", string(b"\x01" + bytes(8))), ("a leading zero", string(b"\x00\x01")),
        ("a zero byte", b"\x00"), ("a byte behind", double(0.2) + b"\x00"), ("cut by a byte", double(0.2)[:-1]),
    ):
        bad(f"as a requirement {comment}", "work", 2, payload)
    for value in ("nan", "inf", "-inf", "-1", "-0.002"):
        bad(f"a requirement of {value}", "work", 2, double(float(value)), "pow")
    for length in (0, 1, 63, 65, 128):
        bad(f"a filter of {length} bytes", "bloom", 3, string(bytes([0xAA]) * length), "bloom_length")
    for comment, payload in (("a list", listed(string(ALL))), ("nothing", b""), ("the bare bytes", ALL), ("a byte behind", string(ALL) + b"\x00"), ("cut by a byte", string(ALL)[:-1])):
        bad(f"as a filter {comment}", "bloom", 3, payload)
    file.write(folder / "packet.json")


def works(folder):
    file = File("whisper-pow", {
        "published": ("From the tests of go-ethereum, or from a table that was computed with it.", ""),
        "least_nonce": ("The nonce is sought: the least one, as every Go node and every canonical sealer finds it.", "Others find another id for the same message."),
        "skew": ("Sent ahead of the receiver's clock: the work is divided by a longer life.", ""),
        "work": ("The nonce does not have the zero bits.", ""),
        "old_rule": ("The nonce is good under the rule before geth 1.9: trailing zero bits of another hash.", "It must not pass by accident."),
        "encoding": ("Not the one encoding of the four fields.", ""),
    })
    data = bytes(range(32))

    def case(comment, flags, fields, nonce=None, reason=None, expect=None, target_bits=None, rlp=None, **more):
        prefix = rlp or short(*fields)
        input = {"rlp": prefix.hex()} | more
        if isinstance(nonce, bytes):
            input["nonce"] = nonce.hex()
        elif nonce is not None:
            input["nonce"] = nonce.to_bytes(8, "big").hex()
        output = None
        if reason is None:
            found = nonce if expect is None else expect
            proof = keccak(prefix + found.to_bytes(8, "big"))
            output = {"hash": proof.hex(), "zero_bits": zero_bits(proof), "pow": work(*fields, found, now=more.get("now")),
                      "nonce": found.to_bytes(8, "big").hex()}
            if target_bits is not None:
                output["target_bits"] = target_bits
        file.add(comment, flags, input, output, reason)

    geth = (0, 1, bytes(4), bytes.fromhex("deadbeef"))
    assert short(*geth).hex() == "cc8001840000000084deadbeef"
    assert work(*geth, 100000) == 0.07692307692307693 and work(*geth, 276) == 19.692307692307693
    assert keccak(short(*geth) + (276).to_bytes(8, "big")).hex() == "00e2374c6353c243e4073e209a7f2acb2506522af318b3b78cf9a88310a2a11c"
    case("geth's first", ["published"], geth, 100000)
    case("geth's second", ["published"], geth, 276)
    case("geth's second, all bits asked for", ["published"], geth, 276, bits=8)
    sent = (1600000015, 15, bytes.fromhex("70a4beef"), data)
    assert mine(*sent, 8) == 309 and work(*sent, 309) == 0.3792592592592593 and work(*sent, 309, now=1599999995) == 0.2708994708994709
    assert keccak(short(*sent) + (309).to_bytes(8, "big")).hex() == "00bc7f0ec5231f5abfe39099f1d945b771966e75d1ad0cc108c91b254df44fa6"
    case("the computed envelope", ["published"], sent, 309)
    case("the same, sought", ["published", "least_nonce"], sent, expect=309, bits=8)
    case("the same, known to be the least", ["published", "least_nonce"], sent, 309, bits=8, least=True)
    case("the same seen by a clock five seconds behind", ["published", "skew"], sent, 309, now=1599999995)
    case("the same seen by a clock that is right", ["skew"], sent, 309, now=1600000000)
    chat = (1600000010, 10, keccak(b"test")[:4], seal_symmetric(password_key("test"), plaintext(b"hello whisper", b"\xaa" * 176, EIP8_A)))
    assert len(short(*chat)) == 301 and mine(*chat, 3) == 4 and work(*chat, 4) == 0.0212624584717608
    assert keccak(short(*chat) + (4).to_bytes(8, "big")).hex() == "036693660801f5b2d7d1e42a3ffb3947124460a64064518f7f1548918340fb77"
    case("the message of a public chat, sealed for 0.002", ["published", "least_nonce"], chat, expect=4, target=0.002, target_bits=3)
    canonical = (1587550090, 90, bytes.fromhex("59cbac69"), bytes(range(64)))
    assert mine(*canonical, 4) == 49
    case("the canonical sealing", ["published", "least_nonce"], canonical, expect=49, target=0.002, target_bits=4)
    case("a target of almost nothing still takes a bit", ["least_nonce"], sent, expect=mine(*sent, 1), target=1e-9, target_bits=1)
    case("a target on the edge of four bits", ["least_nonce"], (1600000016, 16, bytes(4), bytes(12)), expect=mine(1600000016, 16, bytes(4), bytes(12), 4),
         target=0.03125, target_bits=4)
    case("a target just above it", ["least_nonce"], (1600000016, 16, bytes(4), bytes(12)), expect=mine(1600000016, 16, bytes(4), bytes(12), 5),
         target=0.0313, target_bits=5)
    case("twelve bits", ["least_nonce"], sent, expect=mine(*sent, 12), bits=12)
    case("the largest of all", [], (2**32 - 1, 2**32 - 1, ALL[:4], b""), 2**64 - 1)

    for nonce in (0, 1, 308, 310, 2**64 - 1):
        case(f"nonce {nonce}", ["work"], sent, nonce, bits=8, reason="low_pow")
    case("the nonce with its bytes turned around", ["work"], sent, (309).to_bytes(8, "little"), bits=8, reason="low_pow")
    for bits in (1, 8, 256):
        case(f"geth's first where {bits} bits are asked for", ["work"], geth, 100000, bits=bits, reason="low_pow")
    case("geth's second where nine bits are asked for", ["work"], geth, 276, bits=9, reason="low_pow")
    case("a target above what the nonce has", ["work"], sent, 309, target=1.0, reason="low_pow")
    case("the nonce of another expiry", ["work"], (1600000016,) + sent[1:], 309, bits=8, reason="low_pow")
    case("the nonce of another ttl", ["work"], (1600000015, 16) + sent[2:], 309, bits=8, reason="low_pow")
    case("the nonce of another topic", ["work"], sent[:2] + (bytes(4), data), 309, bits=8, reason="low_pow")
    case("the nonce of other data", ["work"], sent[:3] + (data[:-1],), 309, bits=8, reason="low_pow")

    def trailing(fields, nonce):
        digest = number(keccak(keccak(short(*fields)) + bytes(24) + nonce.to_bytes(8, "big")))
        return (digest & -digest).bit_length() - 1

    assert trailing(sent, 309) == 0
    for fields in (sent, geth, canonical):
        old = next(nonce for nonce in range(10**6) if trailing(fields, nonce) >= 8)
        case("a good nonce of the old rule", ["old_rule"], fields, old, bits=8, reason="low_pow")
    later = next(nonce for nonce in range(310, 10**6) if zero_bits(keccak(short(*sent) + nonce.to_bytes(8, "big"))) >= 8)
    case("the second nonce that suffices", ["least_nonce"], sent, later, bits=8, least=True, reason="not_least")
    case("the least of more bits than needed", ["least_nonce"], sent, mine(*sent, 12), bits=8, least=True, reason="not_least")
    case("a nonce that suffices, not that of the canonical sealing", ["least_nonce"], chat, next(
        nonce for nonce in range(5, 10**4) if zero_bits(keccak(short(*chat) + nonce.to_bytes(8, "big"))) >= 3), target=0.002, least=True, reason="not_least")
    case("bits that nobody finds", ["least_nonce"], sent, bits=200, reason="no_nonce")
    for length in (0, 1, 7, 9):
        case(f"a nonce of {length} bytes", ["encoding"], sent, bytes(length), reason="nonce_length")
    case("a ttl of zero", [], (1600000015, 0) + sent[2:], 309, reason="zero_ttl")
    fields = [integer(sent[0]), integer(sent[1]), string(sent[2]), string(data)]
    for comment, rlp in (
        ("with its nonce", listed(*fields, integer(309))), ("three fields", listed(*fields[:3])), ("a string", string(short(*sent))),
        ("a byte behind", short(*sent) + b"\x00"), ("cut by a byte", short(*sent)[:-1]), ("a topic of three bytes", listed(*fields[:2], string(b"abc"), fields[3])),
        ("an expiry of five bytes", listed(integer(2**32), *fields[1:])), ("a ttl with a leading zero", listed(fields[0], b"\x82\x00\x0f", *fields[2:])),
        ("data that are a list", listed(*fields[:3], listed(data))), ("a long header for a short list", b"\xf8\x2c" + b"".join(fields)),
    ):
        case(comment, ["encoding"], sent, 309, rlp=rlp, reason="malformed")
    file.write(folder / "pow.json")


def keys(folder):
    file = File("whisper-key", {
        "published": ("From a table that was computed with go-ethereum's whisperv6.", ""),
        "parameters": ("Sealed under what other parameters make of the password: the right ones are HMAC-SHA-256, no salt, 65356 rounds, 32 bytes.",
                       "65536 rounds look like a correction, and nobody can read the messages."),
        "password": ("Sealed under another password.", ""),
        "raw": ("Not a password but a key.", ""),
        "modified": ("The data are changed.", ""),
    })

    def sealed(key, text=None):
        return seal_symmetric(key, plaintext(b"hello", b"\xaa" * 8) if text is None else text).hex()

    published = {"test": "a82a520aff70f7a989098376e48ec128f25f767085e84d7fb995a9815eebff0a",
                 "status": "36224048e42c49e5c59c57bba5024fbb8822d6b4ee6ac5fbefd8b77f5323ecc4",
                 "status-offline-inbox": "765df27c0765526f920ba742ff4b9452bb0064e016435ffccd81186aa6feaae8"}
    for password, key in published.items():
        assert password_key(password).hex() == key
        file.add(password, ["published"], {"password": password}, {"key": key})
    test = password_key("test")
    file.add("test, and what was sealed under it", [], {"password": "test", "data": sealed(test)}, {"key": test.hex()})
    for comment, password in (("no password", ""), ("letters beyond ASCII", "caf\u00e9"), ("longer than a block of the hash", "x" * 65)):
        file.add(comment, ["password"], {"password": password, "data": sealed(password_key(password))}, {"key": password_key(password).hex()})
    file.add("a key as it is", ["raw"], {"key": test.hex(), "data": sealed(test)}, {"key": test.hex()})

    def bad(comment, flag, data, reason="decryption", **by):
        file.add(comment, [flag], by | {"data": data}, reason=reason)

    def other(digest="sha256", salt=b"", rounds=65356, length=32):
        return sealed(hashlib.pbkdf2_hmac(digest, b"test", salt, rounds, length))

    for comment, data in (
        ("65536 rounds", other(rounds=65536)), ("65355 rounds", other(rounds=65355)), ("SHA-1", other("sha1")), ("SHA-512", other("sha512")),
        ("a salt of a zero byte", other(salt=b"\x00")), ("a hash of the password", sealed(hashlib.sha256(b"test").digest())),
        ("a Keccak of the password", sealed(keccak(b"test"))), ("an AES-128 key", other(length=16)),
    ):
        bad(comment, "parameters", data, password="test")
    for comment, password in (("a capital letter", "Test"), ("a line feed", "test\n")):
        bad(comment, "password", sealed(test), password=password)
    bad("an accent in two letters where it was sealed with one", "password", sealed(password_key("caf\u00e9")), password="cafe\u0301")
    for length in (0, 16, 31, 33, 64):
        bad(f"a key of {length} bytes", "raw", sealed(test), "length", key=(test * 2)[:length].hex())
    bad("a key of zeros", "raw", sealed(bytes(32)), "zero", key=bytes(32).hex())
    bad("the key of another chat", "raw", sealed(test), key=published["status"])
    bad("no data", "modified", "", key=test.hex())
    bad("the last byte changed", "modified", sealed(test)[:-2] + "ff", key=test.hex())
    bad("a text of no bytes", "modified", sealed(test, b""), key=test.hex())
    file.write(folder / "key.json")


def topics(folder):
    file = File("whisper-topic", {
        "published": ("From a table of Status names, or of the specification of Status.", ""),
        "name": ("The topic of another name, or of the name under another rule.", "The chat stays silent."),
        "key": ("The topics in which the owner of a key listens.", ""),
        "curve": ("Not a point of the curve in its uncompressed form.", ""),
    })

    def topic(name):
        return keccak(name.encode())[:4]

    published = {"contact-discovery": "f8946aac", "contact-discovery-1": "cebea49d", "status": "cd423760", "test-channel": "fd4737ae", "test": "9c22ff5f"}
    for name, expected in published.items():
        assert topic(name).hex() == expected
        file.add(name, ["published"], {"name": name}, {"topic": expected})
    for name in ("", "caf\u00e9", "contact-discovery-4999"):
        file.add(name or "no name", [], {"name": name, "topic": topic(name).hex()}, {"topic": topic(name).hex()})
    for secret in (EIP8_A, EIP8_B):
        key = public(secret)
        names = {"partition": f"contact-discovery-{number(key[1:33]) % 5000}", "discovery": f"contact-discovery-{key.hex()}",
                 "contact_code": f"0x{key.hex()}-contact-code"}
        output = {use: topic(name).hex() for use, name in names.items()}
        file.add("a key", ["key"], {"public_key": key.hex()}, output)
        file.add("a key and its contact code", ["key"], {"public_key": key.hex(), "topic": output["contact_code"]}, output)

    def other(comment, found, **what):
        file.add(comment, ["name"], what | {"topic": found.hex()}, reason="mismatch")

    other("SHA-3 in place of Keccak", hashlib.sha3_256(b"status").digest()[:4], name="status")
    other("SHA-256", hashlib.sha256(b"status").digest()[:4], name="status")
    other("the last four bytes", keccak(b"status")[-4:], name="status")
    other("the four bytes turned around", topic("status")[::-1], name="status")
    other("a hash of the hash", keccak(keccak(b"status"))[:4], name="status")
    other("the name in its bytes", b"stat", name="status")
    other("a capital letter", topic("Status"), name="status")
    other("a hash sign in front", topic("#status"), name="status")
    other("a zero byte behind", topic("status\0"), name="status")
    other("zeros", bytes(4), name="status")
    key = public(EIP8_A)
    x = number(key[1:33])
    other("the next partition", topic(f"contact-discovery-{x % 5000 + 1}"), public_key=key.hex())
    other("a partition by the Y coordinate", topic(f"contact-discovery-{number(key[33:]) % 5000}"), public_key=key.hex())
    other("a partition by the last eight bytes of X", topic(f"contact-discovery-{x % 2**64 % 5000}"), public_key=key.hex())
    other("a contact code without 0x", topic(f"{key.hex()}-contact-code"), public_key=key.hex())
    other("a contact code of the key without 04", topic(f"0x{key[1:].hex()}-contact-code"), public_key=key.hex())
    other("the contact code of somebody else", topic(f"0x{public(EIP8_B).hex()}-contact-code"), public_key=key.hex())

    def bad(comment, data):
        file.add(comment, ["curve"], {"public_key": data.hex()}, reason="public_key")

    bad("no key", b"")
    bad("a key without 04", key[1:])
    bad("a key and a byte", key + b"\x00")
    bad("a compressed key", bytes([2 + key[64] % 2]) + key[1:33])
    bad("a key that starts with 06", bytes([6 + key[64] % 2]) + key[1:])
    bad("a point off the curve", key[:64] + bytes([key[64] ^ 1]))
    bad("a point of zeros", b"\x04" + bytes(64))
    bad("an X that is the field prime", b"\x04" + be32(P) + key[33:])
    file.write(folder / "topic.json")


def write(folder):
    statuses(folder)
    packets(folder)
    works(folder)
    keys(folder)
    topics(folder)
