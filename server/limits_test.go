package server_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
)

// eventually waits for what the relay does by itself.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !happened() {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// wantRefused waits until the relay has counted so many refusals for that reason,
// and asserts that it has counted nothing else.
func (r *relay) wantRefused(t *testing.T, reason server.Refused, n uint64) {
	t.Helper()
	eventually(t, "a refusal is counted: "+string(reason), func() bool { return r.server.Refusals()[reason] == n })
	for other, count := range r.server.Refusals() {
		if other != reason && count != 0 {
			t.Errorf("%d refusals are counted as %s, want only %s", count, other, reason)
		}
	}
}

func startLimited(t *testing.T, limits server.Limits) *relay {
	t.Helper()
	return startRelay(t, server.Config{Limits: limits}, server.Patience{})
}

func TestMaxConnections(t *testing.T) {
	r := startLimited(t, server.Limits{MaxConnections: 2})
	a := r.dial(t, "/")
	r.dial(t, "/")
	r.dialRefused(t, "/", nil, http.StatusServiceUnavailable, "too many connections")
	r.wantRefused(t, server.RefusedConnections, 1)
	a.ws.Close()
	eventually(t, "there is place again", func() bool {
		ws, _, err := websocket.DefaultDialer.Dial(r.url, nil)
		if err == nil {
			ws.Close()
		}
		return err == nil
	})
}

func TestMaxConnectionsWithoutRequest(t *testing.T) {
	r := startLimited(t, server.Limits{MaxConnections: 2})
	for range 2 {
		defer r.connect(t).Close()
	}
	crowd := r.connect(t)
	defer crowd.Close()
	wantEnd(t, crowd)
	r.wantRefused(t, server.RefusedConnections, 1)
}

// connect opens a connection that sends nothing yet.
func (r *relay) connect(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.url[len("ws://"):])
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// wantEnd reads up to the end of the connection.
func wantEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	err := conn.SetReadDeadline(time.Now().Add(patience))
	for buffer := make([]byte, 1024); err == nil; {
		_, err = conn.Read(buffer)
	}
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		t.Errorf("still connected after %v", patience)
	}
}

func TestMaxConnectionsPerAddress(t *testing.T) {
	r := startLimited(t, server.Limits{MaxConnectionsPerAddress: 2})
	a := r.register(t, "a")
	r.register(t, "b")
	r.dialRefused(t, "/ws", nil, http.StatusTooManyRequests, "your address")
	r.wantRefused(t, server.RefusedAddress, 1)
	a.leave()
	eventually(t, "there is place again", func() bool {
		ws, _, err := websocket.DefaultDialer.Dial(r.url, nil)
		if err == nil {
			ws.Close()
		}
		return err == nil
	})
}

