package router

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"leasehold/internal/api"
)

// tellReady serves readyz: 200, or 503 with the same body. With require it is about the parts alone that are named.
func (rt *router) tellReady(w http.ResponseWriter, r *http.Request) {
	now := rt.Ready()
	if words := required(r); len(words) > 0 {
		var err error
		if now, err = require(now, words); err != nil {
			writeError(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	if now.Parts == nil {
		now.Parts = []api.PartState{}
	}
	for i := range now.Parts {
		part := &now.Parts[i]
		part.Since = part.Since.UTC().Truncate(time.Second)
		for _, at := range []*time.Time{part.Expires, part.NextAt} {
			if at != nil {
				*at = at.UTC().Truncate(time.Second)
			}
		}
	}
	tellHealth(w, now.Ready, now)
}

// required are the words of all parameters of that name, which commas part.
func required(r *http.Request) (words []string) {
	for _, value := range r.URL.Query()["require"] {
		for word := range strings.SplitSeq(value, ",") {
			if word = strings.TrimSpace(word); word != "" {
				words = append(words, word)
			}
		}
	}
	return words
}

// require leaves the parts that words name, by kind or by name. Who names a part wants it to be well: one that is degraded is then not ready.
func require(all api.Readiness, words []string) (api.Readiness, error) {
	out := api.Readiness{Ready: true}
	found := map[string]bool{}
	for _, part := range all.Parts {
		named := false
		for _, word := range words {
			if word == part.Kind() || word == part.Name {
				found[word], named = true, true
			}
		}
		if named {
			part.Ready = part.Ready && !part.Degraded
			out.Ready = out.Ready && part.Ready
			out.Parts = append(out.Parts, part)
		}
	}
	for _, word := range words {
		if !found[word] {
			return out, fmt.Errorf("there is no part %.64q to require; there are %s", word, strings.Join(kinds(all.Parts), ", "))
		}
	}
	return out, nil
}

func kinds(parts []api.PartState) (all []string) {
	for _, part := range parts {
		if kind := part.Kind(); !slices.Contains(all, kind) {
			all = append(all, kind)
		}
	}
	return all
}

// tellHealth answers a probe. The body is the same whether it is well.
func tellHealth(w http.ResponseWriter, well bool, now any) {
	body, err := json.Marshal(now)
	status := http.StatusOK
	if err != nil || !well {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}
