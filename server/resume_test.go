package server_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

const secret = "0123456789abcdef"

// resumable is register, for a peer that means to come back.
func (r *relay) resumable(t *testing.T, name string) *client {
	t.Helper()
	c := r.dial(t, "/?resume="+secret)
	c.hello(id(name))
	return c
}

// comeBack takes the place of c by a new connection, without counting.
func (r *relay) comeBack(t *testing.T, c *client) *client {
	t.Helper()
	again := r.dial(t, "/?resume="+secret)
	again.hello(c.uid)
	return again
}

// comeBackCounting is comeBack, with the number of messages that c has received.
func (r *relay) comeBackCounting(t *testing.T, c *client, received, relayHas int) *client {
	t.Helper()
	again := r.dial(t, fmt.Sprintf("/?resume=%s&received=%d", secret, received))
	again.uid = c.uid
	again.send("HELLO " + c.uid)
	again.want(signalling.HelloResumed(uint64(relayHas)))
	return again
}

// vanish ends the connection without a close frame.
func (c *client) vanish() {
	c.ws.Close()
}

// wantMessage asserts that the next message is this text of a member of the room.
func (c *client) wantMessage(from *client, text string) {
	c.t.Helper()
	c.want("ROOM_PEER_MSG " + from.uid + " " + text)
}

func (c *client) tell(to *client, text string) {
	c.t.Helper()
	c.send("ROOM_PEER_MSG " + to.uid + " " + text)
}

// pairWithResumable puts a witness and a peer that can come back into a room.
func (r *relay) pairWithResumable(t *testing.T) (witness, peer *client) {
	t.Helper()
	room := id("room")
	witness = r.register(t, "witness")
	witness.enter(room)
	peer = r.resumable(t, "peer")
	peer.enter(room, witness)
	witness.want("ROOM_PEER_JOINED " + peer.uid)
	return witness, peer
}

func TestResumeInRoom(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	witness, peer := r.pairWithResumable(t)
	for range 3 {
		peer.vanish()
		awaitSuspended(t, r, 1)
		witness.tell(peer, "one")
		witness.tell(peer, "two")
		witness.wantNothing() // no LEFT, and the answer says that both are queued
		peer = r.comeBack(t, peer)
		peer.wantMessage(witness, "one")
		peer.wantMessage(witness, "two")
		peer.tell(witness, "back")
		witness.wantMessage(peer, "back") // no JOINED before it
		peer.send("ROOM_PEER_LIST")
		peer.wantMembers("ROOM_PEER_LIST ", witness)
	}
	peer.leave()
	witness.want("ROOM_PEER_LEFT " + peer.uid)
	witness.wantNothing()
}

// awaitSuspended waits until so many peers have lost their connection.
func awaitSuspended(t *testing.T, r *relay, n int) {
	t.Helper()
	eventually(t, "a broken connection is noticed", func() bool { return r.server.Suspended() == n })
}

// TestPeerAwayIsNoConnection: what is counted as a connection has one.
func TestPeerAwayIsNoConnection(t *testing.T) {
	r := startRelay(t, server.Config{ResumeGrace: time.Hour}, server.Patience{})
	r.register(t, "there")
	r.resumable(t, "away").vanish()
	awaitSuspended(t, r, 1)
	eventually(t, "one WebSocket is left", func() bool { return r.server.Stats().Connections == 1 })
	if stats := r.server.Stats(); stats.Peers != 2 {
		t.Errorf("%+v, want the peer to keep its place", stats)
	}
}

func TestResumeInSession(t *testing.T) {
	const grace = 200 * time.Millisecond
	r := startRelay(t, server.Config{ResumeGrace: grace}, server.Patience{})
	a, b := r.register(t, "a"), r.resumable(t, "b")
	a.send("SESSION " + b.uid)
	a.want("SESSION_OK")
	b.send("ROOM x") // a text of the session, as anything is
	a.want("ROOM x")
	b.vanish()
	b = r.comeBack(t, b)
	b.send("SESSION x")
	a.want("SESSION x")
	a.sendBinary("\x00")
	b.wantBinary("\x00")
	vanished := time.Now()
	b.vanish()
	a.wantClose(websocket.CloseNormalClosure, "")
	if waited := time.Since(vanished); waited < grace {
		t.Errorf("a is closed after %v, want %v", waited, grace)
	}
	r.dial(t, "/").hello(b.uid)
}

