package load

import (
	"fmt"
	"slices"
)

// Spread sums up what was measured several times.
type Spread struct{ Median, Min, Max float64 }

// NewSpread needs at least one value.
func NewSpread(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// Ratio compares two targets round by round, in what of tells.
func Ratio(a, b []Round, of func(Round) float64) Spread {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = of(a[i]) / of(b[i])
	}
	return NewSpread(ratios)
}

// Throughput tells answers per second.
func Throughput(r Round) float64 { return r.PerSecond }

// P99 tells the latency that 99 % of the answers kept, in seconds.
func P99(r Round) float64 { return r.P99.Seconds() }

// Median is the median of one target's rounds.
func Median(rounds []Round, of func(Round) float64) float64 {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	return NewSpread(values).Median
}

// String is the median, and between which values it stands.
func (s Spread) String() string { return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Min, s.Max) }
