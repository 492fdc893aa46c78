package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/test/e2e/realvault"
)

// stateful is a caching configuration with a state file in dir; lines goes into its persist block. Every start may log in, and tries again soon.
func stateful(v *realvault.Server, r appRole, dir, kind, lines string) string {
	auth := strings.Replace(r.autoAuth(), "config = {", "max_backoff = \"1s\"\n    config = {\n      remove_secret_id_file_after_reading = false", 1)
	return vaultStanza(v.Address) + auth + injectToken + listenerStanza() +
		fmt.Sprintf("cache {\n  persist %q {\n    path = %q\n    %s\n  }\n}\n", kind, dir, strings.ReplaceAll(lines, "\n", "\n    "))
}

const exitOnErr = "\nexit_on_err = true"

// killNine ends the process as a machine that loses power does: nothing is written any more.
func (p *proxy) killNine(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
}

// wantRefusal expects exit code 1 and one sentence for the user, which says all of this and what to do.
func (p *proxy) wantRefusal(t *testing.T, says ...string) {
	t.Helper()
	p.wantExit(t, 1)
	out := p.log.String()
	_, sentence, found := strings.Cut("\n"+out, "\nleasehold: ")
	if !found || strings.Count(sentence, "\n") != 1 || !strings.Contains(sentence, "; ") || strings.Contains(out, "goroutine ") {
		t.Errorf("no single sentence with a remedy ends:\n%s", out)
	}
	for _, text := range says {
		if !strings.Contains(sentence, text) {
			t.Errorf("the last word is %q, want %q in it", sentence, text)
		}
	}
}

// wantSealed expects nothing in dir but state files, closed to others and without a readable word of what they hold.
func wantSealed(t *testing.T, dir string, words ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 || !strings.HasPrefix(e.Name(), "leasehold.db") {
			t.Errorf("%s: %v, %v; want state files of mode 0600 alone", e.Name(), info, err)
		}
		wantNoWord(t, filepath.Join(dir, e.Name()), append(words, "leaser/creds", "lease_id", "hvs.CAES", "approle")...)
	}
	if !names["leasehold.db"] || !names["leasehold.db.wal"] {
		t.Errorf("state files are %v, want leasehold.db and leasehold.db.wal among them", names)
	}
}

func wantNoWord(t *testing.T, file string, words ...string) {
	t.Helper()
	text := readFile(t, file)
	if found := seenIn(text); len(found) > 0 {
		t.Errorf("%s holds %d secrets in the clear", filepath.Base(file), len(found))
	}
	for _, word := range words {
		if strings.Contains(text, word) {
			t.Errorf("%s holds %q in the clear", filepath.Base(file), word)
		}
	}
}

// newStateKey is what `openssl rand -base64 32` prints.
func newStateKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	text := base64.StdEncoding.EncodeToString(key)
	remember(text, string(key))
	return text
}

func writeFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// credential has the process started as systemd does it for a unit with LoadCredential=.
func credential(t *testing.T, named, text string, mode os.FileMode) option {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, named), text+"\n", mode)
	if err := os.Chmod(filepath.Join(dir, named), mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return env("CREDENTIALS_DIRECTORY=" + dir)
}

