package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/vault/api"
)

// stage is what the operator has prepared.
type stage struct {
	root   *api.Client // of Vault
	config string      // the file that Leasehold is started with
	token  string      // of a client; Leasehold did not issue it, so what is read with it is never kept
}

const (
	leasePath  = "/v1/leaser/creds/" // every read below it is a lease
	secretPath = "/v1/secret/data/app"
	long       = "?ttl=3600" // no renewal falls into a run
)

// setUp prepares Vault as its operator would, and writes Leasehold's files into dir.
func setUp(v *child, dir string) (s stage, err error) {
	if s.root, err = newRootClient(v.serving); err != nil {
		return s, err
	}
	const policy, role = "bench", "auth/approle/role/bench"
	// The default policy has templates, so Vault parses it anew at every request. Tokens without it make Vault as fast as it gets, and
	// comparisons with it as hard.
	rules := `path "leaser/creds/*" { capabilities = ["read"] }
		path "secret/data/app" { capabilities = ["read"] }
		path "auth/token/renew-self" { capabilities = ["update"] }`
	if err := s.root.Sys().PutPolicy(policy, rules); err != nil {
		return s, err
	}
	// With what Vault tells about a version, the answer has some 400 bytes.
	value := map[string]any{"username": "app", "password": strings.Repeat("p", 60)}
	if _, err := s.root.Logical().Write("secret/data/app", map[string]any{"data": value}); err != nil {
		return s, err
	}
	options := map[string]any{"token_policies": policy, "token_no_default_policy": true, "token_ttl": "12h"}
	if _, err := s.root.Logical().Write(role, options); err != nil {
		return s, err
	}
	id, err := s.root.Logical().Read(role + "/role-id")
	if err != nil {
		return s, err
	}
	secret, err := s.root.Logical().Write(role+"/secret-id", nil)
	if err != nil {
		return s, err
	}
	client, err := s.root.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{policy}, NoDefaultPolicy: true, TTL: "12h"})
	if err != nil {
		return s, err
	}
	s.token, s.config = client.Auth.ClientToken, filepath.Join(dir, "proxy.hcl")
	return s, errors.Join(
		os.WriteFile(filepath.Join(dir, "role-id"), []byte(id.Data["role_id"].(string)), 0o600),
		os.WriteFile(filepath.Join(dir, "secret-id"), []byte(secret.Data["secret_id"].(string)), 0o600),
		os.WriteFile(s.config, []byte(configuration(v.Address, dir)), 0o600),
	)
}

// newRootClient does not heed the VAULT_* variables of the developer.
func newRootClient(v serving) (*api.Client, error) {
	c, err := api.NewClient(&api.Config{Address: "http://" + v.Address})
	if err != nil {
		return nil, fmt.Errorf("client of Vault: %w", err)
	}
	c.ClearNamespace()
	c.SetToken(v.Token)
	return c, nil
}

// leasesOf counts what Vault holds under one name.
func (s stage) leasesOf(name string) (int, error) {
	list, err := s.root.Logical().List("sys/leases/lookup/leaser/creds/" + name)
	if err != nil || list == nil {
		return 0, err
	}
	keys, _ := list.Data["keys"].([]any)
	return len(keys), nil
}

// configuration is one as users write it. Every start logs in with the same secret id.
func configuration(vault, dir string) string {
	return fmt.Sprintf(`vault { address = "http://%s" }

auto_auth {
  method "approle" {
    config = {
      role_id_file_path                   = %q
      secret_id_file_path                 = %q
      remove_secret_id_file_after_reading = false
    }
  }
}

api_proxy { use_auto_auth_token = true }

cache {}

listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
}
`, vault, filepath.Join(dir, "role-id"), filepath.Join(dir, "secret-id"))
}

// get is a request as Vault's own client sends it, ready for the wire. The empty token leaves it to Leasehold to add one.
func get(address, target, token string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Go-http-client/1.1\r\n", target, address)
	if token != "" {
		fmt.Fprintf(&b, "X-Vault-Token: %s\r\n", token)
	}
	b.WriteString("X-Vault-Request: true\r\nAccept-Encoding: gzip\r\n\r\n")
	return []byte(b.String())
}
