package upstream_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"leasehold/internal/upstream"
)

// A standby that does not forward redirects a login to the active node.
func TestLoginsFollowRedirects(t *testing.T) {
	for name, several := range map[string]bool{"one address": false, "two": true} {
		t.Run(name, func(t *testing.T) {
			active := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				io.WriteString(w, `{"data":{"sent":"`+strings.NewReplacer(`"`, "", "\n", "").Replace(string(body))+`"}}`)
			})
			standby := serve(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, active.URL+r.RequestURI, http.StatusTemporaryRedirect)
			})
			s := upstream.Settings{Address: standby.URL}
			if several {
				s.Addresses = []string{standby.URL, active.URL}
			}
			c := newClient(t, s)
			client, err := c.API()
			if err != nil {
				t.Fatal(err)
			}
			got, err := client.Logical().Write("auth/approle/login", map[string]any{"role_id": "r"})
			if err != nil || got == nil || got.Data["sent"] != "{role_id:r}" {
				t.Errorf("login = %+v, %v; want it answered by the active node", got, err)
			}
		})
	}
}

// What a login carries is a secret: it goes where tokens may go, and nowhere else.
func TestLoginsAreNotRedirectedToStrangers(t *testing.T) {
	stranger := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the stranger was asked for %s", r.RequestURI) })
	location := strings.Replace(stranger.URL, "127.0.0.1", "localhost", 1)
	standby := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, location+r.RequestURI, http.StatusTemporaryRedirect)
	})
	client, err := newClient(t, upstream.Settings{Address: standby.URL}).API()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Logical().Write("auth/approle/login", map[string]any{"secret_id": "s"}); err == nil || !strings.Contains(err.Error(), "redirect_hosts") {
		t.Errorf("login: %v, want an error with the remedy", err)
	}
}
