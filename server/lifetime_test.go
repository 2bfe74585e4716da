package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
)

func TestNoHelloInTime(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{Hello: 100 * time.Millisecond})
	c := r.dial(t, "/")
	// Pings are a sign of life, but no HELLO.
	stop := make(chan struct{})
	var pinging sync.WaitGroup
	pinging.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)) // fails in the end
			case <-stop:
				return
			}
		}
	})
	c.wantClose(websocket.ClosePolicyViolation, "no HELLO")
	close(stop)
	pinging.Wait()
}

func TestNoCompleteRequestInTime(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{Hello: 100 * time.Millisecond})
	for _, part := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\n"} {
		conn, err := net.Dial("tcp", r.url[len("ws://"):])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 1024)
		for err == nil { // an HTTP error may come first
			_, err = conn.Read(buffer)
		}
		var netErr net.Error
		if errors.As(err, &netErr) && netErr.Timeout() {
			t.Errorf("%q: still connected", part)
		}
	}
}

func TestKeepaliveDropsThePeerThatIsGone(t *testing.T) {
	r := startRelay(t, server.Config{Keepalive: 300 * time.Millisecond}, server.Patience{})
	room := id("room")
	living := r.register(t, "living") // answers pings
	living.enter(room)
	gone := r.dialDeaf(t, "/", nil) // does not
	gone.uid = id("gone")
	gone.send("HELLO " + gone.uid)
	gone.send("ROOM " + room)
	living.want("ROOM_PEER_JOINED " + gone.uid)
	living.want("ROOM_PEER_LEFT " + gone.uid)
	living.wantNothing()
	gone.listen() // it was only asleep: it learns why it is out
	gone.want("HELLO")
	gone.want("ROOM_OK " + living.uid)
	gone.wantClose(websocket.ClosePolicyViolation, "no sign of life")
}

// TestKeepaliveCountsParts sends one message so slowly that the whole takes
// longer than a peer may be silent.
func TestKeepaliveCountsParts(t *testing.T) {
	const keepalive = 500 * time.Millisecond
	r := startRelay(t, server.Config{Keepalive: keepalive}, server.Patience{})
	a := r.dialDeaf(t, "/", nil) // answers no ping
	a.uid = id("slow")
	a.send("HELLO " + a.uid)
	b := r.register(t, "b")
	b.wantRegistered(a.uid)
	frame := maskedFrame(0x81, []byte("ROOM_PEER_MSG "+b.uid+" "+string(make([]byte, 100))))
	tick := time.NewTicker(3 * keepalive / time.Duration(len(frame)))
	defer tick.Stop()
	for i := range frame {
		a.sendRaw(frame[i : i+1])
		<-tick.C
	}
	a.listen()
	a.want("HELLO")
	a.wantError() // the message came, though a is in no room
}

// TestHelloInTimeWaitsForUID: how long the relay takes to free the uid is not the
// fault of the peer that wants it.
func TestHelloInTimeWaitsForUID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takeover = 2 * time.Second
		r := startRelayInBubble(t, server.Config{}, server.Patience{Hello: takeover / 2, Takeover: takeover})
		deaf := r.dialDeaf(t, "/", nil)
		deaf.send("HELLO peer")
		synctest.Wait()
		began := time.Now()
		r.dial(t, "/").hello("peer")
		if took := time.Since(began); took != takeover {
			t.Errorf("registered after %v, want %v", took, takeover)
		}
	})
}

func TestTakeoverWaitsForNoAnswerOnly(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{Takeover: time.Hour})
	holder := r.register(t, "holder")
	c := r.dial(t, "/")
	c.send("HELLO " + holder.uid)
	c.want("ERROR invalid peer uid") // at once, for the holder answered

	deaf := r.dialDeaf(t, "/", nil)
	uid := id("deaf")
	deaf.send("HELLO " + uid)
	r.register(t, "witness").wantRegistered(uid)
	d := r.dial(t, "/")
	d.send("HELLO " + uid)
	deaf.ws.Close() // ends the wait of d
	d.want("HELLO")
}

