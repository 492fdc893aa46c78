package upstream

import (
	"net/http"
	"strconv"
	"time"
)

// Meter counts what goes to Vault. Its methods are called from many goroutines.
type Meter interface {
	// Asked is called for each request that left, and for each that could not, once the headers of its answer are there or it has failed: status is that
	// of the answer, 0 when there is none. Health checks of Leasehold's own do not count.
	Asked(status int, took time.Duration)
	// Retried is called for each retry: reason is the status, "connection" when nothing was sent, or "lost" when the answer was.
	Retried(reason string)
}

// metered is a way to Vault that a meter counts on.
type metered struct {
	http.RoundTripper
	meter Meter
}

func (m metered) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := m.RoundTripper.RoundTrip(r)
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	m.meter.Asked(status, time.Since(began))
	return resp, err
}

// countRetry tells the meter why a request is sent again.
func (c *Client) countRetry(resp *http.Response, err error) {
	switch {
	case c.meter == nil:
	case resp != nil:
		c.meter.Retried(strconv.Itoa(resp.StatusCode))
	case neverSent(err):
		c.meter.Retried("connection")
	default:
		c.meter.Retried("lost")
	}
}
