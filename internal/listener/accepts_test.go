package listener_test

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"leasehold/internal/listener"
)

// soon ends while a connection waits to be accepted; before it is made, where the machine is slow, which has the same outcome.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// A socket whose loop stands still is found out, once it was seen to work.
func TestAccepts(t *testing.T) {
	for name, s := range map[string]listener.Settings{"tcp": {Address: "127.0.0.1:0"}, "everywhere": {Address: ":0"}, "unix": unixSettings(t)} {
		t.Run(name, func(t *testing.T) {
			ln := open(t, s)
			over, cancel := context.WithCancel(t.Context())
			cancel()
			if !ln.Accepts(over) {
				t.Error("judged before it was seen to work")
			}
			conns := make(chan net.Conn, 10)
			accept := func() {
				t.Helper()
				conn, err := ln.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				conns <- conn
			}
			t.Cleanup(func() {
				close(conns)
				for conn := range conns {
					_ = conn.Close()
				}
			})
			dialled, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer dialled.Close()
			accept()
			if !ln.Accepts(over) { // which needs no connection of its own
				t.Error("a client was accepted, and it is not seen")
			}
			for _, ctx := range []context.Context{over, soon(t)} {
				if ln.Accepts(ctx) {
					t.Error("nothing is accepted, and it is said to be")
				}
			}
			done := make(chan struct{})
			go func() { accept(); close(done) }()
			if !ln.Accepts(t.Context()) {
				t.Error("its own connection was accepted, and it is not seen")
			}
			<-done
		})
	}
}

// What cannot be tried is not judged.
func TestAcceptsWithoutAWayToTheSocket(t *testing.T) {
	s := unixSettings(t)
	ln := open(t, s)
	conn, err := net.Dial("unix", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if !ln.Accepts(t.Context()) {
		t.Error("a client was accepted, and it is not seen")
	}
	if err := os.Remove(s.Address); err != nil {
		t.Fatal(err)
	}
	if !ln.Accepts(t.Context()) {
		t.Error("a socket without its path is judged")
	}
}

// One that is closed was stuck.
func TestAClosedSocketDoesNotAccept(t *testing.T) {
	ln := open(t, listener.Settings{Address: "127.0.0.1:0"})
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ln.Accepts(t.Context())
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if ln.Accepts(t.Context()) {
		t.Error("it is closed, and said to accept")
	}
}
