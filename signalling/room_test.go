package signalling_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/signalling"
)

func TestClientInRoom(t *testing.T) {
	url := startRelay(t, server.Config{})
	a := dial(t, signalling.ClientConfig{URL: url, UID: "a"})
	join(t, a, "room")
	b := dial(t, signalling.ClientConfig{URL: strings.Replace(url, "ws:", "http:", 1) + "/ws", UID: "b"})
	join(t, b, "room", "a")
	wantEvent(t, a, signalling.PeerJoined{UID: "b"})

	sendTo(t, b, "a", "  an offer\n")
	wantEvent(t, a, signalling.Message{From: "b", Text: "  an offer\n"})
	sendTo(t, a, "b", "")
	wantEvent(t, b, signalling.Message{From: "a", Text: ""})
	sendTo(t, a, "c", "anyone?")
	wantEvent(t, a, signalling.RelayError{Text: "peer 'c' not found"})

	for i := range 500 { // far more than wait for Recv, in order
		sendTo(t, b, "a", fmt.Sprint(i))
	}
	b.Close() // after all of them
	for i := range 500 {
		wantEvent(t, a, signalling.Message{From: "b", Text: fmt.Sprint(i)})
	}
	wantEvent(t, a, signalling.PeerLeft{UID: "b"})
}

func TestClientViewer(t *testing.T) {
	url := startRelay(t, server.Config{})
	sender := dial(t, signalling.ClientConfig{URL: url, UID: "sender"})
	join(t, sender, "room")
	for _, uid := range []string{"v1", "v2"} {
		viewer := dial(t, signalling.ClientConfig{URL: url + "/?x=1", UID: uid, Role: signalling.RoleViewer})
		join(t, viewer, "room", "sender") // viewers do not see one another
		wantEvent(t, sender, signalling.PeerJoined{UID: uid})
	}
}

func TestClientJoinRefused(t *testing.T) {
	url := startRelay(t, server.Config{})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "c"})
	for _, room := range []string{"", "session", "a b"} {
		if _, err := c.Join(testContext(t), room); !errors.Is(err, signalling.ErrInvalidRoomID) {
			t.Errorf("room %q: %v, want ErrInvalidRoomID", room, err)
		}
	}
	join(t, c, "room")
	if _, err := c.Join(testContext(t), "other"); !errors.Is(err, signalling.ErrJoin) {
		t.Errorf("second room: %v, want ErrJoin", err)
	}
}

// TestClientJoinAgain is refused by the relay, and then let into another room.
func TestClientJoinAgain(t *testing.T) {
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		answer(ws, "ERROR room is full")
		answer(ws, "ROOM_OK a")
		waitForEnd(ws)
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	if _, err := c.Join(testContext(t), "full"); !errors.Is(err, signalling.ErrJoin) || !strings.Contains(err.Error(), "room is full") {
		t.Errorf("got %v, want ErrJoin with what the relay says", err)
	}
	join(t, c, "room", "a")
}

// TestClientJoinUnanswered ends a Join that the relay does not answer.
func TestClientJoinUnanswered(t *testing.T) {
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		waitForEnd(ws)
	})
	impatient := dial(t, signalling.ClientConfig{URL: url, UID: "impatient"})
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := impatient.Join(over, "room"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := impatient.Join(testContext(t), "room"); !errors.Is(err, signalling.ErrJoin) {
		t.Errorf("got %v, want ErrJoin, since one is under way", err)
	}
	closed := dial(t, signalling.ClientConfig{URL: url, UID: "closed"})
	time.AfterFunc(10*time.Millisecond, closed.Close)
	if _, err := closed.Join(testContext(t), "room"); !errors.Is(err, signalling.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// TestSendToOutsideRoom holds that the relay is not bothered.
func TestSendToOutsideRoom(t *testing.T) {
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		if _, message, _ := ws.ReadMessage(); string(message) != "ROOM room" {
			t.Errorf("the relay got %q, want ROOM first", message)
		}
		waitForEnd(ws)
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range 2 {
		if err := c.SendTo(testContext(t), "x", "y"); !errors.Is(err, signalling.ErrNoRoom) {
			t.Errorf("got %v, want ErrNoRoom", err)
		}
		if _, err := c.Join(over, "room"); err == nil {
			t.Error("joined without an answer")
		}
	}
}

// TestClientKeepsWhatCameEarly has everything arrive together with ROOM_OK,
// the end of the connection included.
func TestClientKeepsWhatCameEarly(t *testing.T) {
	url := fakeRelay(t, func(ws *websocket.Conn) {
		answer(ws, "HELLO")
		answer(ws, "ROOM_OK a b", "ROOM_PEER_JOINED c", "ROOM_PEER_MSG c hi", "NEW_WORD x", "ROOM_PEER_LIST a", "ROOM_OK x", "ERROR no", "ROOM_PEER_LEFT a")
		closeWith(ws, websocket.CloseGoingAway, "maintenance")
	})
	c := dial(t, signalling.ClientConfig{URL: url, UID: "me"})
	join(t, c, "room", "a", "b")
	wantEvent(t, c, signalling.PeerJoined{UID: "c"})
	wantEvent(t, c, signalling.Message{From: "c", Text: "hi"})
	wantEvent(t, c, signalling.RelayError{Text: "no"})
	wantEvent(t, c, signalling.PeerLeft{UID: "a"})
	wantReconnecting(t, c, "1001 maintenance")
}
