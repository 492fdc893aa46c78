package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v4/stdlib" // the driver that Vault's PostgreSQL plugin links anyway
)

// postgres is a private PostgreSQL server of one test.
type postgres struct {
	address string // host:port
}

// dsn is the connection URL of a user.
func (p postgres) dsn(user, password string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/postgres?sslmode=disable", user, password, p.address)
}

const superuser, superPassword = "postgres", "e2e"

// logIn tries the credentials once.
func (p postgres) logIn(ctx context.Context, user, password string) error {
	db, err := sql.Open("pgx", p.dsn(user, password))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

// startPostgres runs a server in a directory of its own until the test ends. The system's own cluster is neither needed nor touched.
func startPostgres(t *testing.T) postgres {
	t.Helper()
	bin := postgresBinaries(t)
	run := postgresUser(t)
	// Not t.TempDir: its parent is closed to the user that the server runs as.
	dir, err := os.MkdirTemp("", "leasehold-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(superPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	if run != nil {
		if err := errors.Join(os.Chown(dir, int(run.Uid), int(run.Gid)), os.Chown(password, int(run.Uid), int(run.Gid))); err != nil {
			t.Fatal(err)
		}
	}
	command := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, program), args...)
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: run}
		return cmd
	}
	// scram, because trust would let revoked credentials in as well.
	data := filepath.Join(dir, "data")
	initdb := command("initdb", "--pgdata="+data, "--username="+superuser, "--pwfile="+password, "--auth=scram-sha-256", "--no-sync", "--no-locale", "--encoding=UTF8")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	p := postgres{address: freeAddress(t)}
	host, port, _ := net.SplitHostPort(p.address)
	log := &output{}
	server := command("postgres", "-D", data, "-h", host, "-p", port, "-c", "unix_socket_directories=", "-c", "fsync=off")
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopPostgres(t, server, log) })
	eventually(t, "PostgreSQL answers", func() bool { return p.logIn(t.Context(), superuser, superPassword) == nil })
	return p
}

// stopPostgres asks for a fast shutdown, and kills the server when that takes too long.
func stopPostgres(t *testing.T, server *exec.Cmd, log *output) {
	_ = server.Process.Signal(os.Interrupt)
	kill := time.AfterFunc(patience, func() { _ = server.Process.Kill() })
	defer kill.Stop()
	if err := server.Wait(); err != nil || t.Failed() {
		t.Logf("PostgreSQL ended (%v):\n%s", err, log)
	}
}

// postgresBinaries finds the directory of initdb and postgres, which Debian keeps out of PATH.
func postgresBinaries(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip("there is no PostgreSQL here: no initdb in PATH or /usr/lib/postgresql; install the package postgresql to run this test")
	}
	return filepath.Dir(found[len(found)-1])
}

// postgresUser is whom the server runs as: nil means as ourselves. PostgreSQL refuses to run as root.
func postgresUser(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			t.Fatalf("user %s: %v", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Fatal("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
	return nil
}

// freeAddress is an address of 127.0.0.1 that nobody listens on, for a server that cannot choose a port itself.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// newDatabaseRole lets Vault make users of p: database/creds/<role>, each alive for ttl.
func newDatabaseRole(t *testing.T, p postgres, ttl time.Duration) (role string) {
	t.Helper()
	role = name(t)
	c := shared.Client().Logical()
	if _, err := c.Write("database/config/"+role, map[string]any{
		"plugin_name":    "postgresql-database-plugin",
		"connection_url": strings.Replace(p.dsn("USER", "PASSWORD"), "USER:PASSWORD", "{{username}}:{{password}}", 1),
		"username":       superuser,
		"password":       superPassword,
		"allowed_roles":  role,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // Vault's own connections must not hold up the end of the server
		if _, err := c.Delete("database/config/" + role); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.Write("database/roles/"+role, map[string]any{
		"db_name":             role,
		"creation_statements": `CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';`,
		"default_ttl":         ttl.String(),
		"max_ttl":             "1h",
	}); err != nil {
		t.Fatal(err)
	}
	return role
}
