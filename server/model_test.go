package server_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// world is what the clients of the invariant test know of one another.
type world struct {
	relay *relay
	grace time.Duration
	uids  []string
	rooms []string
	stop  chan struct{} // closed when the clients are to begin nothing new
	final chan struct{} // closed when each is to look at its room for the last time

	mu            sync.Mutex
	registrations map[int]*registration
	counts        map[string]int // of what happened, to see that it did
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// said is a message as a client sent it.
type said struct {
	kind int
	text string
}

// registration is one of a uid, by one client. It is guarded by the mutex of its
// world.
type registration struct {
	id      int
	uid     string
	viewer  bool
	sent    []said         // in order
	told    map[string]int // numbered messages to other members, by uid
	goodbye bool           // it ended with a close frame, after all that it sent

	// Of its session, if it has one.
	begins  int    // which one of sent is the first that belongs to it
	called  string // the uid that it called
	caller  int    // the registration that called it
	heard   []said
	outlast bool // it was closed since the other one ended
}

func (w *world) register(uid string, viewer bool) *registration {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &registration{id: len(w.registrations) + 1, uid: uid, viewer: viewer, told: map[string]int{}}
	w.registrations[r.id] = r
	return r
}

// checkSessions holds that each peer of a session heard what the other one sent,
// in order, from the beginning, and all of it when that one said goodbye.
func (w *world) checkSessions(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	answered := map[int]bool{}
	for _, callee := range w.registrations {
		if callee.caller == 0 {
			continue
		}
		caller := w.registrations[callee.caller]
		if caller == nil || caller.called != callee.uid || answered[caller.id] {
			t.Errorf("%s was called by %d, which did not", callee.uid, callee.caller)
			continue
		}
		answered[caller.id] = true
		checkHeard(t, callee, caller)
		checkHeard(t, caller, callee)
	}
	for _, caller := range w.registrations {
		if caller.called != "" && !answered[caller.id] && !w.mayHaveHeard(caller) {
			t.Errorf("%s heard %v, which nobody named %s said", caller.uid, caller.heard, caller.called)
		}
	}
}

func checkHeard(t *testing.T, hears, says *registration) {
	stream := says.sent[says.begins:]
	if len(hears.heard) > len(stream) || !slices.Equal(hears.heard, stream[:len(hears.heard)]) {
		t.Errorf("%s heard %v, but %s said %v", hears.uid, hears.heard, says.uid, stream)
	}
	if says.goodbye && hears.outlast && len(hears.heard) < len(stream) {
		t.Errorf("%s heard %d messages of %s, which said %d and goodbye", hears.uid, len(hears.heard), says.uid, len(stream))
	}
}

// mayHaveHeard is for a caller whose callee does not know of the session.
func (w *world) mayHaveHeard(caller *registration) bool {
	for _, callee := range w.registrations {
		for from := 0; callee.uid == caller.called && from+len(caller.heard) <= len(callee.sent); from++ {
			if slices.Equal(caller.heard, callee.sent[from:from+len(caller.heard)]) {
				return true
			}
		}
	}
	return false
}

// model is what one registered client must find true. It sees all messages in
// their order, so that whatever the others do, only few replies are right.
type model struct {
	w         *world
	me        *registration
	state     string   // outside, room or session
	asked     []int    // those of me.sent that may still be answered
	received  int      // messages since the registration
	room      string   //
	view      []string // the members, sorted, without oneself
	joined    map[string]bool
	speaks    map[string]int // the registration that a member has shown
	heardLast map[int]int    // the number of the last message, by registration
}

func newModel(w *world, me *registration) *model {
	return &model{w: w, me: me, state: "outside", joined: map[string]bool{}, speaks: map[string]int{}, heardLast: map[int]int{}}
}

// say notes a message before it is sent.
func (m *model) say(kind int, text string) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.me.sent = append(m.me.sent, said{kind, text})
	if m.state != "session" {
		m.asked = append(m.asked, len(m.me.sent)-1)
	}
	if target, _, ok := cutMessage(text); ok && m.state == "room" {
		m.me.told[target]++
	}
}

// nextNumber is that of the next message to a member.
func (m *model) nextNumber(uid string) int {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return m.me.told[uid] + 1
}

