package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

const serviceUsage = `usage: leasehold service install [-name=NAME] [-display-name=TEXT] [-user=ACCOUNT] -config=FILE
       leasehold service uninstall|start|stop|reload [-name=NAME]

For Windows, as an administrator. The service runs as ACCOUNT, one that needs no password: NT AUTHORITY\LocalService unless given.
`

// serviceOrder is what `leasehold service` was asked for.
type serviceOrder struct {
	action                     string // install, uninstall, start, stop or reload
	name, displayName, account string
	config                     []string // absolute
}

// parseService reads the arguments behind `leasehold service`.
func parseService(args []string, stderr io.Writer) (o serviceOrder, err error) {
	set := flag.NewFlagSet("leasehold service", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() { _, _ = fmt.Fprint(stderr, serviceUsage) }
	var files texts
	set.StringVar(&o.name, "name", "Leasehold", "")
	set.StringVar(&o.displayName, "display-name", "", "")
	set.StringVar(&o.account, "user", `NT AUTHORITY\LocalService`, "")
	set.Var(&files, "config", "")
	if len(args) == 0 {
		set.Usage()
		return o, errUsage
	}
	o.action = args[0]
	switch o.action {
	case "install", "uninstall", "start", "stop", "reload":
	default:
		set.Usage()
		return o, errUsage
	}
	if err := set.Parse(args[1:]); err != nil {
		return o, errors.Join(errUsage, err)
	}
	if o.displayName == "" {
		o.displayName = o.name
	}
	switch {
	case set.NArg() > 0:
		return o, fmt.Errorf("service %s: %q is no flag; write -config=FILE, with quotes around it when the path has blanks", o.action, set.Arg(0))
	case o.name == "":
		return o, errors.New("service: -name is empty; leave it out for Leasehold")
	case o.action == "install" && len(files) == 0:
		return o, errors.New("service install: there is no configuration; give -config=FILE")
	case o.action != "install" && len(files) > 0:
		return o, fmt.Errorf("service %s: -config is for install alone; leave it out", o.action)
	}
	for _, file := range files {
		abs, err := filepath.Abs(file) // a service begins in System32
		if err != nil {
			return o, err
		}
		o.config = append(o.config, abs)
	}
	return o, nil
}

// arguments are those that the service is started with. Quoting is left to who makes the command line of them.
func (o serviceOrder) arguments() (args []string) {
	for _, file := range o.config {
		args = append(args, "-config="+file)
	}
	return args
}

// serviceState is what the service manager is told.
type serviceState int

const (
	serviceStarting serviceState = iota
	serviceRunning
	serviceStopping
)

// serviceStatus is one report to the service manager. A pending state goes on as long as checkpoint grows within waitHint.
type serviceStatus struct {
	state      serviceState
	checkpoint uint32
	waitHint   time.Duration
}

// servicePatience is until the service manager hears of a pending state again at the latest.
const servicePatience = 10 * time.Second

// supervision is what a service's life is made of.
type supervision struct {
	report func(serviceStatus)
	stop   func()           // begins the orderly end; may be called again
	stops  <-chan struct{}  // the service manager asks for the end; at any time, also before ready
	ready  <-chan struct{}  // closed when listeners are bound and the first login is done
	ended  <-chan int       // the exit code, once
	tick   <-chan time.Time // more often than servicePatience
}

// supervise tells the service manager how the daemon is until it has ended, and returns its exit code. It is RUNNING when it is ready and not
// before, so that what depends on it starts when there is a token.
func supervise(s supervision) int {
	now := serviceStatus{state: serviceStarting, checkpoint: 1, waitHint: servicePatience}
	s.report(now)
	ready := s.ready
	for {
		select {
		case code := <-s.ended:
			return code
		case <-s.stops:
			if now.state != serviceStopping {
				now = serviceStatus{state: serviceStopping, checkpoint: 1, waitHint: servicePatience}
				s.report(now)
			}
			s.stop()
		case <-ready:
			ready = nil
			if now.state == serviceStarting {
				now = serviceStatus{state: serviceRunning}
				s.report(now)
			}
		case <-s.tick:
			if now.state != serviceRunning {
				now.checkpoint++
				s.report(now)
			}
		}
	}
}
