package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/signalling"
)

// FuzzRegistry plays random scenes with a few peers, and after each step checks
// that the registry is in order and that each peer's view of its room is true.
func FuzzRegistry(f *testing.F) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	f.Add(all)
	slices.Reverse(all)
	f.Add(all)
	f.Add([]byte{42, 9, 27}) // peer0 comes, peer3 calls it and leaves
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 500 {
			return
		}
		r := newTestRegistry()
		peers := make([]*peer, 6)
		views := make([]map[string]bool, len(peers)) // whom each knows to be in its room
		defer func() {
			for _, p := range peers {
				if p != nil {
					p.out.disarm()
				}
			}
		}()
		for _, b := range script {
			who, what, whom := int(b)%len(peers), int(b>>3)%6, int(b>>5)%len(peers)
			if p := peers[who]; p == nil || p.out.over() {
				if p != nil {
					p.out.disarm()
				}
				peers[who] = newTestPeer(r, who)
				views[who] = map[string]bool{}
			}
			act(r, peers[who], what, fmt.Sprintf("peer%d", whom))
			for i, p := range peers {
				if p != nil {
					look(t, p, views[i])
				}
			}
			check(t, r)
			for i, p := range peers {
				if p != nil && p.registered && p.room != nil {
					checkView(t, p, views[i])
				}
			}
		}
	})
}

// TestSessionEndFreesBoth holds that nobody can call a peer that is told to go.
func TestSessionEndFreesBoth(t *testing.T) {
	r := newTestRegistry()
	caller, callee, third := newTestPeer(r, 0), newTestPeer(r, 1), newTestPeer(r, 2)
	defer callee.out.disarm()
	act(r, caller, 1, callee.uid)
	drain(caller.out)
	drain(callee.out)
	r.leave(caller)
	assertEqual(t, drain(callee.out), "close ")
	drain(third.out)
	act(r, third, 1, callee.uid)
	assertEqual(t, drain(third.out), "ERROR peer 'peer1' not found")
	if again := newTestPeer(r, 1); !again.registered {
		t.Error("the uid of the callee is not free")
	}
}

// TestFarewellTooMany holds that a peer without place for a notice of another's
// end is dropped with that end, and not with whatever happens next.
func TestFarewellTooMany(t *testing.T) {
	r := newTestRegistry()
	stays, leaves, witness := newTestPeer(r, 0), newTestPeer(r, 1), newTestPeer(r, 2)
	defer stays.out.disarm()
	for _, p := range []*peer{stays, leaves, witness} { // ROOM_OK and two ROOM_PEER_JOINED fill the outbox of the first
		act(r, p, 4, "")
	}
	r.leave(leaves)
	assertEqual(t, drain(stays.out), "close slow consumer")
	assertEqual(t, drain(witness.out), "HELLO", "ROOM_OK peer0 peer1", "ROOM_PEER_LEFT peer1", "ROOM_PEER_LEFT peer0")
	check(t, r)
	if len(r.peers) != 1 {
		t.Errorf("%d peers, want the one that stays", len(r.peers))
	}
}

// TestFullIsCountedOnce has all members of a room refuse the same notice, and then
// those of one another's end.
func TestFullIsCountedOnce(t *testing.T) {
	const members = 4
	r := newTestRegistry()
	r.limits.MaxRoomPeers = members + 1
	peers := make([]*peer, members)
	for i := range peers {
		peers[i] = newTestPeer(r, i)
		defer peers[i].out.disarm()
		act(r, peers[i], 4, "")
		for _, p := range peers[:i+1] {
			drain(p.out)
		}
	}
	for _, p := range peers {
		for p.out.send(textFrame("x")) {
		}
	}
	last := newTestPeer(r, members)
	last.out.maxFrames, last.out.maxBytes = 100, 1000
	act(r, last, 4, "")
	if n := r.refusals[RefusedQueue].Load(); n != members {
		t.Errorf("%d refusals are counted of %d peers that do not read", n, members)
	}
	if check(t, r); len(r.peers) != 1 {
		t.Errorf("%d peers, want the one that came last", len(r.peers))
	}
}

