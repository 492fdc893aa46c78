package cf

// Differs asks what Watch asks.
func Differs(m *Method) bool { return m.differs() }
