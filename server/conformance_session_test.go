package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// session connects two clients in a session, the caller first.
func (r *relay) session(t *testing.T) (caller, callee *client) {
	t.Helper()
	caller, callee = r.register(t, "caller"), r.register(t, "callee")
	caller.send("SESSION " + callee.uid)
	caller.want("SESSION_OK")
	return caller, callee
}

func testSession(t *testing.T, r *relay) {
	a, b := r.session(t)
	texts := []string{
		`{"sdp": {"type": "offer"}}`, "SESSION " + b.uid, "ROOM r", "ROOM_PEER_MSG x y", "HELLO z", "OFFER_REQUEST", "ERROR no",
		"", " leading", "trailing ", "two\nlines", "\x00\u00e4", strings.Repeat("long ", 20_000),
	}
	for i := range 200 {
		texts = append(texts, fmt.Sprint(i))
	}
	for _, text := range texts {
		a.send(text)
	}
	for _, text := range texts {
		b.want(text) // and SESSION_OK was not for it
		b.send(text)
		a.want(text)
	}
	a.sendBinary("\xff\x00 bytes")
	b.wantBinary("\xff\x00 bytes")
	b.sendBinary("")
	a.wantBinary("")
}

func testSessionRefusals(t *testing.T, r *relay) {
	busy, _ := r.session(t)
	member := r.register(t, "member")
	member.enter(id("room"))
	c := r.register(t, "c")
	nobody := id("nobody")
	for command, answer := range map[string]string{
		"SESSION " + nobody:     "ERROR peer '" + nobody + "' not found",
		"SESSION " + busy.uid:   "ERROR peer '" + busy.uid + "' busy",
		"SESSION " + member.uid: "ERROR peer '" + member.uid + "' busy",
		"SESSION " + c.uid:      "ERROR peer '" + c.uid + "' is yourself",
		"SESSION":               "ERROR usage: SESSION <uid>",
		"SESSION ":              "ERROR usage: SESSION <uid>",
		"SESSION a b":           "ERROR peer 'a b' not found",
	} {
		c.send(command)
		c.want(answer)
	}
	d := r.register(t, "d")
	d.send("SESSION " + c.uid)
	d.want("SESSION_OK")
}

func testSessionEnd(t *testing.T, r *relay) {
	for _, end := range []struct {
		name string
		end  func(*client)
	}{
		{"close frame", (*client).leave},
		{"end of TCP", func(c *client) { c.ws.Close() }},
	} {
		for _, callerEnds := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, caller %v", end.name, callerEnds), func(t *testing.T) {
				first, second := r.session(t)
				if !callerEnds {
					first, second = second, first
				}
				for i := range 100 {
					first.send(fmt.Sprint("before the end ", i))
				}
				end.end(first)
				for i := range 100 {
					second.want(fmt.Sprint("before the end ", i))
				}
				second.wantClose(websocket.CloseNormalClosure, "")
			})
		}
	}
}

func testExactVerbs(t *testing.T, r *relay) {
	a, b := r.register(t, "a"), r.register(t, "b")
	for _, command := range []string{"SESSIONX " + b.uid, "SESSION_OK " + b.uid, "session " + b.uid, "SESSION" + b.uid} {
		a.send(command)
		a.wantError()
	}
	b.wantNothing()
}
