"""Writes vectors/mailserver/*.json: requests to mailservers, completions, and what servers say to each other.

RLP is that of whisper_vectors.py. Deterministic.
"""

import sys
from pathlib import Path

from whisper_vectors import File, integer, listed, string

ALL = b"\xff" * 64
FROM, TO, NOW = 1599990000, 1600000000, 1600000000
CURSOR = bytes.fromhex("5f5e0000") + bytes(range(1, 33))
ID = b"\x11" * 32
NONE = b"\x80"
TRUE = b"\x01"


def four(value):
    return value.to_bytes(4, "big")


def six(lower=FROM, upper=TO, bloom=ALL, limit=100, cursor=b"", batch=1):
    return listed(integer(lower), integer(upper), string(bloom), integer(limit), string(cursor), integer(batch))


def seven(lower=FROM, upper=TO, bloom=ALL, topics=(), limit=100, cursor=b"", batch=1):
    return listed(integer(lower), integer(upper), string(bloom), listed(*map(string, topics)), integer(limit), string(cursor),
                  integer(batch))


def plain(id=ID, lower=FROM, upper=TO, limit=100, cursor=b"", bloom=ALL):
    return listed(string(id), integer(lower), integer(upper), integer(limit), string(cursor), string(bloom))


def requests(folder):
    file = File("mail-request", {
        "published": ("From a table that was computed with status-go's encoder.", ""),
        "form": ("The two sealed lists differ in the kind of their fourth field, and do not decode as each other.",
                 "A server of one kind answers clients of the other with nonsense."),
        "open": ("An end or a limit of zero leaves it to the server.", ""),
        "raw": ("Fields of fixed lengths, as geth has them.", ""),
        "encoding": ("Not the one encoding of a request.", ""),
        "bounds": ("At or beyond what a request may ask for.", "Without a bound one request reads a whole archive."),
        "cursor": ("Not the start of a key.", "A server that ignores it starts again, and the client never ends."),
    })

    def output(form, lower=FROM, upper=TO, bloom=ALL, topics=(), limit=100, cursor=b"", batch=True, id=None):
        return {"form": form, "id": id and id.hex(), "lower": lower, "upper": upper, "bloom": bloom.hex(),
                "topics": [topic.hex() for topic in topics], "limit": limit, "cursor": cursor.hex(), "batch": batch}

    def good(comment, flags, payload, wanted, now=None, range_max=None, sealed=True):
        input = {"sealed": sealed, "payload": payload.hex(), "now": now, "range_max": range_max}
        file.add(comment, flags, input, wanted)

    def bad(comment, flags, payload, reason, now=NOW, range_max=None, sealed=True):
        input = {"sealed": sealed, "payload": payload.hex(), "now": now, "range_max": range_max}
        file.add(comment, flags, input, reason=reason)

    assert six().hex() == "f84f845f5de8f0845f5e1000b840" + "ff" * 64 + "648001"
    assert seven().hex() == "f850845f5de8f0845f5e1000b840" + "ff" * 64 + "c0648001"
    assert plain().hex() == "f86fa0" + "11" * 32 + "845f5de8f0845f5e10006480b840" + "ff" * 64
    topics = [bytes.fromhex("70a4beef"), bytes(4)]
    good("six fields", ["published", "form"], six(), output("six"))
    good("seven fields", ["published", "form"], seven(), output("seven"))
    good("in clear", ["published"], plain(), output("plain", id=ID), sealed=False)
    good("with topics", ["form"], seven(topics=topics), output("seven", topics=topics))
    good("with a cursor", [], six(cursor=CURSOR), output("six", cursor=CURSOR))
    good("with a cursor, seven fields", [], seven(cursor=CURSOR), output("seven", cursor=CURSOR))
    good("with a cursor, in clear", [], plain(cursor=CURSOR), output("plain", cursor=CURSOR, id=ID), sealed=False)
    good("one envelope a packet", [], seven(batch=0), output("seven", batch=False))
    good("open end and limit", ["open"], seven(upper=0, limit=0), output("seven", upper=NOW + 60, limit=1000), now=NOW)
    good("open end and limit, as they came", ["open"], seven(upper=0, limit=0), output("seven", upper=0, limit=0))
    good("the highest limit", ["bounds"], six(limit=1000), output("six", limit=1000), now=NOW)
    good("one second", ["bounds"], six(lower=TO), output("six", lower=TO), now=NOW)
    good("as long as allowed", ["bounds"], six(), output("six"), now=NOW, range_max=TO - FROM)
    raw = four(FROM) + four(TO)
    half = bytes(32) + b"\xff" * 32
    good("8 bytes", ["raw"], raw, output("raw", limit=0, batch=False))
    good("72 bytes", ["raw"], raw + half, output("raw", bloom=half, limit=0, batch=False))
    good("76 bytes", ["raw"], raw + ALL + four(5), output("raw", limit=5, batch=False))
    good("112 bytes", ["raw"], raw + ALL + four(5) + CURSOR, output("raw", limit=5, cursor=CURSOR, batch=False))
    good("116 bytes: the cursor is a whole key", ["raw"], raw + ALL + four(5) + CURSOR + topics[0],
         output("raw", limit=5, cursor=CURSOR, batch=False))

    for length in (0, 1, 4, 7, 9, 40, 71, 73, 75, 77, 111, 113, 115, 117, 120):
        bad(f"{length} bytes", ["raw"], (raw + ALL + four(5) + CURSOR + bytes(8))[:length], "raw_length")
    for name, form in (("six", six), ("seven", seven)):
        bad(f"{name}: ends before it starts", ["bounds"], form(lower=TO + 1), "range")
        bad(f"{name}: starts after an open end", ["bounds", "open"], form(lower=NOW + 61, upper=0), "range")
        for limit in (1001, 1 << 31, (1 << 32) - 1):
            bad(f"{name}: a limit of {limit}", ["bounds"], form(limit=limit), "limit")
        bad(f"{name}: too long a time", ["bounds"], form(), "range_too_big", range_max=TO - FROM - 1)
        bad(f"{name}: no filter", [], form(bloom=b""), "bloom_empty")
        for length in (1, 63, 65):
            bad(f"{name}: a filter of {length} bytes", [], form(bloom=b"\x80" * length), "bloom_length")
        for length in (1, 32, 35, 37, 40):
            bad(f"{name}: a cursor of {length} bytes", ["cursor"], form(cursor=b"\x80" * length), "cursor_length")
        bad(f"{name}: a time of five bytes", ["encoding"], form(lower=1 << 32), "malformed")
        bad(f"{name}: a limit of five bytes", ["encoding"], form(limit=1 << 32), "malformed")
        bad(f"{name}: neither many nor one", ["encoding"], form(batch=2), "malformed")
    start = [integer(FROM), integer(TO), string(ALL)]
    bad("three fields", ["encoding"], listed(*start), "malformed")
    bad("five fields", ["encoding"], listed(*start, integer(1), NONE), "malformed")
    bad("seven fields without topics", ["encoding"], listed(*start, integer(1), NONE, TRUE, TRUE), "malformed")
    bad("eight fields", ["encoding"], listed(*start, listed(), integer(1), NONE, TRUE, TRUE), "malformed")
    bad("a leading zero", ["encoding"], listed(b"\x85\x00" + four(FROM), *start[1:], integer(1), NONE, TRUE), "malformed")
    bad("a list for a filter", ["encoding"], listed(*start[:2], listed(), integer(1), NONE, TRUE), "malformed")
    bad("a list for a cursor", ["encoding"], listed(*start, integer(1), listed(), TRUE), "malformed")
    for topic in (b"", b"\x80" * 3, b"\x80" * 5):
        bad(f"a topic of {len(topic)} bytes", ["form"], seven(topics=[topic]), "topic_length")
    bad("a list for a topic", ["encoding"], listed(*start, listed(listed()), integer(1), NONE, TRUE), "malformed")

    bad("in clear: ends before it starts", ["bounds"], plain(lower=TO + 1), "range", sealed=False)
    bad("in clear: a limit of 1001", ["bounds"], plain(limit=1001), "limit", sealed=False)
    bad("in clear: no filter", [], plain(bloom=b""), "bloom_empty", sealed=False)
    for length in (35, 37):
        bad(f"in clear: a cursor of {length} bytes", ["cursor"], plain(cursor=b"\x80" * length), "cursor_length", sealed=False)
    for length in (0, 31, 33):
        bad(f"in clear: an id of {length} bytes", ["encoding"], plain(id=b"\x80" * length), "malformed", sealed=False)
    bad("in clear: nothing", ["encoding"], b"", "malformed", sealed=False)
    bad("in clear: no list", ["encoding"], NONE, "malformed", sealed=False)
    bad("in clear: five items", ["encoding"], listed(string(ID), *start[:2], integer(1), NONE), "malformed", sealed=False)
    bad("in clear: something follows", ["encoding"], plain() + b"\x00", "malformed", sealed=False)
    file.write(folder / "request.json")


