package realvault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Entry is what Vault's audit log says about one request that it answered.
type Entry struct {
	Time    time.Time
	Type    string // "response"
	Error   string // "" when Vault did as asked
	Request struct {
		ID                  string
		Operation           string // read, update, create, list, delete
		Path                string // without /v1/
		Data                map[string]any
		ClientTokenAccessor string `json:"client_token_accessor"`
	}
	Response struct {
		Secret struct {
			LeaseID string `json:"lease_id"` // of the lease that this request created or renewed
		}
	}
}

// Renews reports whether the entry is a successful renewal of that lease, as a body or as a URL names it.
func (e Entry) Renews(leaseID string) bool {
	if e.Error != "" || e.Request.Operation != "update" {
		return false
	}
	path, inURL := strings.CutSuffix(e.Request.Path, "/"+leaseID)
	return (path == "sys/leases/renew" || path == "sys/renew") && (inURL || e.Request.Data["lease_id"] == leaseID)
}

// AuditCount counts the audit entries that match, one per request that Vault has answered since Start, refused ones too.
// It fails on a Vault that was started without an audit file.
func (s *Server) AuditCount(match func(Entry) bool) (int, error) {
	entries, err := s.AuditEntries()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range entries {
		if match(e) {
			n++
		}
	}
	return n, nil
}

// AuditEntries returns one entry per request that Vault has answered since Start, oldest first.
func (s *Server) AuditEntries() ([]Entry, error) {
	text, err := os.ReadFile(s.AuditFile)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	var entries []Entry
	for dec := json.NewDecoder(bytes.NewReader(text)); ; {
		var e Entry
		switch err := dec.Decode(&e); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the last line is still being written
			return entries, nil
		case err != nil:
			return nil, fmt.Errorf("audit log: %w", err)
		case e.Type == "response": // each request has an entry of type request too
			entries = append(entries, e)
		}
	}
}
