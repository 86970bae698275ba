#!/bin/sh
# Rewrites types.go after the version of go-control-plane in go.mod has changed.
set -eu
cd "$(dirname "$0")"
dir=$(go list -m -f '{{.Dir}}' github.com/envoyproxy/go-control-plane/envoy)
{
    echo '// Every message of the API, registered so that resources in JSON and any extension inside them can be decoded.'
    echo '// Made by gen_types.sh; do not edit.'
    echo
    echo 'package main'
    echo
    echo 'import ('
    (cd "$dir" && find . -name '*.pb.go' -printf '%h\n' | sort -u) |
        sed 's#^\./#\t_ "github.com/envoyproxy/go-control-plane/envoy/#; s#$#"#'
    echo ')'
} > types.go
gofmt -l -w types.go