def completions(folder):
    file = File("mail-complete", {
        "short": ("Parts that are missing at the end are tolerated.", ""),
        "length": ("No completion has this length.", "Ends the connection at Status nodes, and reads out of bounds at careless ones."),
        "encoding": ("Not one RLP string.", ""),
        "refusal": ("A word, an id and a text.", ""),
    })
    last = b"\x22" * 32

    def output(last=None, cursor=None, error=None):
        return {"id": ID.hex(), "last": last and last.hex(), "cursor": cursor and cursor.hex(), "error": error}

    def good(comment, flags, content, wanted):
        file.add(comment, flags, {"payload": string(content).hex()}, wanted)

    def bad(comment, flags, payload, reason):
        file.add(comment, flags, {"payload": payload.hex()}, reason=reason)

    good("all of it", [], ID + last, output(last))
    good("more of it", [], ID + last + CURSOR, output(last, CURSOR))
    good("nothing was found", [], ID + bytes(32), output())
    good("an id alone", ["short"], ID, output())
    good("an id and half a hash", ["short"], ID + last[:16], output())
    good("a cursor that is cut off", ["short"], ID + last + CURSOR[:35], output(last))
    good("a refusal", ["refusal"], b"ERROR=" + ID + b"rate limit exceeded", output(error="rate limit exceeded"))
    good("a refusal without a word", ["refusal"], b"ERROR=" + ID, output(error=""))
    good("a refusal as long as a completion may not be", ["refusal"], b"ERROR=" + ID + b"x" * 200, output(error="x" * 200))
    for length in (0, 1, 6, 31):
        bad(f"{length} bytes", ["length"], string(b"\x80" * length), "too_short")
    bad("the word alone", ["refusal", "length"], string(b"ERROR="), "too_short")
    bad("the word and 25 bytes", ["refusal", "length"], string(b"ERROR=" + ID[:25]), "too_short")
    for length in (101, 104, 200, 5000):
        bad(f"{length} bytes", ["length"], string(b"\x80" * length), "too_long")
    bad("a refusal without end", ["refusal", "length"], string(b"ERROR=" + ID + b"x" * 1025), "too_long")
    for comment, payload in (
        ("nothing", b""), ("a list", listed(string(ID), string(last))), ("an empty list", b"\xc0"),
        ("cut off", string(ID + last)[:-1]), ("something follows", string(ID + last) + b"\x00"),
        ("a length with a leading zero", b"\xb9\x00" + bytes([64]) + ID + last),
        ("a long form for a short string", b"\xb8\x20" + ID), ("one byte behind a prefix", b"\x81\x05"),
    ):
        bad(comment, ["encoding"], payload, "malformed")
    file.write(folder / "complete.json")


