package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

func TestAnswersStream(t *testing.T) {
	release := make(chan struct{})
	back := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "first ")
		http.NewResponseController(w).Flush()
		<-release
		io.WriteString(w, "second")
	})
	gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
	resp, err := plainClient(t).Get(gate.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, len("first "))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	close(release) // only now may Vault go on
	rest, err := io.ReadAll(resp.Body)
	if string(first)+string(rest) != "first second" || err != nil {
		t.Errorf("got %q, %v", string(first)+string(rest), err)
	}
}

func TestRequestBodiesStream(t *testing.T) {
	begun := make(chan struct{})
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, len("first "))
		io.ReadFull(r.Body, first)
		close(begun)
		rest, _ := io.ReadAll(r.Body)
		w.Write(append(first, rest...))
	})
	gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
	body, pen := io.Pipe()
	go func() {
		io.WriteString(pen, "first ")
		<-begun // the first part is with Vault before the second exists
		io.WriteString(pen, "second")
		pen.Close()
	}()
	resp, err := plainClient(t).Post(gate.URL, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); string(got) != "first second" {
		t.Errorf("arrived %q", got)
	}
}

func TestTheClientsEndIsTheEnd(t *testing.T) {
	arrived, ended := make(chan struct{}), make(chan struct{})
	back := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	})
	errs := make(chan error, 1)
	c := newClient(t, upstream.Settings{Address: back.URL, NumRetries: 5})
	gate := serve(t, func(w http.ResponseWriter, r *http.Request) { errs <- c.Forward(w, r, vault.Identity{}, nil) })

	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", gate.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-arrived
		leave()
	}()
	if _, err := plainClient(t).Do(r); !errors.Is(err, context.Canceled) {
		t.Fatalf("client got %v", err)
	}
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("Forward = %v, want context.Canceled", err)
	}
	<-ended
}

func TestTrailers(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		io.Copy(w, r.Body)
		w.Header().Set("X-Announced", "1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		w.Header().Set(http.TrailerPrefix+"X-Client", r.Trailer.Get("X-Client"))
	})
	gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
	r, err := http.NewRequestWithContext(t.Context(), "POST", gate.URL, io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{"X-Client": {"3"}}
	resp, err := plainClient(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "body" || err != nil {
		t.Fatalf("body %q, %v", body, err)
	}
	for k, want := range map[string]string{"X-Announced": "1", "X-Late": "2", "X-Client": "3"} {
		if got := resp.Trailer.Get(k); got != want {
			t.Errorf("trailer %s = %q, want %q", k, got, want)
		}
	}
}

func TestUpgradesBecomeTunnels(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" || r.Header.Get("X-Vault-Token") != "hvs.auto" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		io.Copy(conn, rw)
	})
	id := vault.Identity{Token: vault.NewToken("hvs.auto"), Injected: true}
	gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), id)
	conn, err := net.Dial("tcp", gate.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v1/sys/events/subscribe/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer %v, %v; want 101", resp, err)
	}
	for _, line := range []string{"one\n", "two\n"} {
		io.WriteString(conn, line)
		if got, err := in.ReadString('\n'); got != line || err != nil {
			t.Errorf("echo %q, %v; want %q", got, err, line)
		}
	}
}

func TestInformationalAnswersPass(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</x>")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "done")
	})
	gate := front(t, newClient(t, upstream.Settings{Address: back.URL}), vault.Identity{})
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, " ", h.Get("Link")))
			return nil
		},
	})
	r, err := http.NewRequestWithContext(ctx, "GET", gate.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := plainClient(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if len(hints) != 1 || hints[0] != "103 </x>" || resp.StatusCode != 200 {
		t.Errorf("hints %q, then %d; want one 103 with a Link, then 200", hints, resp.StatusCode)
	}
}

func TestBrokenBodiesBreakTheAnswer(t *testing.T) {
	s := vaulttest.NewServer(t)
	s.SetKV("app", map[string]any{"key": strings.Repeat("x", 10_000)})
	s.Fail(vaulttest.On("GET", "/v1/secret/"), vaulttest.ShortBody())
	c := newClient(t, upstream.Settings{Address: s.URL, NumRetries: 5})
	id := vault.Identity{Token: vault.NewToken(vaulttest.RootToken), Injected: true}

	t.Run("for a client of a server", func(t *testing.T) {
		resp, err := plainClient(t).Get(front(t, c, id).URL + "/v1/secret/data/app")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("read %d bytes without an error, want a broken answer", len(body))
		}
	})
	t.Run("for a caller without a server", func(t *testing.T) {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("panic = %v, want http.ErrAbortHandler", p)
			}
		}()
		err := c.Forward(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/secret/data/app", nil), id, nil)
		t.Errorf("Forward returned %v", err)
	})
}

func TestInspectMayReplaceTheAnswer(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Vault's") })
	c := newClient(t, upstream.Settings{Address: back.URL})
	w := httptest.NewRecorder()
	err := c.Forward(w, httptest.NewRequest("GET", "/v1/x", nil), vault.Identity{}, func(resp *http.Response) error {
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		resp.Body = io.NopCloser(strings.NewReader("not " + string(text)))
		resp.Header.Set("Content-Length", "11")
		resp.Header.Set("X-Cache", "MISS")
		return err
	})
	if err != nil || w.Body.String() != "not Vault's" || w.Header().Get("X-Cache") != "MISS" {
		t.Errorf("got %q %v, %v", w.Body, w.Header(), err)
	}
}

func TestInspectsErrorComesBackAndNothingIsWritten(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Vault's") })
	c := newClient(t, upstream.Settings{Address: back.URL})
	wanted := errors.New("too large to keep")
	w := httptest.NewRecorder()
	w.Code = 0
	err := c.Forward(w, httptest.NewRequest("GET", "/v1/x", nil), vault.Identity{}, func(*http.Response) error { return wanted })
	if err != wanted || w.Code != 0 || w.Body.Len() != 0 || len(w.Header()) != 0 {
		t.Errorf("err %v, wrote %d %q %v", err, w.Code, w.Body, w.Header())
	}
}

func TestABodysOwnErrorComesBack(t *testing.T) {
	back := serve(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	c := newClient(t, upstream.Settings{Address: back.URL, NumRetries: 5})
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/v1/x", io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000))))
	r.Body = http.MaxBytesReader(w, r.Body, 10)
	err := c.Forward(w, r, vault.Identity{}, nil)
	var tooLarge *http.MaxBytesError
	if !errors.As(err, &tooLarge) {
		t.Errorf("Forward = %v, want a *http.MaxBytesError", err)
	}
}

func TestErrorsSayWhatHappenedAndNoToken(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, tc := range map[string]struct {
		id   vault.Identity
		want string
	}{
		"nobody there":        {vault.Identity{Token: vault.NewToken("hvs.auto"), Injected: true}, "forward to Vault: dial tcp"},
		"unprintable token":   {vault.Identity{Token: vault.NewToken("hvs.auto\n"), Injected: true}, "non-printable"},
		"client's own token":  {vault.Identity{Token: vault.NewToken("hvs.auto")}, "forward to Vault: dial tcp"},
		"no token on neither": {vault.Identity{}, "forward to Vault: dial tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, upstream.Settings{Address: gone.URL})
			r := httptest.NewRequest("GET", "/v1/x", nil)
			r.Header.Set("X-Vault-Token", "hvs.own")
			err := c.Forward(httptest.NewRecorder(), r, tc.id, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hvs.") {
				t.Errorf("err = %v, want %q and no token", err, tc.want)
			}
		})
	}
}
