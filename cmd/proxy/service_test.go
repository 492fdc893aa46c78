package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What the service manager is told, for each thing that happens: r ready, s stop is asked for, t time passes, and the exit code.
func TestAServiceRunsWhenItIsReady(t *testing.T) {
	for name, tc := range map[string]struct{ happens, want string }{
		"ready":                     {"r0", "0.1 1.0 =0"},
		"a slow login":              {"ttr0", "0.1 0.2 0.3 1.0 =0"},
		"a start that fails":        {"1", "0.1 =1"},
		"stop":                      {"rs0", "0.1 1.0 2.1 stop =0"},
		"a slow end":                {"rstt0", "0.1 1.0 2.1 stop 2.2 2.3 =0"},
		"stop before ready":         {"s0", "0.1 2.1 stop =0"},
		"ready while stopping":      {"srt0", "0.1 2.1 stop 2.2 =0"},
		"stop twice":                {"rss0", "0.1 1.0 2.1 stop stop =0"},
		"time passes while running": {"rtt3", "0.1 1.0 =3"},
	} {
		t.Run(name, func(t *testing.T) {
			// Unbuffered: each thing is taken when the one before has been dealt with.
			stops, ready, ended, tick := make(chan struct{}), make(chan struct{}), make(chan int), make(chan time.Time)
			var got []string
			go func() {
				for _, what := range tc.happens {
					switch what {
					case 'r':
						ready <- struct{}{}
					case 's':
						stops <- struct{}{}
					case 't':
						tick <- time.Time{}
					default:
						ended <- int(what - '0')
					}
				}
			}()
			code := supervise(supervision{
				report: func(s serviceStatus) {
					got = append(got, fmt.Sprintf("%d.%d", s.state, s.checkpoint))
					if pending := s.state != serviceRunning; pending != (s.waitHint > 0) {
						t.Errorf("state %d with the hint %v", s.state, s.waitHint)
					}
				},
				stop:  func() { got = append(got, "stop") },
				stops: stops, ready: ready, ended: ended, tick: tick,
			})
			got = append(got, fmt.Sprintf("=%d", code))
			if all := strings.Join(got, " "); all != tc.want {
				t.Errorf("%s, want %s", all, tc.want)
			}
		})
	}
}

func TestServiceArguments(t *testing.T) {
	t.Chdir(t.TempDir())
	abs, err := filepath.Abs("my file.hcl")
	if err != nil {
		t.Fatal(err)
	}
	o, err := parseService([]string{"install", "-name=Vault Proxy", "-config=my file.hcl"}, io.Discard)
	if err != nil || o.name != "Vault Proxy" || o.displayName != "Vault Proxy" || strings.Join(o.arguments(), "|") != "-config="+abs {
		t.Errorf("%+v, %v", o, err)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"nothing":              {nil, "usage"},
		"another action":       {[]string{"restart"}, "usage"},
		"no configuration":     {[]string{"install"}, "service install: there is no configuration; give -config=FILE"},
		"a path in pieces":     {[]string{"install", "-config=my", "file.hcl"}, `service install: "file.hcl" is no flag; write -config=FILE, with quotes around it when the path has blanks`},
		"no name":              {[]string{"start", "-name="}, "service: -name is empty; leave it out for Leasehold"},
		"reload with a config": {[]string{"reload", "-config=x"}, "service reload: -config is for install alone; leave it out"},
		"stop with a config":   {[]string{"stop", "-config=x"}, "service stop: -config is for install alone; leave it out"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseService(tc.args, io.Discard); err == nil || err.Error() != tc.want {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
}