// mountToken writes a token as the kubelet does: the file is a link through ..data, which is exchanged as a whole.
func mountToken(t *testing.T, volume, text string) {
	t.Helper()
	version, err := os.MkdirTemp(volume, "..2024_")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(version, "token"), text, 0o644)
	next := filepath.Join(volume, "..data_tmp")
	if err := os.Symlink(filepath.Base(version), next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(volume, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..data/token", filepath.Join(volume, "token")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
}

// podToken is a new projected service account token of a pod: all but what names the pod differs from one to the next.
func podToken(t *testing.T, pod string) string {
	t.Helper()
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"aud": []string{"https://kubernetes.default.svc"}, "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:shop:app",
		"exp": now.Add(time.Hour).UnixNano(), "iat": now.UnixNano(), "nbf": now.UnixNano(), "jti": rand.Text(), // nanoseconds, to differ
		"kubernetes.io": map[string]any{
			"namespace": "shop", "node": map[string]any{"name": "node-" + rand.Text()}, "pod": map[string]any{"name": "app-" + pod, "uid": pod},
			"serviceaccount": map[string]any{"name": "app", "uid": "d0b5dbbd-5a24-4bbb-8d2c-4b3e0cb1c5c1"}, "warnafter": now.UnixNano(),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	token := part([]byte(`{"alg":"RS256","kid":"`+rand.Text()+`"}`)) + "." + part(claims) + "." + part([]byte(rand.Text()))
	remember(token)
	return token
}

// protector is one way to protect the state file by what this machine has.
type protector struct {
	kind, lines string                               // of the persist block
	bring       func(t *testing.T, key int) []option // brings the key of this number in the place of another, and says how to run with it
	warns       string                               // what the log says of its worth; "" when there is nothing to say
}

func protectors(t *testing.T) map[string]protector {
	keys := []string{newStateKey(), newStateKey()}
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key")
	made := filepath.Join(dir, "made")
	volume, secret := t.TempDir(), filepath.Join(dir, "token")
	return map[string]protector{
		"file": {kind: "file", lines: fmt.Sprintf("key_file = %q", keyFile), bring: func(t *testing.T, key int) []option {
			writeFile(t, keyFile, keys[key], 0o600)
			return nil
		}},
		"systemd": {kind: "systemd", bring: func(t *testing.T, key int) []option {
			return []option{credential(t, "leasehold-state-key", keys[key], 0o400)}
		}},
		// So is a credential that systemd lets a User= in to by an ACL.
		"systemd with mode 0440": {kind: "systemd", lines: `credential = "shop.key"`, bring: func(t *testing.T, key int) []option {
			return []option{credential(t, "shop.key", keys[key], 0o440)}
		}},
		"env": {kind: "env", warns: "the key of the state file is in the environment", bring: func(_ *testing.T, key int) []option {
			return []option{env("LEASEHOLD_STATE_KEY=" + keys[key])}
		}},
		"env by another name": {kind: "env", lines: `key_env = "SHOP_KEY"`, warns: "variable=SHOP_KEY", bring: func(_ *testing.T, key int) []option {
			return []option{env("SHOP_KEY="+keys[key], "LEASEHOLD_STATE_KEY="+keys[1-key])}
		}},
		"auto with a credential": {kind: "auto", lines: fmt.Sprintf("key_file = %q", filepath.Join(dir, "never")), bring: func(t *testing.T, key int) []option {
			return []option{credential(t, "leasehold-state-key", keys[key], 0o400)}
		}},
		"auto without one": {kind: "auto", lines: fmt.Sprintf("key_file = %q", made), bring: func(t *testing.T, key int) []option {
			if key == 1 {
				if err := os.Remove(made); err != nil { // Leasehold makes another
					t.Fatal(err)
				}
			}
			return nil
		}},
		// Every start finds a new token of the pod, as after an hour.
		"kubernetes": {kind: "kubernetes", lines: fmt.Sprintf("keep_after_import = true\nservice_account_token_file = %q", filepath.Join(volume, "token")),
			warns: "which are no secrets", bring: func(t *testing.T, key int) []option {
				mountToken(t, volume, podToken(t, fmt.Sprintf("6f1b8d1e-0000-4000-8000-00000000000%d", key)))
				return nil
			}},
		"kubernetes without claims": {kind: "kubernetes", lines: fmt.Sprintf("keep_after_import = true\nservice_account_token_file = %q", secret),
			bring: func(t *testing.T, key int) []option {
				writeFile(t, secret, "no.token:"+keys[key]+"\n", 0o644)
				return nil
			}},
	}
}

// wantWarning checks that the log says what this protection is worth, and nothing when it is worth something.
func (c protector) wantWarning(t *testing.T, p *proxy) {
	t.Helper()
	out := p.log.String()
	if !strings.Contains(out, c.warns) || c.warns == "" && strings.Contains(out, "the key of the state file is") {
		t.Errorf("about its protection the log should say %q:\n%s", c.warns, out)
	}
}

// What a client was told of outlives a kill -9 with each type of persist whose key is on this machine; with another key the file is set
// aside, or the end where exit_on_err says so.
func TestStateFileOfEachType(t *testing.T) {
	t.Parallel()
	for title, c := range protectors(t) {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			dir, path := t.TempDir(), "/v1/leaser/creds/"+name(t)+"?ttl=600"
			r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
			strict, lenient := stateful(shared, r, dir, c.kind, c.lines+exitOnErr), stateful(shared, r, dir, c.kind, c.lines)

			p := startProxy(t, strict, c.bring(t, 0)...)
			c.wantWarning(t, p)
			id, _ := p.lease(t, path)
			p.killNine(t)
			wantSealed(t, dir, id, r.RoleID)

			p = startProxy(t, strict, c.bring(t, 0)...)
			p.wantHit(t, path, id)
			p.killNine(t)

			launch(t, strict, c.bring(t, 1)...).wantRefusal(t, "proxy.hcl:", "sealed with another key", fmt.Sprintf("persist %q", c.kind), "restore the file or its key")

			p = startProxy(t, lenient, c.bring(t, 1)...)
			p.waitLog(t, "state file set aside, a new one begun")
			if again, hit := p.lease(t, path); hit || again == id {
				t.Errorf("lease %s, hit %v, from a file of another key", again, hit)
			}
			p.killNine(t)
			wantSealed(t, dir, id, r.RoleID)
		})
	}
}

