package api

import (
	"net/url"
	"strconv"
	"time"
)

// MaxLeases is how many leases a page has at most; DefaultLeases is how many it has when nothing else is asked for.
const (
	MaxLeases     = 1000
	DefaultLeases = 100
)

// LeaseQuery says which leases are asked for, and in which order. The zero value is the first page of all, by their ends.
type LeaseQuery struct {
	Mount     string // where it begins inside the namespace: whole segments, such as "database"
	Path      string // as rules of a cache have it: "+" stands for one segment, "*" at the end for anything
	Namespace string // "" means all; "root" is the root namespace
	Kind      string // "lease" or "token"
	Accessor  string // of a token, or its hash: the token itself, and what hangs on it directly
	State     string
	Sort      string // "expiry", "hits", "path", "created" or "renewal"
	Order     string // "asc" or "desc"
	Limit     int    // 0 means DefaultLeases; MaxLeases at most
	After     string // LeasePage.Next of the page before
}

// values are the parameters of the request.
func (q LeaseQuery) values() url.Values {
	v := url.Values{}
	for name, text := range map[string]string{
		"mount": q.Mount, "path": q.Path, "namespace": q.Namespace, "kind": q.Kind, "accessor": q.Accessor, "state": q.State,
		"sort": q.Sort, "order": q.Order, "after": q.After,
	} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// LeasePage is the answer of leases.
type LeasePage struct {
	Total  int     `json:"total"`          // that match, on all pages
	Next   string  `json:"next,omitempty"` // for LeaseQuery.After; "" on the last page
	Leases []Lease `json:"leases"`
}

// Lease is one kept lease or token. What could be used with Vault is not in it, but for Accessor where that is shown.
type Lease struct {
	ID        string `json:"id"`        // a keyed hash of the lease id, or of the token; the key is another after each start
	Kind      string `json:"kind"`      // "lease" or "token"
	Namespace string `json:"namespace"` // "" is the root; else with a slash at the end
	Path      string `json:"path"`      // of its request, below the root namespace and without /v1/
	Mount     string `json:"mount"`     // its first segment, of auth methods the first two: Leasehold does not know Vault's mounts

	AccessorHash string `json:"accessor_hash"`         // of the token that it is, or that it hangs on; "" when Vault gave none
	ParentHash   string `json:"parent_hash,omitempty"` // of the parent of the token that it is; missing for orphans and leases
	Accessor     string `json:"accessor,omitempty"`    // in full, on the admin socket and on listeners with role "admin" only

	Created   time.Time  `json:"created"`
	Until     time.Time  `json:"until"`
	TTL       int64      `json:"ttl_seconds"`            // what is left
	Renewal   *time.Time `json:"next_renewal,omitempty"` // missing when it is not renewed any more
	Renewable bool       `json:"renewable"`              // Vault may prolong it still
	State     string     `json:"state"`                  // "fresh", "due" (to be replaced by the next request), "failing" (its last renewal failed) or "ending" (it cannot be prolonged)
	Hits      int64      `json:"hits"`                   // since it was kept, or since the start
	Size      int64      `json:"size_bytes"`             // as it is counted against max_size
}
