package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func testRoom(t *testing.T, r *relay) {
	room := id("room")
	a, b, c := r.register(t, "a"), r.register(t, "b"), r.register(t, "c")
	a.send("ROOM " + room)
	a.want("ROOM_OK ") // the space is part of it
	b.enter(room, a)
	a.want("ROOM_PEER_JOINED " + b.uid)
	c.enter(room, a, b)
	a.want("ROOM_PEER_JOINED " + c.uid)
	b.want("ROOM_PEER_JOINED " + c.uid)

	c.send("ROOM_PEER_MSG " + a.uid + " offer")
	a.want("ROOM_PEER_MSG " + c.uid + " offer")
	a.send("ROOM_PEER_MSG " + c.uid + " answer")
	c.want("ROOM_PEER_MSG " + a.uid + " answer")

	b.leave()
	a.want("ROOM_PEER_LEFT " + b.uid)
	c.want("ROOM_PEER_LEFT " + b.uid)
	c.ws.Close()
	a.want("ROOM_PEER_LEFT " + c.uid)
	a.wantNothing()
}

func testRoomTexts(t *testing.T, r *relay) {
	a, b := r.pairInRoom(t)
	for _, text := range []string{
		"plain", "  leading", "trailing  ", "\ttab", "\nline\nbreaks\r\n", "\u00a0wide \u2003", "", " ", "ROOM x", `{"ice": {}}`, "\x00",
		strings.Repeat("long ", 20_000),
	} {
		a.send("ROOM_PEER_MSG " + b.uid + " " + text)
		b.want("ROOM_PEER_MSG " + a.uid + " " + text)
	}
	a.send("ROOM_PEER_MSG " + a.uid + " note to self")
	a.want("ROOM_PEER_MSG " + a.uid + " note to self")
}

// pairInRoom puts two clients into a new room.
func (r *relay) pairInRoom(t *testing.T) (first, second *client) {
	t.Helper()
	room := id("room")
	first, second = r.register(t, "first"), r.register(t, "second")
	first.enter(room)
	second.enter(room, first)
	first.want("ROOM_PEER_JOINED " + second.uid)
	return first, second
}

func testRoomRefusals(t *testing.T, r *relay) {
	a, b := r.pairInRoom(t)
	elsewhere, _ := r.pairInRoom(t)
	outside := r.register(t, "outside")
	nobody := id("nobody")
	const already = "ERROR invalid msg, already in room"
	for _, c := range []struct{ command, answer string }{
		{"ROOM_PEER_MSG " + nobody + " hi", "ERROR peer '" + nobody + "' not found"},
		{"ROOM_PEER_MSG " + elsewhere.uid + " hi", "ERROR peer '" + elsewhere.uid + "' is not in the room"},
		{"ROOM_PEER_MSG " + outside.uid + " hi", "ERROR peer '" + outside.uid + "' is not in the room"},
		{"ROOM_PEER_MSG " + b.uid, already},
		{"ROOM_PEER_MSG", already},
		{"ROOM_PEER_MSGX " + b.uid + " hi", already},
		{"ROOM " + id("other"), already},
		{"SESSION " + outside.uid, already},
		{"HELLO " + id("other"), already},
		{"ROOM_PEER_LISTS", already},
		{"hi", already},
		{"", already},
	} {
		a.send(c.command)
		a.want(c.answer)
	}
	a.sendBinary("ROOM_PEER_MSG " + b.uid + " hi")
	a.want(already)
	b.wantNothing()
	elsewhere.wantNothing()
	outside.wantNothing()
}

func testRoomList(t *testing.T, r *relay) {
	a, b := r.pairInRoom(t)
	a.send("ROOM_PEER_LIST")
	a.want("ROOM_PEER_LIST " + b.uid)
	b.send("ROOM_PEER_LIST")
	b.want("ROOM_PEER_LIST " + a.uid)
	b.leave()
	a.want("ROOM_PEER_LEFT " + b.uid)
	a.send("ROOM_PEER_LIST")
	a.want("ROOM_PEER_LIST ")
}

func testInvalidRoomIDs(t *testing.T, r *relay) {
	c := r.register(t, "c")
	long := strings.Repeat("x", 1025)
	for command, room := range map[string]string{
		"ROOM session": "session", "ROOM a b": "a b", "ROOM a ": "a ", "ROOM a\u00a0b": "a\u00a0b", "ROOM": "", "ROOM ": "",
	} {
		c.send(command)
		c.want("ERROR invalid room id '" + room + "'")
	}
	c.send("ROOM " + long)
	if a := c.next(); !strings.HasPrefix(a.text, "ERROR invalid room id '"+long[:1024]) { // the rest may be cut
		t.Errorf("got %s, want the room id refused", a)
	}
	c.enter((id("room") + long)[:1024])
}

