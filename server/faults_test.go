package server_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/internal/load"
	"github.com/gstpeer/gstpeer/server"
)

// What follows are connections that break, misbehave or come in crowds. Those
// who share a room or the relay with them must not notice more than a LEFT.

// reset ends the connection by a TCP reset.
func (c *client) reset() {
	c.t.Helper()
	if err := c.ws.NetConn().(*net.TCPConn).SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	c.ws.Close()
}

func TestBrokenConnections(t *testing.T) {
	for name, breakOff := range map[string]func(c *client){
		"reset":              (*client).reset,
		"end without close":  func(c *client) { c.ws.Close() },
		"half closed":        func(c *client) { _ = c.ws.NetConn().(*net.TCPConn).CloseWrite() },
		"end in a header":    func(c *client) { c.sendRaw([]byte{0x81}); c.ws.Close() },
		"end in a message":   func(c *client) { c.sendRaw(maskedFrame(0x81, make([]byte, 100))[:50]); c.ws.Close() },
		"end in a fragment":  func(c *client) { c.sendRaw(maskedFrame(0x01, []byte("ROOM"))); c.ws.Close() },
		"reset in a message": func(c *client) { c.sendRaw(maskedFrame(0x81, make([]byte, 100))[:50]); c.reset() },
	} {
		t.Run(name, func(t *testing.T) {
			r := startRelay(t, server.Config{}, server.Patience{})
			a, b := r.pairInRoom(t)
			deaf := r.dialDeaf(t, "/", nil)
			deaf.uid = id("broken")
			deaf.send("HELLO " + deaf.uid)
			deaf.send("ROOM " + id("room"))
			a.wantNothing()
			for _, c := range []*client{a, deaf} {
				breakOff(c)
			}
			b.want("ROOM_PEER_LEFT " + a.uid)
			b.wantNothing()
			for _, c := range []*client{a, deaf} {
				r.dial(t, "/").hello(c.uid) // free again
			}
		})
	}
}

// TestResetWhileMuchIsQueued has the write, not the read, meet the reset.
func TestResetWhileMuchIsQueued(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	a := r.register(t, "a")
	deaf := r.dialDeaf(t, "/", nil)
	deaf.uid = id("deaf")
	deaf.send("HELLO " + deaf.uid)
	for answer := ""; answer != "SESSION_OK"; answer = a.next().text { // once its HELLO has come
		a.send("SESSION " + deaf.uid)
	}
	filler := strings.Repeat("x", 512<<10)
	for range 6 { // more than the kernel takes, less than is too much
		a.send(filler)
	}
	deaf.reset()
	a.wantClose(websocket.CloseNormalClosure, "")
	r.dial(t, "/").hello(deaf.uid)
}

func TestFramesByteByByte(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	a, b := r.session(t)
	long := strings.Repeat("y", 300)
	for _, text := range []string{"", "x", long} {
		for _, part := range maskedFrame(0x81, []byte(text)) {
			a.sendRaw([]byte{part})
		}
		b.want(text)
	}
	for _, part := range append(maskedFrame(0x02, []byte("in ")), maskedFrame(0x80, []byte("parts"))...) {
		a.sendRaw([]byte{part})
	}
	b.wantBinary("in parts")
}

// TestManyFramesAtOnce puts frames of all kinds into one write, and their ends
// beyond what the relay reads at a time.
func TestManyFramesAtOnce(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	a, b := r.session(t)
	var wire []byte
	const messages = 500
	for i := range messages {
		wire = append(wire, maskedFrame(0x81, fmt.Appendf(nil, "%d %s", i, strings.Repeat("z", i)))...)
		if i%10 == 0 {
			wire = append(wire, maskedFrame(0x89, []byte("ping"))...)
		}
	}
	a.sendRaw(wire)
	for i := range messages {
		b.want(fmt.Sprintf("%d %s", i, strings.Repeat("z", i)))
	}
}

