package api

import "net/url"

// ExplainQuery is the request that is to be explained. It is never sent.
type ExplainQuery struct {
	Method    string // "" means GET
	Path      string // with /v1/, and a query if there is one
	Namespace string // of the header
	UID       string // of a caller on a unix socket, a number, with the groups that Leasehold's machine has for it; "" leaves open who calls
	ClientCN  string // the common name of a caller's certificate
}

func (q ExplainQuery) values() url.Values {
	v := url.Values{}
	for name, text := range map[string]string{"method": q.Method, "path": q.Path, "namespace": q.Namespace, "uid": q.UID, "client_cn": q.ClientCN} {
		if text != "" {
			v.Set(name, text)
		}
	}
	return v
}

// Explanation is the answer of explain: what each listener would do with such a request, and what the cache would.
type Explanation struct {
	Method    string         `json:"method"`
	Path      string         `json:"path"`
	Namespace string         `json:"namespace"`
	Kind      string         `json:"kind"`           // "own", "pass", "creation", "renewal" or "revocation"
	Rule      string         `json:"rule,omitempty"` // the path of the cache rule that holds, "*" of the cache stanza itself; missing where nothing can be kept
	Listeners []ListenerView `json:"listeners"`
	Cache     []CacheView    `json:"cache"` // of requests that carry no token, and of those with each auto-auth token
}

// ListenerView is what a listener would do before the cache is asked.
type ListenerView struct {
	Address string `json:"address"`
	Allowed bool   `json:"allowed"`
	Status  int    `json:"status,omitempty"` // of the refusal
	Why     string `json:"why"`
	Token   string `json:"token,omitempty"` // which token the request carries when it brings none: "" for none, else auto_auth or auto_auth "name"
}

// CacheView is what the cache would do.
type CacheView struct {
	Token   string `json:"token"`   // "none", auto_auth or auto_auth "name"
	Outcome string `json:"outcome"` // "HIT", "MISS", "COALESCED" or "BYPASS" as X-Cache has it, or "REFUSED"
	Why     string `json:"why"`
	Kept    string `json:"kept,omitempty"`        // of a miss: when Vault's answer would be kept
	Lease   string `json:"lease,omitempty"`       // of a hit: Lease.ID of what would answer
	TTL     int64  `json:"ttl_seconds,omitempty"` // of a hit: what is left of it
}
