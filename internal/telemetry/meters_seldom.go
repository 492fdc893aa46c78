package telemetry

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// recorders count what no hit does, and may cost more.
type recorders struct {
	upstream  metric.Float64Histogram
	retries   metric.Int64Counter
	commits   metric.Float64Histogram
	responses metric.Int64Counter
}

// seconds are the bounds of the buckets of all durations.
var seconds = func() (all []float64) {
	for _, b := range bounds {
		all = append(all, b.Seconds())
	}
	return all
}()

func (r *recorders) make(meter metric.Meter) error {
	buckets := metric.WithExplicitBucketBoundaries(seconds...)
	var errs [4]error
	r.upstream, errs[0] = meter.Float64Histogram("leasehold.upstream.duration", metric.WithUnit("s"), buckets)
	r.retries, errs[1] = meter.Int64Counter("leasehold.upstream.retries")
	r.commits, errs[2] = meter.Float64Histogram("leasehold.state.commit.duration", metric.WithUnit("s"), buckets)
	r.responses, errs[3] = meter.Int64Counter(ownPrefix + "core.response_status_code")
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	for _, reason := range retried {
		r.retried(reason, 0)
	}
	return nil
}

// classes are the labels of statuses, made once.
var classes = func() (all [6][]metric.RecordOption) {
	for i := range all {
		all[i] = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attribute.String("status", class(i*100))))}
	}
	return all
}()

// class is a status without its last two digits; "none" when there is no status.
func class(status int) string {
	if status < 100 || status > 599 {
		return "none"
	}
	return strconv.Itoa(status/100) + "xx"
}

// Asked counts a try at Vault by the status of its answer, 0 when there was none, and the time until its headers.
func (m *Meters) Asked(status int, took time.Duration) {
	if status < 100 || status > 599 {
		status = 0
	}
	m.seldom.upstream.Record(context.Background(), took.Seconds(), classes[status/100]...)
}

// retried are the usual reasons for which a request is sent again. They are there before the first of them happens, so that a rate over it is none of nothing.
var retried = [...]string{"connection", "lost", "412", "429", "500", "502", "503", "504"}

// Retried counts a request that is sent again, by the reason: a status, "connection" or "lost", which means that an answer was.
func (m *Meters) Retried(reason string) { m.seldom.retried(reason, 1) }

func (r *recorders) retried(reason string, n int64) {
	r.retries.Add(context.Background(), n, metric.WithAttributes(attribute.String("reason", reason)))
}

// Committed counts a commit of the state file, whether it succeeded or not.
func (m *Meters) Committed(took time.Duration) {
	m.seldom.commits.Record(context.Background(), took.Seconds())
}

// OwnError counts an answer that is an error and ours, not Vault's, by its status. A client that has left reads none.
func (m *Meters) OwnError(status int) {
	if status == 499 || http.StatusText(status) == "" { // so that a label has few values
		return
	}
	m.seldom.responses.Add(context.Background(), 1, metric.WithAttributes(attribute.Int("code", status), attribute.String("type", class(status))))
}
