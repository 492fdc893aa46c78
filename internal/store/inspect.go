package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.etcd.io/bbolt"

	"leasehold/internal/seal"
)

// Report is what Inspect found. It holds no secret.
type Report struct {
	Path       string `json:"path"`
	Format     string `json:"format"`
	Protection string `json:"protection"` // the type of persist that the file was begun with
	Generation uint32 `json:"generation"` // the newest data key
	Closed     bool   `json:"closed"`     // in order: nothing is only written ahead

	Size             int64 `json:"size_bytes"`
	Free             int64 `json:"free_bytes"`        // of pages that are not in use
	AheadSize        int64 `json:"write_ahead_bytes"` // of the write-ahead file
	Records          int   `json:"records"`           // with what is written ahead, if the key is at hand
	RecordBytes      int64 `json:"record_bytes"`      // sealed
	LargestRecord    int   `json:"largest_record_bytes"`
	OlderGenerations int   `json:"records_of_older_generations"`

	Opened     bool `json:"opened"`              // the key was at hand, so the following is known
	Ahead      int  `json:"write_ahead_commits"` // that are in the write-ahead file only
	Unreadable int  `json:"unreadable"`          // records that do not open
}

// Inspect reads the state file at path without changing it, and returns an error when it is not whole. With w it also opens every record and gives it to
// visit, which may be nil. The file is locked against writers meanwhile; one that is in use is refused.
func Inspect(ctx context.Context, path string, w wrapper, visit func(plain []byte)) (Report, error) {
	r := Report{Path: path}
	info, err := os.Stat(path)
	if err != nil {
		return r, fmt.Errorf("state file: %w", err)
	}
	r.Size = info.Size()
	if info.Size() == 0 {
		return r, fmt.Errorf("state file %s: it is empty: its beginning was interrupted", path)
	}
	db, err := openLocked(path, true)
	if err != nil {
		return r, fmt.Errorf("state file %s: %w", path, err)
	}
	defer func() { _ = db.Close() }() // only read
	i := inspection{Report: &r, visit: visit, newer: changes{}}
	if err := i.run(ctx, db, w); err != nil {
		return r, fmt.Errorf("state file %s: %w", path, err)
	}
	return r, nil
}

type inspection struct {
	*Report
	visit func(plain []byte)
	keys  *keys
	newer changes
}

func (i *inspection) run(ctx context.Context, db *bbolt.DB, w wrapper) error {
	if _, err := checkFile(i.Path, nil); err != nil {
		return fmt.Errorf("damaged: %w", err)
	}
	st, err := i.meta(ctx, db, w)
	if err != nil {
		return err
	}
	if err := i.ahead(st); err != nil {
		return err
	}
	used, err := checkFile(i.Path, func(bucket, key, value []byte) error {
		if _, changed := i.newer[string(key)]; !changed && string(bucket) == string(recordsBucket) {
			i.record(string(key), value)
		}
		return nil
	})
	for key, sealed := range i.newer {
		if sealed != nil {
			i.record(key, sealed)
		}
	}
	i.Free = used.free * used.size
	return err
}

func (i *inspection) meta(ctx context.Context, db *bbolt.DB, w wrapper) (st state, err error) {
	err = guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			meta := tx.Bucket(metaBucket)
			if meta == nil || meta.Get(formatKey) == nil {
				return errors.New("not a state file of Leasehold")
			}
			if i.Format = string(meta.Get(formatKey)); i.Format != format {
				return errors.New(otherFormat(i.Format))
			}
			i.Protection = string(meta.Get(protectionKey))
			if w != nil {
				i.keys, err = openKeys(ctx, w, append([]byte(nil), meta.Get(wrappedKey)...), 0)
			}
			if errors.Is(err, seal.ErrSealed) {
				return errors.New("sealed with another key")
			}
			var ok bool
			if st, ok = readState(meta.Get(stateKey), i.keys); err == nil && !ok {
				return errors.New("damaged: its state cannot be read")
			}
			return err
		})
	})
	i.Generation, i.Closed, i.Opened = st.generation, !st.ahead, i.keys != nil
	return st, err
}

// ahead reads the write-ahead file.
func (i *inspection) ahead(st state) error {
	f, err := os.Open(i.Path + walSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		if st.ahead {
			return errors.New("damaged: its write-ahead file is missing")
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	i.AheadSize = info.Size()
	if err := (&wal{file: f}).reaches(st); err != nil {
		return fmt.Errorf("damaged: its write-ahead file: %w", err)
	}
	if i.keys == nil || !st.ahead {
		return nil
	}
	var newest uint32
	i.Ahead, newest, err = (&wal{file: f, size: ringSize}).replay(i.keys, st.next, func(key string, sealed []byte) { i.newer[key] = sealed })
	if err != nil {
		return fmt.Errorf("damaged: its write-ahead file: %w", err)
	}
	i.Generation = max(i.Generation, newest)
	return nil
}

func (i *inspection) record(key string, sealed []byte) {
	i.Records++
	i.RecordBytes += int64(len(sealed))
	i.LargestRecord = max(i.LargestRecord, len(sealed))
	if n, _ := generationOf(sealed); n != i.Generation {
		i.OlderGenerations++
	}
	if i.keys == nil {
		return
	}
	plain, err := i.keys.open(key, sealed)
	switch {
	case err != nil:
		i.Unreadable++
	case i.visit != nil:
		i.visit(plain)
	}
}
