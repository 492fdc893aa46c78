package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// A path from a default is not the user's to change; paths of Vault are no files.
func TestRelativePathsOfAService(t *testing.T) {
	const src = `
pid_file = "leasehold.pid"
log_file = "/var/log/leasehold.log"
vault {
  address = "http://127.0.0.1:8200"
  ca_cert = "ca.pem"
}
auto_auth {
  method "approle" {
    mount_path = "auth/approle"
    config = {
      role_id_file_path = "role"
      secret_id_file_path = "/etc/secret"
      secret_id_response_wrapping_path = "auth/approle/role/app/secret-id"
    }
  }
  sink "file" {
    config = { path = "token" }
  }
}
cache {
  persist "file" {
    path = "state"
    key_file = "/etc/cache.key"
  }
}
listener "tcp" {
  address = "127.0.0.1:8100"
  tls_cert_file = "cert.pem"
  tls_key_file = "/etc/key.pem"
}`
	root := filepath.ToSlash(filepath.VolumeName(t.TempDir())) + "/" // on Windows, what begins with a slash is relative
	cfg, err := config.Parse("t.hcl", []byte(strings.ReplaceAll(src, `"/`, `"`+root)), config.Options{Sources: true, LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range relativePaths(cfg, "/home") {
		text := w.String()
		if !strings.Contains(text, "from /home for a service; write an absolute one") {
			t.Error(text)
		}
		got = append(got, strings.Fields(strings.TrimPrefix(text, w.Pos.String()+": "))[0])
	}
	const want = "pid_file vault.ca_cert auto_auth[0].method.config.role_id_file_path auto_auth[0].sink[0].config.path listener[0].tls_cert_file cache.persist.path"
	if all := strings.Join(got, " "); all != want {
		t.Errorf("%s\nwant %s", all, want)
	}
}

func TestAServiceIsAtHomeWithItsConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "conf", "leasehold.hcl")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ config, home string }{
		"a file":          {file, filepath.Dir(file)},
		"a directory":     {filepath.Dir(file), filepath.Dir(file)},
		"a relative path": {filepath.Join("conf", "leasehold.hcl"), filepath.Dir(file)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(dir)
			configs := []string{tc.config, "more.hcl"}
			home, err := enterHome(configs)
			if err != nil || home != tc.home {
				t.Fatalf("%s, %v", home, err)
			}
			if now, err := os.Getwd(); err != nil || now != tc.home {
				t.Errorf("the process is in %s, %v", now, err)
			}
			if _, err := os.Stat(configs[0]); err != nil || configs[1] != filepath.Join(dir, "more.hcl") {
				t.Errorf("%v, %v", configs, err)
			}
		})
	}
}

func TestDoubtsAboutAService(t *testing.T) {
	file := filepath.Join(t.TempDir(), "leasehold.hcl")
	for name, tc := range map[string]struct{ content, want string }{
		"none":            {"cache {}\nlistener \"tcp\" {\n  address = \"127.0.0.1:8100\"\n  tls_disable = true\n}\n", ""},
		"a relative path": {"pid_file = \"p\"\ncache {}\nlistener \"tcp\" {\n  address = \"127.0.0.1:8100\"\n  tls_disable = true\n}\n", "leasehold.hcl:1:"},
		"a broken file":   {"cache {", "warning: the configuration cannot be used as it is"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got := serviceOrder{config: []string{file}}.doubts()
			if !strings.Contains(got, tc.want) || (tc.want == "") != (got == "") {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
