#!/usr/bin/env bash
# Makes the packages of the commit twice: from two clones at different paths, with different umasks, the second compiling
# everything anew, the standard library included. All bytes must be the same. TARGETS are what is made, linux/amd64 unless set.
# The tools that pack are the same for both: they are no part of what is compared.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra targets <<<"${TARGETS:-linux/amd64}"
commit=$(git rev-parse HEAD)
version=$(git describe --tags --always)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

export PACKAGE_TOOLS=$work/tools
make_in() { # DIRECTORY UMASK
  (umask "$2"; git clone -q --no-hardlinks . "$1" && git -C "$1" checkout -q "$commit" && "$1/packaging/build.sh" "$version" "$1/dist" "${targets[@]}")
}
make_in "$work/one" 022
(export GOCACHE=$work/cache; make_in "$work/elsewhere/two" 077)

if ! diff "$work/one/dist/SHA256SUMS" "$work/elsewhere/two/dist/SHA256SUMS"; then
  printf 'the same commit gave other bytes\n' >&2
  exit 1
fi
(cd "$work/one/dist" && sha256sum --quiet -c SHA256SUMS)
printf 'reproducible:\n'
cat "$work/one/dist/SHA256SUMS"