// TestPageLeavesRoomForItsPeer: the connections that a browser has loaded the page
// by, and keeps, are not in the way of its WebSocket. Those that say nothing are.
func TestPageLeavesRoomForItsPeer(t *testing.T) {
	const browserOpens = 6
	r := startLimited(t, server.Limits{MaxConnectionsPerAddress: 1, TimeToHeaders: time.Hour})
	kept := make([]net.Conn, browserOpens)
	for i := range kept {
		kept[i] = r.connect(t)
		defer kept[i].Close()
		if _, err := kept[i].Write([]byte("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are answered", func() bool { return r.server.Idle() == browserOpens })
	r.register(t, "peer")
	for range browserOpens {
		defer r.connect(t).Close()
	}
	for _, conn := range kept {
		wantEnd(t, conn)
	}
	seventh := r.connect(t)
	defer seventh.Close()
	wantEnd(t, seventh)
	r.wantRefused(t, server.RefusedConnections, 1)
}

func TestMaxRooms(t *testing.T) {
	r := startLimited(t, server.Limits{MaxRooms: 1})
	a, b := r.register(t, "a"), r.register(t, "b")
	room, other := id("room"), id("room")
	a.enter(room)
	b.send("ROOM " + other)
	b.want("ERROR too many rooms, join one that exists or try again later")
	r.wantRefused(t, server.RefusedRooms, 1)
	b.enter(room, a)
	a.leave()
	b.want("ROOM_PEER_LEFT " + a.uid)
	b.leave() // and with it the room
	c := r.register(t, "c")
	c.enter(other)
}

func TestMaxRoomPeers(t *testing.T) {
	r := startLimited(t, server.Limits{MaxRoomPeers: 2})
	a, b, c := r.register(t, "a"), r.viewer(t, "b"), r.register(t, "c")
	room := id("room")
	a.enter(room)
	b.enter(room, a)
	a.want("ROOM_PEER_JOINED " + b.uid)
	c.send("ROOM " + room)
	c.want("ERROR room '" + room + "' is full")
	r.wantRefused(t, server.RefusedRoomPeers, 1)
	a.wantNothing()
	c.enter(id("room"))
}

func TestMaxMessageBytes(t *testing.T) {
	r := startLimited(t, server.Limits{MaxMessageBytes: 100})
	c := r.register(t, "c")
	c.send(strings.Repeat("x", 100))
	c.wantError()
	c.send(strings.Repeat("x", 101))
	c.wantClose(websocket.CloseMessageTooBig, "message too big")
	r.wantRefused(t, server.RefusedMessageBytes, 1)
}

// TestLongFirstMessage: one that is no HELLO, or has no uid, is answered as such,
// whatever its size.
func TestLongFirstMessage(t *testing.T) {
	r := startLimited(t, server.Limits{})
	for _, test := range []struct {
		says, reason string
	}{
		{"HELLO " + strings.Repeat("ä", 100_000), "invalid peer uid"},
		{"HELLO " + strings.Repeat(" ", 1500) + strings.Repeat("x", 1000), "invalid peer uid"},
		{"HELLX " + strings.Repeat("ä", 100_001), "invalid protocol"},
		{strings.Repeat("x", 1<<20), "invalid protocol"},
	} {
		c := r.dial(t, "/")
		c.send(test.says)
		c.want("ERROR " + test.reason)
		c.wantClose(websocket.CloseProtocolError, test.reason)
	}
	c := r.dial(t, "/")
	c.send(strings.Repeat("x", 1<<20+1))
	c.wantClose(websocket.CloseMessageTooBig, "message too big")
	eventually(t, "each is counted", func() bool {
		n := r.server.Refusals()
		return n[server.RefusedUID] == 2 && n[server.RefusedProtocol] == 2 && n[server.RefusedMessageBytes] == 1
	})
}

// TestUnfinishedMessages: they have no more memory together than there is for all.
func TestUnfinishedMessages(t *testing.T) {
	const inAll, size = 1 << 20, 500 << 10
	r := startLimited(t, server.Limits{QueuedBytesInAll: inAll})
	message := maskedFrame(0x81, make([]byte, size))
	part := len(message) - 1
	a, b, c := r.register(t, "a"), r.register(t, "b"), r.register(t, "c")
	for i, peer := range []*client{a, b} {
		peer.sendRaw(message[:part])
		eventually(t, "what has come is counted", func() bool { return r.server.Drawn() >= int64(i+1)*(size-1-64<<10) })
	}
	c.sendRaw(message[:part])
	c.wantClose(websocket.CloseTryAgainLater, "no memory for the message")
	r.wantRefused(t, server.RefusedQueue, 1)
	if drawn := r.server.Drawn(); drawn > inAll {
		t.Errorf("%d bytes are taken, want at most %d", drawn, inAll)
	}
	b.ws.Close()
	eventually(t, "what came of b is given back", func() bool { return r.server.Drawn() < inAll/2 })
	a.sendRaw(message[part:])
	a.wantError() // the message came, though a is in no room
	if drawn := r.server.Drawn(); drawn != 0 {
		t.Errorf("%d bytes are still taken, want 0", drawn)
	}
}

// TestMessageGrowsWithUID: the sender's uid takes the place of the receiver's,
// who may not be able to take more than the relay does.
func TestMessageGrowsWithUID(t *testing.T) {
	const limit = 2000
	r := startLimited(t, server.Limits{MaxMessageBytes: limit})
	long, short := r.dial(t, "/"), r.register(t, "short")
	long.hello(id(strings.Repeat("x", 1000)))
	room := id("room")
	long.enter(room)
	short.enter(room, long)
	long.want("ROOM_PEER_JOINED " + short.uid)
	fits := limit - len("ROOM_PEER_MSG ") - len(long.uid) - len(" ")
	long.tell(short, strings.Repeat("x", fits))
	short.wantMessage(long, strings.Repeat("x", fits))
	long.tell(short, strings.Repeat("x", fits+1))
	long.wantError()
	r.wantRefused(t, server.RefusedMessageBytes, 1)
	short.tell(long, strings.Repeat("x", fits))
	long.wantMessage(short, strings.Repeat("x", fits))
	short.wantNothing()
}

// TestListIsPaidFor: a list of a great room is long, and easily asked for.
func TestListIsPaidFor(t *testing.T) {
	r := startLimited(t, server.Limits{BytesPerSecond: 1, MaxMessageBytes: 1100})
	room := id("room")
	for i := range 60 {
		member := r.dial(t, "/")
		member.hello(fmt.Sprintf("%s-%d", strings.Repeat("x", 1000), i))
		member.send("ROOM " + room)
	}
	asker := r.register(t, "asker")
	asker.send("ROOM " + room)
	for a := asker.next(); a.err == nil; a = asker.next() {
		_ = asker.ws.WriteMessage(websocket.TextMessage, []byte("ROOM_PEER_LIST")) // the end is on its way
	}
	r.wantRefused(t, server.RefusedByteRate, 1)
}

func TestQueueLimits(t *testing.T) {
	for name, limits := range map[string]server.Limits{
		"messages": {QueuedMessages: 2},
		"bytes":    {QueuedBytes: 100},
	} {
		t.Run(name, func(t *testing.T) {
			r := startLimited(t, limits)
			witness, peer := r.pairWithResumable(t)
			peer.vanish()
			awaitSuspended(t, r, 1)
			for range 2 {
				witness.tell(peer, "x")
			}
			witness.wantNothing()
			witness.tell(peer, strings.Repeat("x", 50))
			witness.want("ROOM_PEER_LEFT " + peer.uid)
			r.wantRefused(t, server.RefusedQueue, 1)
		})
	}
}

func TestMessageRate(t *testing.T) {
	r := startLimited(t, server.Limits{MessagesPerSecond: 0.5}) // 5 at once
	c := r.register(t, "c")
	for range 4 {
		c.wantNothing()
	}
	c.send("one too many")
	c.wantClose(websocket.ClosePolicyViolation, "too many messages")
	r.wantRefused(t, server.RefusedMessageRate, 1)

	d := r.register(t, "d")
	for range 5 {
		d.sendRaw(maskedFrame(0x89, nil))
	}
	d.wantClose(websocket.ClosePolicyViolation, "too many messages")
	r.wantRefused(t, server.RefusedMessageRate, 2)
}

func TestByteRate(t *testing.T) {
	r := startLimited(t, server.Limits{BytesPerSecond: 1})
	c := r.dial(t, "/")
	c.hello("c")
	c.send(strings.Repeat("x", 1<<20-4000)) // one of about the greatest length may always come
	c.wantError()
	c.send(strings.Repeat("x", 8000))
	c.wantClose(websocket.ClosePolicyViolation, "too many bytes")
	r.wantRefused(t, server.RefusedByteRate, 1)
}

func TestTimeToHello(t *testing.T) {
	r := startLimited(t, server.Limits{TimeToHello: 50 * time.Millisecond})
	r.dial(t, "/").wantClose(websocket.ClosePolicyViolation, "no HELLO")
	r.wantRefused(t, server.RefusedHello, 1)
}

func TestTimeToHeaders(t *testing.T) {
	r := startLimited(t, server.Limits{TimeToHeaders: 50 * time.Millisecond})
	for _, part := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\n"} {
		conn := r.connect(t)
		defer conn.Close()
		if _, err := conn.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, conn)
	}
	r.wantRefused(t, server.RefusedHeaders, 2)
	r.connect(t).Close() // goes by itself
	r.register(t, "c").leave()
	r.wantRefused(t, server.RefusedHeaders, 2)
}

