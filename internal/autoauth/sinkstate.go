package autoauth

import "time"

// SinkState is how one sink is.
type SinkState struct {
	Name  string
	Since time.Time // since when it is behind, or else is not

	Stored bool  // it has had a token in this run
	Behind bool  // it lacks the newest token
	Err    error // of the last attempt, nil when that stored a token. It holds no secret

	Writes, Failures int64 // attempts that stored a token, and those that did not
}

// SinkStates tells how the sinks are, in the order of Options.Sinks. It may be called from any goroutine, and waits for no sink.
func (m *Manager) SinkStates() []SinkState {
	all := make([]SinkState, 0, len(m.writers))
	for _, w := range m.writers {
		w.mu.Lock()
		all = append(all, w.state)
		w.mu.Unlock()
	}
	return all
}

// count counts an attempt.
func (w *writer) count(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.state.Failures++
		return
	}
	w.state.Writes++
}

// note notes what came of an attempt, or that none was needed. A token that was offered meanwhile is still to be stored.
func (w *writer) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Err = err
	if err == nil {
		w.state.Stored = true
		w.turn(len(w.next) > 0)
	}
}

func (w *writer) turn(behind bool) {
	if w.state.Behind != behind {
		w.state.Behind, w.state.Since = behind, time.Now()
	}
}
