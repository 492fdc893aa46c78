#!/usr/bin/env bash
# Tries the Windows binary under Wine, as far as Wine goes: Debian's wine and wine64 (8.0), curl and gcc's binutils.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022 # Wine makes the rights of a new file of it: others may read what says nothing of its own
work=$(mktemp -d)
export WINEPREFIX=$work/prefix WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml= CGO_ENABLED=0
vault=
finish() { [ -z "$vault" ] || kill "$vault" || true; wineserver -k || true; rm -rf "$work"; }
trap finish EXIT
fail() { printf 'wine: %s\n' "$*" >&2; exit 1; }
# eventually COMMAND...: for a minute
eventually() { local i; for ((i = 0; i < 600; i++)); do "$@" && return; sleep 0.1; done; fail "in vain: $*"; }

wine --version
wineboot -i 2>/dev/null
system32=$WINEPREFIX/drive_c/windows/system32
if [ ! -e "$system32/bcryptprimitives.dll" ]; then
  # Go takes its random bytes from there. Wine has the function, in advapi32 and with another name; this file says so and no more.
  printf '.globl start\nstart:\n mov $1,%%eax\n ret\n' | as -o "$work/start.elf" -
  objcopy -O pe-x86-64 "$work/start.elf" "$work/start.o"
  printf 'LIBRARY bcryptprimitives.dll\nEXPORTS\n ProcessPrng = advapi32.SystemFunction036\n' >"$work/exports.def"
  ld -m i386pep -shared -e start -o "$system32/bcryptprimitives.dll" "$work/start.o" "$work/exports.def"
fi
# What starts late on a busy machine has not failed.
wine reg add 'HKLM\SYSTEM\CurrentControlSet\Control' /v ServicesPipeTimeout /t REG_DWORD /d 120000 /f >/dev/null

# These begin as leasehold.exe, and find Wine's service manager and file rights as they are.
export GOOS=windows GOARCH=amd64
go test -count=1 -trimpath -exec wine ./internal/secretfile
LEASEHOLD_TEST_SERVICE=1 go test -count=1 -trimpath -exec wine -run TestServiceManager ./cmd/proxy

home="$WINEPREFIX/drive_c/lease hold"
mkdir -p "$home/state"
go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=wine' -o "$home/leasehold.exe" ./cmd/proxy
unset GOOS GOARCH
cat >"$work/vault.go" <<'GO'
package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
)

func main() {
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(os.Args[1], []byte(strconv.Itoa(at.Addr().(*net.TCPAddr).Port)), 0o600); err != nil {
		panic(err)
	}
	panic(http.Serve(at, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/auth/approle/login" {
			io.WriteString(w, `{"auth":{"client_token":"hvs.wine","accessor":"a","lease_duration":3600,"renewable":true,"policies":["default"],"orphan":true}}`)
			return
		}
		io.WriteString(w, `{"data":{"at":"`+r.URL.Path+`"}}`)
	})))
}
GO
go build -o "$work/vault" "$work/vault.go"
"$work/vault" "$work/port" &
vault=$!
eventually test -s "$work/port"
cd "$home"
printf role >role
printf secret >secret
printf 'x' >bad.hcl
cat >leasehold.hcl <<HCL
pid_file = "leasehold.pid"
log_file = "leasehold.log"
vault { address = "http://127.0.0.1:$(cat "$work/port")" }
auto_auth {
  method "approle" {
    config = { role_id_file_path = "role", secret_id_file_path = "secret", remove_secret_id_file_after_reading = false }
  }
  sink "file" { config = { path = "token" } }
}
cache {
  persist "file" {
    path     = "state"
    key_file = "state.key"
  }
}
listener "tcp" {
  address     = "127.0.0.1:18109"
  tls_disable = true
}
HCL

wine leasehold.exe -version | grep -F 'leasehold wine (go' || fail "-version"
if wine leasehold.exe -config=bad.hcl 2>"$work/told"; then fail "a broken configuration was taken"; fi
grep -q 'bad.hcl:1' "$work/told" || fail "a broken configuration: $(cat "$work/told")"
wine leasehold.exe validate -config=leasehold.hcl || fail "validate"

wine leasehold.exe -config=leasehold.hcl 2>"$work/log" &
eventually curl -fs -o "$work/answer" http://127.0.0.1:18109/v1/secret/x
grep -q '/v1/secret/x' "$work/answer" || fail "answer: $(cat "$work/answer")"
eventually test -s token
[ "$(cat token)" = hvs.wine ] || fail "the sink has another token"
for file in token state.key state/leasehold.db state/leasehold.db.wal; do
  case $(stat -c %A "$file") in ???????---) ;; *) fail "others may use $file: $(stat -c %A "$file")" ;; esac
done
wine taskkill /F /IM leasehold.exe >/dev/null
wait %2 || true

wine leasehold.exe service install -config=leasehold.hcl 2>"$work/told" || fail "service install: $(cat "$work/told")"
grep -q 'pid_file is a relative path' "$work/told" || fail "no warning of relative paths"
wine reg query 'HKLM\SYSTEM\CurrentControlSet\Services\Leasehold' /v ImagePath | grep -F '"C:\lease hold\leasehold.exe" "-config=C:\lease hold\leasehold.hcl"' || fail "service install: quoting"
wine leasehold.exe service uninstall || fail "service uninstall"
printf 'wine: what Wine has of Windows works\n'
