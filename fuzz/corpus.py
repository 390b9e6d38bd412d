#!/usr/bin/env python3
"""The committed inputs of the fuzz targets: one file per target, an input per line, in hex; `#` starts a remark.

  corpus.py seed VECTORS            writes corpus/*.txt anew from the test vectors and a few scripts (remarked inputs stay)
  corpus.py unpack TARGET DIR       one file per input, as libFuzzer wants them
  corpus.py pack TARGET DIR [KIB]   the inputs of a minimised folder, shortest first, up to so many KiB of hex
"""
import base64
import hashlib
import json
import pathlib
import random
import sys

CORPUS = pathlib.Path(__file__).parent / "corpus"


def read(target):
    """Pairs of remark and input; what follows a remark belongs to it."""
    path, found, remark = CORPUS / f"{target}.txt", [], None
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("#"):
            remark = line
        else:
            found.append((remark, bytes.fromhex(line)))
            remark = None
    return found


def write(target, inputs):
    """Remarked inputs that were committed before stay, whatever comes."""
    kept = [(remark, data) for remark, data in read(target) if remark]
    held = {data for _, data in kept}
    fresh = [(None, data) for data in sorted(set(inputs) - held, key=lambda data: (len(data), data))]
    lines = [line for remark, data in kept + fresh for line in ([remark] if remark else []) + [data.hex()]]
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{target}.txt").write_text("\n".join(lines) + "\n")
    print(f"{target}: {len(kept) + len(fresh)} inputs")


