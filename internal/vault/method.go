package vault

// LogMethod is the method of a request as a log may show it: one that nobody knows may be a token in the wrong place.
func LogMethod(method string) string {
	if len(method) > 16 {
		return "[redacted]"
	}
	for i := range len(method) {
		if c := method[i]; (c < 'A' || c > 'Z') && c != '-' {
			return "[redacted]"
		}
	}
	return method
}
