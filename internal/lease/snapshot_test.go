package lease_test

import (
	"net/http"
	"testing"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// After a Raft snapshot was restored Vault may know none of what is held: no answer stays, and every token is left to prove itself.
func TestARestoredSnapshotEmptiesTheCache(t *testing.T) {
	for path, want := range map[string]lease.Kind{
		"/v1/sys/storage/raft/snapshot": lease.Revocation, "/v1/sys/storage/raft/snapshot-force": lease.Revocation,
		"/v1/sys/storage/raft/snapshot-auto/config/a": lease.Pass,
	} {
		op := lease.Describe(http.MethodPost, path, "")
		if op.Kind != want || lease.Describe(http.MethodGet, path, "").Kind != lease.Pass {
			t.Errorf("%s: kind %d, want %d, and none for a download", path, op.Kind, want)
		}
		if e, ok := op.Eviction("", []byte("snapshot"), vault.Token{}); want == lease.Revocation && (!ok || e.Scope != lease.ScopeAll || !e.Clear) {
			t.Errorf("%s: %+v, %t", path, e, ok)
		}
	}
}
