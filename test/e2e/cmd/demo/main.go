// Command demo shows in a minute what Leasehold is for: it starts a real Vault in this process and the built binary beside it,
// sends requests as an application would, and tells what comes back. It checks each thing that it tells and exits with 1 when one
// is not so. Nothing is left running or on disk, also after Ctrl-C (exit code 130).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"leasehold/test/e2e/realvault"
)

func main() {
	binary := flag.String("binary", "bin/leasehold", "the `file` that make build has made")
	flag.Parse()
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	err := run(ctx, *binary, os.Stdout)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "\ndemo: interrupted; nothing is left running")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// run makes the stage, gives the tour and clears the stage.
func run(ctx context.Context, binary string, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "leasehold-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	v, err := realvault.Start(realvault.Options{AuditFile: filepath.Join(dir, "audit.log")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	role, err := setUp(v, dir)
	if err != nil {
		return err
	}
	p, err := startProxy(ctx, binary, filepath.Join(dir, "proxy.hcl"))
	if err != nil {
		return err
	}
	defer p.kill()

	t := tour{ctx: ctx, vault: v, proxy: p, role: role, out: out}
	t.say("A real Vault serves at %s, with AppRole and an engine whose every read is a lease.", v.Address)
	t.say("Leasehold stands in front of it at %s and has logged in by AppRole. Its configuration:\n\n%s", p.url, indent(role.config))
	if err := t.give(); err != nil {
		return fmt.Errorf("%w\nThe log of Leasehold:\n%s", err, p.log.String())
	}
	return nil
}

// appRole is what an application needs to log in, and the configuration that lets Leasehold do so.
type appRole struct {
	id       string
	secretID string // a second one, for the application; Leasehold's own is in its file
	config   string
}

// setUp prepares Vault as its operator would, and writes Leasehold's files into dir.
func setUp(v *realvault.Server, dir string) (appRole, error) {
	const role = "auth/approle/role/demo"
	c := v.Client()
	if err := c.Sys().PutPolicy("demo", `path "leaser/creds/demo" { capabilities = ["read"] }`); err != nil {
		return appRole{}, err
	}
	if _, err := c.Logical().Write(role, map[string]any{"token_policies": "demo", "token_ttl": "1h"}); err != nil {
		return appRole{}, err
	}
	id, err := c.Logical().Read(role + "/role-id")
	if err != nil {
		return appRole{}, err
	}
	var secretIDs [2]string
	for i := range secretIDs {
		s, err := c.Logical().Write(role+"/secret-id", nil)
		if err != nil {
			return appRole{}, err
		}
		secretIDs[i] = s.Data["secret_id"].(string)
	}
	r := appRole{id: id.Data["role_id"].(string), secretID: secretIDs[1], config: configuration(v.Address, dir)}
	return r, errors.Join(
		os.WriteFile(filepath.Join(dir, "role-id"), []byte(r.id), 0o600),
		os.WriteFile(filepath.Join(dir, "secret-id"), []byte(secretIDs[0]), 0o600),
		os.WriteFile(filepath.Join(dir, "proxy.hcl"), []byte(r.config), 0o600),
	)
}

// configuration is a Vault Proxy configuration like any other.
func configuration(address, dir string) string {
	return fmt.Sprintf(`vault { address = %q }

auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = %q
      secret_id_file_path = %q
    }
  }
}

api_proxy { use_auto_auth_token = true }

cache {}

listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
  proxy_api { enable_quit = true }
}
`, address, filepath.Join(dir, "role-id"), filepath.Join(dir, "secret-id"))
}
