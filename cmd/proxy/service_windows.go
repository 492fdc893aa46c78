package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"

	"leasehold/internal/daemon"
)

// runAsService runs the daemon for the service manager, if that has started this process.
func runAsService() (code int, asService bool) {
	asService, err := svc.IsWindowsService()
	if err != nil || !asService {
		return 0, false
	}
	h := &serviceHandler{args: os.Args[1:]}
	if err := svc.Run("", h); err != nil { // the name does not matter for a process of one service
		return exitFailure, true
	}
	return h.code, true
}

type serviceHandler struct {
	args []string
	code int
}

// Execute is called by svc, in a goroutine of its own.
func (h *serviceHandler) Execute(args []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (ownCode bool, code uint32) {
	events := openEvents(args[0])
	defer events.close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	stops, reloads, ready, ended := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}), make(chan int, 1)
	var once sync.Once
	var told bytes.Buffer // read when the daemon has ended
	go func() {
		f, err := parseFlags(h.args, &told)
		if err == nil && len(f.config) == 0 {
			err = errors.New("the service has no -config; install it anew with: leasehold service install -config=FILE")
		}
		if err == nil {
			f.home, err = enterHome(f.config)
		}
		if err == nil {
			protectMemory(io.Discard)
			f.reload = reloads
			f.ready = func(s daemon.Started) {
				once.Do(func() { close(ready) })
				events.info(statusText(s))
			}
			err = serve(ctx, f, io.Discard, io.Discard, io.Discard)
		}
		ended <- exitCode(&told, err)
	}()
	go func() {
		for r := range requests {
			switch r.Cmd {
			case svc.Interrogate:
				changes <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				ask(stops)
			case svc.ParamChange: // as SIGHUP elsewhere
				ask(reloads)
			}
		}
	}()
	tick := time.NewTicker(servicePatience / 2)
	defer tick.Stop()
	h.code = supervise(supervision{
		report: func(s serviceStatus) { changes <- windowsStatus(s) },
		stop:   stop, stops: stops, ready: ready, ended: ended, tick: tick.C,
	})
	if h.code != exitOK {
		events.failure(strings.TrimSpace(told.String()))
	} else {
		events.info("stopped")
	}
	return true, uint32(h.code)
}

func windowsStatus(s serviceStatus) svc.Status {
	const accepts = svc.AcceptStop | svc.AcceptShutdown | svc.AcceptParamChange
	status := svc.Status{CheckPoint: s.checkpoint, WaitHint: uint32(s.waitHint.Milliseconds())}
	switch s.state {
	case serviceStarting:
		status.State, status.Accepts = svc.StartPending, accepts
	case serviceRunning:
		status.State, status.Accepts = svc.Running, accepts
	case serviceStopping:
		status.State = svc.StopPending
	}
	return status
}

func statusText(s daemon.Started) string {
	return "ready: " + strings.Join(s.Listeners, " ") + " in front of " + s.Vault
}

// events are the event log; without one, as when the source is not registered, they say nothing.
type events struct{ log *eventlog.Log }

func openEvents(source string) events {
	log, err := eventlog.Open(source)
	if err != nil {
		return events{}
	}
	return events{log}
}

func (e events) info(text string) {
	if e.log != nil {
		_ = e.log.Info(1, text) // there is nowhere else to say it
	}
}

func (e events) failure(text string) {
	if e.log != nil {
		_ = e.log.Error(1, text)
	}
}

func (e events) close() {
	if e.log != nil {
		_ = e.log.Close()
	}
}

// service runs `leasehold service`.
func service(args []string, stderr io.Writer) error {
	o, err := parseService(args, stderr)
	if err != nil {
		return err
	}
	m, err := mgr.Connect()
	if err != nil {
		return errors.Join(errors.New("the service manager cannot be asked; run this as an administrator"), err)
	}
	defer func() { _ = m.Disconnect() }()
	if o.action == "install" {
		_, _ = fmt.Fprint(stderr, o.doubts())
		return install(m, o, stderr)
	}
	s, err := m.OpenService(o.name)
	if err != nil {
		return errors.Join(errors.New("service "+o.name+": there is none that may be opened; see -name"), err)
	}
	defer func() { _ = s.Close() }()
	switch o.action {
	case "start":
		err = s.Start()
	case "stop":
		_, err = s.Control(svc.Stop)
	case "reload":
		_, err = s.Control(svc.ParamChange)
	default:
		err = errors.Join(s.Delete(), eventlog.Remove(o.name))
	}
	if err != nil {
		return fmt.Errorf("service %s: %s: %w; see the event log, and log_file", o.name, o.action, err)
	}
	return nil
}

// install registers the service. CreateService quotes the path and each argument. What a service can do without is a warning when it fails.
func install(m *mgr.Mgr, o serviceOrder, stderr io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	s, err := m.CreateService(o.name, program, mgr.Config{
		StartType: mgr.StartAutomatic, DisplayName: o.displayName, ServiceStartName: o.account,
		Description: "Caching proxy for Vault",
	}, o.arguments()...)
	if err != nil {
		return errors.Join(errors.New("service "+o.name+" was not made"), err)
	}
	defer func() { _ = s.Close() }()
	again := mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: 5 * time.Second}
	if err := errors.Join(
		s.SetRecoveryActions([]mgr.RecoveryAction{again, again, again}, 24*60*60),
		s.SetRecoveryActionsOnNonCrashFailures(true), // an exit code is no crash
	); err != nil {
		_, _ = fmt.Fprintf(stderr, "warning: service %s is installed, but will not be started again after a failure: %v\n", o.name, err)
	}
	if err := eventlog.InstallAsEventCreate(o.name, eventlog.Info|eventlog.Warning|eventlog.Error); err != nil {
		_, _ = fmt.Fprintf(stderr, "warning: service %s is installed, but the event log does not know it: %v\n", o.name, err)
	}
	return nil
}
