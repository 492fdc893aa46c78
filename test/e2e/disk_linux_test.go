package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// disk is a small file system of the test's own, which it can fill and make read-only.
type disk struct {
	dir    string   // where the proxy finds it
	here   string   // where the test does
	image  string   // the file that it is in, if it is in one
	inside []string // begins each command that is to find it; nothing for root
}

// newDisk mounts half a megabyte of memory. Who is not root does so in namespaces of his own, which the proxy is run in as well.
func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{dir: t.TempDir()}
	d.here = d.dir
	if os.Getuid() != 0 {
		d.unshare(t)
	}
	d.run(t, "mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "leasehold-e2e", d.dir)
	if os.Getuid() == 0 {
		t.Cleanup(func() {
			if err := syscall.Unmount(d.dir, 0); err != nil {
				t.Errorf("unmount %s: %v", d.dir, err)
			}
		})
	}
	return d
}

// unshare makes the namespaces: a process that does nothing holds them until the test ends.
func (d *disk) unshare(t *testing.T) {
	t.Helper()
	holder := exec.Command("cat")
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	me := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: me(os.Getuid()), GidMappings: me(os.Getgid()),
	}
	if err := holder.Start(); err != nil {
		t.Fatalf("a disk of the test's own takes root, or a kernel that lets users have namespaces: %v", err)
	}
	t.Cleanup(func() { _ = errors.Join(stdin.Close(), holder.Wait()) })
	d.inside = []string{"nsenter", "--user", "--mount", "--preserve-credentials", fmt.Sprintf("--target=%d", holder.Process.Pid), "--"}
	d.here = fmt.Sprintf("/proc/%d/root%s", holder.Process.Pid, d.dir)
}

// run runs a command that changes the disk.
func (d *disk) run(t *testing.T, args ...string) {
	t.Helper()
	args = append(d.inside[:len(d.inside):len(d.inside)], args...)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("a disk of the test's own takes root, or a kernel that lets users have namespaces: %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// found runs the proxy where it finds the disk.
func (d *disk) found() option {
	return func(t *testing.T, cmd *exec.Cmd) {
		if len(d.inside) == 0 {
			return
		}
		path, err := exec.LookPath(d.inside[0])
		if err != nil {
			t.Fatal(err)
		}
		cmd.Args = append(append(d.inside[:len(d.inside):len(d.inside)], cmd.Path), cmd.Args[1:]...)
		cmd.Path = path
	}
}

// fill leaves not one page free.
func (d *disk) fill(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(d.here, "filler"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, os.Getpagesize()))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// free takes back what fill has filled.
func (d *disk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(d.here, "filler")); err != nil {
		t.Fatal(err)
	}
}

// config is a proxy's that has its state file on the disk, and the key elsewhere.
func (d *disk) config(t *testing.T) string {
	t.Helper()
	r := newAppRole(t, shared, newPolicy(t, shared, "*: create, read, update, delete, list, sudo"))
	hcl := persistent(shared.Address, r, d.dir)
	return keepingSecretID(strings.Replace(hcl, filepath.Join(d.dir, "key"), filepath.Join(t.TempDir(), "key"), 1))
}

// remount changes how the disk is mounted. No file on it may be open for writing.
func (d *disk) remount(t *testing.T, how string) {
	t.Helper()
	d.run(t, "mount", "-o", "remount,bind,"+how, d.dir)
}

// newImage mounts an ext4 in a file, and returns what makes Linux believe that it is damaged.
func newImage(t *testing.T) (d *disk, damage func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a disk image")
	}
	d = &disk{dir: t.TempDir(), image: filepath.Join(t.TempDir(), "image")}
	d.here = d.dir
	if err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, 4<<20)); err != nil {
		t.Fatal(err)
	}
	d.run(t, "mkfs.ext4", "-q", "-F", "-O", "^has_journal", d.image)
	d.mountImage(t)
	t.Cleanup(func() { _ = syscall.Unmount(d.dir, 0) })
	return d, func() {
		device, err := exec.Command("findmnt", "--noheadings", "--output=SOURCE", d.dir).Output()
		if err != nil {
			t.Fatal(err)
		}
		trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
		if err := os.WriteFile(trigger, []byte("a test"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *disk) mountImage(t *testing.T) {
	t.Helper()
	d.run(t, "mount", "-t", "ext4", "-o", "loop,errors=remount-ro", d.image, d.dir)
}

// repair mounts the image as if it had never been damaged, which is true.
func (d *disk) repair(t *testing.T) {
	t.Helper()
	if err := syscall.Unmount(d.dir, 0); err != nil {
		t.Fatal(err)
	}
	d.mountImage(t)
}
