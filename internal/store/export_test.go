package store

// Hold keeps the store from committing until release is called, as a slow disk would.
func (s *Store) Hold() (release func()) {
	s.turn <- struct{}{}
	return func() { <-s.turn }
}
