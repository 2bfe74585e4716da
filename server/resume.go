package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/signalling"
)

// A peer that gave a secret keeps its place when its connection breaks, for the
// grace period: the registry counts it as present, and its outbox goes on
// collecting. The peer that comes back is a new peer to the registry, which takes
// the place and the messages of the old one.
//
// A connection breaks when it ends without a close frame of the peer, or when
// the peer shows no sign of life. A peer that sends a close frame, whatever the
// code, has left at once, and so has one that the relay closes for a fault.
//
// Nothing comes twice, and nothing out of order. Whether anything is lost depends
// on the peer. One that counts, and says how many messages it has, gets all that
// it lacks, and is told how many the relay has of it: nothing is lost. If what
// it lacks is not known any more, it is not resumed. One that does not count gets
// all that was not written to its old connection; what the system had taken for
// that, but not delivered, is lost, since nobody can know of it, and so is what
// the peer sent that had not arrived.

// handoverPatience is how long a write to a connection that is taken over may
// still last. It fills a buffer, and so takes no time, unless that is full.
const handoverPatience = 100 * time.Millisecond

// resumption is what a peer says in its query about coming back.
type resumption struct {
	secret   [sha256.Size]byte // its hash: what is not held cannot leak
	counts   bool
	received uint64 // messages of the relay, since the registration
}

// resumption reads what a peer says about coming back, and has its outbox
// remember what may be lost. It gives nil for a peer that does not ask for it.
func (s *Server) resumption(query url.Values, out *outbox) *resumption {
	secret := query.Get(signalling.QueryResume)
	if len(secret) < signalling.MinResumeSecret || s.config.ResumeGrace < 0 {
		return nil
	}
	out.history = &history{maxFrames: out.maxFrames, maxBytes: out.maxBytes}
	received, err := strconv.ParseUint(query.Get(signalling.QueryReceived), 10, 64)
	return &resumption{sha256.Sum256([]byte(secret)), err == nil, received}
}

// is tells whether both peers are the same one, which has come back.
func (p *peer) is(q *peer) bool {
	return p.resumption != nil && q.resumption != nil &&
		subtle.ConstantTimeCompare(p.resumption.secret[:], q.resumption.secret[:]) == 1
}

// suspend keeps the place of a peer whose connection is no longer its own. It
// gives nil for a peer that has none to be kept, else a channel that is closed
// once it can be resumed.
func (r *registry) suspend(p *peer, code int, reason string) (settled <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !p.registered || p.resumption == nil || !p.suspended && p.out.over() {
		return nil
	}
	p.suspended = true
	return p.out.keep(code, reason, min(r.closing, r.grace))
}

// resume gives the place of a suspended peer to the same peer's new connection.
// It reports false when there is no place any more: because it has been taken or
// given up meanwhile, or because it is of no use without what is forgotten.
func (r *registry) resume(old, p *peer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.dropFull()
	if !old.registered || p.out.over() {
		return false
	}
	lacking, ok := old.out.take(p.resumption)
	if !ok || !p.mayReplace(old) {
		r.remove(old)
		return false
	}
	r.replace(old, p)
	p.out.greet(textFrame(p.welcome()), lacking)
	return true
}

// mayReplace tells whether the place is still one that p may have.
func (p *peer) mayReplace(old *peer) bool {
	return p.viewer == old.viewer && (old.room == nil || p.grant.AllowsRoom(old.room.id)) &&
		(old.partner == nil || p.grant.AllowsSessions())
}

// replace puts p where old is.
func (r *registry) replace(old, p *peer) {
	old.forget()
	p.registered = true
	p.received = old.received
	p.inSession.Store(old.inSession.Load())
	r.peers[p.uid] = p
	p.partner, old.partner = old.partner, nil
	if p.partner != nil {
		p.partner.partner = p
	}
	p.room, old.room = old.room, nil
	if p.room != nil {
		p.room.replace(old, p)
	}
}

// welcome answers HELLO. Only a peer that counts hears that it is resumed.
func (p *peer) welcome() string {
	if p.resumption.counts {
		return signalling.HelloResumed(p.received)
	}
	return signalling.VerbHello
}

// expire ends the grace period of a peer that has not come back. It reports false
// for a peer that has its connection.
func (r *registry) expire(p *peer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.dropFull()
	if p.suspended {
		r.remove(p)
	}
	return p.suspended
}

// gone gives a channel that is closed once p itself is not registered any more.
func (r *registry) gone(p *peer) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.left == nil {
		p.left = make(chan struct{})
		if !p.registered {
			close(p.left)
		}
	}
	return p.left
}

// forget notes that p is not registered any more.
func (p *peer) forget() {
	p.registered = false
	if p.left != nil {
		close(p.left)
	}
}

// resume takes the place that the same peer holds by another connection, which
// may be broken already or not.
func (c *conn) resume(holder *peer) bool {
	settled := c.registry.suspend(holder, websocket.ClosePolicyViolation, "resumed by another connection")
	if settled == nil {
		return false
	}
	patience := time.NewTimer(handoverPatience)
	defer patience.Stop()
	select {
	case <-settled:
	case <-patience.C:
		holder.out.kill()
		<-settled
	}
	return c.registry.resume(holder, c.peer)
}

// linger waits until the peer that lost this connection is back, or has been
// given up.
func (c *conn) linger(since time.Time) {
	gone := c.registry.gone(c.peer)
	select {
	case <-gone: // as most are
		return
	default:
	}
	back := c.place.wait()
	if back == nil {
		c.registry.expire(c.peer)
		return
	}
	defer back()
	grace := time.NewTimer(time.Until(since.Add(c.registry.grace)))
	defer grace.Stop()
	select {
	case <-gone:
	case <-grace.C:
		c.registry.expire(c.peer)
	}
}
