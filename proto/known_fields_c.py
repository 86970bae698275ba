#!/usr/bin/env python3
"""Turns known_fields.txt into the C table behind known_fields.h.

usage: known_fields_c.py KNOWN_FIELDS_TXT OUTPUT_C
"""

import re
import sys

FLAGS = {"deprecated": "KNOWN_DEPRECATED", "narrowing": "KNOWN_NARROWING"}
MAP = re.compile(r"map<\w+,(.+)>")
NO_MESSAGE = 0xFFFF


class Strings:
    """One pool of NUL-terminated strings, each stored once."""

    def __init__(self):
        self.offsets = {}
        self.size = 0

    def add(self, text):
        if text not in self.offsets:
            self.offsets[text] = self.size
            self.size += len(text) + 1
        return self.offsets[text]


def read(path):
    """[(message, [(number, name, type, is_repeated, marks)])], in the order of the file."""
    messages = []
    with open(path, encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if line.startswith("#"):
                continue
            if not line.startswith(" "):
                messages.append((words[0], []))
                continue
            number, name, *rest = words
            is_repeated = rest[0] == "repeated"
            field_type, *marks = rest[1:] if is_repeated else rest
            messages[-1][1].append((int(number), name, field_type, is_repeated, marks))
    if [m for m, _ in messages] != sorted(m for m, _ in messages):
        sys.exit(f"{path}: the messages are not sorted: lookups would fail")
    return messages


def field_row(field, indexes, oneofs, strings):
    number, name, field_type, is_repeated, marks = field
    flags = ["KNOWN_REPEATED"] if is_repeated else []
    map_type = MAP.fullmatch(field_type)
    if map_type:
        flags.append("KNOWN_MAP")
        field_type = map_type.group(1)
    message = indexes.get(field_type, NO_MESSAGE)
    kind = "KNOWN_MESSAGE" if message != NO_MESSAGE else "KNOWN_" + field_type.upper()
    oneof = 0
    for mark in marks:
        if mark.startswith("oneof="):
            oneof = oneofs.setdefault(mark.rstrip("!"), len(oneofs) + 1)
            flags += ["KNOWN_ONEOF_REQUIRED"] if mark.endswith("!") else []
        else:
            flags.append(FLAGS[mark])
    return (
        f"    {{{strings.add(name)}, {number}, {message}, {kind}, {' | '.join(flags) or 0}, {oneof}}},"
    )


def main():
    messages = read(sys.argv[1])
    indexes = {name: i for i, (name, _) in enumerate(messages)}
    strings = Strings()
    message_rows, field_rows = [], []
    for name, fields in messages:
        message_rows.append(f"    {{{strings.add(name)}, {len(field_rows)}, {len(fields)}}},")
        oneofs = {}
        field_rows += [field_row(f, indexes, oneofs, strings) for f in fields]
    if max(len(messages), len(field_rows)) >= NO_MESSAGE:
        sys.exit("the table outgrew its 16-bit numbers")
    with open(sys.argv[2], "w", encoding="ascii") as out:
        print('#include "proto/known_fields_table.h"\n', file=out)
        print("const char known_strings[] =", file=out)
        print("\n".join(f'    "{s}\\0"' for s in strings.offsets) + ";\n", file=out)
        print("const struct known_message known_messages[] = {", file=out)
        print("\n".join(message_rows) + "\n};", file=out)
        print(f"const size_t known_message_count = {len(messages)};\n", file=out)
        print("const struct known_field known_fields[] = {", file=out)
        print("\n".join(field_rows) + "\n};", file=out)


if __name__ == "__main__":
    main()