func cutMessage(text string) (uid, rest string, ok bool) {
	arguments, isMessage := strings.CutPrefix(text, "ROOM_PEER_MSG ")
	uid, rest, ok = strings.Cut(arguments, " ")
	return uid, rest, ok && isMessage
}

// waits tells whether an answer must come before this client goes on: a call
// changes what everything after it means.
func (m *model) waits() bool {
	return m.state != "session" && slices.ContainsFunc(m.asked, func(i int) bool {
		return strings.HasPrefix(m.me.sent[i].text, "SESSION ")
	})
}

// settled tells whether everything has been answered that must be.
func (m *model) settled() bool {
	return m.state == "session" || !slices.ContainsFunc(m.asked, func(i int) bool { return !m.optional(i) })
}

// optional tells whether a message may go without an answer.
func (m *model) optional(asked int) bool {
	_, _, ok := cutMessage(m.me.sent[asked].text)
	return ok && m.state == "room"
}

// hear takes the next message of the relay.
func (m *model) hear(kind int, text string) error {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.received++
	verb, argument, _ := strings.Cut(text, " ")
	switch {
	case m.state == "session":
		m.me.heard = append(m.me.heard, said{kind, text})
		return nil
	case kind != websocket.TextMessage:
		return fmt.Errorf("binary message %q outside a session", text)
	case m.state == "outside" && verb == "CALL":
		return m.beCalled(said{kind, text})
	case m.state == "room" && verb == "ROOM_PEER_JOINED":
		return m.seeJoined(argument)
	case m.state == "room" && verb == "ROOM_PEER_LEFT":
		return m.seeLeft(argument)
	case m.state == "room" && verb == "ROOM_PEER_MSG":
		return m.hearMember(text)
	}
	return m.hearAnswer(text)
}

// beCalled begins a session. All that was not answered before the caller's first
// message has gone to the caller.
func (m *model) beCalled(first said) error {
	if _, err := fmt.Sscanf(first.text, "CALL %d", &m.me.caller); err != nil {
		return fmt.Errorf("got %q: %w", first.text, err)
	}
	m.me.begins = len(m.me.sent)
	if len(m.asked) > 0 {
		m.me.begins = m.asked[0]
	}
	m.me.heard = append(m.me.heard, first)
	m.state, m.asked = "session", nil
	m.w.counts["called"]++
	return nil
}

func (m *model) seeJoined(uid string) error {
	i, found := slices.BinarySearch(m.view, uid)
	if found || uid == m.me.uid {
		return fmt.Errorf("%s joined twice", uid)
	}
	m.view = slices.Insert(m.view, i, uid)
	m.joined[uid] = true
	return nil
}

func (m *model) seeLeft(uid string) error {
	i, found := slices.BinarySearch(m.view, uid)
	if !found {
		return fmt.Errorf("%s left, but was not there", uid)
	}
	m.view = slices.Delete(m.view, i, i+1)
	if r := m.w.registrations[m.speaks[uid]]; r != nil && r.goodbye && m.heardLast[r.id] != r.told[m.me.uid] {
		return fmt.Errorf("%s left after message %d of %d", uid, m.heardLast[r.id], r.told[m.me.uid])
	}
	delete(m.joined, uid)
	delete(m.speaks, uid)
	return nil
}

// hearMember takes a message of another member, which says its registration and
// its number: none may be missing, except for those before this client joined.
func (m *model) hearMember(text string) error {
	uid, rest, _ := cutMessage(text)
	var id, number int
	if _, err := fmt.Sscanf(rest, "%d %d", &id, &number); err != nil {
		return fmt.Errorf("got %q: %w", text, err)
	}
	from := m.w.registrations[id]
	_, visible := slices.BinarySearch(m.view, uid)
	last, spoke := m.heardLast[id]
	switch {
	case !visible || from == nil || from.uid != uid || from.viewer && m.me.viewer:
		return fmt.Errorf("got %q of a peer that is not there", text)
	case m.speaks[uid] != 0 && m.speaks[uid] != id:
		return fmt.Errorf("got %q, but %s is %d", text, uid, m.speaks[uid])
	case (spoke || m.joined[uid]) && number != last+1:
		return fmt.Errorf("got %q after number %d", text, last)
	}
	m.speaks[uid], m.heardLast[id] = id, number
	m.w.counts["told"]++
	return nil
}

