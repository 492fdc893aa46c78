package upstream

import (
	"net/http"
	"sync"

	"github.com/hashicorp/vault/api"
)

// Consistency is what is done so that clients of Vault Enterprise see, on every node, what was written through any other.
type Consistency uint8

// With all but ConsistencyNever, each request carries the newest index that an answer had, and they differ in what becomes of a 412, with which a
// node that has not caught up answers. A client that uses X-Vault-Index, X-Vault-Forward or X-Vault-Inconsistent itself is left alone.
const (
	ConsistencyNever   Consistency = iota // no index is added
	ConsistencyFail                       // the client gets the 412 at once
	ConsistencyRetry                      // as any other 412: the request is sent again
	ConsistencyForward                    // the node is to forward the request to the active one
)

// maxIndex bounds an index that is kept; those of Vault have some hundred bytes.
const maxIndex = 4 << 10

// states are the newest indexes of Vault's answers: of all tokens and namespaces, in memory. A hit of the cache never comes here. The slice is
// replaced and never changed.
type states struct {
	mu     sync.RWMutex
	newest []string
}

func (s *states) get() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.newest
}

func (s *states) learn(indexes []string) {
	for _, index := range indexes {
		if len(index) > maxIndex {
			continue
		}
		if _, err := api.ParseReplicationState(index, nil); err != nil {
			continue // Vault would refuse every request that carries it
		}
		s.mu.Lock()
		s.newest = api.MergeReplicationStates(s.newest, index)
		s.mu.Unlock()
	}
}

// require makes Vault answer only from a node that has seen what earlier answers told of.
func (x *exchange) require(h http.Header) {
	mode := x.terms.Consistency
	if mode == ConsistencyNever || len(h[api.HeaderIndex])+len(h[api.HeaderForward])+len(h[api.HeaderInconsistent]) > 0 {
		return
	}
	x.consistent = true
	newest := x.client.states.get()
	if len(newest) == 0 {
		return
	}
	h[api.HeaderIndex] = newest
	if mode == ConsistencyForward {
		h[api.HeaderInconsistent] = []string{"forward-active-node"}
	}
}

// answers412 reports whether a 412 is for the client.
func (x *exchange) answers412() bool {
	return x.consistent && x.terms.Consistency == ConsistencyFail
}
