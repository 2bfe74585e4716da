package signalling_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/wire"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

// roomSize is how many clients of a herd share a room.
const roomSize = 10

// herd is many clients in rooms.
type herd struct {
	t       *testing.T
	clients []*signalling.Client
}

func herdUID(i int) string  { return fmt.Sprintf("peer%d", i) }
func herdRoom(i int) string { return fmt.Sprintf("room%d", i/roomSize) }

// newHerd has clients join rooms, and waits until all know of one another.
func newHerd(t *testing.T, url string, size int) *herd {
	t.Helper()
	h := &herd{t: t}
	for i := range size {
		c := dial(t, signalling.ClientConfig{URL: url, UID: herdUID(i)})
		if _, err := c.Join(testContext(t), herdRoom(i)); err != nil {
			t.Fatal(err)
		}
		h.clients = append(h.clients, c)
	}
	for i, c := range h.clients {
		for j := i + 1; j < size && herdRoom(j) == herdRoom(i); j++ {
			wantEvent(t, c, signalling.PeerJoined{UID: herdUID(j)})
		}
	}
	return h
}

// awaitLoss waits until every client has lost its relay.
func (h *herd) awaitLoss() {
	h.t.Helper()
	for _, c := range h.clients {
		wantReconnecting(h.t, c, "")
	}
}

// awaitReturn waits until every client is in its room again, and knows all
// others there. It gives the time at which the last one has rejoined.
func (h *herd) awaitReturn() (last time.Time) {
	h.t.Helper()
	returns := make([]time.Time, len(h.clients))
	var all sync.WaitGroup
	for i := range h.clients {
		all.Go(func() { returns[i] = h.awaitOne(i) })
	}
	all.Wait()
	return slices.MaxFunc(returns, time.Time.Compare)
}

// awaitOne follows what a client hears of its room: it may rejoin once, and each
// other member must come exactly once, before it or after.
func (h *herd) awaitOne(i int) (rejoined time.Time) {
	present := make(map[string]bool)
	ctx := testContext(h.t)
	for rejoined.IsZero() || len(present) < roomSize-1 {
		event, err := h.clients[i].Recv(ctx)
		switch e := event.(type) {
		case signalling.Rejoined:
			if !rejoined.IsZero() {
				h.t.Errorf("%s rejoined twice", herdUID(i))
			}
			rejoined = time.Now()
			for _, uid := range e.Members {
				h.come(i, present, uid)
			}
		case signalling.PeerJoined:
			h.come(i, present, e.UID)
		default:
			h.t.Errorf("%s: got %#v, %v after %v", herdUID(i), event, err, present)
			return time.Now()
		}
	}
	return rejoined
}

func (h *herd) come(i int, present map[string]bool, uid string) {
	if present[uid] || uid == herdUID(i) {
		h.t.Errorf("%s hears of %s, which it knows", herdUID(i), uid)
	}
	present[uid] = true
}

// checkRooms has a visitor look at each room: every client is there, none twice.
func (h *herd) checkRooms(url string) {
	h.t.Helper()
	for first := 0; first < len(h.clients); first += roomSize {
		var want []string
		for i := first; i < first+roomSize; i++ {
			want = append(want, herdUID(i))
		}
		visitor := dial(h.t, signalling.ClientConfig{URL: url, UID: "visitor-of-" + herdRoom(first)})
		got, err := visitor.Join(testContext(h.t), herdRoom(first))
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			h.t.Errorf("%s: got %q, %v; want %q", herdRoom(first), got, err, want)
		}
	}
}

// TestRelayRestarts takes the relay away from clients in rooms: all are back in
// their rooms soon after it is, and none of them twice.
func TestRelayRestarts(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*restartable)
	}{
		{"drained", (*restartable).drain},
		{"broken", (*restartable).breakDown},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := startRestartable(t, "127.0.0.1:0")
			address := relay.listener.Addr().String()
			h := newHerd(t, "ws://"+address, 2*roomSize)
			test.end(relay)
			h.awaitLoss()
			startRestartable(t, address)
			back := time.Now()
			t.Logf("%d clients back %v after the relay", len(h.clients), h.awaitReturn().Sub(back).Round(time.Millisecond))
			h.checkRooms("ws://" + address)
		})
	}
}

// restartable is a relay in this process that can end as a killed one does.
type restartable struct {
	t        *testing.T
	server   *server.Server
	listener *breakable
	served   chan error
	stop     context.CancelFunc
}

func startRestartable(t *testing.T, address string) *restartable {
	t.Helper()
	s, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := &restartable{t: t, server: s, listener: &breakable{Listener: listener}, served: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.served <- s.Serve(ctx, r.listener) }()
	t.Cleanup(r.drain)
	return r
}

// drain ends the relay as SIGTERM does. It may be called repeatedly.
func (r *restartable) drain() {
	r.stop()
	if err := <-r.served; err != nil && !errors.Is(err, net.ErrClosed) {
		r.t.Errorf("Serve: %v", err)
	}
	r.served <- nil
}

// breakDown ends the relay without a word to anybody.
func (r *restartable) breakDown() {
	r.listener.breakAll()
	r.drain()
}

// breakable is a listener that can reset all that it has accepted.
type breakable struct {
	net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

func (b *breakable) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.conns = append(b.conns, conn)
	}
	return conn, err
}

func (b *breakable) breakAll() {
	b.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		wire.Reset(conn)
	}
}

// TestRelayKilled is TestRelayRestarts with the program itself, and with 200
// clients. It runs when GSTPEER_LONG is set.
func TestRelayKilled(t *testing.T) {
	if os.Getenv("GSTPEER_LONG") == "" {
		t.Skip("GSTPEER_LONG=1 is not set")
	}
	binary := filepath.Join(t.TempDir(), "gstpeer-server")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "../cmd/gstpeer-server")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, text)
	}
	kill, address := startProgram(t, binary, "127.0.0.1:0")
	h := newHerd(t, "ws://"+address, 200)
	kill()
	restarted := time.Now()
	startProgram(t, binary, address)
	h.awaitLoss()
	took := h.awaitReturn().Sub(restarted)
	t.Logf("%d clients back %v after the restart", len(h.clients), took.Round(time.Millisecond))
	if took > 15*time.Second { // 5 s on a machine that does nothing else
		t.Errorf("that is too long")
	}
	h.checkRooms("ws://" + address)
}

// startProgram runs a relay, and gives its host and port, and what kills it.
func startProgram(t *testing.T, binary, listen string) (kill func(), address string) {
	t.Helper()
	program := exec.Command(binary, "--listen", listen, "--log-level", "error")
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = program.Process.Kill() // SIGKILL, unless it has ended
		_ = program.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Fields(line)
	address = strings.Trim(strings.TrimPrefix(page[len(page)-1], "http://"), "/")
	return kill, address
}
