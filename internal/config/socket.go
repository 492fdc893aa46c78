package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/go-sockaddr/template"
)

// tcp reads and checks what tcp listeners alone have.
func (d *decoder) tcp(s section, l *Listener) {
	l.Address = d.evaluate(s, s.String("address"))
	if d.evaluated(s) {
		l.Address = bracketed(l.Address)
	}
	l.Address = normalizeAddress(l.Address)
	switch {
	case listenable(l.Address):
	case !d.evaluated(s):
		d.fail(s.problem(s.place("address"), fmt.Sprintf("address must be host:port, not %q", clip(l.Address)), listenerKeys["address"].assign("address")))
	case l.Address != "": // else it was told already
		d.fail(s.problem(s.place("address"), fmt.Sprintf("the address template makes %q, which is not host:port", clip(l.Address)), `write for example address = "{{ GetPrivateIP }}:8200"`))
	}
	unixKeys := []string{"socket_mode", "socket_user", "socket_group"}
	d.origins.idle(s, unixKeys...)
	for _, key := range unixKeys {
		if _, given := s.at[key]; given {
			d.warn(s.problem(s.place(key), key+" has no effect: only unix listeners have it", "remove it"))
		}
	}
}

// unix reads and checks what unix listeners alone have.
func (d *decoder) unix(s section, l *Listener) {
	const example = `write for example address = "/run/leasehold/leasehold.sock"`
	mode := setting[writtenMode](s.Settings, "socket_mode")
	l.SocketMode, l.SocketUser, l.SocketGroup = mode.mode, s.String("socket_user"), s.String("socket_group")
	_, moded := s.at["socket_mode"]
	l.Address = d.evaluate(s, s.String("address"))
	if _, given := s.at["address"]; !given {
		l.Address = ""
	}
	switch {
	case l.Address == "" && !d.evaluated(s):
		d.fail(s.problem(s.place("address"), `address is required with listener "unix": the path of its socket`, example))
	case strings.HasPrefix(l.Address, "unix://"):
		d.fail(s.problem(s.place("address"), "address must be a path, not a URL", fmt.Sprintf("write address = %q", clip(strings.TrimPrefix(l.Address, "unix://")))))
	case strings.ContainsRune(l.Address, 0):
		d.fail(s.problem(s.place("address"), "address must be a path", example))
	case strings.HasPrefix(l.Address, "@") && (moded || l.SocketUser != "" || l.SocketGroup != ""):
		d.fail(s.problem(s.place("address"), "an abstract socket has no socket_mode, socket_user and socket_group: everybody on the machine can connect", "remove them, or give a path"))
	}
	switch {
	case mode.decimal != "":
		d.warn(s.problem(s.place("socket_mode"), fmt.Sprintf("socket_mode = %s is a decimal number, %#o in octal", mode.decimal, mode.mode),
			fmt.Sprintf(`write socket_mode = "0%s" if that was meant`, mode.decimal)))
	case mode.mode != 0 && mode.mode&0o222 == 0:
		d.fail(s.problem(s.place("socket_mode"), fmt.Sprintf("socket_mode = %#o lets nobody connect", mode.mode), listenerKeys["socket_mode"].assign("socket_mode")))
	}
}

// evaluated reports whether the address is a template.
func (d *decoder) evaluated(s section) bool { return strings.Contains(s.String("address"), "{{") }

// maxTemplate bounds a template, in bytes: what it makes of itself grows with it.
const maxTemplate = 512

// beyondAddresses are the parts of Go's template language that can take any time and space. Those of go-sockaddr alone cannot.
var beyondAddresses = regexp.MustCompile(`:=|\b(range|template|define|block|with|print|printf|println|js|html|urlquery)\b`)

// evaluate returns the address that a go-sockaddr template stands for, "" after a problem, and anything else as it is.
func (d *decoder) evaluate(s section, address string) string {
	if !strings.Contains(address, "{{") {
		return address
	}
	const remedy = `write for example address = "{{ GetPrivateIP }}:8200", or the address itself`
	const failed = "unable to parse address template"
	if len(address) > maxTemplate || beyondAddresses.MatchString(address) {
		d.fail(s.problem(s.place("address"), failed+": it may have 512 bytes, and nothing but the functions of go-sockaddr", remedy))
		return ""
	}
	out, err := template.Parse(address)
	out = strings.TrimSpace(out)
	switch {
	case err != nil:
		d.fail(s.problem(s.place("address"), fmt.Sprintf("%s %q: %s", failed, clip(address), cause(err)), remedy))
		return ""
	case len(strings.Fields(out)) > 1:
		d.fail(s.problem(s.place("address"), fmt.Sprintf("multiple addresses found (%q), please configure one", clip(out)), `add a filter, or "| limit 1"`))
		return ""
	case out == "":
		d.fail(s.problem(s.place("address"), fmt.Sprintf("the address template %q finds no address of this machine", clip(address)), remedy))
		return ""
	}
	return out
}

