package lease

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Survey is what a look at all entries finds. Each entry is counted in its State.
type Survey struct {
	Fresh, Due, Failing, Ending int

	NextRenewal   time.Time // the first that is planned; zero for none. Those that are due are not planned any more
	NearestExpiry time.Time // zero for none

	// Runway is how long hits would go on if Vault were away from now on: half of the entries that are hit have at least the first, 95 % the second. What
	// hangs on an auto-auth token ends with it. Zero without entries.
	Runway [2]time.Duration

	Backlog time.Duration // how long renewals have been waiting without a break; 0 when none does
}

const (
	// surveyFor is how long a survey is told again at most, whoever asks.
	surveyFor = 5 * time.Second
	// surveyPerEntry is how long that is for each entry: some sixty times what the look at it takes, so that surveys never take much of a core, and those of
	// few entries are always new.
	surveyPerEntry = 50 * time.Microsecond
)

// surveys keeps the last survey.
type surveys struct {
	mu   sync.Mutex // taken before Index.looks
	at   time.Time
	last Survey
	good time.Duration // for how long last is told again
}

// Survey looks at all entries, or tells what was found a moment ago: of very many, within the last five seconds. It holds up no hit, and nothing else for long.
func (x *Index) Survey(now time.Time) Survey {
	x.surveys.mu.Lock()
	defer x.surveys.mu.Unlock()
	if since := now.Sub(x.surveys.at); since >= x.surveys.good || since < 0 {
		x.surveys.at, x.surveys.last = now, x.survey(now)
		s := &x.surveys.last
		x.surveys.good = min(time.Duration(s.Fresh+s.Due+s.Failing+s.Ending)*surveyPerEntry, surveyFor)
	}
	s := x.surveys.last
	s.Backlog = x.backlog(now)
	return s
}

func (x *Index) survey(now time.Time) (s Survey) {
	var left []time.Duration
	at, nearest := now.UnixNano(), int64(math.MaxInt64)
	x.each(func(e *Entry) {
		end := e.end.Load()
		if end <= at { // as good as removed
			return
		}
		nearest = min(nearest, end)
		if due := e.renewal(); s.NextRenewal.IsZero() || !due.IsZero() && due.Before(s.NextRenewal) {
			s.NextRenewal = due
		}
		switch e.state() {
		case Fresh:
			s.Fresh++
		case Due:
			s.Due++
		case Failing:
			s.Failing++
		case Ending:
			s.Ending++
		}
		if !e.replaced { // a hit needs a whole second
			left = append(left, max(time.Duration(e.endWithoutVault(end)-at)-time.Second, 0))
		}
	})
	if nearest != math.MaxInt64 {
		s.NearestExpiry = time.Unix(0, nearest)
	}
	if n := len(left); n > 0 {
		slices.Sort(left)
		s.Runway = [2]time.Duration{left[n/2], left[n/20]}
	}
	return s
}

// endWithoutVault is when an entry whose end is known ends at the latest while nobody renews anything, in Unix nanoseconds.
func (e *Entry) endWithoutVault(end int64) int64 {
	for n := e.owner; n != nil; n = n.parent {
		if n.expires != 0 {
			end = min(end, n.expires)
		}
		if n.entry != nil {
			if at := n.entry.end.Load(); at != 0 {
				end = min(end, at)
			}
		}
	}
	return end
}

// backlog is how long renewals have been waiting: since the clock last had none to hand out, or since the first that it has not looked at was due.
func (x *Index) backlog(now time.Time) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	since := now.UnixNano()
	if x.behind != 0 {
		since = min(since, x.behind)
	}
	if len(x.alarms) > 0 {
		since = min(since, x.alarms[0].at)
	}
	if since <= 0 { // an alarm that is to ring at once
		return 0
	}
	return time.Duration(now.UnixNano() - since)
}

// noteBacklog is called by the clock after each look at what is due.
func (x *Index) noteBacklog(now time.Time) {
	switch {
	case len(x.ready) == 0:
		x.behind = 0
	case x.behind == 0:
		x.behind = now.UnixNano()
	}
}
