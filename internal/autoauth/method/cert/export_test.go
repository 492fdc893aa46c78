package cert

// Changed is what Watch asks.
func (m *Method) Changed() bool { return m.changed() }
