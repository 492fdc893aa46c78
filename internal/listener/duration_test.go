package listener_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/listener"
)

// What takes too long is told so, whether a body is paced or not.
func TestRequestsThatTakeTooLong(t *testing.T) {
	for name, pace := range map[string]time.Duration{"paced": time.Hour, "not paced": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, func(w http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					var told interface{ ClientStatus() int }
					if cause := context.Cause(r.Context()); !errors.As(cause, &told) {
						t.Errorf("the request ended with %v", cause)
						return
					}
					w.WriteHeader(told.ClientStatus())
				}, listener.Settings{MaxDuration: 90 * time.Second, ReadTimeout: pace}, time.Second)
				start := time.Now()
				resp, err := s.client.Post("http://leasehold/", "", &slowly{parts: 1, size: 10})
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if got := time.Since(start); resp.StatusCode != http.StatusGatewayTimeout || got != 90*time.Second {
					t.Errorf("answer = %d after %v", resp.StatusCode, got)
				}
				s.stop()
				if err := <-s.done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
