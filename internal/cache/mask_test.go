package cache_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/cache"
	"leasehold/internal/vault"
)

const autoAccessor = "accessor.auto-auth"

// blotted is what a client may see of a text.
func blotted(s string) string { return strings.Repeat("*", len(s)) }

func TestTheTokenIsMaskedInEveryAnswer(t *testing.T) {
	const body = `{"data":{"raw":"{\"id\":\"` + autoToken + `\"}","accessor":"` + autoAccessor + `"}}`
	want := strings.NewReplacer(autoToken, blotted(autoToken), autoAccessor, blotted(autoAccessor)).Replace(body)
	for _, tc := range []struct{ method, target string }{
		{"GET", "/v1/sys/raw/sys/token/id/x"}, {"POST", "/v1/db/creds/app"}, {"POST", "/v1/sys/leases/renew"}, {"POST", "/v1/auth/token/revoke-self"},
	} {
		for name, status := range map[string]int{"an answer": 200, "an error": 400} {
			t.Run(tc.method+" "+tc.target+" "+name, func(t *testing.T) {
				f := newFixture(t, always(status, body, with{"Location", "/v1/x?t=" + autoToken}), cache.Options{})
				w := f.do(injected, tc.method, tc.target, "")
				if w.Body.String() != want {
					t.Errorf("answer = %s, want %s", w.Body, want)
				}
				if got := w.Header().Get("Location"); got != "/v1/x?t="+blotted(autoToken) {
					t.Errorf("Location = %q", got)
				}
				if got := f.do(ownAuto, tc.method, tc.target, "").Body.String(); got != body {
					t.Errorf("a client's own answer = %s", got)
				}
			})
		}
	}
}

func TestTrailersAreMasked(t *testing.T) {
	trailer := http.Header{"X-Echo": {"a " + autoToken}}
	f := newFixture(t, func(*http.Request) (*http.Response, error) {
		resp := reply(http.StatusOK, "body")
		resp.Trailer = trailer
		return resp, nil
	}, cache.Options{})
	f.get("/v1/sys/health")
	if got := trailer.Get("X-Echo"); got != "a "+blotted(autoToken) {
		t.Errorf("trailer = %q", got)
	}
}

// A hit is not masked: what would be is not kept, whoever brings the token.
func TestWhatNamesTheTokenIsNotKept(t *testing.T) {
	for name, secret := range map[string]string{"token": autoToken, "accessor": autoAccessor} {
		for _, first := range []vault.Identity{injected, ownAuto} {
			t.Run(fmt.Sprint(name, " ", first.Injected), func(t *testing.T) {
				body := strings.Replace(leaseBody("db/creds/app/1", 3600), `"data":{`, `"data":{"x":"`+secret+`",`, 1)
				if !strings.Contains(body, secret) {
					t.Fatal("the answer lacks the secret")
				}
				f := newFixture(t, always(http.StatusOK, zipped(t, body), with{"Content-Encoding", "gzip"}), cache.Options{})
				f.do(first, "GET", "/v1/db/creds/app", "")
				if n := f.entries(); n != 0 {
					t.Errorf("entries = %d, want 0", n)
				}
			})
		}
	}
}

func TestAShortTokenIsAWord(t *testing.T) {
	const body = `{"data":{"policies":["root"],"path":"auth/token/root"}}`
	root := vault.Identity{Token: vault.NewToken("root"), Injected: true}
	f := newFixture(t, always(http.StatusOK, body), cache.Options{})
	if got := f.do(root, "GET", "/v1/identity/lookup", "").Body.String(); got != body {
		t.Errorf("answer = %s, want it as Vault gave it", got)
	}
	f = newFixture(t, always(http.StatusOK, lookupBody("root")), cache.Options{})
	if got := f.do(root, "GET", "/v1/auth/token/lookup-self", "").Body.String(); strings.Contains(got, `"root"`) {
		t.Errorf("answer = %s", got)
	}
}

// What cannot be the beginning of the token is given at once, and what was the beginning of one is never given when the body breaks off.
func TestMaskedStreamsFlow(t *testing.T) {
	for name, end := range map[string]error{"whole": nil, "broken": errLost} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pr, pw := io.Pipe()
				f := newFixture(t, func(*http.Request) (*http.Response, error) {
					resp := reply(http.StatusOK, "", with{"Content-Type", "text/plain"})
					resp.Body, resp.ContentLength = pr, -1
					return resp, nil
				}, cache.Options{})
				w, done := httptest.NewRecorder(), make(chan any)
				go func() {
					defer func() { done <- recover() }()
					if err := f.Answer(w, newRequest(t.Context(), "GET", "/v1/sys/monitor", ""), injected); err != nil {
						t.Error(err)
					}
				}()
				cut := len(autoToken) - 1
				for _, step := range []struct{ write, want string }{
					{"line\n", "line\n"},
					{"x" + autoToken[:cut], "line\nx"},
					{autoToken[cut:] + "\n", "line\nx" + blotted(autoToken) + "\n"},
					{autoToken[:cut], "line\nx" + blotted(autoToken) + "\n"},
				} {
					_, _ = io.WriteString(pw, step.write)
					synctest.Wait()
					if got := w.Body.String(); got != step.want {
						t.Fatalf("after %q the client has %q, want %q", step.write, got, step.want)
					}
				}
				pw.CloseWithError(end)
				if broken := <-done; (broken != nil) != (end != nil) {
					t.Errorf("the answer ended with %v", broken)
				}
				if strings.Contains(w.Body.String(), autoToken[:cut]) != (end == nil) {
					t.Errorf("the client has %q", w.Body)
				}
			})
		})
	}
}

