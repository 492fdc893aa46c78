package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	standardLine = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(TRACE|DEBUG|INFO|WARN|ERROR)\] {1,2}proxy: [^:]`)
	setAside     = regexp.MustCompile(`^proxy-\d{19}\.log$`)
)

// busy has the proxy write n lines at least, and remembers the secrets that pass.
func (p *proxy) busy(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		p.do(t, "GET", fmt.Sprintf("/v1/leaser/creds/%s-%d?ttl=600", name(t), i), "")
		if a := p.do(t, "POST", "/proxy/v1/cache-clear", `{"type":"all"}`); a.Status != 200 {
			t.Fatalf("cache-clear = %d %s", a.Status, a.Body)
		}
	}
}

// The file has in Vault's form what standard error has, and as little of secrets.
func TestLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "proxy.log")
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startTheirs(t, fmt.Sprintf("log_file = %q\nlog_level = \"trace\"\n", path)+caching(shared.Address, r))
	p.busy(t, 3)
	p.stop(t)
	text := readFile(t, path)
	if out := p.log.String(); out != text {
		t.Errorf("the file has\n%s\nand standard error\n%s", text, out)
	}
	for line := range strings.Lines(text) {
		if !standardLine.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
	if found := seenIn(text); len(found) > 0 {
		t.Errorf("%d secrets are in the log file", len(found))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("log file = %v, %v", info, err)
	}
}

// startTheirs is startProxy with the log format that users have by default.
func startTheirs(t *testing.T, hcl string, opts ...option) *proxy {
	t.Helper()
	p := launch(t, hcl, append(opts, env("VAULT_LOG_FORMAT="))...)
	p.waitLog(t, "proxy: ready: vault=")
	found := regexp.MustCompile(`proxy: listening: address=(127\.0\.0\.1:\d+)`).FindStringSubmatch(p.log.String())
	if found == nil {
		t.Fatal("no address in the log")
	}
	p.URLs = []string{"http://" + found[1]}
	return p
}

// The name is fixed, old files stand beside it, and no more of them than asked for. Flags win over the file.
func TestLogRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "proxy.log")
	config := filepath.Join(t.TempDir(), "proxy.hcl")
	hcl := "log_file = \"/nowhere/x.log\"\nlog_rotate_bytes = 1000000\nlog_rotate_duration = \"1h\"\n" +
		caching(shared.Address, newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read")))
	if err := os.WriteFile(config, []byte(hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"-config=" + config, "-log-file=" + dir + "/", "-log-rotate-bytes=200", "-log-rotate-max-files=2", "-log-format=logfmt"})
	p.waitLog(t, "msg=ready")
	p.waitListening(t, 1)
	p.busy(t, 5)
	p.stop(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Errorf("files: %v, want proxy.log and two old ones", entries)
	}
	kept := ""
	for _, e := range entries {
		if e.Name() != "proxy.log" && !setAside.MatchString(e.Name()) {
			t.Errorf("a file is named %s", e.Name())
		}
		if e.Name() != "proxy.log" {
			kept += readFile(t, filepath.Join(dir, e.Name()))
		}
	}
	if kept += readFile(t, path); !strings.HasSuffix(p.log.String(), kept) || !strings.HasSuffix(kept, "msg=stopped\n") {
		t.Errorf("the files have\n%s\nwant the end of\n%s", kept, p.log)
	}
}

func TestLogFileThatCannotBe(t *testing.T) {
	for title, path := range map[string]string{"no directory": "/nowhere/proxy.log", "a pattern": "/tmp/*.log"} {
		t.Run(title, func(t *testing.T) {
			p := launch(t, fmt.Sprintf("log_file = %q\n", path)+cacheStanza+listenerStanza())
			p.wantExit(t, 1)
			if out := p.log.String(); !strings.Contains(out, "log_file: ") || !strings.Contains(out, "; name ") {
				t.Errorf("output = %s", out)
			}
		})
	}
}
