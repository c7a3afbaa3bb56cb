#!/bin/sh
# Brings libonnxruntime of one version and architecture to a path: fetch-native.sh VERSION ARCHITECTURE SHA256 DESTINATION
# Works in a folder of its own beside the destination and renames at the end, so builds in parallel do not meet.
set -eu
version=$1 architecture=$2 sha256=$3 destination=$4

if [ -f "$destination" ] && echo "$sha256  $destination" | sha256sum --check --status; then
    touch "$destination"
    exit 0
fi

command -v npm >/dev/null || { echo "error: npm is needed to fetch onnxruntime-node@$version and is not on the path" >&2; exit 1; }
folder=$(mktemp -d "$(dirname "$destination")/fetch.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm pack "onnxruntime-node@$version" --silent >/dev/null
file=package/bin/napi-v6/linux/$architecture/libonnxruntime.so.1
tar -xzf "onnxruntime-node-$version.tgz" "$file"
echo "$sha256  $file" | sha256sum --check --status || {
    echo "error: $file of onnxruntime-node@$version has SHA-256 $(sha256sum "$file" | cut -d' ' -f1), expected $sha256" >&2
    exit 1
}
touch "$file"
mv -f "$file" "$destination"
