//go:build linux || darwin

package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"leasehold/internal/api"
	"leasehold/internal/daemon"
	"leasehold/internal/vaulttest"
)

// What explain says of a user is what a process of that user gets, by his groups as well. Of a user that nobody knows here it says nothing.
func TestExplainKnowsGroups(t *testing.T) {
	uid, gid := strconv.Itoa(os.Geteuid()), strconv.Itoa(os.Getegid())
	if u, err := user.LookupId(uid); err != nil || u.Gid != gid {
		t.Skipf("this machine has not user %s in group %s: %v", uid, gid, err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	r := run(t, parse(t, fmt.Sprintf(`vault { address = %q }
cache {}
listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
  proxy_api { enable_status = true }
}
listener "unix" {
  address        = %q
  tls_disable    = true
  allow_groups   = [%[3]q]
  default_action = "allow"
  rule "kv/denied" {
    action = "deny"
    groups = [%[3]q]
  }
}`, vaulttest.NewServer(t).URL, socket, gid)), daemon.Options{})
	over := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	for path, want := range map[string]int{"/v1/kv/open": answered, "/v1/kv/denied": http.StatusForbidden} {
		resp, err := over.RoundTrip(httpGet(t, "http://leasehold"+path))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if said := r.explained(t, path, uid); resp.StatusCode != want || said.Allowed != (want == answered) {
			t.Errorf("%s = %d, want %d; explained: %+v", path, resp.StatusCode, want, said)
		}
		if said := r.explained(t, path, "4294967294"); said.Allowed || !strings.Contains(said.Why, "groups are not known") {
			t.Errorf("%s, of nobody: %+v", path, said)
		}
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

// explained is what the second listener is said to do.
func (r running) explained(t *testing.T, path, uid string) api.ListenerView {
	t.Helper()
	status, _, body := r.do(t, http.MethodGet, "/proxy/v1/explain?path="+path+"&uid="+uid)
	var e api.Explanation
	if err := json.Unmarshal([]byte(body), &e); err != nil || status != http.StatusOK || len(e.Listeners) != 2 {
		t.Fatalf("explain = %d %s, %v", status, body, err)
	}
	return e.Listeners[1]
}
