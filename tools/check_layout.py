#!/usr/bin/env python3
"""Holds the tree to its layout rules; part of the test run (suite `layout`).

  1  name -> path: an extension lives where its proto's name says and exports one symbol
  2  direction: includes only point down the table below (the README's, and meson.build's)
  3  one file per foreign library family
  4  beside the code: x_test.c and x_fuzz.c next to x.c, or a word on what they test; every file is listed in a meson.build
  5  the style guide where a script can see it: banned functions, braces, guards, first lines

Sizes and missing tests are printed as advice and never fail.
Usage: tools/check_layout.py [--self-test | ROOT]
"""

import os
import re
import sys
import tempfile

# --- Rule 2 -----------------------------------------------------------------------------------------
# Folder -> folders it may include besides itself. Files count for the longest folder that holds them.
BASE = ["dataplane/base/"]
EVENT = BASE + ["dataplane/event/"]
STATS = EVENT + ["dataplane/stats/"]
FLOOR = STATS + ["dataplane/runtime/"]
MODEL = FLOOR + ["config/model/"]
NET = MODEL + ["dataplane/net/"]
STREAM_INFO = NET + ["dataplane/codec/", "dataplane/tls/", "dataplane/stream_info/"]
CLIENT = STREAM_INFO + ["dataplane/http/", "dataplane/upstream/", "dataplane/client/"]
CORE = CLIENT + ["dataplane/access_log/", "dataplane/admin/", "dataplane/overload/"]
# What an extension may use of proto/ besides its own folder: messages that no extension owns.
SHARED_PROTO = ["proto/envoy/config/", "proto/envoy/service/", "proto/envoy/type/", "proto/google/",
                "proto/xds/", "proto/udpa/"]

DIRECTION = {
    "dataplane/base/": [],
    "dataplane/event/": BASE,
    "dataplane/stats/": EVENT,
    "dataplane/runtime/": STATS,
    "config/model/": FLOOR,
    "proto/": [],
    "xds/": FLOOR + ["proto/envoy/service/discovery/", "proto/envoy/config/core/", "proto/envoy/type/",
                     "proto/google/"],
    # The last two are for tests: nothing else links them.
    "config/": MODEL + ["proto/", "xds/subscription.h", "xds/fake_ads.h", "xds/sim_loop.h"],
    "dataplane/net/": MODEL,
    "dataplane/overload/": MODEL,
    "dataplane/tls/": NET,
    "dataplane/codec/": NET,
    "dataplane/stream_info/": STREAM_INFO,
    "dataplane/http/": STREAM_INFO,
    "dataplane/upstream/": STREAM_INFO,
    "dataplane/client/": CLIENT,
    "dataplane/access_log/": CLIENT,
    "dataplane/admin/": CLIENT,
    "dataplane/extensions/": CORE + ["config/parse/", "config/pb_unpack.h"] + SHARED_PROTO,
    "dataplane/server/": ["dataplane/", "config/", "xds/", "proto/"],
}
TREES = ("dataplane/", "config/", "xds/", "proto/")

# --- Rule 3 -----------------------------------------------------------------------------------------
# Header of the library -> files that may include it. A folder ends with a slash.
FOREIGN = {
    r"uv\.h": ["dataplane/event/", "dataplane/net/"],
    r"nghttp2/": ["dataplane/codec/h2_"],
    r"openssl/": ["dataplane/tls/", "dataplane/extensions/transport_sockets/"],
    r"grpc/": ["xds/transport_grpc"],
    r"yaml\.h": ["config/yaml"],
    r"re2/": ["dataplane/base/regex"],
    r"ares(_version|_nameser)?\.h": ["dataplane/net/dns"],
    r"xxhash\.h": ["dataplane/base/hash"],
    r"protobuf-c/": ["proto/", "config/", "xds/", "dataplane/extensions/", "dataplane/server/"],
}

