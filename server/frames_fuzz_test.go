package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// FuzzFrames sends any bytes after the upgrade, in two parts. Whatever they are,
// the relay answers in whole frames that obey RFC 6455, a close frame at most as
// the last one, and then ends the connection.
func FuzzFrames(f *testing.F) {
	address := serveForFuzz(f)
	hello, room := masked(0x81, "HELLO fuzz"), masked(0x81, "ROOM fuzz")
	for _, seed := range []string{
		"",
		hello, hello + room,
		hello + room + masked(0x81, "ROOM_PEER_LIST") + masked(0x81, "ROOM_PEER_MSG fuzz \n hi"),
		hello + masked(0x81, "SESSION fuzz") + masked(0x82, "\x00\xff"),
		hello + masked(0x01, "RO") + masked(0x89, "ping") + masked(0x80, "OM fuzz"),
		hello + masked(0x88, "\x03\xe8bye"), hello + masked(0x88, "\x03\xed"), hello + masked(0x88, "x"),
		hello + masked(0x8a, "12345678"), hello + masked(0x81, "\xff"),
		hello + "\x81\x7e\x00", hello + "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
		hello + "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"\x81\x05HELLO", "\xc1\x80\x00\x00\x00\x00", "\x83\x80\x00\x00\x00\x00", "\x80\x80\x00\x00\x00\x00",
	} {
		f.Add([]byte(seed), len(seed)/2)
	}
	f.Fuzz(func(t *testing.T, wire []byte, cut int) {
		conn := upgraded(t, address)
		defer conn.Close()
		cut = max(0, min(cut, len(wire)))
		for _, part := range [][]byte{wire[:cut], wire[cut:]} {
			if _, err := conn.Write(part); err != nil {
				return // reset: the relay has ended it already
			}
		}
		_ = conn.CloseWrite() // fails when it is reset
		answer, err := io.ReadAll(conn)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal("the connection does not end")
		}
		if err := checkFrames(answer, err == nil); err != nil {
			t.Fatalf("%v in the answer %q", err, answer)
		}
	})
}

// masked is a client's frame of up to 125 bytes, with a mask of zeros.
func masked(first byte, payload string) string {
	return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

func serveForFuzz(f *testing.F) (address string) {
	s, err := newServer(Config{ResumeGrace: -1}, timeouts{
		takeover: 10 * time.Millisecond,
		closing:  time.Second,
		shutdown: time.Second,
	})
	if err != nil {
		f.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	f.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			f.Error(err)
		}
	})
	return listener.Addr().String()
}

// upgraded gives a connection of which the handshake is over.
func upgraded(t *testing.T, address string) *net.TCPConn {
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn := ws.NetConn().(*net.TCPConn)
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// checkFrames holds what a relay may send to a peer in no session.
func checkFrames(wire []byte, ended bool) error {
	for len(wire) > 0 {
		if len(wire) < 2 || len(wire) < wholeFrame(wire) {
			if ended {
				return fmt.Errorf("a frame is cut off")
			}
			return nil
		}
		if wire[1]&0x80 != 0 {
			return fmt.Errorf("a masked frame")
		}
		var f frame
		f, wire = cutFrame(wire)
		switch f.kind {
		case websocket.TextMessage, websocket.CloseMessage, websocket.PingMessage, websocket.PongMessage, websocket.BinaryMessage:
		default:
			return fmt.Errorf("kind %#x", f.kind)
		}
		switch {
		case f.kind == websocket.TextMessage && !utf8.Valid(f.payload):
			return fmt.Errorf("a text that is not UTF-8")
		case f.kind >= websocket.CloseMessage && len(f.payload) > maxControlPayload:
			return fmt.Errorf("a control frame of %d bytes", len(f.payload))
		case f.kind == websocket.CloseMessage && len(wire) > 0:
			return fmt.Errorf("something after the close frame")
		}
	}
	return nil
}

// wholeFrame is the length of the first frame, as far as its header is there.
func wholeFrame(wire []byte) int {
	switch length := int(wire[1] & 0x7f); {
	case length == 126 && len(wire) >= 4:
		return 4 + int(binary.BigEndian.Uint16(wire[2:]))
	case length == 127 && len(wire) >= 10:
		return 10 + int(binary.BigEndian.Uint64(wire[2:]))
	case length >= 126:
		return 10
	default:
		return 2 + length
	}
}
