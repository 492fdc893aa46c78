#!/usr/bin/env bash
# Looks at the packages in a directory: what the deb installs runs and is whole, the unit is one that systemd takes and finds
# hardened, and the sums hold. What cannot be looked at on this machine is said.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ignored=bogus-mail-host,copyright-file-contains-full-apache-2-license,copyright-not-using-common-license-for-apache2,no-changelog,statically-linked-binary
fail() { printf 'check: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null || { printf 'check: not done, there is no %s\n' "$1"; return 1; }; }

(cd "$dist" && sha256sum --quiet -c SHA256SUMS)
for sbom in "$dist"/*.cdx.json; do
  grep -q '"bomFormat": "CycloneDX"' "$sbom" && grep -q 'pkg:golang/go.etcd.io/bbolt@' "$sbom" || fail "$sbom is no bill of materials of Leasehold"
done

root=$work/root
if have dpkg-deb; then
  deb=$(compgen -G "$dist/*_linux_$(dpkg --print-architecture).deb") || fail "no package of this machine's architecture"
  mkdir -p "$root/var/lib/dpkg/"{info,updates} "$root/var/log"
  touch "$root/var/lib/dpkg/"{status,available}
  if [ "$(id -u)" = 0 ]; then # dpkg itself, with another root; scripts would need a shell in there
    dpkg --root="$root" --force-not-root --force-script-chrootless --no-triggers -i "$deb" >"$work/dpkg.log" || { cat "$work/dpkg.log" >&2; fail "dpkg -i"; }
    dpkg --root="$root" -s leasehold | grep -q '^Status: install ok installed' || fail "not installed"
    dpkg --root="$root" -s leasehold | grep -q '/etc/leasehold/leasehold.hcl' || fail "leasehold.hcl is no conffile"
  else
    printf 'check: unpacked, not installed: this is not root\n'
    dpkg-deb -x "$deb" "$root"
  fi
  "$root/usr/bin/leasehold" -version
  "$root/usr/bin/leasehold" -strict -test-verify-only -config="$root/etc/leasehold/leasehold.hcl" || fail "the installed configuration does not load"
  [ -s "$root/usr/share/doc/leasehold/copyright" ] || fail "no licence"
  [ -s "$root/usr/share/doc/leasehold/examples/kubernetes-sidecar.hcl" ] || fail "no examples"
  [ -z "$(find "$root" -path "$root/var" -prune -o -perm /022 ! -type l -print)" ] || fail "others may write what is installed"
  # What is Debian's own policy for its archive: a shared libc, its names of licences and changelogs.
  if have lintian; then
    lintian --allow-root --fail-on error --suppress-tags "$ignored" "$deb" || fail lintian
  fi
fi
if have rpm; then
  for package in "$dist"/*.rpm; do
    rpm -qp --configfiles "$package" 2>/dev/null | grep -qx /etc/leasehold/leasehold.hcl || fail "$package: leasehold.hcl is no configuration file"
  done
fi
if have systemd-analyze; then
  unit=$work/leasehold.service
  sed "s|/usr/bin/leasehold|$root/usr/bin/leasehold|" packaging/systemd/leasehold.service >"$unit"
  told=$(systemd-analyze verify --man=no "$unit" 2>&1 | grep -F leasehold.service || true)
  [ -z "$told" ] || fail "$told"
  systemd-analyze security --offline=yes --threshold=20 "$unit" >"$work/security" || { cat "$work/security"; fail "the unit is exposed by more than 2.0"; }
  tail -n 1 "$work/security"
fi
printf 'check: all is well\n'
