# SPDX-License-Identifier: MIT
"""XXH3-64 with seed 0 and the default secret, for 9 bytes and more (xxHash specification 0.8)."""
import struct

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
M = (1 << 64) - 1
P32 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
       0x27D4EB2F165667C5)
WORDS = struct.Struct("<8Q").unpack_from
KEYS = [WORDS(SECRET, 8 * i) for i in range(17)]


def word(b, at):
    return int.from_bytes(b[at:at + 8], "little")


def fold(a, b):
    product = a * b
    return product & M ^ product >> 64


def avalanche(h):
    h ^= h >> 37
    h = h * 0x165667919E3779F9 & M
    return h ^ h >> 32


def mix(d, at, key):
    return fold(word(d, at) ^ word(SECRET, key), word(d, at + 8) ^ word(SECRET, key + 8))


def accumulate(acc, data, keys):
    for i in range(8):
        key = data[i] ^ keys[i]
        acc[i ^ 1] = acc[i ^ 1] + data[i] & M
        acc[i] = acc[i] + (key & 0xffffffff) * (key >> 32) & M


def long(d):
    n = len(d)
    acc = [P32[2], P64[0], P64[1], P64[2], P64[3], P32[1], P64[4], P32[0]]
    blocks = (n - 1) // 1024
    for b in range(blocks):
        for i in range(16):
            accumulate(acc, WORDS(d, 1024 * b + 64 * i), KEYS[i])
        for i in range(8):
            acc[i] = (acc[i] ^ acc[i] >> 47 ^ KEYS[16][i]) * P32[0] & M
    for i in range((n - 1 - 1024 * blocks) // 64):
        accumulate(acc, WORDS(d, 1024 * blocks + 64 * i), KEYS[i])
    accumulate(acc, WORDS(d, n - 64), WORDS(SECRET, 121))
    h = n * P64[0]
    for i in range(4):
        h += fold(acc[2 * i] ^ word(SECRET, 11 + 16 * i), acc[2 * i + 1] ^ word(SECRET, 19 + 16 * i))
    return avalanche(h & M)


def xxh3(d):
    n = len(d)
    if n > 240:
        return long(d)
    if n <= 16:
        a = word(d, 0) ^ word(SECRET, 24) ^ word(SECRET, 32)
        b = word(d, n - 8) ^ word(SECRET, 40) ^ word(SECRET, 48)
        return avalanche(n + int.from_bytes(a.to_bytes(8, "little"), "big") + b + fold(a, b) & M)
    h = n * P64[0]
    if n <= 128:
        for i in range((n - 1) // 32 + 1):
            h += mix(d, 16 * i, 32 * i) + mix(d, n - 16 * (i + 1), 32 * i + 16)
        return avalanche(h & M)
    for i in range(8):
        h += mix(d, 16 * i, 16 * i)
    h = avalanche(h & M)
    for i in range(8, n // 16):
        h += mix(d, 16 * i, 16 * (i - 8) + 3)
    return avalanche(h + mix(d, n - 16, 119) & M)
