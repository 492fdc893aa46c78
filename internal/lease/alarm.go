package lease

import (
	"container/heap"
	"time"
)

// alarm is a place in one of two heaps; exactly one of entry and node is set while it is in one.
type alarm struct {
	at    int64 // Unix nanoseconds
	pos   int   // index in the heap plus one; 0 when not in one
	ready bool  // in the heap of renewals that are due
	entry *Entry
	node  *node
}

// alarms is a heap by time.
type alarms []*alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].at < h[j].at }
func (h alarms) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].pos, h[j].pos = i+1, j+1 }
func (h *alarms) Push(a any)        { *h = append(*h, a.(*alarm)); (*h)[len(*h)-1].pos = len(*h) }
func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last], a.pos = nil, 0
	*h = (*h)[:last]
	return a
}

func (x *Index) setAlarm(a *alarm, at time.Time) {
	if a.ready {
		x.dropAlarm(a)
	}
	a.at = at.UnixNano()
	if a.pos == 0 {
		heap.Push(&x.alarms, a)
	} else {
		heap.Fix(&x.alarms, a.pos-1)
	}
	if a.pos == 1 {
		select {
		case x.wake <- struct{}{}:
		default: // it is awake already and will look at the heap
		}
	}
}

// atOnce is the time of an alarm that is not to wait for any.
const atOnce = 0

// setReady moves an alarm to the renewals that are due, of which the one with the earliest end comes first.
func (x *Index) setReady(a *alarm, end int64) {
	x.dropAlarm(a)
	a.at, a.ready = end, true
	heap.Push(&x.ready, a)
}

func (x *Index) dropAlarm(a *alarm) {
	switch {
	case a.pos == 0:
	case a.ready:
		heap.Remove(&x.ready, a.pos-1)
	default:
		heap.Remove(&x.alarms, a.pos-1)
	}
	a.ready = false
}