def unpack(target, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for _, data in read(target):
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def pack(target, folder, kib=64):
    inputs = sorted((path.read_bytes() for path in pathlib.Path(folder).iterdir()), key=len)
    chosen, room = [], kib * 512
    for data in inputs:
        if 0 < len(data) <= room:
            chosen.append(data)
            room -= len(data)
    write(target, chosen)


def rlp(value):
    if isinstance(value, int):
        value = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if isinstance(value, bytes):
        if len(value) == 1 and value[0] < 0x80:
            return value
        return header(0x80, len(value)) + value
    content = b"".join(map(rlp, value))
    return header(0xC0, len(content)) + content


def header(base, length):
    if length < 56:
        return bytes([base + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(size)]) + size


def seed(vectors):
    vectors = pathlib.Path(vectors)
    tests = lambda area, name: json.loads((vectors / area / f"{name}.json").read_text())["tests"]
    inputs = lambda area, name, field: [bytes.fromhex(test["input"][field]) for test in tests(area, name)]
    small = lambda data: [each for each in data if 0 < len(each) <= 2048]
    write("envelope", small(inputs("whisper", "envelope", "rlp")))
    packets = [bytes([test["input"]["code"] & 0xFF]) + bytes.fromhex(test["input"]["payload"]) for test in tests("whisper", "packet")]
    one, texts = bytes(range(32)), (b"", b"very old envelope", b"\xff" * 40)
    faults = [[bytes([number] * 32), 37 + number, text] for number, text in enumerate(texts)]
    packets += [b"\x0b" + rlp(one), b"\x0c" + rlp([1, [one, faults]]), b"\x0c" + rlp([1, [one, []]]), b"\x0c" + rlp([2, b""]), b"\x14" + rlp([1, 2, 3])]
    bundles = [packet[1:] for packet in packets if packet[0] == 1][:6]
    packets += [b"\x7f" + bundle for bundle in bundles] + [b"\x7f" + bundle[1:] for bundle in bundles]
    packets += [b"\0" + payload for payload in inputs("whisper", "status", "payload")]
    write("packet", small(packets))
    keyed = [bytes([kind, 16]) + packet for kind, name in ((0, "auth"), (1, "ack")) for packet in inputs("rlpx", name, "packet")]
    write("handshake", small(keyed))
    write("handshake_body", bodies(tests("rlpx", "auth"), tests("rlpx", "ack")))
    hellos = [b"\0" + payload for payload in inputs("rlpx", "hello", "payload")]
    reasons = [bytes.fromhex(text) for text in ("01c104", "0104", "0180", "01c0", "01c110", "01c5010203", "01c20102", "01c281ff")]
    blocks = [bytes.fromhex(text) for text in ("020100c0", "02", "0281808008", "020a24" + "00" * 10, "02ffffffff07", "02f403fe0100fe0100", "0341414141")]
    write("base", small(hellos) + reasons + blocks)
    key = "1b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f70beaf8f588b541507fed6a642c5ab42dfdf8120a7f639de5122d47a69a8e8d1"
    places = ["127.0.0.1:30303", "[::1]:30303", "10.3.58.6:30303?discport=30301", "[::ffff:1.2.3.4]:1", "host:1", "1.2.3.4", "1.2.3.4:65536", "1.2.3.4:1?discport=0", "1.2.3.4:1?x=1"]
    write("enode", [f"enode://{digits}@{place}".encode() for digits in (key, key.upper(), key[:-2], "0" * 128) for place in places])
    plain = plaintexts(tests("whisper", "payload"))
    write("message", plain)
    write("message_parts", plain)
    write("opener", [bytes([kind | mend << 1, 16]) + packet for kind, name in ((0, "auth"), (1, "ack")) for packet in small(inputs("rlpx", name, "packet")) for mend in (0, 1, 2)])
    datagrams = [bytes.fromhex(test["input"]["packet"]) for test in tests("discv4", "packet")]
    write("discv4", [bytes([mend]) + datagram for datagram in small(datagrams) for mend in (0, 1)])
    texts = [test["input"]["text"] for test in tests("enr", "text")]
    write("enr", [text.encode() for text in texts])
    write("enr_pairs", [raw for raw in map(record, texts) if raw])
    write("signature", [bytes(32 - len(digest)) + digest + made for digest in (b"", b"digest", b"\xff" * 32) for made in signatures(datagrams)])
    write("mail", mail())
    for target, choices in (("frame", 6), ("session", 13), ("node", 16)):
        write(target, scripts(target, choices))


def bodies(auths, acks):
    found = []
    for test in auths:
        if test["result"] == "valid":
            out = {name: bytes.fromhex(test["output"][name]) for name in ("signature", "public_key", "nonce")}
            fields = [out["signature"], out["public_key"], out["nonce"], 4]
            found += [b"\0" + rlp(fields), b"\0" + rlp(fields + [b"more"]) + bytes(9), b"\0" + rlp(fields[:3])]
            found.append(b"\2" + out["signature"] + bytes(32) + out["public_key"] + out["nonce"] + b"\0")
    for test in acks:
        if test["result"] == "valid":
            key, nonce = bytes.fromhex(test["output"]["ephemeral_public_key"]), bytes.fromhex(test["output"]["nonce"])
            found += [b"\1" + rlp([key, nonce, 4]), b"\1" + rlp([key, nonce]), b"\3" + key + nonce + b"\0"]
    return found[:60]


def mail():
    bloom, cursor, name = b"\xff" * 64, bytes(range(36)), bytes(range(32))
    lower, upper = 1_600_000_000, 1_600_003_600
    raw = lower.to_bytes(4, "big") + upper.to_bytes(4, "big")
    sealed = [rlp([lower, upper, bloom, 100, b"", 1]), rlp([lower, upper, bloom, 100, cursor, 0]), rlp([lower, 0, b"", 0, b"", 1])]
    sealed += [rlp([lower, upper, bloom, [b"abcd", b"efgh"], 1000, cursor, 1]), raw, raw + bloom, raw + bloom + b"\0\0\0\7", raw + bloom + b"\0\0\0\7" + cursor, raw + bloom + b"\0\0\0\7" + cursor + b"abcd"]
    plain = [rlp([name, lower, upper, 100, cursor, bloom]), rlp([name, upper, lower, 2**32 - 1, b"", b""]), rlp([name, lower, upper, 100, bytes(35), bloom])]
    done = [rlp(name), rlp(name * 2), rlp(name * 2 + cursor), rlp(b"ERROR="), rlp(b"ERROR=" + name[:31]), rlp(b"ERROR=" + name + b"why"), rlp(b"")]
    sync = [rlp([lower, upper, bloom, 100, cursor]), rlp([lower, upper, bloom, 0, b""]), rlp([lower, upper, bloom, 1001, b""])]
    parts = [rlp([[[1, 2], [3]], cursor, 1, b""]), rlp([[], b"", 0, b"why"]), rlp([[1], b"", 1, b""])]
    return [bytes([kind]) + each for kind, group in enumerate((sealed, plain, done, sync, parts)) for each in group]


def plaintexts(tests):
    found = [bytes.fromhex(text) for text in ("00", "01", "0100", "0105aabbccddee", "0205001122334455", "03050000112233445566", "03ffffff00", "07", "04" * 65, "04" * 66)]
    for test in tests:
        if test["result"] == "valid":
            payload, padding = bytes.fromhex(test["output"]["payload"]), bytes.fromhex(test["output"]["padding"])
            if len(payload) + len(padding) < 1024:
                length = len(payload).to_bytes(2 if len(payload) > 255 else 1, "little")
                found.append(bytes([len(length)]) + length + payload + padding)
                found.append(bytes([4 | len(length)]) + length + payload + padding + bytes(range(1, 65)) + b"\1")
    return found


def record(text):
    """The bytes of a node record's text, if it is one."""
    try:
        return base64.urlsafe_b64decode(text.removeprefix("enr:") + "=" * (-len(text.removeprefix("enr:")) % 4))
    except ValueError:
        return b""


def signatures(datagrams):
    """Of good datagrams, and around the edges of the group."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    edges = [number.to_bytes(32, "big") for number in (0, 1, order // 2, order // 2 + 1, order - 1, order, 2**256 - 1)]
    made = [r + s + bytes([v]) for r in edges[:2] + edges[4:6] for s in edges for v in (0, 3)]
    return [datagram[32:97] for datagram in datagrams[:6] if len(datagram) >= 97] + made[::3]



def scripts(target, choices):
    """A life as it should be, and some noise for the fuzzer to start from."""
    noise = random.Random(target)
    lives = {
        # Sealed, cut and delivered; then damaged.
        "frame": ["00018003c0c0c0" + "0400200400ff", "01011003aabbcc" + "050fff" + "00011101bb" + "0200034005ffff"],
        # Admitted, Hello, everything delivered, Status, pings, a message of ours.
        "session": ["06" + "0001" + "0cffff" + "021002c106" + "0cffff" + "021102c0c0" + "0cffff" + "0202" + "01c0" + "0cffff" + "09" + "070001" + "02c106" + "0b3a98" + "0803"],
        # Two peers with a Status each, an envelope from one, ticks, a post, a jump.
        "node": ["0000" + "0001" + "02" + "0000" + "0000" + "02" + "0100" + "0000" + "04" + "0001" + "1f" + "20" + "00" + "05" + "01" + "0a0190" + "06" + "1f" + "14" + "01" + "02" + "03" + "0a03e8" + "0500" + "00" + "0901" + "05" + "0a7530"],
    }[target]
    found = [bytes.fromhex(life) for life in lives]
    found += [found[0] * 3, found[-1][::-1]]
    found += [bytes(noise.randrange(choices) if noise.random() < 0.6 else noise.randrange(256) for _ in range(noise.randrange(8, 160))) for _ in range(20)]
    return found


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["seed", vectors]:
            seed(vectors)
        case ["unpack", target, folder]:
            unpack(target, folder)
        case ["pack", target, folder, *kib]:
            pack(target, folder, *map(int, kib))
        case _:
            sys.exit(__doc__)
