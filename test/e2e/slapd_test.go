package e2e

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3" // the client that Vault's LDAP plugins link anyway
)

// The directory's tree: people below ou=people, groups below ou=groups.
const (
	ldapSuffix   = "dc=example,dc=test"
	ldapPeople   = "ou=people," + ldapSuffix
	ldapGroups   = "ou=groups," + ldapSuffix
	ldapAdmin    = "cn=admin," + ldapSuffix
	ldapAdminPwd = "of-the-ldap-admin"
)

// directory is a private LDAP server of one test.
type directory struct {
	address string // host:port
}

// startSlapd runs an OpenLDAP server in a directory of its own until the test ends. The system's own is neither needed nor touched. Its
// people have the passwords given, by user name; all are members of the group "staff".
func startSlapd(t *testing.T, passwords map[string]string) directory {
	t.Helper()
	remember(ldapAdminPwd)
	for _, p := range passwords {
		remember(p)
	}
	add, server := program(t, "slapadd", "slapd"), program(t, "slapd", "slapd")
	dir := t.TempDir()
	database, conf, tree := filepath.Join(dir, "db"), filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "tree.ldif")
	if err := os.Mkdir(database, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, conf, fmt.Sprintf(`
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database   mdb
suffix     %q
rootdn     %q
rootpw     %s
directory  %s
dbnosync
access to attrs=userPassword by anonymous auth by * none
access to * by * read
`, ldapSuffix, ldapAdmin, ldapAdminPwd, database), 0o600)
	writeFile(t, tree, ldif(passwords), 0o600)
	if out, err := exec.Command(add, "-q", "-f", conf, "-l", tree).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	d := directory{address: freeAddress(t)}
	runDaemon(t, exec.Command(server, "-d", "0", "-f", conf, "-h", "ldap://"+d.address), func() bool { return answers(d.address) })
	return d
}

// ldif is the tree with these people.
func ldif(passwords map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n", ldapSuffix)
	fmt.Fprintf(&b, "dn: %s\nobjectClass: organizationalUnit\nou: people\n\ndn: %s\nobjectClass: organizationalUnit\nou: groups\n\n", ldapPeople, ldapGroups)
	staff := fmt.Sprintf("dn: cn=staff,%s\nobjectClass: groupOfNames\ncn: staff\nmember: %s\n", ldapGroups, ldapAdmin)
	for user, password := range passwords {
		dn := fmt.Sprintf("cn=%s,%s", user, ldapPeople)
		fmt.Fprintf(&b, "dn: %s\nobjectClass: inetOrgPerson\ncn: %s\nuid: %s\nsn: %s\nuserPassword:: %s\n\n", dn, user, user, user, base64.StdEncoding.EncodeToString([]byte(password)))
		staff += "member: " + dn + "\n"
	}
	return b.String() + staff
}

// config is what Vault must know of the directory: where to find people, and their groups.
func (d directory) config() map[string]any {
	return map[string]any{
		"url": "ldap://" + d.address, "userdn": ldapPeople, "userattr": "cn", "groupdn": ldapGroups, "groupattr": "cn",
		"groupfilter": "(&(objectClass=groupOfNames)(member={{.UserDN}}))", "binddn": ldapAdmin, "bindpass": ldapAdminPwd,
		"max_page_size": 0, "token_ttl": "1h",
	}
}

// setPassword changes a password in the directory.
func (d directory) setPassword(t *testing.T, user, password string) {
	t.Helper()
	remember(password)
	c, err := goldap.DialURL("ldap://" + d.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(ldapAdmin, ldapAdminPwd); err != nil {
		t.Fatal(err)
	}
	change := goldap.NewPasswordModifyRequest(fmt.Sprintf("cn=%s,%s", user, ldapPeople), "", password)
	if _, err := c.PasswordModify(change); err != nil {
		t.Fatal(err)
	}
}

// program finds a program of a Debian package, also where only root's PATH leads.
func program(t *testing.T, name, pack string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("there is no %s here, in PATH or /usr/sbin; install the package %s to run this test", name, pack)
	}
	return path
}

// runDaemon runs a server until the test ends, and waits until it is ready.
func runDaemon(t *testing.T, cmd *exec.Cmd, ready func() bool) {
	t.Helper()
	log := &output{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("%s ended (%v):\n%s", filepath.Base(cmd.Path), err, log)
		}
	})
	eventually(t, filepath.Base(cmd.Path)+" answers", ready)
}

// answers reports whether a server listens.
func answers(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
