package server

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server/token"
	"github.com/gstpeer/gstpeer/signalling"
)

// peer is a registered (or registering) connection as the others see it.
type peer struct {
	// Static.
	uid        string
	viewer     bool
	grant      *token.Grant // of its token; nil restricts nothing
	resumption *resumption  // nil for a peer that does not come back
	out        *outbox

	// inSession is set under the registry's mutex and never reset. It may be
	// read without, to save the parsing of what is only passed on.
	inSession atomic.Bool

	// Owned by the connection's read loop.
	due   []*outbox // it is to flush
	asked int       // bytes of the long answers that its message had

	// Guarded by the registry's mutex.
	registered bool
	full       bool  // its outbox has refused a message
	suspended  bool  // has lost its connection, and keeps its place for another one
	partner    *peer // the other peer of its session
	room       *room
	received   uint64        // messages since the registration
	left       chan struct{} // closed when no longer registered; nil until somebody waits for that
}

// message is what a peer sent. The command is parsed beforehand, since that
// takes time that the mutex must not be held for.
type message struct {
	frame   frame
	command signalling.Command
	err     error // why there is no command
}

// registry knows who is here, and carries messages between them. Replies and
// messages are queued under its one mutex, which is what orders them: a
// SESSION_OK before the session's texts, a JOINED before the joiner's messages,
// all that a peer said before its LEFT. Nothing under the mutex blocks.
type registry struct {
	closing  time.Duration // how long a connection may take to end
	grace    time.Duration // how long a peer may take to come back
	limits   Limits
	refusals refusals

	mu    sync.Mutex
	peers map[string]*peer // by uid
	rooms map[string]*room // by room id; none is empty
	full  []*peer          // whose outbox refused a message; empty between operations
	due   []*outbox        // that are to be flushed; empty between operations

	sessions int          // how many there are
	received [kinds]tally // from peers

	flusher flusher
}

func newRegistry(closing, grace time.Duration, limits Limits, refusals refusals) *registry {
	return &registry{
		closing:  closing,
		grace:    grace,
		limits:   limits,
		refusals: refusals,
		peers:    make(map[string]*peer),
		rooms:    make(map[string]*room),
	}
}

// atomically runs f, which must not block, while nobody comes, goes or speaks.
func (r *registry) atomically(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// register reserves the peer's uid and says HELLO. If another peer holds the
// uid, that one is returned and nothing happens; nor does anything for a peer
// whose connection has been told to end while it waited for the uid.
func (r *registry) register(p *peer) (holder *peer, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.out.over() {
		return nil, false
	}
	if holder := r.peers[p.uid]; holder != nil {
		return holder, false
	}
	r.peers[p.uid] = p
	p.registered = true
	p.out.greet(textFrame(signalling.VerbHello), backlog{})
	return nil, true
}

// leave takes the peer out: its uid is free, its session or room hears of it.
// It does nothing for a peer that has left, so the late end of a connection
// cannot touch a newer one with the same uid; nor the place of a suspended peer,
// of which the connection is no longer a part.
func (r *registry) leave(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.dropFull()
	if !p.suspended {
		r.remove(p)
	}
}

// evict takes a peer out that is not there to close its connection itself.
func (r *registry) evict(p *peer, code int, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.dropFull()
	r.remove(p)
	p.out.abandon(code, reason, r.closing)
}

// handle does what the peer asks, or passes its message on. The error, if any,
// has been answered.
func (r *registry) handle(p *peer, m message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.settle(p)
	if !p.registered || p.suspended { // has been told to end, but went on talking
		return nil
	}
	p.received++
	r.received[kindOf(p, m)].add(m.frame)
	if p.partner != nil {
		r.send(p.partner, m.frame)
		return nil
	}
	err := r.obey(p, m)
	m.frame.recycle() // what is said on is a copy
	if err != nil {
		r.send(p, textFrame(errorReply(err)))
	}
	return err
}

func (r *registry) obey(p *peer, m message) error {
	if p.room != nil {
		return r.obeyInRoom(p, m)
	}
	switch {
	case m.frame.kind == websocket.BinaryMessage:
		return refuse("a binary message is allowed in a session only")
	case m.err != nil:
		return refuseCommand(m.command, m.err)
	}
	switch m.command.Verb {
	case signalling.VerbSession:
		return r.call(p, m.command.ID)
	case signalling.VerbRoom:
		if !p.grant.AllowsRoom(m.command.ID) {
			r.refusals.count(RefusedToken)
			return refuse("room '%s' is not allowed by the token", m.command.ID)
		}
		return r.join(p, m.command.ID)
	case signalling.VerbHello:
		return refuse("already registered as '%s'", p.uid)
	}
	return refuse("not in a room, join one with: ROOM <room_id>")
}

// call begins a session. The callee is told nothing: the caller's first text is
// its notice.
func (r *registry) call(p *peer, uid string) error {
	callee := r.peers[uid]
	switch {
	case !p.grant.AllowsSessions():
		r.refusals.count(RefusedToken)
		return refuse("sessions are not allowed by the token")
	case callee == nil:
		return refuse("peer '%s' not found", quotable(uid))
	case callee == p:
		return refuse("peer '%s' is yourself", uid)
	case p.viewer || callee.viewer:
		return refuse("viewers take part in no sessions, join a room")
	case !callee.grant.AllowsSessions():
		return refuse("peer '%s' is not allowed sessions by its token", uid)
	case callee.partner != nil || callee.room != nil:
		return refuse("peer '%s' busy", uid)
	}
	p.partner, callee.partner = callee, p
	r.sessions++
	p.inSession.Store(true)
	callee.inSession.Store(true)
	r.send(p, textFrame(signalling.VerbSessionOK))
	return nil
}

func (r *registry) remove(p *peer) {
	if !p.registered {
		return
	}
	p.forget()
	delete(r.peers, p.uid)
	if partner := p.partner; partner != nil {
		p.partner, partner.partner = nil, nil
		r.sessions--
		// The partner's uid is free at once too: when it sees the close frame
		// and comes back, its own past must not be in its way.
		r.remove(partner)
		partner.out.finish(websocket.CloseNormalClosure, "", r.closing)
	}
	if p.room != nil {
		r.part(p)
	}
}

// send queues a message. A peer with no place for it is dropped at the end of
// the operation, when no loop over members is under way.
func (r *registry) send(p *peer, f frame) {
	placed, due := p.out.put(f)
	if !placed && !p.full {
		p.full = true
		r.full = append(r.full, p)
	}
	if due {
		r.due = append(r.due, p.out)
	}
}

// settle ends an operation of the peer's read loop. What it has queued for one
// other is written by that loop itself, together with what its next messages
// queue for the same one.
func (r *registry) settle(p *peer) {
	if len(r.due) == 1 && len(r.full) == 0 {
		p.due = append(p.due, r.due[0])
		r.due = r.due[:0]
	}
	r.dropFull()
}

// dropFull ends an operation: it ends the peers that do not read what is sent to
// them, and has all messages written. The farewells to the rooms of the dropped
// may fill further outboxes.
func (r *registry) dropFull() {
	for len(r.full) > 0 {
		p := r.full[0]
		r.full = r.full[1:]
		r.refusals.count(RefusedQueue)
		r.remove(p)
		p.out.abandon(websocket.ClosePolicyViolation, "slow consumer", r.closing)
	}
	r.full = nil
	r.flusher.add(r.due)
	clear(r.due)
	r.due = r.due[:0]
}