// TestResumeCounting has a connection die with messages under way in both
// directions, of which the relay cannot know.
func TestResumeCounting(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{Takeover: time.Hour})
	witness, peer := r.pairWithResumable(t)
	for _, text := range []string{"one", "two", "three"} {
		witness.tell(peer, text)
		peer.wantMessage(witness, text)
	}
	// It has ROOM_OK and "one", it says, and it said one thing. Its connection
	// is half open, as far as the relay knows.
	again := r.comeBackCounting(t, peer, 2, 1)
	again.wantMessage(witness, "two")
	again.wantMessage(witness, "three")
	peer.wantClose(websocket.ClosePolicyViolation, "resumed by another connection")
	again.tell(witness, "here")
	witness.wantMessage(peer, "here")

	last := r.comeBackCounting(t, again, 4, 2)
	last.wantNothing()
	witness.wantNothing()
}

// TestResumeInVain has a peer come back without what it would need: that is a
// new registration, and the others hear of it.
func TestResumeInVain(t *testing.T) {
	for name, query := range map[string]string{
		"more than it was sent": "received=9",
		"another role":          "role=viewer",
	} {
		t.Run(name, func(t *testing.T) {
			r := startRelay(t, server.Config{}, server.Patience{Takeover: time.Hour})
			witness, peer := r.pairWithResumable(t)
			again := r.dial(t, "/?resume="+secret+"&"+query)
			again.hello(peer.uid)
			witness.want("ROOM_PEER_LEFT " + peer.uid)
			again.wantNothing() // it is in no room: there, this has another answer
			again.enter(id("room"))
			peer.wantClose(websocket.ClosePolicyViolation, "")
		})
	}
}

func TestNoResume(t *testing.T) {
	for name, c := range map[string]struct {
		config server.Config
		query  string
	}{
		"short secret": {server.Config{}, "?resume=" + secret[1:]},
		"turned off":   {server.Config{ResumeGrace: -1}, "?resume=" + secret},
	} {
		t.Run(name, func(t *testing.T) {
			r := startRelay(t, c.config, server.Patience{})
			room := id("room")
			witness := r.register(t, "witness")
			witness.enter(room)
			peer := r.dial(t, "/"+c.query)
			peer.hello(id("peer"))
			peer.enter(room, witness)
			witness.want("ROOM_PEER_JOINED " + peer.uid)
			peer.vanish()
			witness.want("ROOM_PEER_LEFT " + peer.uid)
		})
	}
}

func TestCloseFrameEndsPlaceAtOnce(t *testing.T) {
	r := startRelay(t, server.Config{ResumeGrace: time.Hour}, server.Patience{})
	for _, code := range []int{websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived, 4000} {
		witness, peer := r.pairWithResumable(t)
		goodbye := websocket.FormatCloseMessage(code, "")
		if err := peer.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		peer.vanish()
		witness.want("ROOM_PEER_LEFT " + peer.uid)
	}
}

func TestFaultEndsPlaceAtOnce(t *testing.T) {
	r := startRelay(t, server.Config{ResumeGrace: time.Hour}, server.Patience{})
	witness, peer := r.pairWithResumable(t)
	peer.sendRaw(maskedFrame(0xc1, []byte("x")))
	peer.wantClose(websocket.CloseProtocolError, "")
	witness.want("ROOM_PEER_LEFT " + peer.uid)
}

