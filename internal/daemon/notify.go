package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"leasehold/internal/listener"
)

// notifyPatience bounds one message to systemd, which takes it at once unless it is stuck itself.
const notifyPatience = time.Second

// notifier tells systemd how the process is, in the protocol of sd_notify(3). Without NOTIFY_SOCKET every method does nothing. Safe for concurrent use.
type notifier struct {
	socket   string        // a path, or a name that begins with @; "" without systemd
	watchdog time.Duration // within which systemd wants to hear that the process works; 0 means it does not
	log      *slog.Logger

	mu     sync.Mutex // guards what follows, and keeps messages in order
	ready  bool       // READY was said once: before, a reload must not say it
	ending bool       // STOPPING was said: nothing else is after it
}

// newNotifier takes what systemd says out of the environment, where it would be inherited by children that systemd knows nothing of.
func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{socket: takeEnv("NOTIFY_SOCKET"), log: log}
	usec, pid := takeEnv("WATCHDOG_USEC"), takeEnv("WATCHDOG_PID")
	if pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if us, err := strconv.ParseInt(usec, 10, 64); err == nil && us > 0 && us <= int64(time.Hour/time.Microsecond) {
			n.watchdog = time.Duration(us) * time.Microsecond
		}
	}
	return n
}

func takeEnv(name string) string {
	v := os.Getenv(name)
	_ = os.Unsetenv(name) // fails for names alone that no variable can have
	return v
}

// Status is the line that systemctl status shows.
func (n *notifier) Status(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.send("STATUS=" + text)
}

// Started says that the start is over, and what systemctl status shows from then on.
func (n *notifier) Started(status string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ready = true
	n.send("READY=1", "MAINPID="+strconv.Itoa(os.Getpid()), "STATUS="+status)
}

// Reloading says that a reload has begun. Ready must follow, however it ends.
func (n *notifier) Reloading() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ready {
		n.send(append([]string{"RELOADING=1"}, monotonic()...)...)
	}
}

// Ready says that a reload is over.
func (n *notifier) Ready() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ready {
		n.send("READY=1")
	}
}

// Stopping says that the process is about to end.
func (n *notifier) Stopping() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.send("STOPPING=1", "STATUS=stopping: requests under way are finished")
	n.ending = true
}

// send needs the lock. A message that systemd does not take is not worth more than a line: what it leads to, systemd tells.
func (n *notifier) send(lines ...string) {
	if n.socket == "" || n.ending {
		return
	}
	if err := sendTo(n.socket, strings.Join(lines, "\n")); err != nil {
		n.log.Warn("systemd could not be told", slog.String("message", lines[0]), slog.Any("error", err))
	}
}

func sendTo(socket, message string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"}) // a leading @ makes it abstract
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // a datagram is gone once it is written
	if err := conn.SetWriteDeadline(time.Now().Add(notifyPatience)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}

// feed tells the watchdog, twice within its time, that works returned nil, until ctx ends. When it does not return, nothing is told and systemd ends
// the process: a check that hangs is just what it is for.
func (n *notifier) feed(ctx context.Context, works func() error) {
	if n.watchdog == 0 || n.socket == "" {
		return
	}
	every := time.NewTicker(n.watchdog / 2)
	defer every.Stop()
	answered := make(chan error, 1)
	asked := false
	for {
		if !asked {
			asked = true
			go func() { answered <- works() }()
		}
		select {
		case <-ctx.Done():
			return
		case err := <-answered:
			asked = false
			n.pet(err)
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
		case <-every.C:
			n.log.Error("the process does not answer itself; systemd's watchdog will end it if that lasts", slog.Duration("watchdog", n.watchdog))
		}
	}
}

// pet tells the watchdog that the process works, unless there is an error.
func (n *notifier) pet(err error) {
	if err != nil {
		n.log.Error("the process does not work; systemd's watchdog will end it if that lasts", slog.Duration("watchdog", n.watchdog), slog.Any("error", err))
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.send("WATCHDOG=1")
}

// watched is what the watchdog asks: that the parts work, and that every listener accepts. It does not return while one does not.
func (p *parts) watched(ctx context.Context, sockets []*listener.Socket) error {
	if err := p.works(); err != nil {
		return err
	}
	for _, s := range sockets {
		awaitAccepting(ctx, s, p.log)
	}
	return nil
}

// accepter is a listener that is looked at.
type accepter interface {
	Accepts(ctx context.Context) bool
	Addr() net.Addr
}

// awaitAccepting returns when connections are accepted, or ctx ends.
func awaitAccepting(ctx context.Context, a accepter, log *slog.Logger) {
	for told := false; !a.Accepts(ctx) && ctx.Err() == nil; told = true {
		if !told {
			log.Error("a listener does not accept connections", slog.String("address", a.Addr().String()))
		}
		select {
		case <-ctx.Done():
		case <-time.After(acceptAgain):
		}
	}
}

// acceptAgain is between two looks at a listener that does not accept.
const acceptAgain = time.Second

// statusLine is what systemctl status shows of a daemon that has started.
func statusLine(s Started) string {
	return fmt.Sprintf("ready: %s in front of %s", strings.Join(s.Listeners, " "), s.Vault)
}
