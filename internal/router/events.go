package router

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"leasehold/internal/api"
)

const (
	// maxStreams bounds who listens to events at one time, on all listeners together; administrators count apart, so that no client shuts them out.
	maxStreams = 16
	// eventPace is between two events "status", which tell that the stream lives as well.
	eventPace = 5 * time.Second
	// statusFor is how long a status is told again: it costs a look at every entry, however many listen.
	statusFor = eventPace - time.Second
	// sendWithin is how long a client may take for one event.
	sendWithin = 10 * time.Second
	// farewell is how long a client that does not read may hold up the daemon's stop, or hold on to what a reload has ended.
	farewell = time.Second
)

// Feed is what events tells. A daemon has one, so that all listeners count together, before a reload and after it. It is safe for concurrent use.
type Feed struct {
	samples  samples
	stopping context.Context
	to       [2]audience // clients, and administrators
}

// samples returns those that were taken after the first seen, the oldest first, and how many have been taken by now.
type samples = func(seen int) (fresh []api.Sample, taken int)

// NewFeed returns a feed of samples. Streams end when stopping does.
func NewFeed(stopping context.Context, from samples) *Feed {
	return &Feed{stopping: stopping, samples: from}
}

// audience is who is told the same.
type audience struct {
	streams atomic.Int64
	told    statusText // with accessors for administrators
}

func (f *Feed) audience(admin bool) *audience {
	if admin {
		return &f.to[1]
	}
	return &f.to[0]
}

// statusText is a status as it was told last.
type statusText struct {
	mu   sync.Mutex
	at   time.Time
	text []byte
}

// status is that of now, or of a moment ago.
func (f *Feed) status(from insider, full bool) ([]byte, error) {
	last := &f.audience(full).told
	last.mu.Lock()
	defer last.mu.Unlock()
	if since := time.Since(last.at); last.text == nil || since < 0 || since >= statusFor {
		text, err := json.Marshal(from.Status(full))
		if err != nil {
			return nil, err
		}
		last.at, last.text = time.Now(), text
	}
	return last.text, nil
}

// tellEvents streams server-sent events until the client leaves, the daemon stops or another router takes the place of this one: "history" with all samples
// at once, then "sample" with each new one, and "status" every few seconds.
func (rt *router) tellEvents(w http.ResponseWriter, r *http.Request) {
	f := rt.Feed
	streams := &f.audience(rt.opt.Admin).streams
	defer streams.Add(-1)
	if streams.Add(1) > maxStreams {
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("%d others listen to events here already; close a status page", maxStreams))
		return
	}
	if x := exchangeOf(w); x != nil {
		x.Stream = true
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close") // the deadline of the last event stays
	over, end := context.WithCancel(f.stopping)
	defer end()
	if rt.Over != nil {
		defer context.AfterFunc(rt.Over, end)() // else who may listen no longer would listen on
	}
	to := &stream{ResponseWriter: w, control: http.NewResponseController(w), over: over}
	hurried := make(chan struct{})
	hurry := context.AfterFunc(over, func() {
		defer close(hurried)
		_ = to.control.SetWriteDeadline(time.Now().Add(farewell)) // fails only where nothing can be waited for
	})
	defer func() {
		if !hurry() {
			<-hurried // w is not ours after that
		}
	}()
	rt.stream(to, r)
}

func (rt *router) stream(to *stream, r *http.Request) {
	history, seen := rt.Feed.samples(0)
	if to.send("history", append([]api.Sample{}, history...)) != nil { // never null
		return
	}
	tick := time.NewTicker(eventPace)
	defer tick.Stop()
	for {
		var fresh []api.Sample
		fresh, seen = rt.Feed.samples(seen)
		for _, s := range fresh {
			if to.send("sample", s) != nil {
				return
			}
		}
		text, err := rt.Feed.status(rt.Inside, rt.opt.Admin)
		if err != nil || to.send("status", json.RawMessage(text)) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-to.over.Done(): // else the drain would wait for whoever looks
			return
		}
	}
}

// stream writes events to one client.
type stream struct {
	http.ResponseWriter
	control *http.ResponseController
	over    context.Context
}

// send writes one event. It fails for a client that has left or does not read, and when the stream is over.
func (s *stream) send(event string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(sendWithin)) // instead of http_write_timeout, which is for a whole answer
	if err := s.over.Err(); err != nil {                       // after the deadline: that of the end comes later, and counts
		return err
	}
	if _, err := fmt.Fprintf(s, "event: %s\ndata: %s\n\n", event, text); err != nil {
		return err
	}
	return s.control.Flush()
}
