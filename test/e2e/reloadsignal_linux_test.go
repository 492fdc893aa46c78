package e2e

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var reloadingMessage = regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9]\d*$`)

// A unit with Type=notify-reload hears when a reload begins, with the time that tells it from one before, and when it is over: also one that was refused.
func TestSystemdHearsOfReloads(t *testing.T) {
	messages, tell := notified(t)
	hcl := vaultStanza(shared.Address) + listenerStanza()
	r := startReloadable(t, hcl, tell)
	until(t, messages, "READY=1")
	for title, file := range map[string]string{"unchanged": hcl, "changed": "log_level = \"debug\"\n" + hcl, "refused": "log_level = \n" + hcl} {
		r.to(t, file)
		seen := until(t, messages, "READY=1")
		if len(seen) != 2 || !reloadingMessage.MatchString(seen[0]) || seen[1] != "READY=1" {
			t.Errorf("%s: systemd was told %q", title, seen)
		}
	}
}

// drained is a process with a request under way, and the request's outcome: "" when it was answered.
func drained(t *testing.T, more string) (r reloadable, hcl string, messages <-chan string, release func(), outcome <-chan string) {
	t.Helper()
	v, arrived, release := gated(t)
	hcl = caching(v.Address, newAppRole(t, v, newPolicy(t, v, "leaser/*: read")))
	messages, tell := notified(t)
	r = startReloadable(t, more+hcl, tell)
	r.waitLog(t, "msg=ready")
	r.waitListening(t, 1)
	ended := make(chan string, 1)
	go func() {
		a, err := send(t.Context(), "GET", r.URLs[0]+"/v1/leaser/creds/slow-"+name(t)+"?ttl=600", "")
		switch {
		case err != nil:
			ended <- err.Error()
		case a.Status != http.StatusOK:
			ended <- string(a.Body)
		default:
			ended <- ""
		}
	}()
	<-arrived
	return r, hcl, messages, release, ended
}

// SIGHUPs that come while the process ends neither end it sooner nor keep it.
func TestHangupDuringTheShutdown(t *testing.T) {
	r, hcl, messages, release, outcome := drained(t, "shutdown_timeout = \"1h\"\n")
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, messages, "STOPPING=1")
	replaceFile(t, r.file, "log_level = \"debug\"\n"+hcl)
	for range 5 {
		r.signal(t)
	}
	release()
	if got := <-outcome; got != "" {
		t.Errorf("the request under way: %s", got)
	}
	r.wantExit(t, 0)
	if said := r.log.String(); strings.Contains(said, "reloaded") {
		t.Errorf("a process that ends has reloaded:\n%s", said)
	}
}

// shutdown_timeout is what the last reload says.
func TestReloadOfTheShutdownTimeout(t *testing.T) {
	r, hcl, _, _, outcome := drained(t, "shutdown_timeout = \"1h\"\n")
	wantSaid(t, r.to(t, "shutdown_timeout = \"50ms\"\n"+hcl), "setting=shutdown_timeout old=1h0m0s new=50ms")
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r.wantExit(t, 0)
	if got := <-outcome; got == "" {
		t.Error("the request under way was answered, and nobody has released it")
	}
	wantSaid(t, r.log.String(), "requests under way were cut: shutdown_timeout has passed")
}
