package lease

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Survey is what a look at all entries finds. Each entry is counted in one state.
type Survey struct {
	Fresh   int // good, its renewal is still to come
	Due     int // good, its renewal waits or is under way
	Failing int // good, and Vault has not renewed it when it was asked last
	Ending  int // good to its end: it cannot be extended, or its place is taken

	NextRenewal   time.Time // of those that are fresh or failing, the first; zero for none
	NearestExpiry time.Time // zero for none

	// Runway is how long hits would go on if Vault were away from now on: half of the entries that are hit have at least the first, 95 % the second. What
	// hangs on an auto-auth token ends with it. Zero without entries.
	Runway [2]time.Duration

	Backlog time.Duration // how long renewals have been waiting without a break; 0 when none does
}

const (
	// surveyFor is how long a survey is told again, whoever asks.
	surveyFor = 5 * time.Second
	// surveyStep is how many entries are looked at under the lock at a time, so that nobody waits long for it.
	surveyStep = 512
)

// surveys keeps the last survey.
type surveys struct {
	mu   sync.Mutex // taken before Index.mu
	at   time.Time
	last Survey
}

// Survey looks at all entries, or tells what was found within the last five seconds. It holds up no hit, and nothing else for long.
func (x *Index) Survey(now time.Time) Survey {
	x.surveys.mu.Lock()
	defer x.surveys.mu.Unlock()
	if since := now.Sub(x.surveys.at); x.surveys.at.IsZero() || since >= surveyFor || since < 0 {
		x.surveys.at, x.surveys.last = now, x.survey(now)
	}
	s := x.surveys.last
	s.Backlog = x.backlog(now)
	return s
}

// survey goes through a list of all alarms that was made at one moment, since every entry has one, or a renewal under way.
func (x *Index) survey(now time.Time) (s Survey) {
	all := x.everyEntry()
	left := make([]time.Duration, 0, len(all))
	at, next, nearest := now.UnixNano(), int64(math.MaxInt64), int64(math.MaxInt64)
	for step := range slices.Chunk(all, surveyStep) {
		x.mu.Lock()
		for _, e := range step {
			end := e.end.Load()
			if end <= at { // removed meanwhile, or as good as
				continue
			}
			nearest = min(nearest, end)
			if due := s.count(e); due != 0 {
				next = min(next, due)
			}
			if !e.replaced { // a hit needs a whole second
				left = append(left, max(time.Duration(e.endWithoutVault(end)-at)-time.Second, 0))
			}
		}
		x.mu.Unlock()
	}
	if next != math.MaxInt64 {
		s.NextRenewal = time.Unix(0, next)
	}
	if nearest != math.MaxInt64 {
		s.NearestExpiry = time.Unix(0, nearest)
	}
	if n := len(left); n > 0 {
		slices.Sort(left)
		s.Runway = [2]time.Duration{left[n/2], left[n/20]}
	}
	return s
}

// everyEntry lists what there is. The list is a copy: heaps change while it is gone through.
func (x *Index) everyEntry() []*Entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]*Entry, 0, len(x.alarms)+len(x.ready)+len(x.renewing))
	for _, heap := range [...]alarms{x.alarms, x.ready} {
		for _, a := range heap {
			if a.entry != nil {
				all = append(all, a.entry)
			}
		}
	}
	for e := range x.renewing {
		if e.alarm.pos == 0 {
			all = append(all, e)
		}
	}
	return all
}

// count counts a living entry by its state, and returns when it is to be renewed next, 0 for never or now.
func (s *Survey) count(e *Entry) int64 {
	waits := e.alarm.ready || e.alarm.pos == 0
	switch {
	case e.last || e.replaced:
		s.Ending++
		return 0
	case e.attempts > 0:
		s.Failing++
	case waits:
		s.Due++
	default:
		s.Fresh++
	}
	if waits {
		return 0
	}
	return e.alarm.at
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
