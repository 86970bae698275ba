#!/usr/bin/env python3
"""Writes header_hash.h: the perfect hash over the names of HEADER_LIST in header_map.h.

Run it after changing that list (header_map.c refuses to compile until then):
    dataplane/codec/header_hash_gen.py
"""

import pathlib
import random
import re

HERE = pathlib.Path(__file__).resolve().parent
SIZE = 512


def slot(name: bytes, factors: tuple) -> int:
    """header_hash() in header_map.c."""
    n = len(name)
    a, b, c, d = factors
    value = n * a + name[n // 2] * b + name[n * 3 // 4] * c + name[-1] * d
    return (value >> 4) % SIZE


def main() -> None:
    text = (HERE / "header_map.h").read_text()
    pairs = re.findall(r'X\((HDR_[A-Z0-9_]+), "([^"]+)"\)', text)
    rng = random.Random(len(pairs))
    for _ in range(200000):
        factors = tuple(rng.randrange(1, 4096) for _ in range(4))
        slots = {slot(name.encode(), factors): ident for ident, name in pairs}
        if len(slots) == len(pairs):
            break
    else:
        raise SystemExit("no perfect hash found: look at other bytes of the name")
    lines = [
        "#ifndef DATAPLANE_CODEC_HEADER_HASH_H",
        "#define DATAPLANE_CODEC_HEADER_HASH_H",
        "",
        "/* Written by header_hash_gen.py from HEADER_LIST; for header_map.c only. */",
        "",
        f"#define HEADER_HASH_NAMES {len(pairs)}",
        f"#define HEADER_HASH_SIZE {SIZE}",
    ]
    lines += [f"#define HEADER_HASH_{k} {v}U" for k, v in zip(("LEN", "HALF", "QUARTER3", "LAST"), factors)]
    lines += ["", "static const unsigned char header_hash_table[HEADER_HASH_SIZE] = {"]
    lines += [f"    [{i}] = {slots[i]}," for i in sorted(slots)]
    lines += ["};", "", "#endif", ""]
    (HERE / "header_hash.h").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