# --- Rule 1 -----------------------------------------------------------------------------------------
# Extensions that Envoy knows by an enum or a fixed name: they have no proto folder of their own.
WITHOUT_PROTO = {
    "clusters/eds", "clusters/static", "clusters/strict_dns", "clusters/logical_dns",
    "clusters/original_dst",
    # Their messages are of envoy.config.metrics.
    "stat_sinks/metrics_service", "stat_sinks/statsd",
}
# One proto, several kinds or messages: what each exports instead of one symbol.
SEVERAL = {
    "access_loggers/grpc": ["access_logger_http_grpc", "access_logger_tcp_grpc"],
    "access_loggers/stream": ["access_logger_stderr", "access_logger_stdout"],
    "stat_sinks/statsd": ["stat_sink_dog_statsd", "stat_sink_graphite_statsd", "stat_sink_statsd"],
    "transport_sockets/raw_buffer": ["transport_socket_raw_buffer_downstream",
                                     "transport_socket_raw_buffer_upstream"],
    "transport_sockets/tls": ["transport_socket_tls_downstream", "transport_socket_tls_upstream"],
}
# Messages of an extension that stand under another name.
ALSO_OWN = {"stat_sinks/statsd": "proto/envoy/extensions/stat_sinks/graphite_statsd/"}
POSTURE = ("Trust:", "Buffers:", "Differs from Envoy:")

# --- Rule 5 -----------------------------------------------------------------------------------------
BANNED = ("strcpy", "strcat", "sprintf", "vsprintf", "strtok", "atoi", "atol", "gets", "alloca",
          "strncpy", "strncat")
MAX_FUNCTION_LINES = 100
MAX_FILE_LINES = 1200

BESIDE = re.compile(r"_(test|fuzz|bench)\.c$")


def blank(match):
    """Replaces a comment or literal by spaces, keeping line numbers."""
    return re.sub(r"[^\n]", " ", match.group(0))


DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


class File:
    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8") as f:
            self.text = f.read()
        self.code = TOKENS.sub(blank, self.text)
        self.includes = [
            (number, m.group(1), m.group(2))
            for number, line in enumerate(self.text.split("\n"), 1)
            if (m := re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line))
        ]

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1


