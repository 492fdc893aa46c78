//go:build !race

package daemon_test

import "testing"

// Metrics cost a hit no allocation: what a daemon counts by default are atomic adds. With the race detector a sync.Pool drops some of what it is given,
// so that allocations cannot be counted.
func TestMetricsAllocateNothingOnAHit(t *testing.T) {
	allocations := func(h *hitting) float64 { return testing.AllocsPerRun(2000, h.hit) }
	bare := allocations(newHitting(t, "", true))
	for _, tc := range telemetryStanzas(t) {
		got := allocations(newHitting(t, tc.stanzas, false))
		t.Logf("%s: %v, without them %v", tc.name, got, bare)
		if tc.name == "metrics" && (got > bare || got > 8) {
			t.Errorf("allocations of a hit = %v, want at most 8, and %v as without metrics", got, bare)
		}
		if tc.name == "metrics, traces of all" && got <= bare { // what shows that the other can be wrong
			t.Errorf("allocations of a hit that is traced = %v, want more than %v", got, bare)
		}
	}
}
