package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browsing bounds what a page may take to come up: a browser on a busy machine is slow, and the plots have a line after two samples, ten seconds apart.
const browsing = 2 * time.Minute

// chromium is the browser that the environment says is there, or else one that is found.
func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("LEASEHOLD_E2E_CHROMIUM"); path != "" {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("LEASEHOLD_E2E_CHROMIUM: %v", err)
		}
		return path
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium here; install Debian's package of that name to run this test")
	}
	return path
}

// tab is a page in a browser of its own, with all that it complains about and asks for.
type tab struct {
	ctx context.Context

	mu       sync.Mutex
	problems []string
	requests []string
}

func newTab(t *testing.T) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(browsing))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which Chromium cannot make as root
	}
	ctx, cancel := context.WithTimeout(t.Context(), browsing)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	b := &tab{}
	b.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.note))
	t.Cleanup(cancel)
	b.do(t, chromedp.EmulateViewport(1280, 900))
	if _, err := chromedp.Call(b.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, runtime.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// note takes what the browser says of the page: errors of the console, violations of the policy, exceptions, and requests.
func (b *tab) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		b.problems = append(b.problems, string(e.Entry.Level)+": "+e.Entry.Text+" "+e.Entry.URL)
	case *runtime.EventConsoleAPICalled:
		b.problems = append(b.problems, "console."+string(e.Type))
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, "exception: "+e.ExceptionDetails.Text)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

func (b *tab) noted() (problems, requests []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.problems...), append([]string(nil), b.requests...)
}

func (b *tab) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// wait evaluates an expression until it is true. chromedp's own Poll makes functions of text, which the policy forbids.
func (b *tab) wait(t *testing.T, what, expression string) {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		yes, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err != nil {
			problems, _ := b.noted()
			t.Fatalf("still not: %s: %v; the browser said %q", what, err, problems)
		}
		if yes {
			return
		}
		<-again.C
	}
}

// text is what an element shows.
func (b *tab) text(t *testing.T, selector string) string {
	t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("`+selector+`").innerText`))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// shot saves what the whole page looks like, for people, if they say where.
func (b *tab) shot(t *testing.T, name, scheme string, width, height int64) {
	t.Helper()
	dir := os.Getenv("LEASEHOLD_E2E_SHOTS")
	if dir == "" {
		return
	}
	b.do(t, chromedp.EmulateViewport(width, height))
	dressed := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, dressed); err != nil {
		t.Fatal(err)
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".png"), picture, 0o600); err != nil {
		t.Fatal(err)
	}
}