class Checker:
    def __init__(self, root):
        self.root = root
        self.failures = []
        self.advice = []
        self.files = {}
        for tree in TREES:
            for folder, _, names in os.walk(os.path.join(root, tree)):
                for name in sorted(names):
                    if name.endswith((".c", ".h", ".cc")):
                        path = os.path.relpath(os.path.join(folder, name), root)
                        self.files[path] = File(root, path)

    def fail(self, path, line, rule, text):
        self.failures.append(f"{path}:{line}: [{rule}] {text}")

    def run(self):
        for file in self.files.values():
            self.check_direction(file)
            self.check_foreign(file)
            self.check_beside(file)
            self.check_style(file)
            self.measure(file)
        self.check_extensions()
        self.check_listed()
        return not self.failures

    # --- Rule 1 -------------------------------------------------------------------------------------
    def extension_of(self, path):
        """`A/B/c` for a file of that extension, None for anything else."""
        prefix = "dataplane/extensions/"
        parts = path[len(prefix):].split("/") if path.startswith(prefix) else []
        if len(parts) < 2:
            return None
        stem = re.sub(r"(_(test|fuzz|bench|internal))?\.(c|h)$", "", parts[-1])
        folder = "/".join(parts[:-1])
        if os.path.exists(os.path.join(self.root, prefix, folder, parts[-2] + ".c")):
            return folder
        return f"{folder}/{stem}"

    def has_proto(self, extension):
        """In the subset, or (for an empty config message, say) in the list of official messages."""
        for package in ("envoy/extensions/", "istio/", "nuncio/", ""):
            if os.path.isdir(os.path.join(self.root, "proto", package + extension)):
                return True
        if not hasattr(self, "known"):
            path = os.path.join(self.root, "proto/known_fields.txt")
            self.known = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
        return f"envoy.extensions.{extension.replace('/', '.')}.v" in self.known

    def check_extensions(self):
        for path, file in self.files.items():
            extension = self.extension_of(path)
            if extension is None or not path.endswith(".c") or BESIDE.search(path):
                continue
            name = extension.split("/")[-1]
            if os.path.basename(path) != name + ".c":
                continue  # a helper beside an extension that outgrew its file
            if extension not in WITHOUT_PROTO and not self.has_proto(extension):
                self.fail(path, 1, 1, f"no proto/envoy/extensions/{extension}/: the path must be the name")
            symbols = exported(file)
            if extension in SEVERAL:
                if sorted(symbols) != SEVERAL[extension]:
                    self.fail(path, 1, 1, f"must export {SEVERAL[extension]}, exports {symbols}")
            elif len(symbols) != 1:
                self.fail(path, 1, 1, "must export exactly its descriptor, exports "
                          f"{', '.join(symbols) or 'nothing'}")
            elif not symbols[0].endswith("_" + name):
                self.fail(path, 1, 1, f"its descriptor must be named ..._{name}, is {symbols[0]}")
            for word in POSTURE:
                if word not in file.text[:4000]:
                    self.fail(path, 1, 1, f"its first comment must state '{word} ...'")

    # --- Rule 2 -------------------------------------------------------------------------------------
    def check_direction(self, file):
        home = max((f for f in DIRECTION if file.path.startswith(f)), key=len, default=None)
        if home is None:
            self.fail(file.path, 1, 2, "this folder is not in the table of layers")
            return
        extension = self.extension_of(file.path)
        for number, kind, name in file.includes:
            if kind != '"':
                continue
            if not name.startswith(TREES):
                self.fail(file.path, number, 2, f'"{name}": write the path from the root')
                continue
            if home == "dataplane/extensions/" and extension is not None:
                own = [f"dataplane/extensions/{extension}/", f"dataplane/extensions/{extension}.",
                       f"dataplane/extensions/{extension}_",
                       f"proto/envoy/extensions/{extension}/", f"proto/istio/{extension}/",
                       f"proto/nuncio/{extension}/", ALSO_OWN.get(extension, "proto/none/")]
                is_shared = name.startswith("proto/envoy/extensions/") and "/common/" in name
                is_test_table = BESIDE.search(file.path) and name == "dataplane/extensions/registry.h"
                is_own = is_shared or is_test_table or name.startswith(tuple(own))
            elif home == "config/" and name.startswith("config/model/"):
                is_own = True
            else:
                is_own = max((f for f in DIRECTION if name.startswith(f)), key=len, default="") == home
            if not is_own and not name.startswith(tuple(DIRECTION[home])):
                self.fail(file.path, number, 2, f'{home} may not include "{name}"')

    # --- Rule 3 -------------------------------------------------------------------------------------
    def check_foreign(self, file):
        for number, kind, name in file.includes:
            for pattern, homes in FOREIGN.items():
                if kind == "<" and re.match(pattern, name) and not file.path.startswith(tuple(homes)):
                    self.fail(file.path, number, 3, f"<{name}> belongs to {' and '.join(homes)} only")

    # --- Rule 4 -------------------------------------------------------------------------------------
    def check_beside(self, file):
        path = file.path
        if BESIDE.search(path):
            stem = BESIDE.sub("", path)
            is_alone = not any(stem + end in self.files for end in (".c", ".cc", ".h"))
            if is_alone and not file.text.startswith("/*"):
                self.fail(path, 1, 4, f"no {stem}.c beside it: say in a first comment what it tests")
            if path.endswith("_fuzz.c"):
                corpus = os.path.join("integration/corpus", os.path.basename(stem))
                full = os.path.join(self.root, corpus)
                if not os.path.isdir(full) or not os.listdir(full):
                    self.fail(path, 1, 4, f"no seeds in {corpus}/: its replay would test nothing")
        elif path.endswith((".c", ".cc")) and not path.endswith("/main.c"):
            stem = path.rsplit(".", 1)[0]
            if stem + "_test.c" not in self.files:
                self.advice.append(f"{path}: no {os.path.basename(stem)}_test.c beside it")

    def check_listed(self):
        """A source file that no meson.build lists is neither built nor tested."""
        listed = set()
        for tree in TREES:
            for folder, _, names in os.walk(os.path.join(self.root, tree)):
                if "meson.build" in names:
                    text = open(os.path.join(folder, "meson.build"), encoding="utf-8").read()
                    for name in re.findall(r"'([^'\n]+\.(?:c|cc))'", text):
                        listed.add(os.path.relpath(os.path.join(folder, name), self.root))
        for path in self.files:
            if path.endswith((".c", ".cc")) and not path.endswith("/main.c") and path not in listed:
                self.fail(path, 1, 4, "not listed in its layer's meson.build")

    # --- Rule 5 -------------------------------------------------------------------------------------
    def check_style(self, file):
        path, code = file.path, file.code
        for m in re.finditer(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(", code):
            self.fail(path, file.line_of(m.start()), 5, f"{m.group(1)} is banned")
        for m in re.finditer(r"^\s*typedef\s+(struct|union|enum)\b", code, re.M):
            self.fail(path, file.line_of(m.end()), 5, f"no typedef for a {m.group(1)}")
        for m in re.finditer(r"\b(TODO|FIXME|XXX)\b(?!\()", file.text):
            self.fail(path, file.line_of(m.start()), 5, f"{m.group(1)}: write TODO(issue)")
        for m in re.finditer(r"^[ \t]+#\s*if|^(?:#\s*if[^\n]*\n)(?=[ \t]+\S)", code, re.M):
            self.advice.append(f"{path}:{file.line_of(m.start())}: #if inside a function? choose files in meson")
        for line in unbraced(code):
            self.fail(path, line, 5, "braces always")
        if not path.endswith(".h"):
            own = re.sub(r"(_test|_fuzz|_bench)?\.(c|cc)$", ".h", path)
            quoted = [name for _, kind, name in file.includes if kind == '"']
            if not BESIDE.search(path) and own in self.files and (not quoted or quoted[0] != own):
                self.fail(path, 1, 5, f'must include "{own}" first')
            if not BESIDE.search(path) and not file.text.lstrip().startswith("/*"):
                self.fail(path, 1, 5, "must begin with what it owns, which thread runs it, what it does not do")
        else:
            guard = re.sub(r"[/.-]", "_", path).upper()
            if f"#ifndef {guard}\n#define {guard}\n" not in file.text:
                self.fail(path, 1, 5, f"include guard must be {guard}")
            if "/*" not in file.text:
                self.fail(path, 1, 5, "must say what it is for")

    # --- Advice -------------------------------------------------------------------------------------
    def measure(self, file):
        lines = file.text.count("\n")
        if lines > MAX_FILE_LINES:
            self.advice.append(f"{file.path}: {lines} lines (aim under 600, bound {MAX_FILE_LINES})")
        start = 0
        for number, line in enumerate(file.code.split("\n"), 1):
            if line.startswith("{"):
                start = number
            elif line.startswith("}") and start:
                if number - start + 1 > MAX_FUNCTION_LINES:
                    self.advice.append(f"{file.path}:{start}: a function of {number - start + 1} lines")
                start = 0


def exported(file):
    """Names of what the file defines with external linkage."""
    code = DIRECTIVE.sub(blank, file.code)
    names = []
    # A definition starts in column 0 and is not static; its body or initialiser follows.
    pattern = r"^(?!static\b|extern\b|typedef\b|_Static_assert\b|static_assert\b)([A-Za-z_][^;{}=]*?)(=|\n\{)"
    for m in re.finditer(pattern, code, re.M):
        head = m.group(1)
        if code[:m.start()].rstrip()[-1:] not in ("", ";", "}"):
            continue  # second line of a declaration that begins above
        if m.group(2) != "=" and "(" not in head:
            continue  # a struct or enum body
        m2 = re.search(r"(\w+)\s*(\[[^\]]*\]\s*)*$" if m.group(2) == "=" else r"(\w+)\s*\(", head)
        if m2:
            names.append(m2.group(1))
    return names


def unbraced(code):
    """Lines of if, for, while and else whose body has no braces (macros excepted)."""
    code = DIRECTIVE.sub(blank, code)
    for m in re.finditer(r"^[ \t]*(?:\}\s*)?(?:else\s+)?(if|for|while)\b\s*\(", code, re.M):
        depth, i = 1, m.end()
        while i < len(code) and depth:
            depth += {"(": 1, ")": -1}.get(code[i], 0)
            i += 1
        rest = code[i:i + 4000].lstrip()
        is_do_while = m.group(1) == "while" and rest.startswith(";")
        if not rest.startswith("{") and not is_do_while:
            yield code.count("\n", 0, m.start(1)) + 1
    for m in re.finditer(r"\belse\b(?!\s*(\{|if\b))", code):
        yield code.count("\n", 0, m.start()) + 1


# --- Self test --------------------------------------------------------------------------------------
CLEAN = {
    "dataplane/base/meson.build": "sources = ['str.c']\ntests = ['str_test.c']\n",
    "dataplane/base/str.h":
        "#ifndef DATAPLANE_BASE_STR_H\n#define DATAPLANE_BASE_STR_H\n/* Text. */\nint str_f(int a);\n#endif\n",
    "dataplane/base/str.c":
        '/* Text. strcpy( in a comment is fine. */\n#include "dataplane/base/str.h"\n\nint str_f(int a)\n{\n'
        '    if (a) {\n        return 1;\n    } else if (a > 2) {\n        a++;\n    }\n    do {\n        a--;\n'
        '    } while (a);\n    return 0;\n}\n',
    "dataplane/base/str_test.c": '#include "dataplane/base/str.h"\n',
    "dataplane/extensions/meson.build": "sources = ['filters/http/cors.c', 'registry.c']\n",
    "dataplane/extensions/registry.c": "/* The table. */\n",
    "proto/envoy/extensions/filters/http/cors/v3/cors.proto": "",
    "dataplane/extensions/filters/http/cors.c":
        '/* Cors.\n * Trust: x\n * Buffers: no\n * Differs from Envoy: no\n */\n'
        '#include "proto/envoy/extensions/filters/http/cors/v3/cors.pb-c.h"\n'
        "static int\ncors_f(void)\n{\n    return 0;\n}\nconst struct http_filter_type http_filter_cors = {\n"
        "    .f = cors_f,\n};\n",
}
# What to change in the clean tree, and what must then be said.
VIOLATIONS = [
    ("dataplane/extensions/filters/http/cors.c", "http_filter_cors =", "x_oops =", "must be named"),
    ("dataplane/extensions/filters/http/cors.c", "static int\n", "int ", "exactly its descriptor"),
    ("dataplane/extensions/filters/http/cors.c", "Trust: x", "", "Trust:"),
    ("dataplane/extensions/filters/http/cors.c", "http/cors/v3", "http/fault/v3", "may not include"),
    ("proto/envoy/extensions/filters/http/cors/v3/cors.proto", None, None, "the path must be the name"),
    ("dataplane/base/str.c", "\n\nint", '\n#include "dataplane/event/loop.h"\nint', "may not include"),
    ("dataplane/base/str.c", "\n\nint", '\n#include "config/parse/core.h"\nint', "may not include"),
    ("dataplane/base/str.c", "\n\nint", '\n#include "str.h"\nint', "from the root"),
    ("dataplane/base/str.c", "\n\nint", "\n#include <uv.h>\nint", "[3]"),
    ("dataplane/base/str.c", "\n\nint", "\n#include <openssl/ssl.h>\nint", "[3]"),
    ("dataplane/base/str.c", "return 0", "return atoi(0)", "atoi is banned"),
    ("dataplane/base/str.c", "if (a) {\n        return 1;\n    } else", "if (a)\n        return 1;\n    else",
     "braces"),
    ("dataplane/base/str.c", "} else if (a > 2) {\n        a++;\n    }", "} else\n        a++;", "braces"),
    ("dataplane/base/str.c", "return 0", "/* TODO: later */ return 0", "TODO(issue)"),
    ("dataplane/base/str.c", "/* Text. strcpy( in a comment is fine. */\n", "", "must begin with"),
    ("dataplane/base/str.c", '#include "dataplane/base/str.h"\n', "", "first"),
    ("dataplane/base/str.h", "DATAPLANE_BASE_STR_H\n#d", "STR_H\n#d", "include guard"),
    ("dataplane/base/str.h", "int str_f", "typedef struct str S;\nint str_f", "no typedef"),
    ("dataplane/base/meson.build", "tests = ['str_test.c']", "", "not listed"),
    ("dataplane/base/gone_test.c", None, "int x;\n", "first comment"),
    ("dataplane/base/str_fuzz.c", None, "int x;\n", "no seeds"),
    ("dataplane/oddity/x.c", None, "/* x */\n", "not in the table"),
]


def failures_of(tree):
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                f.write(text)
        checker = Checker(root)
        checker.run()
        return checker.failures


def self_test():
    wrong = [f"clean tree: {line}" for line in failures_of(CLEAN)]
    for path, old, new, expected in VIOLATIONS:
        tree = dict(CLEAN)
        if old is None and new is None:
            del tree[path]
        elif old is None:
            tree[path] = new
        else:
            tree[path] = tree[path].replace(old, new)
        found = failures_of(tree)
        if not any(expected in line for line in found):
            wrong.append(f"{path}: '{expected}' was not reported, but {found}")
    print("\n".join(wrong) or f"self-test: {len(VIOLATIONS)} violations found")
    return not wrong


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(0 if self_test() else 1)
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    checker = Checker(os.path.abspath(root))
    ok = checker.run()
    for line in checker.advice:
        print("advice:", line)
    for line in checker.failures:
        print(line)
    print(f"{len(checker.files)} files, {len(checker.failures)} failures")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
