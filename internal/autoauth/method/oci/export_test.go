package oci

import "context"

// Differs asks what Watch asks.
func Differs(ctx context.Context, m *Method) bool { return m.differs(ctx) }
