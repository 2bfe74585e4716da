package server_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
)

func testHello(t *testing.T, r *relay) {
	for _, hello := range []string{
		"HELLO " + id("plain"),
		"HELLO  " + id("gap"),
		"HELLO\t" + id("tab"),
		"HELLO \u00e4\u4e16\U0001f600" + id("unicode"),
		"HELLO " + id("'quoted'"),
		"HELLO " + (id("longest") + strings.Repeat("x", 1024))[:1024],
	} {
		c := r.dial(t, "/")
		c.send(hello)
		c.want("HELLO")
	}
}

func testInvalidUIDs(t *testing.T, r *relay) {
	for _, hello := range []string{
		"HELLO", "HELLO ", "HELLO \t\n", "HELLO a b", "HELLO a ", "HELLO a\n", "HELLO a\u00a0b", "HELLO a\u2003", "HELLO a\u0085b",
		"HELLO " + strings.Repeat("x", 1025),
	} {
		c := r.dial(t, "/")
		c.send(hello)
		c.want("ERROR invalid peer uid")
		c.wantClose(websocket.CloseProtocolError, "invalid peer uid")
	}
}

func testHelloFirst(t *testing.T, r *relay) {
	for _, first := range []string{"", "HELLOX a", "hello a", "SESSION a", "ROOM a", " ", "ERROR", "HELLO_ a"} {
		c := r.dial(t, "/")
		c.send(first)
		c.want("ERROR invalid protocol")
		c.wantClose(websocket.CloseProtocolError, "invalid protocol")
	}
	c := r.dial(t, "/")
	c.sendBinary("HELLO " + id("binary"))
	c.want("ERROR invalid protocol")
	c.wantClose(websocket.CloseProtocolError, "invalid protocol")
}

func testTakenUID(t *testing.T, r *relay) {
	holder := r.register(t, "holder")
	for range 2 {
		c := r.dial(t, "/")
		c.send("HELLO " + holder.uid)
		c.want("ERROR invalid peer uid")
		c.wantClose(websocket.CloseProtocolError, "invalid peer uid")
	}
	holder.wantNothing()
	other := r.dial(t, "/")
	other.hello(strings.ToUpper(holder.uid)) // case counts
}

func testAtomicHello(t *testing.T, r *relay) {
	uid := id("wanted")
	const clients = 8
	var wait sync.WaitGroup
	answers := make(chan string, clients)
	for range clients {
		c := r.dial(t, "/")
		wait.Go(func() {
			if err := c.ws.WriteMessage(websocket.TextMessage, []byte("HELLO "+uid)); err != nil {
				t.Error(err)
			}
			a := <-c.came
			answers <- a.text
		})
	}
	wait.Wait()
	count := map[string]int{}
	for range clients {
		count[<-answers]++
	}
	if count["HELLO"] != 1 || count["ERROR invalid peer uid"] != clients-1 {
		t.Errorf("answers %v, want exactly one HELLO", count)
	}
}

func testFreeAtClose(t *testing.T, r *relay) {
	uid := id("returning")
	for range 20 {
		c := r.dial(t, "/")
		c.hello(uid)
		c.leave()
	}
	// A peer that is told to go by its partner's end is free to return as well.
	for range 10 {
		a := r.dial(t, "/")
		a.hello(uid)
		b := r.register(t, "partner")
		b.send("SESSION " + a.uid)
		b.want("SESSION_OK")
		b.leave()
		a.wantClose(websocket.CloseNormalClosure, "")
	}
}

func testFreeAtEnd(t *testing.T, r *relay) {
	uid := id("vanishing")
	for range 5 {
		c := r.dial(t, "/")
		c.hello(uid)
		c.ws.Close() // no close frame
	}
}

func testHelloTwice(t *testing.T, r *relay) {
	c := r.register(t, "twice")
	c.send("HELLO " + id("other"))
	c.wantError()
	c.wantNothing()
}

func testHalfOpen(t *testing.T, r *relay) {
	uid := id("reloaded")
	room := id("room")
	witness := r.register(t, "witness")
	witness.enter(room)

	old := r.dialDeaf(t, "/", nil) // answers no ping
	old.send("HELLO " + uid)
	old.send("ROOM " + room)
	witness.want("ROOM_PEER_JOINED " + uid)

	young := r.dial(t, "/")
	young.hello(uid)
	witness.want("ROOM_PEER_LEFT " + uid)
	young.enter(room, witness)
	witness.want("ROOM_PEER_JOINED " + uid)

	old.ws.Close() // the late end of the old connection changes nothing
	young.wantNothing()
	witness.send("ROOM_PEER_MSG " + uid + " still there?")
	young.want("ROOM_PEER_MSG " + witness.uid + " still there?")
	witness.wantNothing()
}
