package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// conformance holds the protocol, line by line. GSTPEER_RELAY_URL runs it
// against any relay.
var conformance = []struct {
	name string
	run  func(*testing.T, *relay)
}{
	{"transport: both paths, any query", testPaths},
	{"transport: any origin", testOrigins},
	{"transport: a message of 1 MiB passes", testLargestMessage},
	{"transport: a longer one closes with 1009", testTooBig},
	{"transport: invalid UTF-8 closes with 1007", testInvalidUTF8},
	{"transport: protocol violations close with 1002", testViolations},
	{"transport: fragments make one message", testFragments},
	{"transport: a ping is answered", testPing},
	{"registration: HELLO", testHello},
	{"registration: invalid uids", testInvalidUIDs},
	{"registration: HELLO comes first", testHelloFirst},
	{"registration: a taken uid", testTakenUID},
	{"registration: reserved atomically", testAtomicHello},
	{"registration: free at the close frame", testFreeAtClose},
	{"registration: free at the end of TCP", testFreeAtEnd},
	{"registration: not twice", testHelloTwice},
	{"registration: a half-open holder gives way", testHalfOpen},
	{"session: texts and bytes pass both ways", testSession},
	{"session: refusals", testSessionRefusals},
	{"session: ends with its peers", testSessionEnd},
	{"session: verbs are exact", testExactVerbs},
	{"room: join, message, leave", testRoom},
	{"room: texts pass byte for byte", testRoomTexts},
	{"room: refusals", testRoomRefusals},
	{"room: list", testRoomList},
	{"room: invalid ids", testInvalidRoomIDs},
	{"room: deleted with its last member", testRoomDeleted},
	{"room: joined before the joiner's message", testJoinedFirst},
	{"room: joining is atomic", testAtomicJoin},
	{"room: all that a peer sent before its LEFT", testLeftLast},
	{"viewers: hear only of full peers", testViewers},
	{"outside: unknown messages", testUnknown},
}

func TestConformance(t *testing.T) {
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) { c.run(t, relayUnderTest(t)) })
	}
}

func testPaths(t *testing.T, r *relay) {
	for _, path := range []string{"", "/", "/ws", "/?x=1&role=unknown", "/ws?a=b"} {
		r.dial(t, path).hello(id("path"))
	}
}

func testOrigins(t *testing.T, r *relay) {
	for _, origin := range []string{"https://elsewhere.example", "null", "file://"} {
		c := r.dialDeaf(t, "/", http.Header{"Origin": {origin}})
		c.listen()
		c.hello(id("origin"))
	}
}

func testLargestMessage(t *testing.T, r *relay) {
	a, b := r.session(t)
	largest := strings.Repeat("x", 1<<20)
	a.send(largest)
	b.want(largest)

	c, d := r.register(t, "c"), r.register(t, "d")
	room := id("room")
	c.enter(room)
	d.enter(room, c)
	c.want("ROOM_PEER_JOINED " + d.uid)
	head := "ROOM_PEER_MSG " + c.uid + " "
	text := strings.Repeat("y", 1<<20-len(head))
	d.send(head + text)
	c.want("ROOM_PEER_MSG " + d.uid + " " + text)
}

func testTooBig(t *testing.T, r *relay) {
	c := r.register(t, "big")
	c.send(strings.Repeat("x", 1<<20+1))
	c.wantClose(websocket.CloseMessageTooBig, "")

	d := r.register(t, "fragments") // no fragment alone is too big
	d.sendRaw(maskedFrame(0x01, nil))
	for range 3 {
		d.sendRaw(maskedFrame(0x00, make([]byte, 512<<10)))
	}
	d.wantClose(websocket.CloseMessageTooBig, "")
}

func testInvalidUTF8(t *testing.T, r *relay) {
	a, b := r.session(t)
	a.send("broken \xff text")
	a.wantClose(websocket.CloseInvalidFramePayloadData, "")
	b.wantClose(websocket.CloseNormalClosure, "") // and never saw it

	c := r.dial(t, "/")
	c.send("HELLO \xc3")
	c.wantClose(websocket.CloseInvalidFramePayloadData, "")
}

func testViolations(t *testing.T, r *relay) {
	for name, frame := range map[string][]byte{
		"unmasked":                    {0x81, 0x01, 'x'},
		"reserved bit":                maskedFrame(0xc1, []byte("x")),
		"unknown opcode":              maskedFrame(0x83, []byte("x")),
		"continuation of nothing":     maskedFrame(0x80, []byte("x")),
		"fragmented ping":             maskedFrame(0x09, []byte("x")),
		"long ping":                   maskedFrame(0x89, make([]byte, 126)),
		"close code out of range":     maskedFrame(0x88, []byte{0x00, 0x01}),
		"text inside another text":    append(maskedFrame(0x01, []byte("x")), maskedFrame(0x81, []byte("y"))...),
		"close code 1005 on the wire": maskedFrame(0x88, []byte{0x03, 0xed}),
	} {
		t.Run(name, func(t *testing.T) {
			c := r.register(t, "violator")
			c.sendRaw(frame)
			c.wantClose(websocket.CloseProtocolError, "")
		})
	}
}

// maskedFrame is a client's frame (RFC 6455, section 5.2) with a mask of zeros.
func maskedFrame(first byte, payload []byte) []byte {
	frame := []byte{first}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	case n < 1<<16:
		frame = append(frame, 0x80|126, byte(n>>8), byte(n))
	default:
		frame = append(frame, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	frame = append(frame, 0, 0, 0, 0)
	return append(frame, payload...)
}

func testFragments(t *testing.T, r *relay) {
	a, b := r.session(t)
	a.sendRaw(maskedFrame(0x01, []byte("one \xc3"))) // a character may be cut
	a.sendRaw(maskedFrame(0x89, []byte("ping")))     // and control frames come between
	a.sendRaw(maskedFrame(0x80, []byte("\xa4 message")))
	b.want("one ä message")
}

func testPing(t *testing.T, r *relay) {
	c := r.dialDeaf(t, "/", nil)
	pong := make(chan string, 1)
	c.ws.SetPongHandler(func(payload string) error {
		pong <- payload
		return nil
	})
	c.listen()
	for _, payload := range []string{"before HELLO", "after HELLO"} {
		if payload == "after HELLO" {
			c.hello(id("pinger"))
		}
		if err := c.ws.WriteControl(websocket.PingMessage, []byte(payload), time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-pong:
			if got != payload {
				t.Fatalf("pong %q, want %q", got, payload)
			}
		case <-time.After(patience):
			t.Fatal("no pong")
		}
	}
}

func testUnknown(t *testing.T, r *relay) {
	c := r.register(t, "curious")
	for _, text := range []string{
		"", " ", "hello", "session x", "ROOMS x", "ROOM_PEER_LIST", "ROOM_PEER_LIST now", "ROOM_PEER_MSG", "ROOM_PEER_MSG x",
		"ROOM_PEER_MSG " + c.uid + " hi", " ROOM x", "ROOM_OK x", `{"sdp":{}}`, "OFFER_REQUEST", "\x00",
	} {
		c.send(text)
		c.wantError()
	}
	c.sendBinary("ROOM x")
	c.wantError()
	c.enter(id("room")) // none of these made it a member of anything
}
