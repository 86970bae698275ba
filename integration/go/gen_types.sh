#!/bin/sh
# Rewrites types.go after the version of go-control-plane in go.mod has changed.
set -eu
cd "$(dirname "$0")"
{
    echo '// Every message of the API, registered so that resources in JSON and any extension inside them can be decoded.'
    echo '// Made by gen_types.sh; do not edit.'
    echo
    echo 'package main'
    echo
    echo 'import ('
    for module in github.com/cncf/xds/go github.com/envoyproxy/go-control-plane/envoy; do
        dir=$(go list -m -f '{{.Dir}}' "$module")
        (cd "$dir" && find . -name '*.pb.go' -printf '%h\n' | sort -u) | sed "s#^\./#\t_ \"$module/#; s#\$#\"#"
    done
    for known in structpb durationpb wrapperspb timestamppb emptypb anypb fieldmaskpb; do
        echo "	_ \"google.golang.org/protobuf/types/known/$known\""
    done
    echo ')'
} > types.go
gofmt -l -w types.go
