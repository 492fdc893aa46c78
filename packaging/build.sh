#!/usr/bin/env bash
# Makes what is released: packages, archives, SBOMs and SHA256SUMS. The bytes depend on the commit and on Go's version alone.
#   packaging/build.sh VERSION DIRECTORY OS/ARCH...
# PACKAGE_TOOLS is where the programs that it needs are, or are put; they are built for this run alone unless set.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C TZ=UTC
umask 022 # a checkout has the modes of its own; packages have those of this one

version=$1 out=$2
shift 2
# The time of everything: that of the commit.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
# Debian and RPM want a number first, and no dash. A commit without a release is older than any.
PACKAGE_VERSION=${version#v}
case $PACKAGE_VERSION in
  [0-9]*.*) PACKAGE_VERSION=${PACKAGE_VERSION//-/+} ;;
  *) PACKAGE_VERSION="0.0.0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)+${PACKAGE_VERSION//-/+}" ;;
esac
export PACKAGE_VERSION

rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools=${PACKAGE_TOOLS:-$work}
mkdir -p "$tools"
if [ ! -x "$tools/archive" ]; then
  make_tool="go build -modfile=tools/packages/go.mod -o $tools"
  $make_tool/nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm
  $make_tool/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
  go build -o "$tools/archive" ./packaging/archive # the last one
fi

for target in "$@"; do
  os=${target%/*} arch=${target#*/}
  name=leasehold_${version#v}_${os}_$arch
  program=leasehold ending=tar.gz
  if [ "$os" = windows ]; then program=leasehold.exe ending=zip; fi
  mkdir -p "$work/$os-$arch"
  binary=$work/$os-$arch/$program
  # Without what git says: sources without a repository, as in the image, give the same binary.
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" -o "$binary" ./cmd/proxy
  "$tools/cyclonedx-gomod" bin -json -noserial -notimestamp -std -version "$version" -output "$out/$name.cdx.json" "$binary" 2>"$work/sbom.log" || { cat "$work/sbom.log" >&2; exit 1; }
  "$tools/archive" -out="$out/$name.$ending" -root="$name" -time="$SOURCE_DATE_EPOCH" \
    "$binary=$program" LICENSE CHANGELOG.md README.md docs examples packaging/systemd packaging/leasehold.hcl=leasehold.hcl
  if [ "$os" = linux ]; then
    export PACKAGE_ARCH=$arch PACKAGE_BINARY=$binary
    for packager in deb rpm; do
      "$tools/nfpm" package --config packaging/nfpm.yaml --packager "$packager" --target "$out/$name.$packager" >/dev/null
    done
  fi
  printf '%s\n' "$name"
done
cd "$out"
sha256sum -- * >"$work/sums"
mv "$work/sums" SHA256SUMS
