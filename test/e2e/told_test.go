package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	own "leasehold/internal/api"
)

// tellAll has the binary tell all that it can: trace level, access log, traces, metrics, and an admin socket to ask over. All of it is searched when the
// binary has ended. With LEASEHOLD_E2E_TRACE=1 every test runs in that way, but those that are about such a thing themselves and say so with tellOwn.
var tellAll, tellOwn = env(tellSwitch + "=1"), env(tellSwitch + "=0")

const tellSwitch = "LEASEHOLD_E2E_TRACE"

// telling is what one run of the binary tells beside its log.
type telling struct {
	config    string // all files, as they are at the start
	access    string // the access log
	socket    string // the admin socket; "" for none
	collector *collector
	answers   []byte // over the socket: all but metrics
	metrics   []byte // over the socket
}

// tell arranges for what cmd would not tell by itself. What a test configures is left as it is.
func tell(t *testing.T, cmd *exec.Cmd) *telling {
	t.Helper()
	if value(cmd, tellSwitch) != "1" || cmd.SysProcAttr != nil && (cmd.SysProcAttr.Chroot != "" || cmd.SysProcAttr.Credential != nil) {
		return nil
	}
	all := &telling{}
	for _, arg := range cmd.Args[1:] {
		if file, ok := strings.CutPrefix(arg, "-config="); ok {
			if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() { // what a pipe holds can be read once
				continue
			}
			text, _ := os.ReadFile(file) // one that nobody can read is what the test is about
			all.config += string(text) + "\n"
		}
	}
	if value(cmd, "VAULT_LOG_LEVEL") == "" && !strings.Contains(all.config+strings.Join(cmd.Args, " "), "log_level") && !strings.Contains(strings.Join(cmd.Args, " "), "-log-level") {
		cmd.Env = append(cmd.Env, "VAULT_LOG_LEVEL=trace")
	}
	if len(cmd.Args) < 2 || !strings.HasPrefix(cmd.Args[1], "-config=") { // a command, or no daemon to be
		return all
	}
	all.more(t, cmd)
	if m := adminSocket.FindStringSubmatch(all.config); m != nil {
		all.socket = m[1]
	} else if value(cmd, "XDG_RUNTIME_DIR") == noRuntime && value(cmd, "RUNTIME_DIRECTORY") == "" {
		all.socket = filepath.Join(filepath.Dir(socketPath(t)), "admin.sock")
		cmd.Env = append(cmd.Env, "RUNTIME_DIRECTORY="+filepath.Dir(all.socket))
	}
	return all
}

var adminSocket = regexp.MustCompile(`(?m)^\s*admin_socket\s*=\s*"([^"]*)"`)

// value is a variable of the command's environment; the last one counts.
func value(cmd *exec.Cmd, name string) (last string) {
	for _, v := range cmd.Env {
		if n, text, _ := strings.Cut(v, "="); n == name {
			last = text
		}
	}
	return last
}

// more adds a file with the stanzas that the others do not have.
func (d *telling) more(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	dir, stanzas := t.TempDir(), ""
	if !stanza("access_log").MatchString(d.config) {
		d.access = filepath.Join(dir, "access.log")
		stanzas += fmt.Sprintf("access_log {\n  path   = %q\n  format = \"json\"\n}\n", d.access)
	}
	if !stanza("telemetry").MatchString(d.config) {
		d.collector = startCollector(t)
		stanzas += fmt.Sprintf("telemetry {\n  otlp {\n    endpoint = %q\n    headers  = { Authorization = %q }\n    interval = 5\n  }\n  traces {}\n}\n", d.collector.URL, collectorKey)
	}
	if stanzas == "" {
		return
	}
	file := filepath.Join(dir, "told.hcl")
	writeFile(t, file, stanzas, 0o600)
	cmd.Args = append(cmd.Args, "-config="+file)
}

func stanza(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\s*"?` + name + `"?\s*(:|=)?\s*[{[]`)
}

// ask asks over the admin socket for all that it tells. A process that is not so far, or that has ended, tells nothing.
func (d *telling) ask() error {
	if d == nil || d.socket == "" {
		return nil
	}
	if _, err := os.Stat(d.socket); err != nil {
		return nil
	}
	over := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.socket)
	}}}
	get := func(path string) ([]byte, error) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://leasehold/proxy/v1/"+path, nil)
		if err != nil {
			return nil, err
		}
		resp, err := over.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return fmt.Appendf(nil, "%s\n%v\n%s\n", path, resp.Header, body), err
	}
	return d.askBy(get)
}

func (d *telling) askBy(get func(path string) ([]byte, error)) error {
	var errs []error
	take := func(to *[]byte, path string) []byte {
		answer, err := get(path)
		errs = append(errs, err)
		*to = append(*to, answer...)
		return answer
	}
	take(&d.metrics, "metrics?format=json")
	take(&d.metrics, "metrics?format=prometheus")
	for _, path := range []string{"status", "readyz", "livez", "explain?path=/v1/auth/token/lookup-self", "explain?path=/v1/sys/leases/revoke&method=PUT"} {
		take(&d.answers, path)
	}
	for after, paths := "", 3; ; {
		answer := take(&d.answers, "leases?limit=500&after="+url.QueryEscape(after))
		var page own.LeasePage
		if i := strings.Index(string(answer), "\n{"); i < 0 || json.Unmarshal(answer[i:], &page) != nil {
			break
		}
		for _, l := range page.Leases[:min(paths, len(page.Leases))] {
			take(&d.answers, "explain?path="+url.QueryEscape("/v1/"+l.Path))
			paths--
		}
		if after = page.Next; after == "" {
			break
		}
	}
	return errors.Join(errs...)
}

// leaks names what is told that must not be, by the place where it is told. It is for a process that has ended.
func (d *telling) leaks() (all []string) {
	if d == nil {
		return nil
	}
	search := func(place, text string, of confidence) {
		for _, s := range find(text, of) {
			all = append(all, fmt.Sprintf("%s: the one that begins %.8q", place, s))
		}
	}
	const anything = secret | accessor | leaseID
	search("the metrics", string(d.metrics), anything)
	search("the answers over the admin socket", string(d.answers), secret|leaseID)
	if d.collector != nil {
		search("what the collector got", d.collector.got(), anything)
	}
	if d.access != "" {
		text, _ := os.ReadFile(d.access) // none without a start
		search("the access log", string(text), anything)
	}
	for _, file := range d.stateFiles() {
		text, _ := os.ReadFile(file) // one that is gone, or that this test has made unreadable, tells nothing
		search("the state file "+filepath.Base(file), string(text), anything)
	}
	return all
}

var quotedPath = regexp.MustCompile(`"(/[^"\n]+)"`)

// stateFiles are all files of persist, those that were set aside as well.
func (d *telling) stateFiles() (files []string) {
	for _, m := range quotedPath.FindAllStringSubmatch(d.config, -1) {
		for _, pattern := range []string{filepath.Join(m[1], stateFile+"*"), m[1] + "*"} {
			found, _ := filepath.Glob(pattern) // the patterns are good
			for _, file := range found {
				if strings.Contains(filepath.Base(file), ".db") && !slices.Contains(files, file) {
					files = append(files, file)
				}
			}
		}
	}
	return files
}
