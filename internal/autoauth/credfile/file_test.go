package credfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/credfile"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadTrimsAndKeepsTheLastGoodContent(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"still there": func(*testing.T, string) {},
		"missing":     func(t *testing.T, path string) { _ = os.Remove(path) },
		"empty":       func(t *testing.T, path string) { write(t, path, " \n\t") },
		"too large":   func(t *testing.T, path string) { write(t, path, strings.Repeat("x", 1<<20)) },
		"a directory": func(t *testing.T, path string) { _ = os.Remove(path); _ = os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret-id")
			f := credfile.New("secret ID", path, slog.New(slog.DiscardHandler), credfile.Options{})
			write(t, path, "\t s3cr3t\r\n")
			for range 2 {
				if got, err := f.Read(); err != nil || got != "s3cr3t" {
					t.Fatalf("Read = %q, %v", got, err)
				}
				spoil(t, path)
			}
		})
	}
}

func TestReadSaysWhatToDoWhenThereNeverWasAContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret-id")
	var log bytes.Buffer
	f := credfile.New("secret ID", path, slog.New(slog.NewTextHandler(&log, nil)), credfile.Options{Remove: true})
	_, err := f.Read()
	if err == nil || !strings.Contains(err.Error(), "read the secret ID: ") || !strings.HasSuffix(err.Error(), "; write it to "+path) {
		t.Errorf("Read = %v", err)
	}
	write(t, path, "\n")
	if _, err := f.Read(); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("Read of an empty file = %v", err)
	}
	write(t, path, "late")
	if got, err := f.Read(); err != nil || got != "late" {
		t.Errorf("Read = %q, %v", got, err)
	}
	write(t, path, "new")
	if got, err := f.Read(); err != nil || got != "new" {
		t.Errorf("Read of new content = %q, %v", got, err)
	}
	if log.Len() > 0 {
		t.Errorf("nothing was wrong, yet the log says %s", &log)
	}
}

// What is to be removed goes when Vault has taken or refused it. As long as Vault cannot answer a restart needs it.
func TestRemoval(t *testing.T) {
	answer := func(status int) error { return fmt.Errorf("login: %w", &api.ResponseError{StatusCode: status}) }
	for name, tc := range map[string]struct {
		remove bool
		err    error
		gone   bool
	}{
		"taken":          {true, nil, true},
		"refused":        {true, answer(400), true},
		"of no right":    {true, answer(403), true},
		"sealed":         {true, answer(503), false},
		"over quota":     {true, answer(429), false},
		"standby behind": {true, answer(412), false},
		"away":           {true, errors.New("connection refused"), false},
		"stopped":        {true, context.Canceled, false},
		"kept":           {false, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret-id")
			write(t, path, "s3cr3t")
			f := credfile.New("secret ID", path, slog.New(slog.DiscardHandler), credfile.Options{Remove: tc.remove})
			f.Settle(nil) // nothing was read
			if _, err := f.Read(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("before Vault has answered: %v", err)
			}
			f.Settle(tc.err)
			if _, err := os.Stat(path); os.IsNotExist(err) != tc.gone {
				t.Errorf("afterwards: %v", err)
			}
			write(t, path, "new")
			f.Settle(nil) // it was not read
			if _, err := os.Stat(path); err != nil {
				t.Errorf("what has come since: %v", err)
			}
		})
	}
}

func TestTheRemedyCanBeAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	f := credfile.New("token", path, slog.New(slog.DiscardHandler), credfile.Options{Remedy: "mount it there"})
	if _, err := f.Read(); err == nil || !strings.HasSuffix(err.Error(), "; mount it there") || !strings.Contains(err.Error(), path) {
		t.Errorf("Read = %v", err)
	}
}

func TestWhichFileIsRemoved(t *testing.T) {
	for name, tc := range map[string]struct {
		opts         credfile.Options
		link, target bool // still there
	}{
		"the link":         {credfile.Options{Remove: true}, false, true},
		"what it leads to": {credfile.Options{Remove: true, FollowSymlinks: true}, true, false},
		"neither":          {credfile.Options{FollowSymlinks: true}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target, path := filepath.Join(dir, "target"), filepath.Join(dir, "link")
			write(t, target, "s3cr3t")
			link(t, "target", path)
			f := credfile.New("secret ID", path, slog.New(slog.DiscardHandler), tc.opts)
			if got, err := f.Read(); err != nil || got != "s3cr3t" {
				t.Fatalf("Read = %q, %v", got, err)
			}
			f.Settle(nil)
			for file, want := range map[string]bool{target: tc.target, path: tc.link} {
				if _, err := os.Lstat(file); (err == nil) != want {
					t.Errorf("%s is there: %t, want %t", filepath.Base(file), err == nil, want)
				}
			}
		})
	}
}

func TestVerbatim(t *testing.T) {
	for content, want := range map[string]string{
		" s3 cr3t \n": " s3 cr3t ", "s3cr3t\r\n": "s3cr3t", "s3cr3t\n\n": "s3cr3t\n", "\ts": "\ts",
	} {
		path := filepath.Join(t.TempDir(), "password")
		write(t, path, content)
		got, err := credfile.New("password", path, slog.New(slog.DiscardHandler), credfile.Options{Verbatim: true}).Read()
		if err != nil || got != want {
			t.Errorf("Read of %q = %q, %v, want %q", content, got, err, want)
		}
	}
}
