package e2e

import (
	"debug/elf"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// emptyRoot runs the binary as the container image does: alone below a root that it may not write, as a number that has no user.
func emptyRoot(root string) option {
	return func(t *testing.T, cmd *exec.Cmd) {
		if err := copyFile(filepath.Join(root, "leasehold"), cmd.Path); err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Dir, cmd.Env = "/leasehold", "/", []string{"HOME=/", "VAULT_LOG_FORMAT=logfmt"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	}
}

func TestBinaryRunsInAnEmptyImage(t *testing.T) {
	t.Parallel()
	if withRace {
		t.Skip("the race detector needs libc; the image does not")
	}
	if os.Getuid() != 0 {
		t.Skip("only root may change the root of a process")
	}
	root := t.TempDir() // our own: others read it and no more
	config := vaultStanza(shared.Address) + cacheStanza + listenerStanza()
	if err := os.WriteFile(filepath.Join(root, "proxy.hcl"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"-config=/proxy.hcl"}, emptyRoot(root))
	p.waitLog(t, "msg=ready")
	p.waitListening(t, 1)
	token := newToken(t, shared, newPolicy(t, shared, "kv/in-the-image: read, create"))
	header := "X-Vault-Token: " + token.ClientToken
	if a := p.do(t, "POST", "/v1/kv/in-the-image", `{"word": "inside"}`, header); a.Status != http.StatusNoContent {
		t.Errorf("status of a write = %d, want 204", a.Status)
	}
	if got := p.do(t, "GET", "/v1/kv/in-the-image", "", header).secret(t).Data["word"]; got != "inside" {
		t.Errorf("word = %v, want inside", got)
	}
	p.stop(t)
	files, err := os.ReadDir(root)
	if err != nil || len(files) != 2 {
		t.Errorf("files in the root = %v, %v; want the binary and its configuration alone", files, err)
	}
}

func TestBinaryIsStatic(t *testing.T) {
	t.Parallel()
	if withRace {
		t.Skip("the race detector needs libc; the image does not")
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a %v segment: it asks for a loader that the image does not have", p.Type)
		}
	}
}

// copyFile makes an executable of the contents of from.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return out.Close()
}