func TestRefusedFirstMessages(t *testing.T) {
	r := startLimited(t, server.Limits{})
	c := r.dial(t, "/")
	c.send("HELLO")
	c.want("ERROR invalid peer uid")
	r.wantRefused(t, server.RefusedUID, 1)

	r = startLimited(t, server.Limits{})
	c = r.dial(t, "/")
	c.send("ROOM x")
	c.want("ERROR invalid protocol")
	r.wantRefused(t, server.RefusedProtocol, 1)
	d := r.register(t, "d")
	d.send("\xff")
	d.wantClose(websocket.CloseInvalidFramePayloadData, "")
	r.wantRefused(t, server.RefusedProtocol, 2)
}

func TestRefusedOriginIsCounted(t *testing.T) {
	r := startRelay(t, server.Config{AllowedOrigins: []string{"https://app.example"}}, server.Patience{})
	r.dialRefused(t, "/ws", http.Header{"Origin": {"https://elsewhere.example"}}, http.StatusForbidden, "origin")
	r.wantRefused(t, server.RefusedOrigin, 1)
}

func TestLimitsAreChecked(t *testing.T) {
	for _, limits := range []server.Limits{
		{MaxConnections: -1}, {MaxConnectionsPerAddress: -1}, {MaxRooms: -1}, {MaxRoomPeers: -1}, {MaxMessageBytes: -1},
		{QueuedMessages: -1}, {QueuedBytes: -1}, {QueuedBytesInAll: -1}, {MessagesPerSecond: -1}, {BytesPerSecond: -1}, {TimeToHeaders: -1}, {TimeToHello: -1},
	} {
		if _, err := server.New(server.Config{Limits: limits}); !errors.Is(err, server.ErrConfig) {
			t.Errorf("New(%+v): %v, want ErrConfig", limits, err)
		}
	}
}

