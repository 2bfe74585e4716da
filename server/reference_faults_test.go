package server_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/internal/proctest"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

// What follows are the faults of the reference server that this relay must not
// have, each under its name.

func TestListInRoomKeepsCallerConnected(t *testing.T) {
	r := relayUnderTest(t)
	a, b := r.pairInRoom(t)
	a.send("ROOM_PEER_LIST")
	a.want("ROOM_PEER_LIST " + b.uid)
	a.wantNothing()
	b.wantNothing()
}

func TestMissingArgumentKeepsPeerConnected(t *testing.T) {
	r := relayUnderTest(t)
	c := r.register(t, "c")
	for _, command := range []string{"SESSION", "ROOM", "ROOM_PEER_MSG", "ROOM_PEER_MSG x"} {
		c.send(command)
		c.wantError()
	}
	c.enter(id("room"))
	for _, command := range []string{"ROOM_PEER_MSG", "ROOM_PEER_MSG x"} {
		c.send(command)
		c.wantError()
	}
	c.wantNothing()
}

func TestRoomPeerMsgOutsideRoomCreatesNoRoom(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	c := r.register(t, "c")
	for _, command := range []string{"ROOM_PEER_MSG x", "ROOM_PEER_MSG x y", "ROOMx", "ROOM_PEER_LIST x"} {
		c.send(command)
		c.wantError()
	}
	if _, rooms := r.server.Population(); rooms != 0 {
		t.Errorf("%d rooms exist, want none", rooms)
	}
}

func TestMembersDroppingTogether(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	room := id("room")
	witnesses := []*client{r.register(t, "witness"), r.register(t, "witness"), r.register(t, "witness")}
	for i, w := range witnesses {
		w.enter(room, witnesses[:i]...)
		for _, earlier := range witnesses[:i] {
			earlier.want("ROOM_PEER_JOINED " + w.uid)
		}
	}
	uids := make([]string, 25)
	for i := range uids {
		uids[i] = id("dropping")
	}
	for range rounds(10, 100) {
		dropping := make([]*client, len(uids))
		for i, uid := range uids { // the same ones each time: none is left behind
			dropping[i] = r.dial(t, "/")
			dropping[i].hello(uid)
			dropping[i].send("ROOM " + room)
			for _, w := range witnesses {
				w.want("ROOM_PEER_JOINED " + uid)
			}
		}
		dropTogether(dropping)
		for _, w := range witnesses {
			w.wantEachLeft(uids)
			w.wantNothing()
		}
		if peers, _ := r.server.Population(); peers != len(witnesses) {
			t.Fatalf("%d peers are registered, want %d", peers, len(witnesses))
		}
	}
}

// dropTogether ends connections at once. Some say goodbye.
func dropTogether(clients []*client) {
	var wait sync.WaitGroup
	for i, c := range clients {
		wait.Go(func() {
			if i%2 == 0 {
				goodbye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
				_ = c.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(patience))
			}
			c.ws.Close()
		})
	}
	wait.Wait()
}

// wantEachLeft asserts that one LEFT of each comes next, in any order.
func (c *client) wantEachLeft(uids []string) {
	c.t.Helper()
	left := map[string]int{}
	for range uids {
		uid, ok := strings.CutPrefix(c.next().text, "ROOM_PEER_LEFT ")
		if !ok {
			c.t.Fatal("want ROOM_PEER_LEFT only")
		}
		left[uid]++
	}
	for _, uid := range uids {
		if left[uid] != 1 {
			c.t.Errorf("%d LEFT of %s, want 1", left[uid], uid)
		}
	}
}

func TestMemberThatDoesNotReadHoldsUpNobody(t *testing.T) {
	r := startRelay(t, server.Config{Limits: server.Limits{QueuedBytes: 1 << 20}}, server.Patience{Closing: time.Second})
	a, b, deaf := r.roomWithDeaf(t)
	left := "ROOM_PEER_LEFT " + deaf.uid
	r.floodUntil(t, a, deaf, b, left)
	a.wantAfterErrors(left)
	b.wantNothing()
	r.dial(t, "/").hello(deaf.uid)
	a.leave()
	b.want("ROOM_PEER_LEFT " + a.uid)
}

