package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"leasehold/test/e2e/realvault"
)

// confidence says where a text may be shown.
type confidence uint8

const (
	secret   confidence = 1 << iota // nowhere
	accessor                        // in the log, and over an admin socket
	leaseID                         // in the log
)

// tail is the end of a text, by which it is looked up: tokens all begin alike.
const tail = 8

// wanted is one way to write a known text.
type wanted struct {
	text, means string
	confidence
}

// known are the texts that places are searched for, of all tests together.
var known struct {
	sync.RWMutex
	texts map[string]confidence
	long  map[[tail]byte][]wanted
	short []wanted
	ends  [1 << 16]bool // the last two bytes of all that is in long, so that most places of a text cost no look into the map
}

// remember has finish and others look for secrets.
func remember(texts ...string) {
	for _, s := range texts {
		know(s, secret)
	}
}

// know enters a text, and how it looks in encodings that a secret might pass through.
func know(text string, as confidence) {
	if text == "" {
		return
	}
	known.Lock()
	defer known.Unlock()
	if known.texts[text]&as != 0 {
		return
	}
	if known.texts == nil {
		known.texts, known.long = map[string]confidence{}, map[[tail]byte][]wanted{}
	}
	known.texts[text] |= as
	for _, form := range forms(text) {
		w := wanted{form, text, as}
		if len(form) < tail {
			known.short = append(known.short, w)
			continue
		}
		end := [tail]byte([]byte(form[len(form)-tail:]))
		known.long[end] = append(known.long[end], w)
		known.ends[uint(end[tail-2])<<8|uint(end[tail-1])] = true
	}
}

// forms are a text as it is, escaped in a URL, in hex, and in base64 wherever in the encoded text it begins.
func forms(text string) []string {
	all := []string{text}
	if escaped := url.QueryEscape(text); escaped != text {
		all = append(all, escaped)
	}
	if len(text) < tail {
		return all
	}
	all = append(all, hex.EncodeToString([]byte(text)))
	for before := range 3 { // bytes of another text in the first group of three
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + text))
		encoded = encoded[(before*8+5)/6 : (before+len(text))*8/6] // what the text alone decides
		all = append(all, encoded)
		if inURL := strings.NewReplacer("+", "-", "/", "_").Replace(encoded); inURL != encoded {
			all = append(all, inURL)
		}
	}
	return all
}

// seenIn returns the secrets that stand in a text.
func seenIn(text string) []string { return find(text, secret) }

// find returns the known texts of these that stand in a text, each as it was remembered.
func find(text string, of confidence) (found []string) {
	known.RLock()
	defer known.RUnlock()
	note := func(w wanted) {
		if w.confidence&of != 0 && !slices.Contains(found, w.means) {
			found = append(found, w.means)
		}
	}
	for _, w := range known.short {
		if strings.Contains(text, w.text) {
			note(w)
		}
	}
	for end := tail; end <= len(text); end++ {
		if !known.ends[uint(text[end-2])<<8|uint(text[end-1])] {
			continue
		}
		for _, w := range known.long[[tail]byte([]byte(text[end-tail:end]))] {
			if strings.HasSuffix(text[:end], w.text) {
				note(w)
			}
		}
	}
	return found
}

// startVault is realvault.Start with a witness: what Vault tells and is told is what is searched for.
func startVault(o realvault.Options) (*realvault.Server, error) {
	o.Witness = &realvault.Witness{
		Secret:   func(text string) { know(text, secret) },
		Accessor: func(text string) { know(text, accessor) },
		LeaseID:  func(text string) { know(text, leaseID) },
	}
	return realvault.Start(o)
}

// The search finds what is there, in each form and at each place, and nothing that is not.
func TestTheSearchFindsWhatIsPlanted(t *testing.T) {
	const planted = "hvs.planted/for+the-search?of=secrets"
	remember(planted, "tiny!")
	know("accessor-of-the-search", accessor)
	for title, text := range map[string]string{
		"alone":          planted,
		"in a line":      "error: " + planted + " is wrong",
		"among bytes":    "\x00\xff\x17" + planted + "\x00",
		"in a query":     "/v1/x?token=" + url.QueryEscape(planted) + "&y",
		"hex":            "00" + hex.EncodeToString([]byte(planted)) + "ff",
		"base64":         base64.StdEncoding.EncodeToString([]byte(planted)),
		"base64 with 1":  base64.StdEncoding.EncodeToString([]byte("a" + planted + "z")),
		"base64 with 2":  base64.RawStdEncoding.EncodeToString([]byte(`{"token":"` + planted + `"}`)),
		"base64 for URL": base64.RawURLEncoding.EncodeToString([]byte("\xff\xff" + planted)),
	} {
		if found := seenIn(text); len(found) != 1 || found[0] != planted {
			t.Errorf("%s: found %q", title, found)
		}
		if found := find(text, accessor|leaseID); len(found) > 0 {
			t.Errorf("%s: a secret is taken for another: %q", title, found)
		}
	}
	for text, want := range map[string]int{"a tiny! one": 1, "tiny?": 0, planted[1:]: 0, planted[:len(planted)-1]: 0, "accessor-of-the-search": 0, "": 0} {
		if found := seenIn(text); len(found) != want {
			t.Errorf("%q: found %q, want %d", text, found, want)
		}
	}
	if found := find("x accessor-of-the-search", accessor); len(found) != 1 {
		t.Errorf("found %q, want the accessor", found)
	}
}

// The witness at Vault's door knows of what no test names: what clients and logins bring, and what the core gives.
func TestTheWitnessSeesWhatPassesVaultsDoor(t *testing.T) {
	c, err := shared.Client().Clone()
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(shared.RootToken)
	s, err := c.Logical().ReadWithData("leaser/creds/witnessed", map[string][]string{"ttl": {"600"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Logical().Write("kv/witnessed", map[string]any{"word": "only-for-the-witness"}); err != nil {
		t.Fatal(err)
	}
	made, err := c.Auth().Token().Create(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := send(t.Context(), "GET", shared.Address+"/v1/kv/witnessed", "", "X-Vault-Token: hvs.of-nobody"); err != nil {
		t.Fatal(err)
	}
	for text, as := range map[string]confidence{
		s.Data["password"].(string): secret, s.LeaseID[strings.LastIndexByte(s.LeaseID, '/')+1:]: leaseID,
		"only-for-the-witness": secret, made.Auth.ClientToken: secret, made.Auth.Accessor: accessor, "hvs.of-nobody": secret,
	} {
		if found := find("a "+text+" z", as); !slices.Contains(found, text) {
			t.Errorf("%.8q is not known", text)
		}
	}
}
