package main

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gstpeer/gstpeer/internal/wire"
)

// talkAt has one gstpeer call another, which is at the relay in a way of its own,
// and waits for media. What the caller says goes into its log at level debug.
func talkAt(t *testing.T, relay, calleesRelay string) (callee, call *program) {
	t.Helper()
	callee = startGstpeer(t, nil, slices.Concat([]string{"--server", calleesRelay, "--answer", "--once", "--name", "callee"}, small)...)
	callee.awaitOutput("Waiting for calls")
	call = startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--call", "callee", "--name", "us", "--log-level", "debug"}, small)...)
	for _, p := range []*program{callee, call} {
		p.awaitLog(t, "peer connected")
	}
	return callee, call
}

// awaitLog waits for a text on standard error.
func (p *program) awaitLog(t *testing.T, text string) {
	t.Helper()
	await(t, text, func() bool { return strings.Contains(p.stderr.String(), text) })
}

// endCall wants that the caller made one connection, and ends it.
func endCall(t *testing.T, call *program) {
	t.Helper()
	call.signal(syscall.SIGTERM)
	if code := call.ExitCode(stopsWithin); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if n := strings.Count(call.stderr.String(), "peer connected"); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// TestCallOutlivesRelay restarts the relay under a call, which is one at the new
// relay too.
func TestCallOutlivesRelay(t *testing.T) {
	t.Parallel()
	address, stop := startRelayAt(t, "127.0.0.1:0")
	_, call := talkAt(t, "ws://"+address, "ws://"+address)
	stop()
	startRelayAt(t, address)
	call.awaitLog(t, "the session is back")
	endCall(t, call)
}

// TestCallAgainLate has the relay away for longer than an attempt to have the
// session back may take: the call goes on, and so do the attempts. It runs when
// GSTPEER_LONG is set.
func TestCallAgainLate(t *testing.T) {
	if os.Getenv("GSTPEER_LONG") == "" {
		t.Skip("GSTPEER_LONG=1 is not set")
	}
	t.Parallel()
	address, stop := startRelayAt(t, "127.0.0.1:0")
	w, through := wire.New(t, "ws://"+address)
	_, call := talkAt(t, "ws://"+address, through)
	w.Hold() // the callee does not come back, or the session would too
	stop()
	_, stop = startRelayAt(t, address)
	call.awaitLog(t, "the relay has lost the session, media goes on")
	stop()
	w.Cut()
	call.awaitLog(t, `msg="the session is not back" error="context deadline exceeded"`)
	startRelayAt(t, address)
	call.awaitLog(t, "the session is back")
	endCall(t, call)
}

// TestCallEndsWithoutRelay: without media and without a relay a call is over. It
// takes half a minute to find out, and runs when GSTPEER_LONG is set.
func TestCallEndsWithoutRelay(t *testing.T) {
	if os.Getenv("GSTPEER_LONG") == "" {
		t.Skip("GSTPEER_LONG=1 is not set")
	}
	t.Parallel()
	address, stop := startRelayAt(t, "127.0.0.1:0")
	callee, call := talkAt(t, "ws://"+address, "ws://"+address)
	stop()
	callee.signal(syscall.SIGKILL)
	if code := call.ExitCode(patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if said := call.stderr.String(); !strings.Contains(said, "the call with callee ended: ") {
		t.Error("it does not say why the call ended")
	}
}
