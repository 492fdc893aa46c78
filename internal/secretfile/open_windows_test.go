package secretfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"

	"leasehold/internal/secretfile"
)

// What is told apart: a file whose rights are handed down by its directory, and one that has its own.
func TestNobodyElseMayRead(t *testing.T) {
	me, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		there bool
		flag  int
	}{
		"a new file":                 {false, os.O_WRONLY | os.O_CREATE | os.O_EXCL},
		"a file that may be there":   {false, os.O_RDWR | os.O_CREATE},
		"one that others could read": {true, os.O_RDWR | os.O_CREATE},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(directory(t), "secret")
			if tc.there {
				if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				allow(t, filepath.Dir(path), "D:P(A;OICI;FA;;;"+me.User.Sid.String()+")") // Wine hands down whatever a list says of that
				allow(t, path, "D:(A;;FA;;;WD)")
			} else {
				allow(t, filepath.Dir(path), "D:(A;OICI;FA;;;WD)")
			}
			f, err := secretfile.OpenFile(path, tc.flag, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("new"); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
				t.Errorf("%q, %v", text, err)
			}
			for _, sid := range entitled(t, path) {
				if sid != me.User.Sid.String() && sid != "S-1-5-18" && sid != "S-1-5-32-544" {
					t.Errorf("%s may read it", sid)
				}
			}
		})
	}
}

func TestOpenFileRefusals(t *testing.T) {
	path := filepath.Join(directory(t), "secret")
	if _, err := secretfile.OpenFile(path, os.O_RDWR, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without O_CREATE: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secretfile.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("with O_EXCL: %v", err)
	}
	if _, err := secretfile.OpenFile(filepath.Join(path, "no", "such"), os.O_RDWR|os.O_CREATE, 0o600); err == nil {
		t.Error("no directory, and no error")
	}
}

// directory is t.TempDir without os.RemoveAll, which Wine has not got all of.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "secretfile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(os.Remove(filepath.Join(dir, "secret")), os.Remove(dir)) })
	return dir
}

// allow gives a file or a directory a list of rights.
func allow(t *testing.T, path, list string) {
	t.Helper()
	rights, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		t.Fatal(err)
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := windows.CreateFile(name, windows.WRITE_DAC, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(windows.SetKernelObjectSecurity(file, windows.DACL_SECURITY_INFORMATION, rights), windows.CloseHandle(file)); err != nil {
		t.Fatal(err)
	}
	if all := strings.Contains(list, ";WD)"); all != slices.Contains(entitled(t, path), "S-1-1-0") {
		t.Fatalf("%s did not take %s, so nothing would be shown", path, list)
	}
}

// entitled are the SIDs that are allowed something. A file without a list is everyone's.
func entitled(t *testing.T, path string) (sids []string) {
	t.Helper()
	rights, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := rights.DACL()
	if err != nil || list == nil {
		t.Fatalf("%s has no list of rights: %v", path, err)
	}
	for i := range uint32(list.AceCount) {
		var entry *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE {
			continue
		}
		sids = append(sids, sidOf(entry).String())
	}
	if len(sids) == 0 {
		t.Fatalf("%s: nobody may read it", path)
	}
	return sids
}

func sidOf(entry *windows.ACCESS_ALLOWED_ACE) *windows.SID {
	return (*windows.SID)(unsafe.Pointer(&entry.SidStart))
}