func testRoomDeleted(t *testing.T, r *relay) {
	room := id("room")
	for range 5 {
		c := r.register(t, "only")
		c.send("ROOM " + room)
		c.want("ROOM_OK ")
		c.leave()
	}
}

func testJoinedFirst(t *testing.T, r *relay) {
	room := id("room")
	a := r.register(t, "a")
	a.enter(room)
	for range 10 {
		b := r.register(t, "b")
		b.send("ROOM " + room)
		b.send("ROOM_PEER_MSG " + a.uid + " at once") // not waiting for ROOM_OK
		a.want("ROOM_PEER_JOINED " + b.uid)
		a.want("ROOM_PEER_MSG " + b.uid + " at once")
		b.leave()
		a.want("ROOM_PEER_LEFT " + b.uid)
	}
}

// testAtomicJoin has many join at once: of any two, exactly the later one finds
// the other in its ROOM_OK, and the earlier one is told.
func testAtomicJoin(t *testing.T, r *relay) {
	const peers = 12
	room := id("room")
	members := make([]*client, peers)
	for i := range members {
		members[i] = r.register(t, "member")
	}
	var wait sync.WaitGroup
	for _, m := range members {
		wait.Go(func() {
			if err := m.ws.WriteMessage(1, []byte("ROOM "+room)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	knows := map[string]int{} // "a of b"
	for _, m := range members {
		first := m.next().text
		uids, ok := strings.CutPrefix(first, "ROOM_OK ")
		if !ok {
			t.Fatalf("%s: first %q, want ROOM_OK", m.uid, first)
		}
		found := strings.Fields(uids)
		for range peers - 1 - len(found) {
			uid, ok := strings.CutPrefix(m.next().text, "ROOM_PEER_JOINED ")
			if !ok {
				t.Fatalf("%s: want ROOM_PEER_JOINED", m.uid)
			}
			found = append(found, uid)
		}
		for _, uid := range found {
			knows[m.uid+" of "+uid]++
		}
	}
	for _, a := range members {
		for _, b := range members {
			want := 1
			if a == b {
				want = 0
			}
			if got := knows[a.uid+" of "+b.uid]; got != want {
				t.Errorf("%s heard of %s %d times, want %d", a.uid, b.uid, got, want)
			}
		}
	}
}

func testLeftLast(t *testing.T, r *relay) {
	a, b := r.pairInRoom(t)
	for i := range 100 {
		b.send(fmt.Sprintf("ROOM_PEER_MSG %s %d", a.uid, i))
	}
	b.leave()
	for i := range 100 {
		a.want(fmt.Sprintf("ROOM_PEER_MSG %s %d", b.uid, i))
	}
	a.want("ROOM_PEER_LEFT " + b.uid)
	a.wantNothing()
}

func testViewers(t *testing.T, r *relay) {
	room := id("room")
	sender := r.register(t, "sender")
	v1, v2 := r.viewer(t, "v1"), r.viewer(t, "v2")
	v1.enter(room)
	v2.enter(room) // does not hear of v1
	sender.enter(room, v1, v2)
	v1.want("ROOM_PEER_JOINED " + sender.uid)
	v2.want("ROOM_PEER_JOINED " + sender.uid)

	v3 := r.viewer(t, "v3")
	v3.enter(room, sender)
	sender.want("ROOM_PEER_JOINED " + v3.uid)

	v1.send("ROOM_PEER_LIST")
	v1.want("ROOM_PEER_LIST " + sender.uid)
	sender.send("ROOM_PEER_LIST")
	sender.wantMembers("ROOM_PEER_LIST ", v1, v2, v3)

	v1.send("ROOM_PEER_MSG " + v2.uid + " psst")
	v1.want("ERROR peer '" + v2.uid + "' is not in the room")
	v1.send("ROOM_PEER_MSG " + sender.uid + " offer")
	sender.want("ROOM_PEER_MSG " + v1.uid + " offer")
	sender.send("ROOM_PEER_MSG " + v1.uid + " answer")
	v1.want("ROOM_PEER_MSG " + sender.uid + " answer")

	v3.leave()
	sender.want("ROOM_PEER_LEFT " + v3.uid)
	v2.wantNothing()
	sender.leave()
	v1.want("ROOM_PEER_LEFT " + sender.uid)
	v2.want("ROOM_PEER_LEFT " + sender.uid)
	v1.wantNothing()
}