func TestSlowConsumerIsTold(t *testing.T) {
	r := startRelay(t, server.Config{Limits: server.Limits{QueuedBytes: 1 << 20}}, server.Patience{})
	a, b, deaf := r.roomWithDeaf(t)
	r.floodUntil(t, a, deaf, b, "ROOM_PEER_LEFT "+deaf.uid)
	deaf.listen()
	for i := 0; ; i++ { // what reaches it has no hole
		got := deaf.next()
		if got.err != nil {
			var closed *websocket.CloseError
			if !errors.As(got.err, &closed) || closed.Code != websocket.ClosePolicyViolation || closed.Text != "slow consumer" {
				t.Fatalf("got %v, want 1008 slow consumer", got.err)
			}
			return
		}
		switch {
		case got.text == "HELLO", strings.HasPrefix(got.text, "ROOM_OK "):
			i--
		case !strings.HasPrefix(got.text, fmt.Sprintf("ROOM_PEER_MSG %s %d ", a.uid, i)):
			t.Fatalf("got %s, want message %d", got, i)
		}
	}
}

// roomWithDeaf makes a room of two clients and one that never reads.
func (r *relay) roomWithDeaf(t *testing.T) (a, b, deaf *client) {
	t.Helper()
	room := id("room")
	a, b = r.register(t, "a"), r.register(t, "b")
	a.enter(room)
	b.enter(room, a)
	a.want("ROOM_PEER_JOINED " + b.uid)
	deaf = r.dialDeaf(t, "/", nil)
	deaf.uid = id("deaf")
	deaf.send("HELLO " + deaf.uid)
	deaf.send("ROOM " + room)
	a.want("ROOM_PEER_JOINED " + deaf.uid)
	b.want("ROOM_PEER_JOINED " + deaf.uid)
	return a, b, deaf
}

// floodUntil has from send to the deaf one, and to the witness after each
// message, until the witness is told of the end. The witness must get all.
func (r *relay) floodUntil(t *testing.T, from, deaf, witness *client, end string) {
	t.Helper()
	filler := strings.Repeat("x", 256<<10)
	for i := range 200 { // the kernel takes some megabytes before the queue fills
		from.send(fmt.Sprintf("ROOM_PEER_MSG %s %d %s", deaf.uid, i, filler))
		from.send(fmt.Sprintf("ROOM_PEER_MSG %s %d", witness.uid, i))
		got := witness.next()
		if got.text == end {
			witness.want(fmt.Sprintf("ROOM_PEER_MSG %s %d", from.uid, i))
			return
		}
		if want := fmt.Sprintf("ROOM_PEER_MSG %s %d", from.uid, i); got.text != want {
			t.Fatalf("witness got %s, want %q", got, want)
		}
	}
	t.Fatal("50 MiB wait for a peer that does not read")
}

// wantAfterErrors is want, past any number of ERROR replies.
func (c *client) wantAfterErrors(text string) {
	c.t.Helper()
	for {
		switch a := c.next(); {
		case a.text == text:
			return
		case !strings.HasPrefix(a.text, "ERROR "):
			c.t.Fatalf("%s: got %s, want %q", c.uid, a, text)
		}
	}
}

func TestRoomIsDeletedWithLastMember(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{})
	a, b := r.pairInRoom(t)
	a.leave()
	b.want("ROOM_PEER_LEFT " + a.uid)
	if peers, rooms := r.server.Population(); peers != 1 || rooms != 1 {
		t.Errorf("%d peers in %d rooms, want 1 in 1", peers, rooms)
	}
	b.leave()
	if peers, rooms := r.server.Population(); peers != 0 || rooms != 0 {
		t.Errorf("%d peers in %d rooms, want none", peers, rooms)
	}
}

func TestLateEndOfOldConnectionLeavesSuccessorAlone(t *testing.T) {
	r := startRelay(t, server.Config{}, server.Patience{Takeover: 50 * time.Millisecond, Closing: 100 * time.Millisecond})
	testHalfOpen(t, r)
}