def syncs(folder):
    file = File("mail-sync", {
        "bounds": ("At or beyond what a request may ask for.", "Ends the connection at Status servers."),
        "encoding": ("Not the one encoding.", ""),
        "cursor": ("Not the start of a key.", ""),
        "hostile": ("More than anybody can have asked for.", "The original archives whatever comes."),
    })
    envelope = bytes.fromhex("ef845f5e100f0f8470a4beefa0000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f820135")

    def request(lower=FROM, upper=TO, bloom=ALL, limit=100, cursor=b""):
        return listed(integer(lower), integer(upper), string(bloom), integer(limit), string(cursor))

    def response(envelopes=(), cursor=b"", final=0, error=b""):
        return listed(listed(*envelopes), string(cursor), integer(final), string(error))

    def good(comment, code, payload, wanted, flags=()):
        file.add(comment, list(flags), {"code": code, "payload": payload.hex()}, wanted)

    def bad(comment, flags, code, payload, reason):
        file.add(comment, flags, {"code": code, "payload": payload.hex()}, reason=reason)

    def asked(lower=FROM, upper=TO, bloom=ALL, limit=100, cursor=b""):
        return {"lower": lower, "upper": upper, "bloom": bloom.hex(), "limit": limit, "cursor": cursor.hex()}

    def said(envelopes=(), cursor=b"", final=False, error=""):
        return {"envelopes": [raw.hex() for raw in envelopes], "cursor": cursor.hex(), "final": final, "error": error}

    good("a request", 123, request(), asked())
    good("the next page", 123, request(cursor=CURSOR), asked(cursor=CURSOR))
    good("the least limit", 123, request(limit=1), asked(limit=1), ["bounds"])
    good("the highest limit", 123, request(limit=1000), asked(limit=1000), ["bounds"])
    good("one second", 123, request(lower=TO), asked(lower=TO), ["bounds"])
    good("two envelopes", 124, response([envelope, envelope]), said([envelope, envelope]))
    good("the end of a page", 124, response(cursor=CURSOR, final=1), said(cursor=CURSOR, final=True))
    good("the end", 124, response(final=1), said(final=True))
    good("a failure", 124, response(error=b"no"), said(error="no"))
    for limit in (0, 1001, (1 << 32) - 1):
        bad(f"a limit of {limit}", ["bounds"], 123, request(limit=limit), "limit")
    bad("it ends before it starts", ["bounds"], 123, request(lower=TO + 1), "range")
    bad("no filter", [], 123, request(bloom=b""), "bloom_empty")
    bad("a filter of 63 bytes", [], 123, request(bloom=ALL[1:]), "bloom_length")
    for length in (35, 37):
        bad(f"a cursor of {length} bytes", ["cursor"], 123, request(cursor=b"\x80" * length), "cursor_length")
        bad(f"a response with one", ["cursor"], 124, response(cursor=b"\x80" * length), "cursor_length")
    bad("nothing", ["encoding"], 123, b"", "malformed")
    bad("an empty list", ["encoding"], 123, b"\xc0", "malformed")
    bad("a time of five bytes", ["encoding"], 123, request(upper=1 << 32), "malformed")
    bad("six fields", ["encoding"], 123, listed(integer(FROM), integer(TO), string(ALL), integer(1), NONE, TRUE), "malformed")
    bad("something follows", ["encoding"], 123, request() + b"\x00", "malformed")
    bad("no response", ["encoding"], 124, NONE, "malformed")
    bad("three fields", ["encoding"], 124, listed(listed(), NONE, NONE), "malformed")
    bad("five fields", ["encoding"], 124, listed(listed(), NONE, NONE, NONE, NONE), "malformed")
    bad("neither final nor not", ["encoding"], 124, response(final=2), "malformed")
    bad("a string for envelopes", ["encoding"], 124, listed(NONE, NONE, NONE, NONE), "malformed")
    bad("a string for an envelope", ["encoding"], 124, response([NONE]), "malformed")
    bad("a list for a text", ["encoding"], 124, listed(listed(), NONE, NONE, listed()), "malformed")
    bad("1001 envelopes", ["hostile"], 124, response([b"\xc0"] * 1001), "too_many")
    bad("a text without end", ["hostile"], 124, response(error=b"x" * 1025), "text_too_long")
    file.write(folder / "sync.json")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    requests(folder)
    completions(folder)
    syncs(folder)