// hearAnswer finds what is answered: the first thing that must be, or one before
// it that may be.
func (m *model) hearAnswer(text string) error {
	for len(m.asked) > 0 {
		asked := m.asked[0]
		m.asked = m.asked[1:]
		if m.answers(m.me.sent[asked], text) {
			return m.learn(asked, text)
		}
		if !m.optional(asked) {
			return fmt.Errorf("got %q as answer to %q in state %s with %v", text, m.me.sent[asked].text, m.state, m.view)
		}
	}
	return fmt.Errorf("got %q, which nothing asked for, in state %s", text, m.state)
}

// answers tells whether a reply to a command is right.
func (m *model) answers(command said, reply string) bool {
	verb, argument, _ := strings.Cut(command.text, " ")
	if command.kind == websocket.BinaryMessage {
		verb = "binary"
	}
	unknownPeer := "ERROR peer '" + argument + "' "
	switch {
	case m.state == "room" && verb == "ROOM_PEER_LIST":
		uids, ok := strings.CutPrefix(reply, "ROOM_PEER_LIST ")
		return ok && slices.Equal(slices.Sorted(slices.Values(strings.Fields(uids))), m.view)
	case m.state == "room" && verb == "ROOM_PEER_MSG":
		uid, _, ok := cutMessage(command.text)
		if !ok {
			return reply == "ERROR invalid msg, already in room"
		}
		return reply == "ERROR peer '"+uid+"' not found" || reply == "ERROR peer '"+uid+"' is not in the room"
	case m.state == "room":
		return reply == "ERROR invalid msg, already in room"
	case verb == "SESSION" && argument == m.me.uid:
		return reply == unknownPeer+"is yourself"
	case verb == "SESSION":
		return reply == "SESSION_OK" && !m.me.viewer || reply == unknownPeer+"not found" || reply == unknownPeer+"busy" ||
			reply == "ERROR viewers take part in no sessions, join a room"
	case verb == "ROOM" && strings.Contains(argument, " "):
		return reply == "ERROR invalid room id '"+argument+"'"
	case verb == "ROOM":
		uids, ok := strings.CutPrefix(reply, "ROOM_OK ")
		return ok && !slices.Contains(strings.Fields(uids), m.me.uid)
	}
	return strings.HasPrefix(reply, "ERROR ")
}

// learn draws the conclusions from a right answer.
func (m *model) learn(asked int, reply string) error {
	command := m.me.sent[asked].text
	switch {
	case reply == "SESSION_OK":
		m.state, m.asked = "session", nil
		m.me.called, m.me.begins = strings.TrimPrefix(command, "SESSION "), asked+1
	case strings.HasPrefix(reply, "ROOM_OK"):
		m.state, m.room = "room", strings.TrimPrefix(command, "ROOM ")
		m.view = slices.Sorted(slices.Values(strings.Fields(strings.TrimPrefix(reply, "ROOM_OK"))))
		if len(slices.Compact(slices.Clone(m.view))) != len(m.view) {
			return fmt.Errorf("got %q, with a member twice", reply)
		}
	}
	m.w.counts[strings.Fields(reply)[0]]++
	return nil
}

// mayEnd tells whether the relay may close this client now.
func (m *model) mayEnd(err error) error {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	// A peer that has been called need not know yet.
	if m.state != "room" && websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		m.me.outlast = true
		m.w.counts["outlasted"]++
		return nil
	}
	return errors.Join(fmt.Errorf("closed in state %s", m.state), err)
}

// checkRooms holds that in the end each member knows exactly the others.
func checkRooms(t *testing.T, members []*model) {
	rooms := map[string][]*registration{}
	for _, m := range members {
		if m.state == "room" {
			rooms[m.room] = append(rooms[m.room], m.me)
		}
	}
	for _, m := range members {
		others := map[string]bool{}
		for _, other := range rooms[m.room] {
			if other != m.me && !(other.viewer && m.me.viewer) {
				others[other.uid] = true
			}
		}
		if want := slices.Sorted(maps.Keys(others)); m.state == "room" && !slices.Equal(m.view, want) {
			t.Errorf("%s sees %v in its room, want %v", m.me.uid, m.view, want)
		}
	}
}
