#!/bin/sh
# Makes build/venv with what requirements.txt pins (pytest, gRPC, the real Envoy, ...), unless it is there already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$(dirname "$here")/build/venv
stamp=$venv/.requirements

if cmp -s "$here/requirements.txt" "$stamp"; then
    exit 0
fi
if ! python3 -c 'import ensurepip, venv' 2> /dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3-venv
fi
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
cp "$here/requirements.txt" "$stamp"
