package listener_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"leasehold/internal/listener"
)

// The kernel tells who connected, over unix sockets alone.
func TestPeerOf(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("this system does not tell who connects")
	}
	for name, s := range map[string]listener.Settings{
		"unix": {Unix: true, Address: filepath.Join(t.TempDir(), "l.sock")},
		"tcp":  {Address: "127.0.0.1:0"},
	} {
		t.Run(name, func(t *testing.T) {
			ln := open(t, s)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- listener.Serve(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					p, ok := listener.PeerOf(r.Context())
					_ = json.NewEncoder(w).Encode(map[string]any{"uid": p.UID, "groups": p.Groups, "ok": ok})
				}), s, time.Second, slog.New(slog.DiscardHandler))
			}()
			transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, ln.Addr().Network(), ln.Addr().String())
			}}
			resp, err := (&http.Client{Transport: transport}).Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var got struct {
				UID    uint32
				Groups []uint32
				OK     bool
			}
			body, _ := io.ReadAll(resp.Body)
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			switch {
			case got.OK != s.Unix:
				t.Errorf("known: %t, want %t", got.OK, s.Unix)
			case s.Unix && (got.UID != uint32(os.Geteuid()) || !slices.Contains(got.Groups, uint32(os.Getegid()))):
				t.Errorf("peer = %s, want user %d and group %d", body, os.Geteuid(), os.Getegid())
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
