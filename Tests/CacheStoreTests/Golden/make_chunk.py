# SPDX-License-Identifier: Apache-2.0
"""Writes chunk files as ops/cache-format.md describes them, without any code of the program.

usage: python3 make_chunk.py        writes plain.chunk, child.chunk and encrypted.chunk beside this file
Needs the package cryptography.
"""
import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET = bytes(range(32))


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def count(data):
    return struct.pack("<Q", len(data)) + data


def fingerprint(weights, tokenizer, compressor, rope, segment, **more):
    parts = [("format", "1"), ("weights", weights), ("tokenizer", tokenizer), ("compressor", compressor), ("rope", rope),
             ("segment", str(segment))] + sorted(more.items())
    return sha(b"deltakv fingerprint 1\0", *(count(name.encode()) + count(value.encode()) for name, value in parts))


def salt_tag(salt, secret):
    if secret is not None:
        salt = hmac.new(secret, b"deltakv salt 1\0" + salt, hashlib.sha256).digest()
    return sha(b"deltakv salt 1\0", count(salt))


def lz4_repeat(byte, times):
    """One LZ4 block: a literal, a match at distance 1, and five literals, as the block format demands at its end."""
    match = times - 6 - 4
    token = bytes([0x1F]) if match >= 15 else bytes([0x10 | match])
    extra = b""
    if match >= 15:
        rest = match - 15
        extra = b"\xff" * (rest // 255) + bytes([rest % 255])
    return token + bytes([byte]) + b"\x01\x00" + extra + b"\x50" + bytes([byte]) * 5


def chunk(chain, index, sections, created, seconds, secret=None, nonce=bytes(32)):
    """sections: (id, encoding, packed, raw length). chain: fingerprint, salt, lists of tokens."""
    finger, salt, segments = chain
    tag = salt_tag(salt, secret)
    parent, key = None, sha(b"deltakv root 1\0", finger, tag)
    lineage = sha(b"deltakv lineage 1\0", tag)
    for tokens in segments[:index + 1]:
        ids = struct.pack("<I", len(tokens)) + struct.pack(f"<{len(tokens)}I", *tokens)
        parent, key = key, sha(b"deltakv chunk 1\0", key, ids)
        lineage = sha(b"deltakv lineage chunk 1\0", lineage, ids)
    ids = struct.pack(f"<{len(tokens)}I", *tokens)
    size = 304 + len(ids) + 40 * len(sections) + sum(len(packed) for _, _, packed, _ in sections)
    head = b"DKVCACHE" + struct.pack("<IIQIIIIqdQ", 1, int(secret is not None), size, index, len(tokens), len(sections), 0,
                                     created, seconds, 0)
    head += key + parent + lineage + finger + tag + nonce
    assert len(head) == 256
    entries = [struct.pack("<IIQQ", id, encoding, len(packed), raw) for id, encoding, packed, raw in sections]
    bodies = [packed for _, _, packed, _ in sections]
    if secret is None:
        token_tag, checks = bytes(16), [sha(body)[:16] for body in bodies]
    else:
        cipher = AESGCM(HKDF(hashes.SHA256(), 32, nonce, b"deltakv cache 1").derive(secret))

        def seal(part, data, context):
            sealed = cipher.encrypt(bytes(4) + struct.pack("<Q", part), data, context)
            return sealed[:-16], sealed[-16:]

        ids, token_tag = seal(0, ids, head)
        sealed = [seal(i + 1, body, head + entry) for i, (body, entry) in enumerate(zip(bodies, entries))]
        bodies, checks = [body for body, _ in sealed], [check for _, check in sealed]
    header = head + token_tag + ids + b"".join(entry + check for entry, check in zip(entries, checks))
    return key.hex(), header + sha(header) + b"".join(bodies)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    tokens = [[1, 2, 3, 70000], [4, 5, 6, 7]]
    chain = (fingerprint("w", "t", "c", "r", 4, extra="e"), b"tenant", tokens)
    first = [(7, 0, b"some bytes", 10), (3, 1, lz4_repeat(65, 1000), 1000), (9, 0, b"", 0)]
    second = [(7, 0, bytes(range(256)), 256)]
    files = {
        "plain": chunk(chain, 0, first, 1_790_000_000_000_001, 1.25),
        "child": chunk(chain, 1, second, 1_790_000_000_000_002, 0.5),
        "encrypted": chunk(chain, 0, first, 1_790_000_000_000_001, 1.25, SECRET, bytes(range(100, 132))),
    }
    for name, (key, data) in files.items():
        with open(f"{here}/{name}.chunk", "wb") as file:
            file.write(data)
        print(f"{name}.chunk is {key}")


main()