// A key that cannot be had is the end, with or without exit_on_err: nothing is begun that another key could not open, and no secret id is spent.
func TestKeyThatCannotBeHad(t *testing.T) {
	t.Parallel()
	key, bad := newStateKey(), strings.Repeat("not base64", 3)
	remember(bad)
	none := filepath.Join(t.TempDir(), "none")
	empty, open := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "open")
	writeFile(t, empty, " \n", 0o600)
	writeFile(t, open, key, 0o600)
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	const load, generate = "add LoadCredentialEncrypted=leasehold-state-key:", "`openssl rand -base64 32`"
	for title, c := range map[string]struct {
		kind, lines string
		run         option
		says        string
	}{
		"systemd without credentials":     {"systemd", "", env(), load},
		"systemd without this credential": {"systemd", "", credential(t, "another", key, 0o400), load},
		"systemd and all may read":        {"systemd", "", credential(t, "leasehold-state-key", key, 0o444), "with mode 0400 or 0440, and replace the key"},
		"systemd and no key":              {"systemd", "", credential(t, "leasehold-state-key", bad, 0o400), "systemd-creds encrypt --name=leasehold-state-key"},
		"env unset":                       {"env", "", env(), "LEASEHOLD_STATE_KEY: it is not set; set it to a key that " + generate},
		"env empty":                       {"env", `key_env = "SHOP_KEY"`, env("SHOP_KEY=", "LEASEHOLD_STATE_KEY="+key), "SHOP_KEY: it is not set; set it"},
		"env and no key":                  {"env", "", env("LEASEHOLD_STATE_KEY=" + bad), generate},
		"kubernetes without a token":      {"kubernetes", fmt.Sprintf("service_account_token_file = %q", none), env(), "set service_account_token_file"},
		"kubernetes with an empty token":  {"kubernetes", fmt.Sprintf("service_account_token_file = %q", empty), env(), "it is empty; set service_account_token_file"},
		"file and others may read":        {"file", fmt.Sprintf("key_file = %q", open), env(), "run chmod 600 " + open},
		"file in no directory":            {"file", fmt.Sprintf("key_file = %q", filepath.Join(none, "key")), env(), "create it, closed to other users"},
		// The key file is for where there is no credential, not for where it is wrong: with another key the last run's file would be set aside.
		"auto and all may read": {"auto", fmt.Sprintf("key_file = %q", none), credential(t, "leasehold-state-key", key, 0o444), "0400 or 0440"},
		"auto and no key":       {"auto", fmt.Sprintf("key_file = %q", empty), env(), "restore it, or write a new key with " + generate},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := launch(t, stateful(shared, newAppRole(t, shared), dir, c.kind, c.lines), c.run)
			p.wantRefusal(t, "proxy.hcl:", c.says)
			if strings.Contains(p.log.String(), "logged in") {
				t.Error("there was a login all the same")
			}
			wantEmpty(t, dir)
			if _, err := os.Stat(none); !os.IsNotExist(err) {
				t.Errorf("a key file was made: %v", err)
			}
		})
	}
}

