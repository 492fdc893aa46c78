package telemetry

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves the metrics: as Prometheus text, and as JSON to whoever asks for that and not for Prometheus, be it by ?format= or by Accept.
func (m *Meters) Handler() http.Handler {
	text := m.text()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		format := r.URL.Query().Get("format")
		if format == "" {
			format = m.preferred(r.Header.Get("Accept"))
		}
		switch {
		case format == "json":
			m.recent.ServeHTTP(w, r)
		case format != "prometheus":
			http.Error(w, fmt.Sprintf("metric response format %q unknown; use prometheus or json", format), http.StatusBadRequest)
		case m.settings.NoPrometheus:
			http.Error(w, "prometheus is not enabled", http.StatusBadRequest)
		default:
			text.ServeHTTP(w, r)
		}
	})
}

// preferred is the format for a client that names none.
func (m *Meters) preferred(accept string) string {
	accept = strings.ToLower(accept)
	switch {
	case strings.Contains(accept, "openmetrics") || strings.Contains(accept, "prometheus/telemetry"): // a scraper
		return "prometheus"
	case strings.Contains(accept, "application/json"), m.settings.NoPrometheus:
		return "json"
	default:
		return "prometheus"
	}
}

func (m *Meters) text() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Dump writes all counts to w as Prometheus text, also when that is not served.
func (m *Meters) Dump(w io.Writer) error {
	r, err := http.NewRequest(http.MethodGet, "/", nil)
	if err != nil {
		return fmt.Errorf("dump the metrics: %w", err)
	}
	to := plainWriter{Writer: w, header: http.Header{}}
	m.text().ServeHTTP(to, r)
	return nil
}
