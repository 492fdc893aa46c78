package telemetry

import (
	"fmt"
	"io"
	"net/http"
)

// Dump writes all counts to w as Prometheus text.
func (m *Meters) Dump(w io.Writer) error {
	r, err := http.NewRequest(http.MethodGet, "/", nil)
	if err != nil {
		return fmt.Errorf("dump the metrics: %w", err)
	}
	to := plainWriter{Writer: w, header: http.Header{}}
	m.Handler().ServeHTTP(to, r)
	return nil
}

// plainWriter takes the body of an answer, and nothing else of it.
type plainWriter struct {
	io.Writer
	header http.Header
}

func (p plainWriter) Header() http.Header { return p.header }
func (plainWriter) WriteHeader(int)       {}
