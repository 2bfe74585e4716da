package server_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
)

// TestDrain has a relay end over some time: it takes nobody new, and tells its
// peers one after another, but both of a session together.
func TestDrain(t *testing.T) {
	const drain = time.Second
	s, err := server.New(server.Config{Drain: drain, ResumeGrace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	r := &relay{url: "ws://" + listener.Addr().String(), server: s}

	var peers []*client
	for range 20 {
		a, b := r.session(t)
		peers = append(peers, a, b)
	}
	away := r.resumable(t, "away")
	away.vanish()
	awaitSuspended(t, r, 1)
	if !s.Ready() {
		t.Error("not ready while serving")
	}

	began := time.Now()
	cancel()
	eventually(t, "not ready", func() bool { return !s.Ready() })
	told := make(chan time.Duration, len(peers))
	var wait sync.WaitGroup
	for _, peer := range peers {
		wait.Go(func() {
			if a := <-peer.came; !websocket.IsCloseError(a.err, websocket.CloseGoingAway) {
				t.Errorf("%s: got %s, want 1001", peer.uid, a)
			}
			told <- time.Since(began)
		})
	}
	if first := <-told; first > drain/2 {
		t.Errorf("the first peer is told after %v of %v", first, drain)
	}
	wait.Wait()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < drain/2 {
		t.Errorf("all peers were told within %v, want about %v", took, drain)
	}
	if _, err := http.Get("http" + r.url[len("ws"):]); err == nil {
		t.Error("a connection is accepted")
	}
}

// TestDrainEndsWithTheLastPeer holds that nobody waits for an empty relay, nor for
// peers that cannot come back to it.
func TestDrainEndsWithTheLastPeer(t *testing.T) {
	s, err := server.New(server.Config{Drain: time.Hour, ResumeGrace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	r := &relay{url: "ws://" + listener.Addr().String(), server: s}
	witness, peer := r.pairWithResumable(t)
	peer.vanish()
	awaitSuspended(t, r, 1)
	last := r.resumable(t, "last")
	cancel()
	eventually(t, "not ready", func() bool { return !s.Ready() })
	witness.want("ROOM_PEER_LEFT " + peer.uid)
	witness.wantNothing() // it is still served
	witness.leave()
	last.vanish()
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the relay waits for nobody")
	}
}
