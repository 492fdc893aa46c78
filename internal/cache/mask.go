package cache

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"leasehold/internal/vault"
)

// minMasked is the shortest text that is masked. Vault's own tokens and accessors have 24 characters and more; what is shorter, such as the token
// "root" of a development server, is a word that stands in many answers for itself, and no secret.
const minMasked = 16

// mask blots a token and its accessor out of answers, wherever they stand in the clear. What is blotted keeps its length, so that answers
// stream through it.
type mask struct {
	token   vault.Token
	texts   [][]byte // in every spelling that JSON has for them
	longest int
}

func newMask(t vault.Token, a vault.Accessor) *mask {
	m := &mask{token: t}
	for _, text := range [...]string{t.Reveal(), string(a)} {
		if len(text) < minMasked {
			continue
		}
		for _, b := range [...][]byte{[]byte(text), quoted(text, true), quoted(text, false)} {
			if !slices.ContainsFunc(m.texts, func(have []byte) bool { return bytes.Equal(have, b) }) {
				m.texts = append(m.texts, b)
				m.longest = max(m.longest, len(b))
			}
		}
	}
	return m
}

// quoted is a text as it stands between the quotes of a JSON string.
func quoted(text string, escapeHTML bool) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	_ = e.Encode(text) // a string never fails
	return b.Bytes()[1 : b.Len()-len("\"\n")]
}

// maskOf returns the mask of the auto-auth token that id has, of whichever login; nil when its token is another.
func (c *Cache) maskOf(id vault.Identity) *mask {
	login := id.AutoAuth
	if !id.Injected {
		var held bool
		if login, held = c.holder(id.Token); !held {
			return nil
		}
	}
	if m := c.masks.of(login); m != nil && m.token.Equal(id.Token) {
		return m
	}
	m := newMask(id.Token, c.index.Accessor(id.Token))
	c.masks.set(login, m)
	return m
}

// masks remembers, of each login, the mask of the token that was lent last.
type masks struct {
	mu   sync.Mutex
	last map[vault.AutoAuthName]*mask
}

func (m *masks) of(login vault.AutoAuthName) *mask {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last[login]
}

func (m *masks) set(login vault.AutoAuthName, to *mask) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[login] = to
}

// holder is a login whose current token t is.
func (c *Cache) holder(t vault.Token) (login vault.AutoAuthName, held bool) {
	if c.tokens == nil {
		return "", false
	}
	return c.tokens.Holder(t)
}

// isIn reports whether there is something to blot out in b.
func (m *mask) isIn(b []byte) bool {
	return m != nil && slices.ContainsFunc(m.texts, func(text []byte) bool { return bytes.Contains(b, text) })
}

// header masks the values of h in place.
func (m *mask) header(h http.Header) {
	for _, text := range m.texts {
		for _, values := range h {
			for i, v := range values {
				if strings.Contains(v, string(text)) {
					values[i] = strings.ReplaceAll(v, string(text), strings.Repeat("*", len(text)))
				}
			}
		}
	}
}

// body masks the body of an answer while it is read. In a compressed one there is nothing to find, and a tunnel is no answer.
func (m *mask) body(resp *http.Response) {
	encoding := resp.Header.Get("Content-Encoding")
	if len(m.texts) == 0 || resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols || (encoding != "" && encoding != "identity") {
		return
	}
	resp.Body = &maskedBody{mask: m, resp: resp, body: resp.Body}
}

// maskedBody reads a body through a mask. It holds back what may be the beginning of a text, and nothing else, so that streams flow.
type maskedBody struct {
	mask *mask
	resp *http.Response
	body io.ReadCloser
	err  error // the body's end

	held    []byte // read and not given yet: a proper prefix of a text
	covered int    // how many bytes of held belong to a text that began before
	small   []byte // room to work in, when a reader's own is too small
	ready   []byte // of small, not given yet
}

func (b *maskedBody) Close() error { return b.body.Close() }

func (b *maskedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(b.ready) == 0 {
		switch {
		case b.err != nil:
			return 0, b.err
		case len(p) >= 2*b.mask.longest:
			if n := b.fill(p); n > 0 {
				return n, nil
			}
		default:
			if b.small == nil {
				b.small = make([]byte, 2*b.mask.longest)
			}
			b.ready = b.small[:b.fill(b.small)]
		}
	}
	n := copy(p, b.ready)
	b.ready = b.ready[n:]
	return n, nil
}

// fill reads once and returns how many bytes of p are masked and can be given.
func (b *maskedBody) fill(p []byte) int {
	n := copy(p, b.held)
	more, err := b.body.Read(p[n:])
	b.err = err
	data := p[:n+more]
	give := len(data)
	if err == io.EOF {
		b.mask.header(b.resp.Trailer)
	} else {
		give = b.mask.complete(data)
	}
	b.held = append(b.held[:0], data[give:]...)
	var found [4]span
	spans := b.mask.find(found[:0], data)
	blot(data[:min(b.covered, give)])
	b.covered = max(0, b.covered-give)
	for _, s := range spans {
		if s.from < give {
			blot(data[s.from:min(s.to, give)])
			b.covered = max(b.covered, s.to-give)
		}
	}
	return give
}

// span is where a text stands.
type span struct{ from, to int }

// find appends all places of all texts, overlapping ones too.
func (m *mask) find(spans []span, data []byte) []span {
	for _, text := range m.texts {
		for at := 0; ; at++ {
			i := bytes.Index(data[at:], text)
			if i < 0 {
				break
			}
			at += i
			spans = append(spans, span{at, at + len(text)})
		}
	}
	return spans
}

// complete returns how much of data does not depend on what follows: all before the first place where the rest of data begins a text.
func (m *mask) complete(data []byte) int {
	n := len(data)
	for _, text := range m.texts {
		for i := max(0, len(data)-len(text)+1); i < n; i++ {
			if bytes.HasPrefix(text, data[i:]) {
				n = i
			}
		}
	}
	return n
}

func blot(b []byte) {
	for i := range b {
		b[i] = '*'
	}
}