func TestEndlessFragments(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	a, b := r.pairInRoom(t)
	endless := r.register(t, "endless")
	endless.sendRaw(maskedFrame(0x01, nil))
	empty := []byte(strings.Repeat(string(maskedFrame(0x00, nil)), 10_000))
	endless.sendRaw(empty) // may go on: it takes no memory and keeps nobody waiting
	a.send("ROOM_PEER_MSG " + b.uid + " hi")
	b.want("ROOM_PEER_MSG " + a.uid + " hi")
	kilobyte := maskedFrame(0x00, make([]byte, 1<<10))
	for range 1025 {
		endless.sendRaw(kilobyte)
	}
	endless.wantClose(websocket.CloseMessageTooBig, "")
}

// TestFloodOfPings comes from a peer that reads no pong.
func TestFloodOfPings(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	a, b := r.pairInRoom(t)
	flood := r.dialDeaf(t, "/", nil)
	flood.uid = id("flood")
	flood.send("HELLO " + flood.uid)
	ping := maskedFrame(0x89, make([]byte, 125))
	pings := []byte(strings.Repeat(string(ping), 1000))
	var sending sync.WaitGroup
	sending.Go(func() {
		for range 100 { // 12 MB, far more than the kernel holds of pongs
			flood.sendRaw(pings)
		}
	})
	for range 100 {
		a.send("ROOM_PEER_MSG " + b.uid + " hi")
		b.want("ROOM_PEER_MSG " + a.uid + " hi")
	}
	sending.Wait() // the relay read them all
	last := make(chan struct{})
	flood.ws.SetPongHandler(func(payload string) error {
		if payload == "last" {
			close(last)
		}
		return nil
	})
	flood.listen()
	flood.want("HELLO")
	flood.sendRaw(maskedFrame(0x89, []byte("last")))
	select {
	case <-last:
	case <-time.After(patience):
		t.Fatal("the last ping is not answered")
	}
	flood.enter(id("room")) // it is a peer as before
}

// TestFloodOfErrors comes from a peer that reads no reply.
func TestFloodOfErrors(t *testing.T) {
	r := startRelay(t, server.Config{Limits: server.Limits{QueuedBytes: 64 << 10}}, server.Patience{Closing: 100 * time.Millisecond})
	a, b := r.pairInRoom(t)
	flood := r.dialDeaf(t, "/", nil)
	flood.uid = id("flood")
	flood.send("HELLO " + flood.uid)
	nonsense := []byte(strings.Repeat(string(maskedFrame(0x81, []byte("NONSENSE"))), 1000))
	for {
		if _, err := flood.ws.NetConn().Write(nonsense); err != nil {
			break
		}
		a.send("ROOM_PEER_MSG " + b.uid + " hi")
		b.want("ROOM_PEER_MSG " + a.uid + " hi")
	}
	r.dial(t, "/").hello(flood.uid)
}

// TestFloodOfConnections has connections without a request, with half of one,
// with one that is none, and with a WebSocket that says nothing.
func TestFloodOfConnections(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{Hello: 2 * time.Second})
	a, b := r.pairInRoom(t)
	starts := []string{
		"", "G", "GET / HTTP/1.1\r\nHost: x\r\nX: ", "\x16\x03\x01\x02\x00\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
	}
	var flood sync.WaitGroup
	for i := range 300 {
		flood.Go(func() {
			conn, err := net.Dial("tcp", r.url[len("ws://"):])
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(starts[i%len(starts)])); err != nil {
				return // answered already
			}
			if i%3 == 0 {
				return
			}
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			buffer := make([]byte, 1024)
			for err == nil {
				_, err = conn.Read(buffer)
			}
			if os.IsTimeout(err) {
				t.Errorf("%q: still connected", starts[i%len(starts)])
			}
		})
	}
	for range 100 {
		a.send("ROOM_PEER_MSG " + b.uid + " hi")
		b.want("ROOM_PEER_MSG " + a.uid + " hi")
	}
	flood.Wait()
}

