package telemetry

import (
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// reading is what a metric with its labels came to since it was last read.
type reading struct {
	name   string
	labels []attribute.KeyValue
	kind   readingKind
	value  float64 // of a gauge
	count  uint64  // increments of a counter, measurements of a sample; 0 is no news
	sum    float64 // of them

	min, max, stddev float64 // of a sample, as near as its buckets tell
}

type readingKind uint8

const (
	gaugeReading readingKind = iota
	counterReading
	sampleReading
)

// deltas turns totals since the start into what has happened since the last reading. It belongs to one reader, which reads one at a time.
type deltas struct{ last map[series]total }

// series is a metric with its labels.
type series struct {
	name   string
	labels attribute.Distinct
}

type total struct {
	sum     float64
	buckets []uint64
}

// take reads all metrics.
func (d *deltas) take(data *metricdata.ResourceMetrics) (all []reading) {
	if d.last == nil {
		d.last = map[series]total{}
	}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch points := m.Data.(type) {
			case metricdata.Gauge[int64]:
				all = append(all, gaugesOf(m.Name, points.DataPoints)...)
			case metricdata.Gauge[float64]:
				all = append(all, gaugesOf(m.Name, points.DataPoints)...)
			case metricdata.Sum[int64]:
				all = append(all, sumsOf(d, m.Name, points)...)
			case metricdata.Sum[float64]:
				all = append(all, sumsOf(d, m.Name, points)...)
			case metricdata.Histogram[float64]:
				for _, p := range points.DataPoints {
					all = append(all, d.sample(m.Name, p))
				}
			}
		}
	}
	return all
}

func gaugesOf[N int64 | float64](name string, points []metricdata.DataPoint[N]) (all []reading) {
	for _, p := range points {
		all = append(all, reading{name: name, labels: p.Attributes.ToSlice(), value: float64(p.Value)})
	}
	return all
}

// sumsOf counts increments of one: nothing here counts otherwise.
func sumsOf[N int64 | float64](d *deltas, name string, sum metricdata.Sum[N]) (all []reading) {
	if !sum.IsMonotonic { // it goes up and down, as a gauge does
		return gaugesOf(name, sum.DataPoints)
	}
	for _, p := range sum.DataPoints {
		key := series{name, p.Attributes.Equivalent()}
		since := max(float64(p.Value)-d.last[key].sum, 0)
		d.last[key] = total{sum: float64(p.Value)}
		all = append(all, reading{name: name, labels: p.Attributes.ToSlice(), kind: counterReading, count: uint64(since), sum: since, min: 1, max: 1})
	}
	return all
}

// sample estimates from buckets what a histogram does not say of one interval alone.
func (d *deltas) sample(name string, p metricdata.HistogramDataPoint[float64]) reading {
	key := series{name, p.Attributes.Equivalent()}
	last := d.last[key]
	r := reading{name: name, labels: p.Attributes.ToSlice(), kind: sampleReading, sum: max(p.Sum-last.sum, 0), min: math.Inf(1)}
	squares := 0.0 // of the distances from the mean, each bucket taken for its middle
	counts := make([]uint64, len(p.BucketCounts))
	for i, n := range p.BucketCounts {
		if i < len(last.buckets) {
			n -= min(last.buckets[i], n)
		}
		counts[i] = n
		r.count += n
	}
	mean := r.mean()
	for i, n := range counts {
		if n == 0 {
			continue
		}
		low, high := 0.0, mean // of the last bucket, which has no bound
		if i > 0 {
			low = p.Bounds[i-1]
		}
		if i < len(p.Bounds) {
			high = p.Bounds[i]
		}
		high = max(high, low)
		r.min, r.max = min(r.min, low), max(r.max, high)
		squares += float64(n) * math.Pow((low+high)/2-mean, 2)
	}
	if r.count == 0 {
		r.min = 0
	}
	if r.count > 1 {
		r.stddev = math.Sqrt(squares / float64(r.count-1))
	}
	d.last[key] = total{p.Sum, append([]uint64(nil), p.BucketCounts...)}
	return r
}

func (r reading) mean() float64 {
	if r.count == 0 {
		return 0
	}
	return r.sum / float64(r.count)
}
