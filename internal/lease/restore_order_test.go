package lease_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leasehold/internal/vault"
)

// Trees of any shape, with tokens set aside and gaps, in any order: what comes back is what hangs on what is there, and nothing outlives what it hangs on.
func TestRestoreInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const tokens = 8
		m := newMemory()
		x := journaled(m)
		parents := map[string]string{} // of tokens and leases
		for i := range tokens {
			name := fmt.Sprint("hvs.", i)
			parent := ""
			if i > 0 && rapid.IntRange(0, 3).Draw(t, "orphan") > 0 {
				parent = fmt.Sprint("hvs.", rapid.IntRange(0, i-1).Draw(t, "parent"))
			}
			parents[name] = parent
			o := offerOf(x, "auth/token/create/"+name, vault.NewToken(parent), tokenAnswer(name, "", parent == "", 3600), noon)
			if _, v := x.Keep(o); !v.Kept() {
				t.Fatal(v)
			}
			id := "aws/creds/" + name + "/1"
			parents[id] = name
			o = offerOf(x, "aws/creds/"+name, vault.NewToken(name), leaseAnswer(id, 3600), noon)
			if _, v := x.Keep(o); !v.Kept() {
				t.Fatal(v)
			}
		}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, tokens-1), 0, 3, rapid.ID).Draw(t, "set aside") {
			x.Hold("", vault.NewToken(fmt.Sprint("hvs.", i)), "", "", noon.Add(time.Duration(rapid.IntRange(1, 3600).Draw(t, "ends"))*time.Second))
		}
		before := x.Dump(noon)
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, tokens-1), 0, 2).Draw(t, "lost") {
			name := fmt.Sprint("hvs.", i)
			delete(m.records, vault.NewToken(name).ID())
			delete(parents, name)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 1))
		m.shuffle = r.Shuffle
		at := noon.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "after")) * time.Second)
		y := journaled(m.copied())
		out, err := y.Restore(at)
		if err != nil {
			t.Fatal(err)
		}
		if err := y.Check(); err != nil {
			t.Fatal(err)
		}
		back := y.Dump(at)
		for id := range before {
			want := true
			for up := id; up != ""; up = parents[up] {
				_, there := parents[up]
				d := before[up]
				ended := d.End <= at.UnixNano() || d.Ends != 0 && d.Ends <= at.UnixNano()
				want = want && there && !ended
			}
			if got, is := back[id]; is != want || is && got.End < before[id].End {
				t.Fatalf("%s is back: %t, want %t; it ends at %d, want %d", id, is, want, got.End, before[id].End)
			}
		}
		if sum := out.Entries + out.Expired + out.Orphaned; sum != len(m.records) {
			t.Fatalf("%+v of %d records", out, len(m.records))
		}
	})
}