// TestTalkBesideDeaf has eight others join, leave and talk beside a member that
// reads nothing, and the relay drop it: no message is under way for 100 ms longer
// than beside one that has nothing to read. A busy machine makes messages late as
// well, but not each time, and where it does so by much it proves nothing.
func TestTalkBesideDeaf(t *testing.T) {
	const (
		longer = 100 * time.Millisecond
		busy   = 300 * time.Millisecond
		rounds = 6
	)
	r := startProgram(t, load.ProgramRelay, self(load.ProgramRelay))
	delayed, dropped := 0, 0
	for round := range rounds {
		calm, err := load.Talk{Duration: time.Second}.Measure(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		lag := watchLag(t)
		deaf, err := load.Talk{Deaf: true, Duration: time.Duration(2+2*round) * time.Second}.Measure(t.Context(), r)
		late := calm.Max + lag()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("max %v beside one who does not read, who was dropped %d times; the machine makes late by up to %v", deaf.Max, deaf.Dropped, late)
		dropped += deaf.Dropped
		switch {
		case deaf.Dropped == 0 || late > busy:
		case deaf.Max < late+longer:
			return
		default:
			delayed++
		}
	}
	if dropped == 0 {
		t.Fatal("the relay has dropped nobody who does not read")
	}
	if delayed < rounds/2 {
		t.Skip("this machine is too busy to tell")
	}
	t.Errorf("in %d of %d rounds a message beside one who does not read took %v longer than without", delayed, rounds, longer)
}

// watchLag tells by how much a goroutine that wants to run often was late at most.
func watchLag(t *testing.T) (stop func() time.Duration) {
	const interval = 5 * time.Millisecond
	var most time.Duration
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for last := time.Now(); ctx.Err() == nil; last = time.Now() {
			time.Sleep(interval)
			most = max(most, time.Since(last)-interval)
		}
	})
	stop = func() time.Duration {
		cancel()
		watching.Wait()
		return most
	}
	t.Cleanup(func() { stop() })
	return stop
}

// TestIdlePeersLeaveNothing holds many registered peers for some pings, and then
// has them all vanish at once. What a first crowd leaves are the caches of Go's
// runtime, which the next one uses again.
func TestIdlePeersLeaveNothing(t *testing.T) {
	peers, keepalive := 1000, time.Second
	if longTests() {
		peers, keepalive = 10_000, 5*time.Second
	}
	r := startRelay(t, server.Config{Keepalive: keepalive}, server.Patience{})
	r.crowd(t, peers)()
	heap, stacks, goroutines := footprint()
	vanish := r.crowd(t, peers)
	heapHeld, stacksHeld, _ := footprint()
	t.Logf("%d bytes on the heap and %d of stacks for each of %d peers", (heapHeld-heap)/peers, (stacksHeld-stacks)/peers, peers)
	<-time.After(3 * keepalive) // those who did not answer would be gone
	if got, _ := r.server.Population(); got != peers {
		t.Errorf("%d of %d peers are left after 3 pings", got, peers)
	}
	vanish()
	const slack = 1 << 20
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		// The runtime keeps some stacks of goroutines that have ended.
		heapNow, _, goroutinesNow := footprint()
		if heapNow <= heap+slack && goroutinesNow <= goroutines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes and %d goroutines, had %d and %d before", heapNow, goroutinesNow, heap, goroutines)
		}
	}
}

// crowd has a process of its own register so many peers, and returns when they
// are there. When vanish returns, they are all gone.
func (r *relay) crowd(t *testing.T, peers int) (vanish func()) {
	t.Helper()
	crowd := exec.Command(os.Args[0])
	crowd.Env = append(os.Environ(), asProgram+"="+load.ProgramCrowd,
		fmt.Sprintf("%s=%d@%s", asProgramAt, peers, strings.TrimPrefix(r.url, "ws://")))
	crowd.Stderr = os.Stderr
	if err := crowd.Start(); err != nil {
		t.Fatal(err)
	}
	vanish = sync.OnceFunc(func() {
		if err := crowd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = crowd.Wait() // killed
		r.wantPeers(t, 0)
	})
	t.Cleanup(vanish)
	r.wantPeers(t, peers)
	return vanish
}

// wantPeers waits until the relay knows so many peers.
func (r *relay) wantPeers(t *testing.T, want int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(3 * patience)
	for {
		got, _ := r.server.Population()
		if got == want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d peers, want %d", got, want)
		}
	}
}

// footprint is what is in use after a collection: of heap and stacks, in bytes.
func footprint() (heap, stacks, goroutines int) {
	runtime.GC()
	runtime.GC() // a pool is empty after the second one
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc), int(stats.StackInuse), runtime.NumGoroutine()
}