func TestSilenceKeepsPlace(t *testing.T) {
	r := startRelay(t, server.Config{Keepalive: 100 * time.Millisecond, ResumeGrace: time.Hour}, server.Patience{})
	peer := r.dialDeaf(t, "/?resume="+secret, nil)
	peer.uid = id("asleep")
	peer.send("HELLO " + peer.uid)
	awaitSuspended(t, r, 1)
	again := r.comeBackCounting(t, peer, 0, 0)
	again.wantNothing()
}

// TestStrangerWaits has somebody without the secret want the uid of a peer that
// is away: it gets that, as from any connection that does not answer, unless the
// peer comes back first.
func TestStrangerWaits(t *testing.T) {
	r := startRelay(t, server.Config{ResumeGrace: time.Hour}, server.Patience{Takeover: 500 * time.Millisecond})
	witness, peer := r.pairWithResumable(t)
	peer.vanish()
	awaitSuspended(t, r, 1)
	stranger := r.dial(t, "/?resume="+strings.ToUpper(secret))
	stranger.send("HELLO " + peer.uid)
	peer = r.comeBack(t, peer)
	stranger.want("ERROR invalid peer uid")
	witness.wantNothing()

	peer.vanish()
	awaitSuspended(t, r, 1)
	reloaded := r.dial(t, "/")
	reloaded.hello(peer.uid)
	witness.want("ROOM_PEER_LEFT " + peer.uid)
	reloaded.wantNothing()
}

func TestCloseWaitsForNobodyAway(t *testing.T) {
	r := startRelay(t, server.Config{ResumeGrace: time.Hour}, server.Patience{})
	_, peer := r.pairWithResumable(t)
	peer.vanish()
	awaitSuspended(t, r, 1)
	r.server.Close() // or the test would time out
	if peers, rooms := r.server.Population(); peers != 0 || rooms != 0 {
		t.Errorf("%d peers and %d rooms are left", peers, rooms)
	}
}

// TestResumersAtOnce has a peer come back by several connections at a time. Each
// takes over from another, and the place is never lost.
func TestResumersAtOnce(t *testing.T) {
	r := startRelay(t, server.Config{ResumeGrace: time.Hour}, server.Patience{Takeover: time.Hour})
	witness, peer := r.pairWithResumable(t)
	for round := range rounds(20, 200) {
		if round%2 == 0 {
			peer.vanish()
		}
		again := make([]*client, 4)
		for i := range again {
			again[i] = r.dial(t, "/?resume="+secret)
			again[i].uid = peer.uid
		}
		peer = theLast(t, again)
		witness.tell(peer, "who is it?")
		peer.wantMessage(witness, "who is it?")
		witness.wantNothing()
	}
}

// theLast has the clients say HELLO, and gives the one that is left in the end.
func theLast(t *testing.T, clients []*client) *client {
	t.Helper()
	replaced := make(chan *client, len(clients))
	settled := make(chan struct{})
	var wait sync.WaitGroup
	for _, c := range clients {
		wait.Go(func() {
			if err := c.ws.WriteMessage(websocket.TextMessage, []byte("HELLO "+c.uid)); err != nil {
				t.Error(err)
			}
			a := <-c.came
			if a.err == nil && a.text == "HELLO" {
				select {
				case a = <-c.came:
				case <-settled:
					return
				}
			}
			if !websocket.IsCloseError(a.err, websocket.ClosePolicyViolation) {
				t.Errorf("got %s, want 1008", a)
			}
			replaced <- c
		})
	}
	out := map[*client]bool{}
	for range len(clients) - 1 {
		out[<-replaced] = true
	}
	close(settled)
	wait.Wait()
	for _, c := range clients {
		if !out[c] {
			return c
		}
	}
	t.Fatal("nobody is left")
	return nil
}

// rounds is how often a race is run: more when there is time.
func rounds(short, long int) int {
	if longTests() {
		return long
	}
	return short
}