// TestEndlessMessageIsPaidFor: a message that has no end costs what it takes,
// even if its fragments are empty.
func TestEndlessMessageIsPaidFor(t *testing.T) {
	r := startLimited(t, server.Limits{BytesPerSecond: 1, MaxMessageBytes: 1000})
	c := r.dial(t, "/")
	c.hello("c")
	c.sendRaw(maskedFrame(0x01, nil))
	var fragments []byte
	for range 200_000 { // more than one may ever save up
		fragments = append(fragments, maskedFrame(0x00, nil)...)
	}
	c.sendRaw(fragments)
	c.wantClose(websocket.ClosePolicyViolation, "too many bytes")
	r.wantRefused(t, server.RefusedByteRate, 1)
}

// TestRoomOfLongNames: the list of a room's members stays one that can be sent.
func TestRoomOfLongNames(t *testing.T) {
	r := startLimited(t, server.Limits{})
	room := id("room")
	const fit = 256
	for i := range fit {
		c := r.dial(t, "/")
		c.hello(fmt.Sprintf("%04d%s", i, strings.Repeat("x", 1020)))
		c.send("ROOM " + room)
		if answer := c.next().text; !strings.HasPrefix(answer, "ROOM_OK ") {
			t.Fatalf("member %d: got %.80q, want ROOM_OK", i, answer)
		}
	}
	late := r.register(t, "late")
	late.send("ROOM " + room)
	late.want("ERROR room '" + room + "' is full")
}

// TestViewersHaveNoSessions: who only receives cannot call, nor be called out of
// the room that it is about to join.
func TestViewersHaveNoSessions(t *testing.T) {
	r := startLimited(t, server.Limits{})
	peer, viewer := r.register(t, "peer"), r.viewer(t, "viewer")
	viewer.send("SESSION " + peer.uid)
	viewer.wantError()
	peer.send("SESSION " + viewer.uid)
	peer.wantError()
	viewer.enter(id("room"))
}
