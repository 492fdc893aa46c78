package router_test

import (
	"strings"
	"testing"

	"leasehold/internal/router"
)

// Where groups are not known, nothing is said that depends on them, and the rest is.
func TestAJudgeWithoutGroups(t *testing.T) {
	ofGroup := deny("kv/a")
	ofGroup.Callers.Groups = []uint32{9}
	ofUser := deny("kv/a")
	ofUser.Callers.Users = []uint32{7}
	const unknown = "groups are not known"
	for name, tc := range map[string]struct {
		rights router.Rights
		caller router.Caller
		why    string
	}{
		"the listener's groups":        {router.Rights{Callers: router.Callers{Groups: []uint32{9}}}, router.Caller{HasIDs: true, UID: 7, NoGroups: true}, unknown},
		"a rule's groups":              {open(ofGroup), router.Caller{HasIDs: true, UID: 7, NoGroups: true}, unknown},
		"users alone":                  {open(ofUser), router.Caller{HasIDs: true, UID: 7, NoGroups: true}, "rule 1 of this listener"},
		"nobody is limited":            {router.Rights{}, router.Caller{HasIDs: true, UID: 7, NoGroups: true}, "for everybody"},
		"in the group of a rule":       {open(ofGroup), router.Caller{HasIDs: true, UID: 7, Groups: []uint32{8, 9}}, "rule 1 of this listener"},
		"in no group of a rule":        {open(ofGroup), router.Caller{HasIDs: true, UID: 7, Groups: []uint32{8}}, "no rule denies"},
		"it is left open who may call": {open(ofGroup), router.Caller{}, "say who calls"},
	} {
		q := router.Question{Request: newRequest("GET", "/v1/kv/a", ""), Caller: tc.caller}
		view := router.NewJudge(newLooked(router.Options{}).parts, router.Options{Rights: tc.rights}).Judge(q)
		if !strings.Contains(view.Why, tc.why) || view.Allowed == (view.Status != 0) {
			t.Errorf("%s: %+v, want %q", name, view, tc.why)
		}
	}
}
