package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const krbRealm = "EXAMPLE.TEST"

// realm is a Kerberos realm of one test with a KDC of its own.
type realm struct {
	conf string // krb5.conf of its clients

	dir   string
	admin string // kadmin.local
	env   []string
}

// startKDC runs MIT's KDC in a directory of its own until the test ends. The system's own is neither needed nor touched.
func startKDC(t *testing.T) realm {
	t.Helper()
	create, server := program(t, "kdb5_util", "krb5-kdc"), program(t, "krb5kdc", "krb5-kdc")
	r := realm{dir: t.TempDir(), admin: program(t, "kadmin.local", "krb5-admin-server")}
	address := freeAddress(t)
	r.conf = filepath.Join(r.dir, "krb5.conf")
	profile := filepath.Join(r.dir, "kdc.conf")
	writeFile(t, r.conf, fmt.Sprintf(`
[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  dns_lookup_realm = false
[realms]
  %[1]s = {
    kdc = %[2]s
  }
`, krbRealm, address), 0o600)
	// Vault's plugin wants the PAC of an Active Directory or none; what MIT makes of it by default it cannot read.
	writeFile(t, profile, fmt.Sprintf(`
[realms]
  %[1]s = {
    kdc_listen = %[2]s
    kdc_tcp_listen = %[2]s
    database_name = %[3]s/principal
    key_stash_file = %[3]s/stash
    acl_file = %[3]s/acl
    supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    default_principal_flags = +preauth
    disable_pac = true
  }
[logging]
  kdc = STDERR
  default = STDERR
`, krbRealm, address, r.dir), 0o600)
	r.env = append(os.Environ(), "KRB5_CONFIG="+r.conf, "KRB5_KDC_PROFILE="+profile, "KRB5RCACHEDIR="+r.dir)
	r.run(t, create, "create", "-s", "-r", krbRealm, "-P", "of-the-database")
	kdc := exec.Command(server, "-n", "-r", krbRealm)
	kdc.Env, kdc.Dir = r.env, r.dir
	runDaemon(t, kdc, func() bool { return answers(address) })
	return r
}

func (r realm) run(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Dir = r.env, r.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, out)
	}
}

// add makes a principal with a random key.
func (r realm) add(t *testing.T, principal string) {
	t.Helper()
	r.run(t, r.admin, "-r", krbRealm, "addprinc", "-randkey", principal)
}

// keytab gives a principal a new key, of these encryption types ("" means the KDC's), and puts it into a new keytab.
func (r realm) keytab(t *testing.T, principal, encTypes string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keytab")
	args := []string{"-r", krbRealm, "ktadd", "-k", path}
	if encTypes != "" {
		args = append(args, "-e", encTypes)
	}
	r.run(t, r.admin, append(args, principal)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// closedPort is a krb5.conf that leads to nobody.
func closedPort(t *testing.T) (conf string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	conf = filepath.Join(t.TempDir(), "krb5.conf")
	writeFile(t, conf, fmt.Sprintf("[realms]\n  %s = {\n    kdc = %s\n  }\n", krbRealm, ln.Addr()), 0o600)
	return conf
}
