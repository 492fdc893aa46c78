//go:build unix

package api_test

import (
	"os"
	"slices"
	"testing"

	"leasehold/internal/api"
)

// What su and sudo -E leave in the environment of root is another's to fill.
func TestSocketsOfOthersAreNotLookedFor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	dir := t.TempDir()
	getenv := func(name string) string { return map[string]string{"XDG_RUNTIME_DIR": dir}[name] }
	if got := api.Sockets(getenv); !slices.Equal(got, []string{dir + "/leasehold/admin.sock", "/run/leasehold/admin.sock"}) {
		t.Errorf("with a directory of one's own: %q", got)
	}
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if got := api.Sockets(getenv); !slices.Equal(got, []string{"/run/leasehold/admin.sock"}) {
		t.Errorf("with a directory of another's: %q", got)
	}
}
