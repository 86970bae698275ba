#!/usr/bin/env python3
"""Starts an extension: its file, its test, its lines in meson.build and in the registry.

usage: tools/new_extension.py A/B/c MESSAGE      e.g. filters/http/cors Cors

A/B/c is the folder of its proto, proto/envoy/extensions/A/B/c/v3/c.proto, which must be there first
(proto/README.md says how to add one). MESSAGE is the configuration message in it.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTENSIONS = ROOT / "dataplane/extensions"

# Folder -> category, descriptor type, prefix of the exported symbol, header of the type.
KINDS = {
    "filters/http": ("EXT_HTTP_FILTER", "http_filter_type", "http_filter", "dataplane/http/filter.h"),
    "filters/network": ("EXT_NETWORK_FILTER", "network_filter_type", "network_filter",
                        "dataplane/net/network_filter.h"),
}

SOURCE = """\
/*
 * TODO(issue): what it does, on which requests, and what it leaves to others. Worker threads;
 * {name}_parse: main thread.
 *
 * Trust: TODO(issue): which of its inputs a peer controls.
 * Buffers: TODO(issue): what it holds back, and what bounds it.
 * Differs from Envoy: TODO(issue).
 */

#include "{header}"

#include "config/parse/context.h"
#include "proto/envoy/extensions/{path}/v3/{name}.pb-c.h"

static int {name}_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                        const void **ret_config)
{{
    /* TODO(issue): validate, and copy what is needed into the arena of ctx. */
    return 0;
}}

const struct {type} {symbol} = {{
    .ext =
        {{
            .name = "envoy.{dotted}",
            .category = {category},
            .descriptor = &envoy__extensions__{c_path}__v3__{c_message}__descriptor,
            .parse = {name}_parse,
        }},
}};
"""

TEST = """\
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "{header}"

extern const struct {type} {symbol};

static void {name}_does_what_it_says(void **state)
{{
    (void)state;
    fail_msg("%s: no test yet", {symbol}.ext.name);
}}

int main(void)
{{
    const struct CMUnitTest tests[] = {{
        cmocka_unit_test({name}_does_what_it_says),
    }};

    return cmocka_run_group_tests(tests, NULL, NULL);
}}
"""


def snake(message):
    """protoc-c's spelling of a message name: CamelCase -> camel_case."""
    return re.sub(r"(?<=.)([A-Z])", r"_\1", message).lower()


def insert_sorted(path, pattern, line, error):
    """Puts `line` among the lines of `path` that match `pattern`, in order."""
    lines = path.read_text(encoding="utf-8").split("\n")
    if line in lines:
        return
    at = [i for i, text in enumerate(lines) if re.match(pattern, text)]
    if not at:
        sys.exit(f"{path.relative_to(ROOT)}: {error}; add by hand: {line.strip()}")
    position = next((i for i in at if lines[i] > line), at[-1] + 1)
    lines.insert(position, line)
    path.write_text("\n".join(lines), encoding="utf-8")


def insert_meson(array, name):
    """Puts `name` into an array of dataplane/extensions/meson.build, kept in order."""
    path = EXTENSIONS / "meson.build"
    text = path.read_text(encoding="utf-8")
    m = re.search(rf"^{array} = \[(.*?)\]", text, re.M | re.S)
    names = sorted(set(re.findall(r"'([^']+)'", m.group(1))) | {name})
    body = "".join(f"  '{n}',\n" for n in names)
    path.write_text(f"{text[:m.start()]}{array} = [\n{body}]{text[m.end():]}", encoding="utf-8")


def main():
    if len(sys.argv) != 3 or not re.fullmatch(r"[a-z0-9_]+(/[a-z0-9_]+)+", sys.argv[1]):
        sys.exit(__doc__)
    path, message = sys.argv[1], sys.argv[2]
    folder, name = path.rsplit("/", 1)
    if folder not in KINDS:
        sys.exit(f"no skeleton for {folder}: there are {', '.join(KINDS)}; copy a neighbour instead")
    proto = ROOT / f"proto/envoy/extensions/{path}/v3/{name}.proto"
    if not proto.exists():
        sys.exit(f"{proto.relative_to(ROOT)} is not there: add the message first (proto/README.md)")
    if not re.search(rf"^message {message} ", proto.read_text(encoding="utf-8"), re.M):
        sys.exit(f"{proto.relative_to(ROOT)} has no message {message}")

    category, kind, prefix, header = KINDS[folder]
    values = dict(path=path, name=name, header=header, type=kind, category=category, symbol=f"{prefix}_{name}",
                  dotted=path.replace("/", "."), c_path=path.replace("/", "__"), c_message=snake(message))
    for suffix, template in (("", SOURCE), ("_test", TEST)):
        file = EXTENSIONS / f"{path}{suffix}.c"
        if file.exists():
            sys.exit(f"{file.relative_to(ROOT)} is already there")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(template.format(**values), encoding="utf-8")
        subprocess.run(["clang-format-14", "--style=file", "-i", str(file)], check=True)
        print(file.relative_to(ROOT))
    insert_meson("sources", f"{path}.c")
    insert_meson("tests", f"{path}_test.c")
    registry = EXTENSIONS / "registry.c"
    insert_sorted(registry, r"extern const struct \w+ \w+;", f"extern const struct {kind} {values['symbol']};",
                  "no declarations found")
    insert_sorted(registry, r"    &\w+\.ext,", f"    &{values['symbol']}.ext,", "no table found")


if __name__ == "__main__":
    main()