// TestResumeAtEndOfGrace has a peer come back just when its time ends: it is
// resumed and nobody hears of it, or it has left and everybody hears that.
func TestResumeAtEndOfGrace(t *testing.T) {
	const grace = 20 * time.Millisecond
	r := startRelay(t, server.Config{ResumeGrace: grace}, server.Patience{})
	witness, peer := r.pairWithResumable(t)
	outcomes := map[bool]int{}
	for range rounds(20, 300) {
		again := r.dial(t, "/?resume="+secret+"&received=1")
		again.uid = peer.uid
		vanished := time.Now()
		peer.vanish()
		time.Sleep(time.Until(vanished.Add(grace - 2*time.Millisecond + rand.N(4*time.Millisecond))))
		again.send("HELLO " + peer.uid)
		resumed := again.next().text == signalling.HelloResumed(1)
		outcomes[resumed]++
		if resumed {
			again.tell(witness, "back")
			witness.wantMessage(peer, "back")
			again.leave()
		}
		witness.want("ROOM_PEER_LEFT " + peer.uid)
		witness.wantNothing()
		if !resumed {
			again.leave()
		}
		peer = r.dial(t, "/?resume="+secret)
		peer.hello(again.uid)
		peer.send("ROOM " + witness.room)
		peer.wantMembers("ROOM_OK ", witness)
		witness.want("ROOM_PEER_JOINED " + peer.uid)
	}
	t.Logf("resumed or not: %v", outcomes)
}

// TestResumeLosesNothing has two peers exchange numbered messages while one of
// them loses its connection again and again, at any point. With both sides
// counting, each message arrives once and in order.
func TestResumeLosesNothing(t *testing.T) {
	// What waits while b is away must find place.
	r := startRelay(t, server.Config{ResumeGrace: time.Hour, Limits: server.Limits{QueuedMessages: 1 << 20}}, server.Patience{Takeover: time.Hour})
	a, b := r.register(t, "a"), &fallible{t: t, relay: r, uid: id("b"), messages: rounds(2000, 20000)}
	b.connect("HELLO")
	a.send("SESSION " + b.uid)
	a.want("SESSION_OK")
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := range b.messages {
			if err := a.ws.WriteMessage(websocket.TextMessage, fmt.Append(nil, i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wait.Go(b.exchange)
	for i := range b.messages {
		a.want(fmt.Sprint(i))
	}
	wait.Wait()
}

// fallible is a peer whose connections break.
type fallible struct {
	t              *testing.T
	relay          *relay
	uid            string
	messages       int // to send, and to receive
	sent, received int
	ws             *websocket.Conn
}

func (f *fallible) exchange() {
	for f.sent < f.messages || f.received < f.messages {
		for range 1 + rand.IntN(200) {
			if f.sent < f.messages {
				if err := f.ws.WriteMessage(websocket.TextMessage, fmt.Append(nil, f.sent)); err != nil {
					f.t.Error(err)
					return
				}
				f.sent++
			}
			if f.received < f.messages && !f.read(fmt.Sprint(f.received)) {
				return
			}
		}
		if rand.IntN(2) == 0 { // or leave it half open
			f.ws.Close()
		}
		if !f.connect("HELLO resumed ") {
			return
		}
	}
}

// read reports false when it has failed the test.
func (f *fallible) read(want string) bool {
	_, message, err := f.ws.ReadMessage()
	if err != nil || string(message) != want {
		f.t.Errorf("got %q, %v; want %q", message, err, want)
		return false
	}
	f.received++
	return true
}

func (f *fallible) connect(want string) bool {
	f.ws = f.relay.dialDeaf(f.t, fmt.Sprintf("/?resume=%s&received=%d", secret, f.received), nil).ws
	if err := f.ws.WriteMessage(websocket.TextMessage, []byte("HELLO "+f.uid)); err != nil {
		f.t.Error(err)
		return false
	}
	_, message, err := f.ws.ReadMessage()
	received, ok := strings.CutPrefix(string(message), want)
	if err != nil || !ok {
		f.t.Errorf("got %q, %v; want %q", message, err, want)
		return false
	}
	if received != "" {
		f.sent, err = strconv.Atoi(received)
	}
	return err == nil
}