// cause is the last part of what the template language says; those before repeat the template.
func cause(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	return clip(strings.TrimSpace(text[strings.LastIndex(text, ": ")+1:]))
}

// bracketed puts brackets around an IPv6 address that a template has put before a port.
func bracketed(address string) string {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return address
	}
	if ip, err := netip.ParseAddr(address[:i]); err == nil && ip.Is6() {
		return net.JoinHostPort(ip.String(), address[i+1:])
	}
	return address
}

var tlsVersions = map[string]uint16{"tls10": tls.VersionTLS10, "tls11": tls.VersionTLS11, "tls12": tls.VersionTLS12, "tls13": tls.VersionTLS13}

// listenerTLS reads and checks the keys of TLS.
func (d *decoder) listenerTLS(s section, l *Listener) {
	low, high := s.String("tls_min_version"), s.String("tls_max_version")
	l.TLSMinVersion, l.TLSMaxVersion = tlsVersions[low], tlsVersions[high]
	l.TLSClientCAFile = s.String("tls_client_ca_file")
	l.RequireClientCert, l.DisableClientCerts = s.Bool("tls_require_and_verify_client_cert"), s.Bool("tls_disable_client_certs")
	l.TLSCipherSuites = d.suites(s)
	if l.TLSDisable {
		if l.RequireClientCert {
			d.fail(s.problem(s.place("tls_require_and_verify_client_cert"), "tls_require_and_verify_client_cert cannot be kept with tls_disable = true", "remove one of the two"))
		}
		return
	}
	if l.TLSCertFile == "" || l.TLSKeyFile == "" {
		d.fail(s.problem(s.pos, "TLS is on, and needs tls_cert_file and tls_key_file", "give both files, or write tls_disable = true"))
	}
	switch {
	case l.TLSMinVersion > l.TLSMaxVersion:
		at := s.place("tls_min_version")
		if _, given := s.at["tls_min_version"]; !given {
			at = s.place("tls_max_version")
		}
		d.fail(s.problem(at, fmt.Sprintf("tls_min_version %s is above tls_max_version %s", low, high), "raise the one or lower the other"))
	case l.TLSMinVersion < tls.VersionTLS12:
		d.warn(s.problem(s.place("tls_min_version"), fmt.Sprintf("tls_min_version = %q lets clients speak a version of TLS that is no longer safe", low), `write tls_min_version = "tls12"`))
	}
	switch {
	case l.RequireClientCert && l.DisableClientCerts:
		d.fail(s.problem(s.place("tls_disable_client_certs"), "tls_disable_client_certs and tls_require_and_verify_client_cert exclude each other", "remove one of the two"))
	case l.TLSClientCAFile != "" && !l.RequireClientCert:
		d.warn(s.problem(s.place("tls_client_ca_file"), "tls_client_ca_file verifies nobody without tls_require_and_verify_client_cert", "write tls_require_and_verify_client_cert = true"))
	}
}

// suites are those of tls_cipher_suites; nil when there is none.
func (d *decoder) suites(s section) []uint16 {
	known := map[string]*tls.CipherSuite{}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		known[suite.Name] = suite
	}
	at := s.place("tls_cipher_suites")
	var all []uint16
	for _, name := range setting[[]string](s.Settings, "tls_cipher_suites") {
		suite := known[name]
		switch {
		case suite == nil:
			remedy := "use the names of Go's crypto/tls"
			if near := nearest(name, maps.Keys(known)); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			}
			d.fail(s.problem(at, fmt.Sprintf("unknown cipher suite %q in tls_cipher_suites", clip(name)), remedy))
			continue
		case slices.Equal(suite.SupportedVersions, []uint16{tls.VersionTLS13}):
			d.warn(s.problem(at, fmt.Sprintf("%s in tls_cipher_suites has no effect: the suites of TLS 1.3 are always on", name), "remove it"))
			continue
		case suite.Insecure:
			d.warn(s.problem(at, fmt.Sprintf("%s in tls_cipher_suites is not safe", name), "remove it"))
		case !strings.Contains(name, "_ECDHE_") || !strings.Contains(name, "_GCM_") && !strings.Contains(name, "_CHACHA20_"):
			d.warn(s.problem(at, fmt.Sprintf("%s in tls_cipher_suites is forbidden for HTTP/2: clients that speak it may be refused", name), "remove it"))
		}
		all = append(all, suite.ID)
	}
	return all
}