// With type auto the credential counts where systemd gives one, and a key file elsewhere; from one to the other is another key.
func TestAutoKeyFollowsTheUnit(t *testing.T) {
	t.Parallel()
	dir, keyFile := t.TempDir(), filepath.Join(t.TempDir(), "key")
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	hcl := stateful(shared, r, dir, "auto", fmt.Sprintf("key_file = %q", keyFile))
	path, unit := "/v1/leaser/creds/"+name(t)+"?ttl=600", credential(t, "leasehold-state-key", newStateKey(), 0o400)

	p := startProxy(t, hcl, unit)
	p.lease(t, path)
	p.killNine(t)
	if _, err := os.Stat(keyFile); !os.IsNotExist(err) {
		t.Errorf("there is a key file beside the credential: %v", err)
	}
	p = startProxy(t, hcl)
	p.waitLog(t, "state file set aside")
	id, hit := p.lease(t, path)
	if hit {
		t.Error("a hit without the credential's key")
	}
	p.killNine(t)
	if info, err := os.Stat(keyFile); err != nil || info.Mode() != 0o600 {
		t.Errorf("key file: %v %v, want mode 0600", info, err)
	}
	remember(strings.TrimSpace(readFile(t, keyFile)))
	wantSealed(t, dir, id)
	p = startProxy(t, hcl)
	p.wantHit(t, path, id)
	p.killNine(t)
	p = startProxy(t, hcl, unit)
	p.waitLog(t, "state file set aside")
}

// An init container hands its leases to the sidecar in a file, as Vault Agent does it: who has read the file removes it, and writes none.
func TestHandedOverInKubernetes(t *testing.T) {
	t.Parallel()
	for title, end := range map[string]func(*proxy, *testing.T){"stopped": (*proxy).stop, "killed": (*proxy).killNine} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			dir, volume := t.TempDir(), t.TempDir()
			r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
			hcl := stateful(shared, r, dir, "kubernetes", fmt.Sprintf("service_account_token_file = %q", filepath.Join(volume, "token"))+exitOnErr)
			const pod = "1c2d3e4f-0000-4000-8000-000000000000"
			path := "/v1/leaser/creds/" + name(t) + "?ttl=600"

			mountToken(t, volume, podToken(t, pod))
			p := startProxy(t, hcl)
			id, _ := p.lease(t, path)
			end(p, t)
			if _, err := os.Stat(filepath.Join(dir, "leasehold.db")); err != nil {
				t.Fatalf("nothing to hand over: %v", err)
			}

			mountToken(t, volume, podToken(t, pod)) // the containers of a pod have tokens of their own
			p = startProxy(t, hcl)
			p.waitLog(t, "state file removed after it was read")
			wantEmpty(t, dir)
			p.wantHit(t, path, id)
			p.lease(t, path+"&max_ttl=1800") // has nothing to be written to
			wantEmpty(t, dir)
			if a := p.do(t, "GET", "/proxy/v1/readyz", ""); a.Status != http.StatusOK || !contains(a.Body, "in memory only") {
				t.Errorf("readyz = %d %s", a.Status, a.Body)
			}
			p.killNine(t)
			wantEmpty(t, dir)

			p = startProxy(t, hcl)
			if again, hit := p.lease(t, path); hit || again == id {
				t.Errorf("lease %s, hit %v, of what was in memory alone", again, hit)
			}
		})
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%s holds %v, %v; want nothing", dir, entries, err)
	}
}
