// Command archive packs files into a .tar.gz or .zip whose bytes depend on their contents, names and the given time alone.
//
//	archive -out=FILE.tar.gz -root=NAME -time=UNIXSECONDS FILE|DIRECTORY|FILE=NAME ...
package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	out := flag.String("out", "", "the archive, .tar.gz or .zip")
	root := flag.String("root", "", "the directory in it that holds everything")
	seconds := flag.Int64("time", 0, "the time of all files, in Unix seconds")
	flag.Parse()
	if err := pack(*out, *root, time.Unix(*seconds, 0).UTC(), flag.Args()); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

// entry is a file of the archive.
type entry struct {
	source, name string
	mode         fs.FileMode // 0755 for what may be run, else 0644: umasks differ
}

func pack(out, root string, at time.Time, args []string) (err error) {
	entries, err := collect(root, args)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Clean(out))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if strings.HasSuffix(out, ".zip") {
		return writeZip(f, entries, at)
	}
	return writeTar(f, entries, at)
}

// collect lists the files of args, sorted by their names in the archive. A program is what is called leasehold: Windows knows no mode.
func collect(root string, args []string) (all []entry, err error) {
	for _, arg := range args {
		source, name, renamed := strings.Cut(arg, "=")
		if !renamed {
			name = filepath.ToSlash(source)
		}
		err := filepath.WalkDir(source, func(at string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			below, err := filepath.Rel(source, at)
			if err != nil {
				return err
			}
			e := entry{source: at, name: path.Join(root, name, filepath.ToSlash(below)), mode: 0o644}
			if base := path.Base(e.name); base == "leasehold" || base == "leasehold.exe" {
				e.mode = 0o755
			}
			all = append(all, e)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

func writeTar(to io.Writer, entries []entry, at time.Time) error {
	zipped := gzip.NewWriter(to) // without a name or a time in its header
	w := tar.NewWriter(zipped)
	for _, e := range entries {
		content, err := os.ReadFile(e.source)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: e.name, Mode: int64(e.mode), Size: int64(len(content)), ModTime: at, Format: tar.FormatUSTAR, Uname: "root", Gname: "root"}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), zipped.Close())
}

func writeZip(to io.Writer, entries []entry, at time.Time) error {
	w := zip.NewWriter(to)
	for _, e := range entries {
		content, err := os.ReadFile(e.source)
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at}
		h.SetMode(e.mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := f.Write(content); err != nil {
			return err
		}
	}
	return w.Close()
}
