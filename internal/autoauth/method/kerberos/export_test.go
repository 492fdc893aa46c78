package kerberos

// Differs is what Watch asks.
func (m *Method) Differs() bool { return m.differs() }
