#!/usr/bin/env python3
"""Writes the table of all message descriptors: descriptors.py OUTPUT HEADER SOURCE...

Reads protoc-c's output, where each message has a symbol and, in the .c file, its full name.
"""

import re
import sys

SYMBOL = re.compile(r"const ProtobufCMessageDescriptor (\w+) =\s*\{\s*PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,\s*\"([^\"]+)\"")


def main() -> None:
    output, *sources = sys.argv[1:]
    found = {}
    for source in sources:
        if source.endswith(".c"):
            with open(source, encoding="utf-8") as f:
                for symbol, name in SYMBOL.findall(f.read()):
                    found[name] = symbol
    lines = ["/* Written by descriptors.py. */", "", '#include "proto/descriptors.h"', ""]
    for name in sorted(found):
        lines.append(f"extern const ProtobufCMessageDescriptor {found[name]};")
    lines += ["", "const ProtobufCMessageDescriptor *const proto_descriptors[] = {"]
    lines += [f"    &{found[name]}, /* {name} */" for name in sorted(found, key=lambda n: n.encode())]
    lines += ["};", "", "const size_t proto_descriptor_count =",
              "    sizeof(proto_descriptors) / sizeof(proto_descriptors[0]);", ""]
    with open(output, "w", encoding="utf-8") as f:
        f.write("\n".join(lines))


if __name__ == "__main__":
    main()
