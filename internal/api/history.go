package api

import "time"

// Sample is what one moment was like: a point of the plots of the status page. Counts are since the start.
type Sample struct {
	At       time.Time `json:"at"`
	Requests int64     `json:"requests"` // that got an answer, whoever gave it
	Failed   int64     `json:"failed"`   // without an answer of Vault
	Hits     int64     `json:"hits"`
	Misses   int64     `json:"misses"`
	Entries  int       `json:"entries"` // leases and tokens that are held
	Failing  int       `json:"failing"` // of these, those that Vault has not renewed when it was asked last
	Tokens   int       `json:"tokens"`  // that are known
	VaultUp  bool      `json:"vault_up"`

	// If Vault had gone away at that moment: half, and 95 %, of the entries would have been good for at least so long. 0 without entries.
	RunwayMedian float64 `json:"runway_median_seconds"`
	Runway95     float64 `json:"runway_95_seconds"`

	// TokenLeft is how long the token of each auto_auth stanza, by its words in the configuration, would have lived. It lacks those that have none, or
	// whose token has no end.
	TokenLeft map[string]float64 `json:"token_left_seconds"`
}