// TestNoRegistrationAfterTheEnd holds that a peer that waited for its uid does not
// get it, nor another's place, once its own connection has been told to end.
func TestNoRegistrationAfterTheEnd(t *testing.T) {
	r := newTestRegistry()
	late := &peer{uid: "late", out: newOutbox(3, 100, func() {})}
	r.evict(late, websocket.ClosePolicyViolation, "token expired")
	defer late.out.disarm()
	if holder, ok := r.register(late); ok || holder != nil || len(r.peers) != 0 {
		t.Errorf("registered %v, holder %v", ok, holder)
	}
	old := &peer{uid: "old", out: newResumableOutbox(), resumption: &resumption{}}
	r.register(old)
	if r.suspend(old, websocket.ClosePolicyViolation, "") == nil {
		t.Fatal("there is no place to keep")
	}
	defer old.out.disarm()
	late = &peer{uid: "old", out: newResumableOutbox(), resumption: &resumption{}}
	r.evict(late, websocket.ClosePolicyViolation, "token expired")
	defer late.out.disarm()
	if r.resume(old, late) || r.peers["old"] != old {
		t.Error("a peer on its way out has taken the place")
	}
}

func newTestRegistry() *registry {
	limits, _ := Limits{MaxRooms: 2, MaxRoomPeers: 3}.complete()
	return newRegistry(time.Hour, time.Hour, limits, newRefusals())
}

func newTestPeer(r *registry, i int) *peer {
	p := &peer{
		uid:    fmt.Sprintf("peer%d", i),
		viewer: i >= 4,
		out:    newOutbox(3, 100, func() {}), // small: many a step fills it
	}
	r.register(p)
	return p
}

// act does one of the things that a connection asks of the registry.
func act(r *registry, p *peer, what int, whom string) {
	say := func(text string) {
		m := message{frame: textFrame(text)}
		m.command, m.err = signalling.ParseCommand(m.frame.payload)
		_ = r.handle(p, m) // has been answered
	}
	switch what {
	case 0:
		say("ROOM room" + whom[len(whom)-1:])
	case 1:
		say("SESSION " + whom)
	case 2:
		for range 4 { // more than the outbox takes
			say("ROOM_PEER_MSG " + whom + " text")
		}
	case 3:
		r.leave(p)
		p.out.abandon(websocket.CloseNormalClosure, "", time.Hour)
	case 4:
		say("ROOM room0")
	case 5:
		say("ROOM_PEER_LIST")
	}
}

// look reads all that has come for p, and keeps its view of the room.
func look(t *testing.T, p *peer, view map[string]bool) {
	t.Helper()
	for _, text := range drain(p.out) {
		reply, err := signalling.ParseReply(text)
		switch {
		case err != nil: // a text of a session, or a close frame
		case reply.Verb == signalling.VerbRoomOK:
			for _, uid := range reply.IDs {
				view[uid] = true
			}
		case reply.Verb == signalling.VerbRoomPeerJoined && !p.inSession.Load():
			if view[reply.ID] {
				t.Errorf("%s: %s joined twice", p.uid, reply.ID)
			}
			view[reply.ID] = true
		case reply.Verb == signalling.VerbRoomPeerLeft && !p.inSession.Load():
			if !view[reply.ID] {
				t.Errorf("%s: %s left, but was not there", p.uid, reply.ID)
			}
			delete(view, reply.ID)
		}
	}
}

// check holds what is always true of a registry between operations.
func check(t *testing.T, r *registry) {
	t.Helper()
	for uid, p := range r.peers {
		switch {
		case p.uid != uid || !p.registered || p.out.over():
			t.Errorf("%s is registered as %s and over", p.uid, uid)
		case p.partner != nil && (p.partner.partner != p || p.room != nil || !p.partner.registered):
			t.Errorf("%s: its session is broken", uid)
		case p.room != nil && (r.rooms[p.room.id] != p.room || !slices.Contains(p.room.members, p)):
			t.Errorf("%s: its room is broken", uid)
		}
	}
	for name, room := range r.rooms {
		if len(room.members) == 0 {
			t.Errorf("room %s is empty", name)
		}
		for _, m := range room.members {
			if m.room != room || r.peers[m.uid] != m {
				t.Errorf("room %s has a member %s that is not there", name, m.uid)
			}
		}
	}
	if len(r.full) != 0 {
		t.Errorf("%d peers with a full outbox are still there", len(r.full))
	}
}

func checkView(t *testing.T, p *peer, view map[string]bool) {
	t.Helper()
	var sees []string
	for uid := range view {
		sees = append(sees, uid)
	}
	want := strings.Fields(p.room.uidsFor(p))
	slices.Sort(sees)
	slices.Sort(want)
	if !slices.Equal(sees, want) {
		t.Errorf("%s sees %q in its room, want %q", p.uid, sees, want)
	}
}
