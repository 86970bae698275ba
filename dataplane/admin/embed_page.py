#!/usr/bin/env python3
"""embed_page.py page.html page.c: the page as a C string, cut at the marker, and the policy that allows
no script and no style but the page's own, by their hashes."""

import base64
import hashlib
import re
import sys

MARKER = "<!--COMMANDS-->\n"


def hash_of(page, tag):
    (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def c_string(text):
    out = []
    for line in text.splitlines(keepends=True):
        line = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("?", "\\?")
        out.append('    "' + line + '"\n')
    return "".join(out)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        page = file.read()
    head, tail = page.split(MARKER)
    policy = (
        f"default-src 'none'; script-src {hash_of(page, 'script')}; style-src {hash_of(page, 'style')}; "
        "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write('#include "dataplane/admin/home_page.h"\n\n')
        file.write(f"const char admin_home_page_head[] =\n{c_string(head)};\n\n")
        file.write(f"const char admin_home_page_tail[] =\n{c_string(tail)};\n\n")
        file.write(f"const char admin_home_page_policy[] =\n{c_string(policy)};\n")


main()
