package signalling_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/wire"
	"github.com/gstpeer/gstpeer/signalling"
)

// startReference runs GStreamer's original relay, which GSTPEER_SIMPLE_SERVER
// has the path of, until the test ends, and gives its URL.
func startReference(t *testing.T) string {
	t.Helper()
	script := os.Getenv("GSTPEER_SIMPLE_SERVER")
	if script == "" {
		t.Skip("GSTPEER_SIMPLE_SERVER does not name GStreamer's simple_server.py")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr)
	listener.Close()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	// Debian's python3-websockets is for Debian's Python.
	python := exec.CommandContext(ctx, "/usr/bin/python3", script,
		"--disable-ssl", "--addr", "127.0.0.1", "--port", fmt.Sprint(address.Port), "--keepalive-timeout", "1")
	stderr, err := python.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := python.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewReader(stderr)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			if strings.HasPrefix(line, "server listening") {
				close(listening)
				break
			}
		}
		_, _ = io.Copy(io.Discard, lines)
		_ = python.Wait() // killed below
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-listening:
	case <-ended:
		t.Fatal("simple_server.py ended at once; does it lack python3-websockets?")
	}
	return fmt.Sprintf("ws://%s", address)
}

func TestClientAtReferenceRelay(t *testing.T) {
	url := startReference(t)
	a := dial(t, signalling.ClientConfig{URL: url, UID: "a"})
	join(t, a, "room")
	b := dial(t, signalling.ClientConfig{URL: url, UID: "b", Role: signalling.RoleViewer})
	join(t, b, "room", "a")
	wantEvent(t, a, signalling.PeerJoined{UID: "b"})

	offer := signalling.Negotiation{Description: &signalling.Description{Type: signalling.Offer, SDP: "v=0\r\ns=-\r\n"}}.String()
	sendTo(t, b, "a", offer)
	wantEvent(t, a, signalling.Message{From: "b", Text: offer})
	for i := range 200 {
		sendTo(t, a, "b", fmt.Sprint(i))
	}
	for i := range 200 {
		wantEvent(t, b, signalling.Message{From: "a", Text: fmt.Sprint(i)})
	}
	longest := strings.Repeat("x", signalling.MaxMessage-len("ROOM_PEER_MSG b "))
	sendTo(t, a, "b", longest)
	wantEvent(t, b, signalling.Message{From: "a", Text: longest})

	sendTo(t, a, "nobody", "x")
	wantEvent(t, a, signalling.RelayError{Text: "peer 'nobody' not found"})
	if _, err := a.Join(testContext(t), "other"); !errors.Is(err, signalling.ErrJoin) {
		t.Errorf("second room: %v, want ErrJoin", err)
	}
	_, err := signalling.Dial(testContext(t), signalling.ClientConfig{URL: url, UID: "a"})
	if !errors.Is(err, signalling.ErrUIDRefused) {
		t.Errorf("taken uid: %v, want ErrUIDRefused", err)
	}
	b.Close()
	wantEvent(t, a, signalling.PeerLeft{UID: "b"})
}

// TestReconnectToReferenceRelay loses its connection without the relay's notice:
// that has no resumption, and does not give the uid away until it notices.
func TestReconnectToReferenceRelay(t *testing.T) {
	w, far, near, attempts := pairInRoom(t, startReference(t))
	w.CutNear()
	wantReconnecting(t, far, "")
	eventually(t, "attempts in vain", func() bool { return attempts.Load() >= 2 })
	w.Cut()
	wantEvent(t, near, signalling.PeerLeft{UID: "far"})
	wantRejoined(t, far, "near")
	wantEvent(t, near, signalling.PeerJoined{UID: "far"})
	sendTo(t, far, "near", "0")
	wantTexts(t, near, "far", 0, 1)
	sendTo(t, near, "far", "0")
	wantTexts(t, far, "near", 0, 1)
}

func TestCallAtReferenceRelay(t *testing.T) {
	url := startReference(t)
	a, b := pairInCall(t, url, url)
	exchange(t, a, b, 0, 200)
	for _, text := range []string{
		signalling.OfferRequest, "", " leading", "two\nlines", "ERROR no", "ROOM_OK a", "SESSION_OK", "HELLO", "SESSION b",
		strings.Repeat("x", signalling.MaxMessage),
	} {
		send(t, a, text)
		wantEvent(t, b, signalling.CallMessage{Text: text})
		send(t, b, text)
		wantEvent(t, a, signalling.CallMessage{Text: text})
	}
	for i := range 10 {
		ends, other := a, b
		if i%2 == 0 {
			ends, other = b, a
		}
		for i := range 20 {
			send(t, ends, fmt.Sprint(i))
		}
		hangUp(t, ends)
		wantCallEnded(t, ends, signalling.ErrHungUp)
		wantCallTexts(t, other, 0, 20)
		wantCallEnded(t, other, signalling.ErrPeerLeft)
		connect(t, other, ends, map[bool]string{true: "callee", false: "caller"}[ends == b])
	}
	b.Close()
	wantCallEnded(t, a, signalling.ErrPeerLeft)
	for _, uid := range []string{"nobody", "no'body"} {
		if err := a.Call(testContext(t), uid); !errors.Is(err, signalling.ErrPeerNotFound) {
			t.Errorf("calling %q: %v, want ErrPeerNotFound", uid, err)
		}
	}
	if err := a.Call(testContext(t), "caller"); !errors.Is(err, signalling.ErrCall) {
		t.Errorf("calling itself: %v, want ErrCall", err)
	}
	join(t, a, "room")
}

// TestCallBreaksAtReferenceRelay loses the connection of a call, first with and
// then without the relay's notice: that has no resumption, and does not give the
// uid away until it notices.
func TestCallBreaksAtReferenceRelay(t *testing.T) {
	relay := startReference(t)
	w, through := wire.New(t, relay)
	caller, callee := pairInCall(t, through, relay)
	w.Cut()
	wantReconnecting(t, caller, "")
	wantCallEnded(t, callee, signalling.ErrPeerLeft)
	wantCallEnded(t, caller, signalling.ErrDisconnected)
	connect(t, callee, caller, "caller")

	w.CutNear()
	wantReconnecting(t, caller, "")
	send(t, caller, "for a call that has ended")
	w.Cut()
	wantCallEnded(t, callee, signalling.ErrPeerLeft)
	wantCallEnded(t, caller, signalling.ErrDisconnected)
	connect(t, caller, callee, "callee")
}
