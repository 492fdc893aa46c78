package telemetry

// Counts are what Meters have counted since the start.
type Counts struct {
	Hits, Misses, Full           int64
	Success, ClientError, Failed int64
	Abandoned, Refused, Denied   int64
	Renewals, RenewalsFailed     int64
	Restored                     int64
}

// Counts returns the counts of now.
func (m *Meters) Counts() Counts {
	return Counts{
		Hits: m.hits.Load(), Misses: m.misses.Load(), Full: m.full.Load(),
		Success: m.success.Load(), ClientError: m.clientError.Load(), Failed: m.failed.Load(),
		Abandoned: m.abandoned.Load(), Refused: m.refused.Load(), Denied: m.denied.Load(),
		Renewals: m.renewals.Load(), RenewalsFailed: m.renewalsFailed.Load(), Restored: m.restored.Load(),
	}
}