// FuzzMask sends a body in pieces to a reader of any size: it is what a search for every place of the token in the whole body leaves.
func FuzzMask(f *testing.F) {
	f.Add("hvs.aaaaaaaaaaaaaaaaaaaa", []byte("a T b P S TT"), []byte{1, 2, 3}, uint8(0))
	f.Add("aaaaaaaaaaaaaaaa", []byte("aTTaPSa"), []byte{0, 15, 1}, uint8(9))
	f.Add(`a"b\c<d>&e"f"g"hijk`, []byte("JHT"), []byte{7}, uint8(200))
	f.Add(`"in quotes, both ends"`, []byte("JHT"), []byte{30}, uint8(255))
	f.Add("ababababa000abab", []byte("PS"), []byte{3}, uint8(33))
	f.Add("abababababababab", []byte("SPTPS"), []byte{3, 0, 5}, uint8(33))
	f.Fuzz(func(t *testing.T, token string, body, pieces []byte, room uint8) {
		if len(token) < 16 || len(token) > 200 || len(body) > 1000 {
			t.Skip()
		}
		raw := []byte(token)
		escaped, err := json.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		var plain bytes.Buffer
		e := json.NewEncoder(&plain)
		e.SetEscapeHTML(false)
		if err := e.Encode(token); err != nil {
			t.Fatal(err)
		}
		texts := [][]byte{raw, escaped[1 : len(escaped)-1], plain.Bytes()[1 : plain.Len()-2]}
		var whole []byte
		for _, b := range body {
			if piece, ok := map[byte][]byte{'T': raw, 'P': raw[:len(raw)-1], 'S': raw[1:], 'J': texts[1], 'H': texts[2]}[b]; ok {
				whole = append(whole, piece...)
			} else {
				whole = append(whole, b)
			}
		}
		want := bytes.Clone(whole)
		for i := range whole {
			for _, text := range texts {
				if bytes.HasPrefix(whole[i:], text) {
					copy(want[i:], blotted(string(text)))
				}
			}
		}
		fix := newFixture(t, func(*http.Request) (*http.Response, error) {
			resp := reply(http.StatusOK, "", with{"Content-Type", "text/plain"})
			resp.Body, resp.ContentLength = io.NopCloser(&inPieces{whole, pieces}), int64(len(whole))
			return resp, nil
		}, cache.Options{})
		fix.vault.room, fix.tokens.current = 1+int(room), vault.NewToken(token)
		if got := fix.do(vault.Identity{Token: vault.NewToken(token), Injected: true}, "GET", "/v1/sys/x", "").Body.Bytes(); !bytes.Equal(got, want) {
			t.Errorf("the mask left\n%q, want\n%q", got, want)
		}
	})
}

// inPieces reads a body in pieces of these sizes, over and over.
type inPieces struct {
	body   []byte
	pieces []byte
}

func (r *inPieces) Read(p []byte) (int, error) {
	if len(r.body) == 0 {
		return 0, io.EOF
	}
	size := len(p)
	if len(r.pieces) > 0 {
		size = 1 + int(r.pieces[0])
		r.pieces = append(r.pieces[1:], r.pieces[0])
	}
	n := copy(p, r.body[:min(size, len(r.body))])
	r.body = r.body[n:]
	return n, nil
}

// BenchmarkMasked is what the mask costs an answer of 1 MiB.
func BenchmarkMasked(b *testing.B) {
	body := strings.Repeat(kvBody, 1<<20/len(kvBody))
	const token = "hvs.CAESIJ" + "Jd83kfLq0ZxVYw2mNn5Tg7RbHcEo1AsUuPpIiKkLlMmQqWwXxYyZz0123456789abcdefghijklmnopqrstuvwx"
	for name, lent := range map[string]bool{"own token": false, "lent token": true} {
		b.Run(name, func(b *testing.B) {
			f := newFixture(b, always(http.StatusOK, body, with{"Content-Type", "text/plain"}), cache.Options{})
			f.index.Hold("", vault.NewToken(token), "kIjJ5VpAjhB3NmyCu8Jl0P4X", "", time.Time{})
			f.vault.room = 32 << 10
			id := vault.Identity{Token: vault.NewToken(token), Injected: lent}
			r, w := newRequest(b.Context(), "GET", "/v1/secret/data/app", ""), &sink{http.Header{}}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Answer(w, r, id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
