package router

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"leasehold/internal/api"
)

// leaseWords are the values of the parameters of leases that are words; the first is what none means.
var leaseWords = map[string][]string{
	"kind":  {"", "lease", "token"},
	"state": {"", "fresh", "due", "failing", "ending"},
	"sort":  {"expiry", "hits", "path", "created", "renewal"},
	"order": {"asc", "desc"},
}

// leaseTexts are the other parameters.
var leaseTexts = []string{"mount", "path", "namespace", "accessor", "limit", "after"}

func (rt *router) tellLeases(w http.ResponseWriter, r *http.Request) {
	q, err := readLeaseQuery(r.URL.RawQuery)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	page, err := rt.Inside.Leases(q, rt.opt.Admin)
	if err != nil {
		rt.failInside(w, err)
		return
	}
	writeJSON(w, http.StatusOK, page)
}

// failInside answers for an insider's error.
func (rt *router) failInside(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var told clientError
	if errors.As(err, &told) {
		status = told.ClientStatus()
	}
	writeError(w, status, err.Error())
}

// readLeaseQuery reads the parameters. What it does not know is an error: a filter that is overlooked would show more than was asked for.
func readLeaseQuery(raw string) (q api.LeaseQuery, err error) {
	v, err := parameters(raw, slices.Concat([]string{"kind", "state", "sort", "order"}, leaseTexts))
	if err != nil {
		return q, err
	}
	word := func(name string) string {
		words := leaseWords[name]
		text := v.Get(name)
		if text == "" {
			return words[0]
		}
		if err == nil && !slices.Contains(words, text) {
			err = fmt.Errorf("%s is no %s; use %s", strconv.Quote(clip(text)), name, strings.Join(slices.DeleteFunc(slices.Clone(words), func(s string) bool { return s == "" }), ", "))
		}
		return text
	}
	q = api.LeaseQuery{
		Mount: strings.Trim(v.Get("mount"), "/"), Path: strings.TrimPrefix(strings.TrimPrefix(v.Get("path"), "/"), "v1/"),
		Namespace: v.Get("namespace"), Accessor: v.Get("accessor"), After: v.Get("after"),
		Kind: word("kind"), State: word("state"), Sort: word("sort"), Order: word("order"), Limit: api.DefaultLeases,
	}
	if text := v.Get("limit"); text != "" && err == nil {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > api.MaxLeases {
			err = fmt.Errorf("limit must be a number from 1 to %d", api.MaxLeases)
		}
	}
	return q, err
}

// parameters reads a query that may have these names, each once.
func parameters(raw string, known []string) (url.Values, error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("the query cannot be read; encode it as a URL's")
	}
	for name, values := range v {
		switch {
		case !slices.Contains(known, name):
			return nil, fmt.Errorf("there is no parameter %s; use %s", strconv.Quote(clip(name)), strings.Join(known, ", "))
		case len(values) > 1:
			return nil, fmt.Errorf("%s must stand once", name)
		}
	}
	return v, nil
}
