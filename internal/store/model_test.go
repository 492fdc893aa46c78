package store_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leasehold/internal/store"
)

// Whatever is done to a store, in whatever order, with crashes and restarts between: it holds what a plain map holds.
func TestTheFilesAgreeWithAModel(t *testing.T) {
	b := quickBench(t)
	rapid.Check(t, func(rt *rapid.T) {
		for _, suffix := range []string{"", ".wal", ".compact"} {
			if err := os.Remove(b.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				rt.Fatal(err)
			}
		}
		here := *b // moves with each crash
		model := map[string]string{}
		var s *store.Store
		open := func() {
			var err error
			if s, err = here.try(store.Options{ExitOnErr: true, RotateAt: 40}); err != nil {
				rt.Fatal(err)
			}
			s.ShrinkRing(rapid.SampledFrom([]int64{1500, 4000, 1 << 20}).Draw(rt, "ring"))
		}
		check := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		open()
		defer func() { closeStore(t, s) }()
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				var list []store.Change
				for range rapid.IntRange(1, 5).Draw(rt, "changes") {
					name := fmt.Sprint("record ", rapid.IntRange(0, 20).Draw(rt, "record"))
					if rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
						delete(model, name)
						list = append(list, store.Change{ID: id(name)})
						continue
					}
					model[name] = strings.Repeat("x", rapid.IntRange(0, 900).Draw(rt, "size"))
					list = append(list, put(name, model[name]))
				}
				check(s.Write(t.Context(), list...))
			},
			"drop": func(rt *rapid.T) { // as a restore does with what it does not need
				gone := fmt.Sprint("record ", rapid.IntRange(0, 20).Draw(rt, "record"))
				delete(model, gone)
				_, err := s.Each(func(plain []byte) (bool, error) { return !strings.HasPrefix(string(plain), gone+"="), nil })
				check(err)
			},
			"crash": func(*rapid.T) {
				after := here.crash(t)
				check(s.Close())
				here = *after
				open()
			},
			"restart": func(*rapid.T) {
				check(s.Close())
				open()
			},
			"tidy":    func(*rapid.T) { check(s.Tidy(t.Context())) },
			"compact": func(*rapid.T) { check(s.Compact(t.Context())) },
			"discard": func(rt *rapid.T) {
				check(s.Discard())
				clear(model)
				check(s.Write(t.Context(), put("record 0", "anew")))
				model["record 0"] = "anew"
			},
			"": func(rt *rapid.T) {
				got, skipped, err := read(s)
				if err != nil || skipped > 0 || !maps.Equal(got, model) {
					rt.Fatalf("it holds %v, %d skipped, %v; want %v", maps.Collect(maps.All(got)), skipped, err, model)
				}
			},
		})
	})
}
