#!/bin/sh
# Compiles one .proto file with protoc-c. meson wants every output of a target in one flat folder,
# protoc-c writes a tree and includes by tree path; so the code goes to <dotted.name>.pb-c.{c,h}
# (what meson tracks), and a one-line header that never changes sits at the tree path and includes it.
#
#   protoc_c.sh PROTOC_C PROTO_ROOT FILE OUT_DIR DEPFILE      (FILE relative to PROTO_ROOT)
set -eu
protoc_c=$1 proto_root=$2 file=$3 out_dir=$4 depfile=$5

stem=${file%.proto}
flat=$(echo "$stem" | tr / .)
tree=$(mktemp -d "$out_dir/$flat.XXXXXX")
trap 'rm -rf "$tree"' EXIT

"$protoc_c" --proto_path="$proto_root" --c_out="$tree" --dependency_out="$tree/deps" "$file"

mkdir -p "$out_dir/$(dirname "$stem")"
forward=$out_dir/$stem.pb-c.h
test -e "$forward" || echo "#include \"proto/$flat.pb-c.h\"" > "$forward"
mv "$tree/$stem.pb-c.h" "$out_dir/$flat.pb-c.h"
mv "$tree/$stem.pb-c.c" "$out_dir/$flat.pb-c.c"
# The dependencies of both outputs, under the name by which ninja knows the first of them.
echo "$out_dir/$flat.pb-c.c: $(sed -e 's/\\$//' -e 's/^.*: //' -e '/pb-c\.c $/d' "$tree/deps" | tr '\n' ' ')" > "$depfile"
