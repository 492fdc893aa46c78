package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of the input. Real files have a few KiB, and real directories a few files.
const (
	maxFile  = 1 << 20 // bytes of one file
	maxTotal = 8 << 20 // bytes of all
	maxFiles = 1000
)

// source is one file and its text.
type source struct {
	name string
	text []byte
}

// readAll reads everything that -config names, and goes on when something cannot be read, so that all problems come at once.
func readAll(paths []string) (all []source, problems []Problem) {
	total := 0
	for _, path := range paths {
		path = strings.TrimSpace(path)
		if path == "" {
			continue
		}
		names, err := expand(path)
		if err != nil {
			problems = append(problems, Problem{Pos: Pos{File: path}, Text: err.Error(), Remedy: "give -config a file or a directory that this user may read"})
			continue
		}
		for _, name := range names {
			text, err := readFile(name)
			total += len(text)
			switch {
			case err != nil:
				problems = append(problems, Problem{Pos: Pos{File: name}, Text: err.Error(), Remedy: "give -config a file or a directory that this user may read"})
			case len(text) > maxFile:
				problems = append(problems, tooLarge(name))
			case total > maxTotal || len(all) == maxFiles:
				problems = append(problems, Problem{
					Pos: Pos{File: name}, Text: fmt.Sprintf("there are more than %d files, or more than %d bytes in them", maxFiles, maxTotal),
					Remedy: "are these configuration files?",
				})
				return all, problems
			default:
				all = append(all, source{name, text})
			}
		}
	}
	return all, problems
}

func tooLarge(name string) Problem {
	return Problem{Pos: Pos{File: name}, Text: fmt.Sprintf("the file is larger than %d bytes", maxFile), Remedy: "is it a configuration file?"}
}

// expand returns the files of a path: itself, or what a directory holds, in the order of the names. Vault takes them as the file
// system gives them (CFG-5), which differs from machine to machine.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return nil, reason(err)
	}
	var names []string
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		if !wanted(e.Name()) {
			continue
		}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue
		}
		names = append(names, name)
	}
	return names, nil
}

// wanted reports whether a file of a directory is read: the leavings of editors are not.
func wanted(name string) bool {
	if strings.HasSuffix(name, "~") || strings.HasPrefix(name, ".#") || strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") {
		return false
	}
	return strings.HasSuffix(name, ".hcl") || strings.HasSuffix(name, ".json")
}

// readFile reads at most one byte more than is accepted. Only regular files: opening a pipe would wait for its other end.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("this is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return src, reason(err)
}

// reason drops the operation and the path, which the problem names already.
func reason(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}
