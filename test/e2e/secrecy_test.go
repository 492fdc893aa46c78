package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	measured "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// A proxy that tells all it can, of a run with everything in it, tells no secret: finish searches. Here is checked that each place had something to search.
func TestAllThatIsToldHoldsNoSecret(t *testing.T) {
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", "auth/token/*: create, update", "sys/leases/*: update", "kv/*: read, create, update"))
	dir := t.TempDir()
	p := startProxy(t, persistent(shared.Address, r, dir), tellAll)
	const path = "/v1/leaser/creds/all-told?ttl=600"
	id, _ := p.lease(t, path)
	p.wantHit(t, path, id)
	auth := p.logIn(t, r)
	token := "X-Vault-Token: " + auth.ClientToken
	_, _ = p.lease(t, path, token)
	p.do(t, "POST", "/v1/kv/all-told", `{"word":"nobody-else-may-know"}`)
	p.do(t, "GET", "/v1/kv/all-told", "")
	p.do(t, "GET", "/v1/auth/token/lookup-self", "", token)
	p.do(t, "GET", "/v1/auth/token/lookup/"+auth.ClientToken, "", token)
	p.do(t, "PUT", "/v1/sys/leases/renew", `{"lease_id":"`+id+`"}`)
	p.do(t, "PUT", "/v1/sys/leases/revoke/"+id, "")
	p.do(t, "GET", "/v1/leaser/nowhere?token="+auth.ClientToken, "", token)
	p.do(t, "GET", "/v1/auth/token/lookup-self", "", "X-Vault-Token: hvs.unknown-to-vault")
	p.do(t, "POST", "/proxy/v1/cache-clear", `{"type":"token","value":"`+auth.ClientToken+`"}`)
	_, _ = p.lease(t, path) // so that there is one at the end
	_, _ = p.lease(t, "/v1/leaser/creds/all-told-renewed?ttl=3&max_ttl=600")
	p.waitLog(t, "level=DEBUG msg=renewed") // nothing is told at trace level alone
	p.stop(t)
	for place, has := range map[string]bool{
		"an access log":    strings.Contains(readFile(t, p.told.access), "/v1/leaser/creds/all-told"),
		"spans":            len(p.told.collector.find("GET lease", "")) > 1,
		"exported metrics": p.told.collector.metrics > 0 && strings.Contains(p.told.collector.got(), "leasehold.cache.entries"),
		"metrics":          bytes.Contains(p.told.metrics, []byte("leasehold_cache_entries ")) && bytes.Contains(p.told.metrics, []byte(`"Gauges"`)),
		"leases":           bytes.Contains(p.told.answers, []byte(`"leaser/creds/all-told"`)),
		"a status":         bytes.Contains(p.told.answers, []byte(`"auto_auth"`)),
		"an explanation":   bytes.Contains(p.told.answers, []byte("explain?path=%2Fv1%2Fleaser%2Fcreds%2Fall-told")),
		"a state file":     len(p.told.stateFiles()) > 0,
		"secrets":          len(find(string(p.told.answers), accessor)) > 0, // which stand there, and only there
	} {
		if !has {
			t.Errorf("there is nothing to search: no %s\n%s%s", place, p.told.metrics, p.told.answers)
		}
	}
}

// What a crash prints are stacks of all goroutines, with what they hold as numbers.
func TestStacksHoldNoSecret(t *testing.T) {
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, caching(shared.Address, r), tellAll)
	_, _ = p.lease(t, "/v1/leaser/creds/stacks?ttl=600")
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	p.wantExit(t, 2)
	if out := p.log.String(); !strings.Contains(out, "goroutine ") { // finish searches it
		t.Errorf("no stacks are printed: %s", out)
	}
}

// Whatever place a secret gets to, it is found there.
func TestEachPlaceIsSearched(t *testing.T) {
	planted := "hvs.planted-" + name(t)
	know(planted, secret)
	dir := t.TempDir()
	clean := func() *telling {
		d := &telling{config: fmt.Sprintf("path = %q\n", dir), access: filepath.Join(dir, "access.log"), collector: startCollector(t)}
		writeFile(t, d.access, "{}\n", 0o600)
		writeFile(t, filepath.Join(dir, stateFile), "sealed", 0o600)
		return d
	}
	if found := clean().leaks(); len(found) > 0 {
		t.Errorf("found in nothing: %q", found)
	}
	post := func(d *telling, m proto.Message, path string) {
		body, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequest(http.MethodPost, d.collector.URL+path, bytes.NewReader(body))
		req.Header.Set("Authorization", collectorKey)
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
	}
	for place, plant := range map[string]func(d *telling){
		"the access log":              func(d *telling) { writeFile(t, d.access, `{"path":"/v1/`+planted+`"}`, 0o600) },
		"the state file leasehold.db": func(*telling) { writeFile(t, filepath.Join(dir, stateFile), "\x00\x01"+planted, 0o600) },
		"the state file leasehold.db.wal": func(*telling) {
			file := filepath.Join(dir, stateFile+".wal")
			writeFile(t, file, planted, 0o600)
			t.Cleanup(func() { _ = os.Remove(file) })
		},
		"what the collector got": func(d *telling) {
			label := &common.KeyValue{Key: "path", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: planted}}}
			post(d, &collectmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*measured.ResourceMetrics{{Resource: &resource.Resource{Attributes: []*common.KeyValue{label}}}}}, "/v1/metrics")
		},
		"the answers over the admin socket": func(d *telling) {
			d.askOf(t, "/proxy/v1/status", `{"token":"`+planted+`"}`)
		},
		"the metrics": func(d *telling) {
			d.askOf(t, "/proxy/v1/metrics", `leasehold_x{token="`+planted+`"} 1`)
		},
	} {
		t.Run(place, func(t *testing.T) {
			d := clean()
			plant(d)
			if found := d.leaks(); len(found) != 1 || !strings.HasPrefix(found[0], place+": ") {
				t.Errorf("found %q", found)
			}
		})
		_ = os.Remove(filepath.Join(dir, stateFile+".wal"))
	}
}

// askOf asks a stand-in that has one answer.
func (d *telling) askOf(t *testing.T, path, answer string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			_, _ = w.Write([]byte(answer))
		}
	}))
	defer s.Close()
	if err := d.askBy(func(path string) ([]byte, error) {
		a, err := send(t.Context(), http.MethodGet, s.URL+"/proxy/v1/"+path, "")
		return a.Body, err
	}); err != nil {
		t.Fatal(err)
	}
}
