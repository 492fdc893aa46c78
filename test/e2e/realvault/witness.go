package realvault

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Witness is told what passes Vault's door, by a Server that has one. Its functions are called from many goroutines, before the answer is on its way.
type Witness struct {
	Secret   func(text string) // a token, password, private key, credential of a login, or value of a KV entry
	Accessor func(text string) // of a token or secret id
	LeaseID  func(text string) // the part of it that is no path
}

const (
	// leastWitnessed is how long a text must be: a shorter one is nothing that only a secret could be.
	leastWitnessed = 8
	// mostWitnessed bounds what is kept of a body to look into.
	mostWitnessed = 1 << 20
)

// secretFields are the names under which secrets stand in requests and answers.
var secretFields = []string{
	"client_token", "token", "secret_id", "password", "bindpass", "secret_key", "private_key", "jwt", "plaintext", "iam_request_headers", "signature",
}

var accessorFields = []string{"accessor", "secret_id_accessor", "token_accessor", "wrapped_accessor"}

// watch stands around the core itself, within what a test puts in front of it.
func (w *Witness) watch(core http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.token(r.Header.Get("X-Vault-Token"))
		if _, bearer, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok { // Negotiate as well
			w.token(bearer)
		}
		all := holdsSecrets(r.URL.Path)
		asked := &head{}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, asked), r.Body}
		answer := &witnessed{ResponseWriter: rw}
		answer.first = func() {
			w.object(decoded(asked.Bytes()), all)
			said := decoded(answer.so.Bytes())
			w.object(said, false)
			if data, ok := said["data"].(map[string]any); ok {
				w.object(data, all)
			}
		}
		core.ServeHTTP(answer, r)
		answer.first() // also when there was no body to the answer, or more than one piece
	})
}

// holdsSecrets reports whether all that is written to a path, and read there, is a secret.
func holdsSecrets(path string) bool {
	return strings.HasPrefix(path, "/v1/kv/") || strings.HasPrefix(path, "/v1/secret/data/") || strings.HasPrefix(path, "/v1/cubbyhole/")
}

func (w *Witness) token(text string) { tell(w.Secret, text) }

func tell(to func(string), text string) {
	if begin, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(begin, "-----BEGIN ") { // the key itself, whatever becomes of line ends
		text, _, _ = strings.Cut(rest, "\n")
	}
	if len(text) >= leastWitnessed {
		to(text)
	}
}

// decoded reads JSON. What is none, or was cut off, holds no secret that the tests have put there.
func decoded(text []byte) (v map[string]any) {
	_ = json.Unmarshal(text, &v)
	return v
}

// object looks for secrets among fields; all are, but those of metadata.
func (w *Witness) object(v map[string]any, all bool) {
	for name, field := range v {
		switch field := field.(type) {
		case map[string]any:
			w.object(field, all && name != "metadata")
		case string:
			w.field(name, field, all)
		}
	}
}

func (w *Witness) field(name, text string, all bool) {
	switch {
	case slices.Contains(accessorFields, name):
		tell(w.Accessor, text)
	case name == "lease_id":
		tell(w.LeaseID, text[strings.LastIndexByte(text, '/')+1:])
	case slices.Contains(secretFields, name), strings.HasPrefix(text, "hvs."), strings.HasPrefix(text, "hvb."), all:
		tell(w.Secret, text)
	}
}

// head keeps the beginning of what is written to it.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	if room := mostWitnessed - h.Len(); room > 0 {
		_, _ = h.Buffer.Write(p[:min(len(p), room)]) // never fails
	}
	return len(p), nil
}

// witnessed looks at the first piece of an answer, which mostly is all of it, before it leaves: whoever has read it can rely on the witness having been told.
type witnessed struct {
	http.ResponseWriter
	so    head
	first func()
}

func (w *witnessed) Write(p []byte) (int, error) {
	begins := w.so.Len() == 0
	_, _ = w.so.Write(p) // never fails
	if begins {
		w.first()
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *witnessed) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher, which Vault asks for.
func (w *witnessed) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }
