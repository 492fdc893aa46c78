package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"leasehold/test/e2e/realvault"
)

// shared is the Vault of this run. Tests keep apart by names: of roles, policies and leaser/creds/<name>.
var shared *realvault.Server

// runDir holds the built binary and the audit log of shared.
var runDir string

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	if runDir, err = os.MkdirTemp("", "leasehold-e2e-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(runDir)
	// Some tests run the binary as another user. Vault keeps its audit log to itself.
	if err := os.Chmod(runDir, 0o755); err != nil {
		return 0, err
	}
	if shared, err = startVault(realvault.Options{AuditFile: filepath.Join(runDir, "audit.log")}); err != nil {
		return 0, err
	}
	remember(shared.RootToken, shared.UnsealKey)
	code = m.Run()
	return code, shared.Close()
}

// withRace says that the binary is built with the race detector.
var withRace = os.Getenv("LEASEHOLD_E2E_RACE") == "1"

// binary returns the product's path. The first caller builds it, with the flags of go test: what unit tests have compiled serves again.
var binary = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("LEASEHOLD_BINARY"); given != "" {
		return filepath.Abs(given)
	}
	path := filepath.Join(runDir, "leasehold")
	args, cgo := []string{"build", "-o", path}, "CGO_ENABLED=0"
	if withRace {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	build := exec.Command("go", append(args, "./cmd/proxy")...)
	build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), cgo)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the product: %w\n%s", err, out)
	}
	return path, nil
})
