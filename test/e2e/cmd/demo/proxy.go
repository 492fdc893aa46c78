package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// patience bounds each wait.
const patience = 20 * time.Second

// proxy is the running binary.
type proxy struct {
	url    string
	log    *log
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
}

var listening = regexp.MustCompile(`msg=listening .*\baddress=(127\.0\.0\.1:\d+)`)

// startProxy starts the binary and returns when it is ready.
func startProxy(ctx context.Context, binary, config string) (*proxy, error) {
	p := &proxy{log: &log{}, cmd: exec.Command(binary, "-config="+config), exited: make(chan struct{})}
	p.cmd.Stderr, p.cmd.Env = p.log, []string{"VAULT_LOG_FORMAT=logfmt"} // no VAULT_* variable of the visitor's
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Leasehold: %w; make build makes it", err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // its outcome is in ProcessState
	}()
	err := wait(ctx, "Leasehold to be ready", func() (bool, error) {
		select {
		case <-p.exited:
			return false, errors.New("the process ended instead of becoming ready")
		default:
			return strings.Contains(p.log.String(), "msg=ready"), nil
		}
	})
	if m := listening.FindStringSubmatch(p.log.String()); err == nil && m != nil {
		p.url = "http://" + m[1]
		return p, nil
	}
	p.kill()
	return nil, errors.Join(err, fmt.Errorf("the log of Leasehold:\n%s", p.log.String()))
}

// kill ends the process, if it still runs, and returns when it has ended.
func (p *proxy) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// wait asks again and again until done, and gives up after patience or when ctx ends.
func wait(ctx context.Context, what string, done func() (bool, error)) error {
	deadline := time.After(patience)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("waited %v in vain for %s", patience, what)
		case <-again.C:
		}
	}
}

// log keeps what the process writes.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
