#!/bin/sh
# Formats every C file of the tree in place; --check changes nothing and fails on the first difference.
set -eu
cd "$(dirname "$0")/.."
case ${1:-} in
--check) mode="--dry-run -Werror" ;;
'') mode=-i ;;
*) echo "usage: tools/format.sh [--check]" >&2; exit 2 ;;
esac
# shellcheck disable=SC2086
find dataplane config xds proto tools integration \
    \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) -print0 |
    xargs -0 clang-format-14 --style=file $mode
