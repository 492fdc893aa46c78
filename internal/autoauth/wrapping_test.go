package autoauth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth"
)

// unwrapping asks for something else before it logs in, as AppRole with a wrapped secret id does.
type unwrapping struct{ method }

func (u unwrapping) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	if _, err := c.Logical().WriteWithContext(ctx, "sys/wrapping/unwrap", nil); err != nil {
		return nil, err
	}
	return u.method.Login(ctx, c)
}

func wrapped(n int, path string) *reply {
	return &reply{status: 200, body: fmt.Sprintf(`{"auth":null,"wrap_info":{"token":"hvs.wrapping.%d","accessor":"acc.w","ttl":300,`+
		`"creation_time":"2026-01-02T03:04:05.6789Z","creation_path":%q,"wrapped_accessor":"acc.%d"}}`, n, path, n)}
}

func TestAWrappedLoginIsHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{onLogin: func(n int) *reply { return wrapped(n, loginPath) }}
		sink, j, w := &fakeSink{}, &journal{}, newWatched()
		m := struct {
			unwrapping
			autoauth.Watcher
		}{unwrapping{}, w}
		r := run(t, v, m, autoauth.Options{
			WrapTTL: 5 * time.Minute, MountPath: "auth/test", ReauthOnNewCredentials: true,
			Sinks: []autoauth.Sink{sink}, Observers: []autoauth.Observer{j}, Meter: j,
		})
		time.Sleep(1000 * time.Hour)
		select {
		case <-r.Ready():
		default:
			t.Error("it is not ready")
		}
		if got := v.requests(loginPath); len(got) != 1 || got[0].header.Get("X-Vault-Wrap-TTL") != "5m0s" {
			t.Errorf("%d logins, the first with %v", len(got), got[0].header)
		}
		if got := v.requests("sys/wrapping/unwrap"); len(got) != 1 || got[0].header.Get("X-Vault-Wrap-TTL") != "" {
			t.Error("the unwrapping was to be wrapped")
		}
		want := `{"token":"hvs.wrapping.1","accessor":"acc.w","ttl":300,"creation_time":"2026-01-02T03:04:05.6789Z","creation_path":"auth/test/login","wrapped_accessor":"acc.1"}` + "\n"
		if got := sink.written(); len(got) != 1 || got[0] != want {
			t.Errorf("the sink got %q, want %q", got, want)
		}
		var any map[string]any
		if err := json.Unmarshal([]byte(want), &any); err != nil || len(any) != 6 {
			t.Fatal(err)
		}
		r.wantToken(t, "") // nobody here has it
		s := r.Status()
		if s.State != autoauth.Holding || !s.Wrapped || s.Next != "" || len(j.soFar().held) > 0 || j.soFar().wrapped != 1 || j.soFar().success != 1 {
			t.Errorf("%+v, %d tokens told of", s, len(j.held))
		}
		w.changes <- struct{}{}
		synctest.Wait()
		if got := sink.written(); len(got) != 2 || !strings.Contains(got[1], "hvs.wrapping.2") {
			t.Errorf("after new credentials the sink got %q", got)
		}
		if log := r.log.String(); strings.Contains(log, "hvs.") || !strings.Contains(log, "accessor=acc.1") {
			t.Errorf("log:\n%s", log)
		}
		r.stop()
		synctest.Wait()
	})
}

// New credentials that are no good: what was handed out before is as good as ever.
func TestAHandedOutTokenOutlivesBadCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &fakeVault{onLogin: func(n int) *reply {
			if n > 1 {
				return &reply{status: 503, body: `{"errors":["Vault is sealed"]}`, delay: 10 * time.Second}
			}
			return wrapped(n, loginPath)
		}}
		w := newWatched()
		r := run(t, v, w, autoauth.Options{
			WrapTTL: 5 * time.Minute, MountPath: "auth/test", ReauthOnNewCredentials: true, MaxAttempts: 2, TotalTimeout: time.Minute, Sinks: []autoauth.Sink{&fakeSink{}},
		})
		time.Sleep(time.Minute)
		w.changes <- struct{}{}
		for range 1000 {
			time.Sleep(time.Second)
			if s := r.Status(); s.State != autoauth.Holding && s.State != autoauth.Replacing {
				t.Fatalf("%+v", s)
			}
		}
		select {
		case err := <-r.done:
			t.Errorf("Run = %v", err)
		default:
		}
		r.stop()
		time.Sleep(time.Minute) // for what is under way
	})
}

// What comes from elsewhere may have been read on the way, and wrapped again.
func TestAWrappedLoginIsOneOfTheMount(t *testing.T) {
	for name, tc := range map[string]struct {
		answer *reply
		want   string // "" for a login that is good
	}{
		"wrapped by somebody": {wrapped(1, "sys/wrapping/wrap"), "SECURITY"},
		"of another mount":    {wrapped(1, "auth/test2/login"), "SECURITY"},
		"of something else":   {wrapped(1, "auth/test/loginx"), "SECURITY"},
		"no path":             {wrapped(1, ""), "SECURITY"},
		"not wrapped":         {granted("hvs.1", time.Hour, true), "did not wrap"},
		"with a user's name":  {wrapped(1, "auth/test/login/bob"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, sink := &fakeVault{onLogin: func(int) *reply { return tc.answer }}, &fakeSink{}
				r := run(t, v, method{}, autoauth.Options{
					WrapTTL: time.Minute, MountPath: "auth/test", ExitOnErr: true, Sinks: []autoauth.Sink{sink},
				})
				if tc.want == "" {
					if !r.AwaitStored(t.Context()) {
						t.Error("nothing was handed out")
					}
					r.stop()
				}
				err := <-r.done
				if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("Run = %v, want ...%s...", err, tc.want)
				}
				if tc.want != "" && len(sink.written()) > 0 || strings.Contains(fmt.Sprint(err), "hvs.") {
					t.Errorf("handed out %q, and said %v", sink.written(), err)
				}
			})
		})
	}
}