// wantRegistered waits until the relay knows the uid. It puts c into a room.
func (c *client) wantRegistered(uid string) {
	c.t.Helper()
	room := id("room")
	c.enter(room)
	for {
		c.send("ROOM_PEER_MSG " + uid + " x")
		if c.next().text == "ERROR peer '"+uid+"' is not in the room" {
			return
		}
	}
}

func TestShutdown(t *testing.T) {
	s, err := server.NewImpatient(server.Config{}, server.Patience{Shutdown: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	r := &relay{url: "ws://" + listener.Addr().String(), server: s}

	a, b := r.session(t)
	c, d := r.pairInRoom(t)
	silent := r.dial(t, "/") // no HELLO yet
	deaf := r.dialDeaf(t, "/", nil)
	deaf.send("HELLO " + id("deaf"))
	half, err := net.Dial("tcp", listener.Addr().String()) // no request yet
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()

	cancel()
	for _, peer := range []*client{a, b, c, d, silent} {
		for {
			got := peer.next()
			var closed *websocket.CloseError
			if errors.As(got.err, &closed) && closed.Code == websocket.CloseGoingAway {
				break
			}
			if got.err != nil {
				t.Fatalf("%s: got %s, want 1001", peer.uid, got)
			}
		}
	}
	select {
	case err := <-served:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("Serve does not return")
	}
	s.Close() // again
	if err := s.Serve(context.Background(), listener); !errors.Is(err, server.ErrClosed) {
		t.Errorf("Serve after Close: %v, want ErrClosed", err)
	}
	if peers, rooms := s.Population(); peers != 0 || rooms != 0 {
		t.Errorf("%d peers and %d rooms are left", peers, rooms)
	}
}

// TestCloseFrameReachesBusySender has a peer send far too much: a relay that did
// not read on would reset the connection, and the close frame could be lost.
func TestCloseFrameReachesBusySender(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	c := r.register(t, "c")
	c.sendRaw(maskedFrame(0x81, make([]byte, 32<<20)))
	c.wantClose(websocket.CloseMessageTooBig, "")
}

// TestCloseCutsShortOtherEnds has a connection that is ending already, with far
// more time than Close has.
func TestCloseCutsShortOtherEnds(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{Closing: time.Hour, Shutdown: 50 * time.Millisecond})
	c := r.dialDeaf(t, "/", nil)
	c.send("nonsense")
	_, _, _ = c.ws.ReadMessage() // the ERROR; but not the close frame, which it would answer
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		r.server.Close()
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("Close waits for a connection that is ending")
	}
}

func TestServeFailsWithItsListener(t *testing.T) {
	s, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := s.Serve(context.Background(), listener); err == nil {
		t.Error("Serve on a closed listener: want an error")
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, config := range []server.Config{{Keepalive: -1}, {Limits: server.Limits{QueuedBytes: -1}}, {Limits: server.Limits{QueuedMessages: -1}}} {
		if _, err := server.New(config); !errors.Is(err, server.ErrConfig) {
			t.Errorf("New(%+v): %v, want ErrConfig", config, err)
		}
	}
}

// TestChurn has peers of one room come and go in all ways at once; the relay
// must be empty afterwards.
func TestChurn(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	room := id("room")
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range 15 {
				ws, _, err := websocket.DefaultDialer.Dial(r.url+"/", nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, text := range []string{
					fmt.Sprintf("HELLO churn-%d", worker), "ROOM " + room, fmt.Sprintf("ROOM_PEER_MSG churn-%d hi", i%8), "ROOM_PEER_LIST",
				} {
					_ = ws.WriteMessage(websocket.TextMessage, []byte(text))
				}
				if i%3 == 0 {
					_, _, _ = ws.ReadMessage()
				}
				ws.Close()
			}
		})
	}
	wait.Wait()
	r.server.Close()
	if peers, rooms := r.server.Population(); peers != 0 || rooms != 0 {
		t.Errorf("%d peers and %d rooms are left", peers, rooms)
	}
}
