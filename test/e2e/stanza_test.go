package e2e

import (
	"fmt"
	"strings"
)

// vaultStanza points at a Vault. No retries: what a test breaks stays broken.
func vaultStanza(address string) string {
	return fmt.Sprintf("vault {\n  address = %q\n  retry { num_retries = -1 }\n}\n", address)
}

// listenerStanza is one listener on a free port; more goes into its block.
func listenerStanza(more ...string) string {
	return "listener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n  " + strings.Join(more, "\n  ") + "\n}\n"
}

const (
	cacheStanza = "cache {}\n"
	injectToken = "api_proxy { use_auto_auth_token = true }\n"
	allowQuit   = "proxy_api { enable_quit = true }"
)

// caching is the configuration most tests want: log in with the role, inject its token, cache.
func caching(address string, r appRole) string {
	return vaultStanza(address) + r.autoAuth() + injectToken + cacheStanza + listenerStanza(allowQuit)
}
