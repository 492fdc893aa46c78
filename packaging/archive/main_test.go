package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The same contents give the same bytes, whatever the modes, the times, and the order in which files were named or made.
func TestAnArchiveDependsOnContentsAlone(t *testing.T) {
	at := time.Unix(1_700_000_000, 0).UTC()
	for _, ending := range []string{".tar.gz", ".zip"} {
		t.Run(ending, func(t *testing.T) {
			var archives [2][]byte
			for i, mode := range []os.FileMode{0o600, 0o644} {
				dir := t.TempDir()
				t.Chdir(dir)
				args := []string{"bin/x=leasehold", "docs", "LICENSE"}
				if i == 1 {
					args = []string{"LICENSE", "docs", "bin/x=leasehold"}
				}
				for _, name := range []string{"bin/x", "docs/b.md", "docs/a.md", "LICENSE"} {
					if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(name, []byte("content of "+name), mode); err != nil {
						t.Fatal(err)
					}
					if err := os.Chtimes(name, at, at.Add(time.Duration(i)*time.Hour)); err != nil {
						t.Fatal(err)
					}
				}
				if err := pack("out"+ending, "leasehold-1", at, args); err != nil {
					t.Fatal(err)
				}
				archives[i], _ = os.ReadFile("out" + ending)
			}
			if len(archives[0]) == 0 || !bytes.Equal(archives[0], archives[1]) {
				t.Errorf("%d and %d bytes, which differ", len(archives[0]), len(archives[1]))
			}
		})
	}
}

func TestTheBinaryAloneMayBeRun(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"leasehold.exe", "LICENSE"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := pack("out.zip", "root", time.Unix(1_700_000_000, 0), []string{"leasehold.exe", "LICENSE"}); err != nil {
		t.Fatal(err)
	}
	r, err := zip.OpenReader("out.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var got []string
	for _, f := range r.File {
		got = append(got, f.Name+" "+f.Mode().String())
	}
	if want := "root/LICENSE -rw-r--r-- root/leasehold.exe -rwxr-xr-x"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", strings.Join(got, " "), want)
	}
}

func TestAMissingFileIsAnError(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := pack("out.zip", "root", time.Unix(0, 0), []string{"nowhere"}); err == nil {
		t.Error("no error")
	}
}
