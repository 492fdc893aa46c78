package api

// Clear says what to forget: the body of cache-clear.
type Clear struct {
	Type      string `json:"type"`                // "request_path", "token", "token_accessor", "lease" or "all"
	Value     string `json:"value,omitempty"`     // not of all. Of token it is a secret
	Namespace string `json:"namespace,omitempty"` // of a request_path
}

// ClearedHeader is the header of cache-clear's answer that says how many entries were forgotten. The answer has no body, as Vault Proxy's has none.
const ClearedHeader = "X-Cache-Cleared"

// Errors is the body of every answer that is an error, in Vault's form.
type Errors struct {
	Errors []string `json:"errors"`
}
