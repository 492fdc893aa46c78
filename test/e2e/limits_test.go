package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// holding is a stand-in for a Vault that is slow: it holds requests for /v1/hold until they are let go.
func holding(t *testing.T) (url string, arrived <-chan struct{}, release chan<- struct{}) {
	in, out := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/v1/hold" {
			in <- struct{}{}
			select {
			case <-out:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, in, out
}

// Every limit has its own answer and counts as what it is, and none is a fault of Vault.
func TestLimits(t *testing.T) {
	url, arrived, release := holding(t)
	p := startProxy(t, fmt.Sprintf(`
vault { address = %q }
listener "tcp" {
  address                 = "127.0.0.1:0"
  tls_disable             = true
  max_concurrent_requests = 2
  max_header_size         = "16KiB"
  max_request_size        = 1000
  http_read_timeout       = "2s"
}`, url))
	held := make(chan answer, 1)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		a, _ := send(t.Context(), "GET", p.URLs[0]+"/v1/hold", "")
		held <- a
	}()
	<-arrived
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = send(ctx, "GET", p.URLs[0]+"/v1/hold", "")
	}()
	<-arrived
	a := p.do(t, "GET", "/v1/x", "")
	if a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "1" || !strings.Contains(string(a.Body), "max_concurrent_requests") {
		t.Errorf("a third request: %d %v %s", a.Status, a.Header, a.Body)
	}
	leave()
	<-left
	eventually(t, "the client that left is counted as that", func() bool {
		return strings.Contains(string(p.do(t, "GET", "/proxy/v1/metrics", "").Body), "\nleasehold_requests_abandoned 1\n")
	})
	release <- struct{}{}
	if a := <-held; a.Status != http.StatusOK {
		t.Errorf("the request that waited: %d %s", a.Status, a.Body)
	}
	if a := p.do(t, "GET", "/v1/x", "", "X-Long: "+strings.Repeat("x", 64<<10)); a.Status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("long header: %d %s", a.Status, a.Body)
	}
	for path, want := range map[string]int{"/v1/x": http.StatusRequestEntityTooLarge, "/v1/sys/storage/raft/snapshot": http.StatusOK} {
		if a := p.do(t, "POST", path, strings.Repeat("x", 2000)); a.Status != want {
			t.Errorf("long body for %s: %d %s, want %d", path, a.Status, a.Body, want)
		}
	}
	if status, text := halfABody(t, p); status != http.StatusRequestTimeout || !strings.Contains(text, "send it again") {
		t.Errorf("a body that does not come: %d %s", status, text)
	}
	metrics := string(p.do(t, "GET", "/proxy/v1/metrics", "").Body)
	for _, want := range []string{"leasehold_requests_abandoned 1", "leasehold_requests_refused 3", "vault_proxy_proxy_error 0"} { // 429, 413, 408
		if !strings.Contains(metrics, "\n"+want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// halfABody sends part of a request and waits for the answer.
func halfABody(t *testing.T, p *proxy) (status int, text string) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URLs[0], "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// Whoever reads an error of ours knows where the fault is and what to do.
func TestErrorsNameVault(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + ln.Addr().String()
	_ = ln.Close()
	p := startProxy(t, fmt.Sprintf(`
vault {
  address = %q
  retry { num_retries = -1 }
}
listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
}`, address))
	a := p.do(t, "GET", "/v1/secret/x", "")
	if want := `{"errors":["failed to get the response: Vault at ` + address + ` refused the connection; check that it runs and that the address in the vault stanza is right"]}` + "\n"; a.Status != http.StatusBadGateway || string(a.Body) != want {
		t.Errorf("answer %d %s\nwant 502 %s", a.Status, a.Body, want)
	}
}