func TestSessionWithOneselfIsRefused(t *testing.T) {
	r := relayUnderTest(t)
	c := r.register(t, "narcissus")
	c.send("SESSION " + c.uid)
	c.want("ERROR peer '" + c.uid + "' is yourself")
	c.enter(id("room")) // it is in no session
}

func TestLeadingWhiteSpaceOfRoomMessageIsKept(t *testing.T) {
	r := relayUnderTest(t)
	a, b := r.pairInRoom(t)
	a.send("ROOM_PEER_MSG " + b.uid + "   \n three spaces and a line")
	b.want("ROOM_PEER_MSG " + a.uid + "   \n three spaces and a line")
}

func TestLogHoldsNoPayload(t *testing.T) {
	var log proctest.Output
	config := server.Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	r := startRelay(t, config, server.Patience{})
	const secret = "a=ice-pwd:secret"
	a, b := r.session(t)
	a.send(secret)
	b.want(secret)
	a.leave()
	b.wantClose(websocket.CloseNormalClosure, "")
	c, d := r.pairInRoom(t)
	c.send("ROOM_PEER_MSG " + d.uid + " " + secret)
	d.want("ROOM_PEER_MSG " + c.uid + " " + secret)
	c.send("ROOM_PEER_MSG " + id("nobody") + " " + secret)
	c.wantError()
	c.send(secret)
	c.wantError()
	c.leave()
	d.want("ROOM_PEER_LEFT " + c.uid)
	e := r.register(t, "e")
	e.send(secret)
	e.wantError()
	description := `{"sdp":{"type":"offer","sdp":"` + secret + ` ` + strings.Repeat("é", 100_000) + `"}}`
	for _, misplaced := range []string{
		"SESSION nobody " + description, "SESSION " + description, "ROOM " + description, "ROOM lab " + description,
		"ROOM_PEER_MSG nobody " + description, "ROOM_PEER_LIST " + description, "SESSION_OK " + description, "HELLO " + description,
	} {
		e.send(misplaced)
		if a := e.next(); !strings.HasPrefix(a.text, "ERROR ") || len(a.text) > signalling.MaxID+100 || !utf8.ValidString(a.text) {
			t.Errorf("%s is answered by %s, want a short ERROR", abridge(misplaced), a)
		}
	}
	e.enter(id("room"))
	e.send("ROOM_PEER_MSG " + description)
	if a := e.next(); !strings.HasPrefix(a.text, "ERROR ") || len(a.text) > signalling.MaxID+100 {
		t.Errorf("a text to nobody is answered by %s, want a short ERROR", a)
	}
	f := r.dial(t, "/")
	f.send("HELLO f " + secret)
	f.wantError()
	r.server.Close()
	if text := log.String(); strings.Contains(text, "secret") || !strings.Contains(text, a.uid) {
		t.Errorf("the log wants uids and no payload:\n%s", text)
	}
}

func TestMessageToClosingMemberHarmsNobody(t *testing.T) {
	r := relayUnderTest(t)
	a, b := r.pairInRoom(t)
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := b.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for range 50 { // while b closes, and after
		a.send("ROOM_PEER_MSG " + b.uid + " are you there?")
	}
	// How many of them b still got does not show; those that it did not get are
	// answered. a is still a member afterwards.
	a.wantAfterErrors("ROOM_PEER_LEFT " + b.uid)
	a.send("ROOM_PEER_LIST")
	a.wantAfterErrors("ROOM_PEER_LIST ")
}

func TestQuickReconnectIsNotThrownOut(t *testing.T) {
	r := relayUnderTest(t)
	room := id("room")
	witness := r.register(t, "witness")
	witness.enter(room)
	uid := id("quick")
	for i := range 20 {
		c := r.dial(t, "/")
		c.hello(uid)
		c.enter(room, witness)
		witness.want("ROOM_PEER_JOINED " + uid)
		if i%2 == 0 {
			c.leave()
		} else {
			c.ws.Close()
		}
		witness.want("ROOM_PEER_LEFT " + uid)
	}
	last := r.dial(t, "/")
	last.hello(uid)
	last.wantNothing()
}
