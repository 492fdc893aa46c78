package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// startPatience bounds the start of a process.
const startPatience = 20 * time.Second

// child is a server in a process of its own, which is killed when the context that it was started with ends.
type child struct {
	serving
	readyAfter time.Duration // of Leasehold, as the next one
	said       string        // its log until then
	cmd        *exec.Cmd
}

// kill ends the process and returns when it has ended.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait() // that it was killed is no news
}

// resident is the process's resident memory, in bytes.
func (c *child) resident() (int64, error) { return c.memoryOf("VmRSS") }

// memoryOf reads a line of the process's status, in bytes.
func (c *child) memoryOf(name string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	_, rest, _ := strings.Cut(string(status), "\n"+name+":")
	kib, _, _ := strings.Cut(rest, " kB")
	n, err := strconv.ParseInt(strings.TrimSpace(kib), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	return n << 10, nil
}

// startRole starts this program once more, in a role, and returns when it serves.
func startRole(ctx context.Context, role string, i instructions) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self, "-role="+role)}
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", role, err)
	}
	defer c.killAfter(startPatience).Stop()
	err = json.NewEncoder(in).Encode(i)
	if err == nil {
		err = json.NewDecoder(out).Decode(&c.serving)
	}
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("start the %s: %w", role, err)
	}
	return c, nil
}

// startLeasehold starts the binary and returns when it says that it is ready.
func startLeasehold(ctx context.Context, binary, config string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, binary, "-config="+config)}
	c.cmd.Env = []string{"VAULT_LOG_FORMAT=logfmt"} // no VAULT_* variable of the developer's
	log, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Leasehold: %w; make build makes it", err)
	}
	defer c.killAfter(startPatience).Stop()
	if c.said, err = c.awaitReady(log); err != nil {
		c.kill()
		return nil, fmt.Errorf("start Leasehold: %w; its log:\n%s", err, c.said)
	}
	c.readyAfter = time.Since(began)
	go func() { _, _ = io.Copy(io.Discard, log) }() // ends with the process
	return c, nil
}

func (c *child) killAfter(d time.Duration) *time.Timer {
	return time.AfterFunc(d, func() { _ = c.cmd.Process.Kill() })
}

var listening = regexp.MustCompile(`msg=listening .*\baddress=(127\.0\.0\.1:\d+)`)

// awaitReady reads the log until it says ready, and returns what it said until then.
func (c *child) awaitReady(log io.Reader) (said string, err error) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		said += lines.Text() + "\n"
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			c.Address = m[1]
		}
		if strings.Contains(lines.Text(), "msg=ready") && c.Address != "" {
			return said, nil
		}
	}
	return said, errors.Join(errors.New("it did not become ready"), lines.Err())
}
