package pipeline

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/gstpeer/gstpeer/signalling"
)

// Offer makes a connection to a remote peer and offers it every track. What
// there was with that peer ends.
func (p *Pipeline) Offer(uid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offerLocked(uid, attempt{})
}

func (p *Pipeline) offerLocked(uid string, a attempt) {
	if peer := p.replaceLocked(uid, true, session{}, a); peer != nil {
		peer.post(peer.offer)
	}
}

// HandleDescription takes an offer or an answer of a remote peer. An offer of
// a new RTCPeerConnection takes the place of what there was with that peer,
// which is what a page does when it is loaded again.
func (p *Pipeline) HandleDescription(uid string, d signalling.Description) {
	r, err := parseDescription(d)
	if d.Type == signalling.Answer {
		p.handleAnswer(uid, r, err)
		return
	}
	if err != nil {
		p.log.Warn("offer ignored", "peer", uid, "error", err)
		return
	}
	yields := p.yields(uid)
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.peers[uid]
	switch {
	case peer != nil && peer.isWith(r.session):
	case peer != nil && peer.collides() && !yields:
		p.log.Debug("offer ignored: ours was first", "peer", uid)
		return
	default:
		peer = p.replaceLocked(uid, false, r.session, attempt{})
	}
	if peer != nil {
		peer.post(func() error { return peer.answer(r) })
	}
}

func (p *Pipeline) handleAnswer(uid string, r remoteDescription, refused error) {
	peer := p.peer(uid)
	switch {
	case peer == nil && p.gaveUp(uid):
		p.log.Info("an answer too late, will offer again", "peer", uid)
		p.Offer(uid)
		return
	case peer == nil:
		p.log.Debug("answer ignored: there was no offer", "peer", uid)
		return
	}
	peer.post(func() error {
		if refused != nil {
			return refused
		}
		return peer.acceptAnswer(r)
	})
}

// gaveUp says whether a remote did not answer in time. When it does so later, it
// is in reach again, and waits for what its answer should have led to.
func (p *Pipeline) gaveUp(uid string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Is(p.lost[uid], ErrNoAnswer)
}

// HandleCandidate takes an ICE candidate of a remote peer.
func (p *Pipeline) HandleCandidate(uid string, c signalling.Candidate) {
	if peer := p.peer(uid); peer != nil {
		peer.post(func() error { return peer.addCandidate(c) })
	}
}

// Remove ends the connection to a remote peer. It does not wait.
func (p *Pipeline) Remove(uid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lost, uid)
	if peer := p.peers[uid]; peer != nil {
		peer.removed = true
		peer.end(errRemoved)
	}
}

// Rejoin sets connections right with a room that was joined again after a while
// without a relay. A connection that media flows on goes on, also if its remote
// is not in the room: it may have lost the same relay. To the other members an
// offer is made, and what else there was ends.
func (p *Pipeline) Rejoin(members []string) {
	p.mu.Lock()
	clear(p.lost) // who is there is offered to anew
	p.mu.Unlock()
	for _, uid := range p.idle() {
		p.Remove(uid)
	}
	for _, uid := range members {
		if peer := p.peer(uid); peer == nil || !peer.flows.Load() {
			p.Offer(uid)
		}
	}
}

// Resume offers to those that media was lost to meanwhile, after a while without a
// relay in which nobody has left the room: neither side could offer. Those whose
// turn it is do so themselves.
func (p *Pipeline) Resume() {
	p.mu.Lock()
	lost := slices.Collect(maps.Keys(p.lost))
	p.mu.Unlock()
	for _, uid := range lost {
		if p.peer(uid) == nil {
			p.Offer(uid)
		}
	}
}

// replaceCodec offers anew to those who were sent what cannot be encoded any
// more: webrtcbin cannot change the codec of an m-line.
func (p *Pipeline) replaceCodec(codec *Codec) {
	p.mu.Lock()
	peers := slices.Collect(maps.Values(p.peers))
	p.mu.Unlock()
	for _, peer := range peers {
		peer.post(func() error {
			if peer.sends(codec) {
				peer.log.Info("offer made for another codec", "instead of", codec.Name)
				p.Offer(peer.uid)
			}
			return nil
		})
	}
}

// yields says whether the remote's offer counts when it crosses with ours.
func (p *Pipeline) yields(uid string) bool {
	return p.config.Yields == nil || p.config.Yields(uid)
}

// idle lists the peers that no media flows to.
func (p *Pipeline) idle() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var uids []string
	for uid, peer := range p.peers {
		if !peer.flows.Load() {
			uids = append(uids, uid)
		}
	}
	return uids
}

// Flows says whether media flows to and from a remote.
func (p *Pipeline) Flows(uid string) bool {
	peer := p.peer(uid)
	return peer != nil && peer.flows.Load()
}

// Hears says whether media flows, and something of the remote has come that shortly
// ago.
func (p *Pipeline) Hears(uid string, ago time.Duration) bool {
	peer := p.peer(uid)
	return peer != nil && peer.flows.Load() && time.Since(time.UnixMilli(peer.heard.Load())) < ago
}

// Has says whether there is a connection to a remote, or an attempt at one.
func (p *Pipeline) Has(uid string) bool { return p.peer(uid) != nil }

// Knows says whether a description comes from the RTCPeerConnection that the
// connection to a remote is with.
func (p *Pipeline) Knows(uid string, d signalling.Description) bool {
	r, err := parseDescription(d)
	peer := p.peer(uid)
	return err == nil && peer != nil && peer.isWith(r.session)
}

func (p *Pipeline) peer(uid string) *Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peers[uid]
}

// maxPeers bounds what remotes can make this process hold: each peer takes some
// ten descriptors and threads, and GLib aborts when there are no more.
const maxPeers = 1000

// replaceLocked makes a peer and ends the one that has its place. It returns nil
// after Close, and when there are too many.
func (p *Pipeline) replaceLocked(uid string, offers bool, with session, a attempt) *Peer {
	old := p.peers[uid]
	switch {
	case p.closed:
		return nil
	case old == nil && len(p.peers) >= maxPeers:
		p.log.Warn("no more peers are taken", "peer", uid, "peers", len(p.peers))
		return nil
	}
	var gone <-chan struct{}
	if old != nil {
		old.end(errRemoved)
		gone = old.done
	}
	peer := newPeer(p, uid, offers, gone)
	peer.attempt = a
	if !offers {
		peer.session.Store(&with)
	}
	p.peers[uid] = peer
	delete(p.lost, uid)
	p.ending.Go(peer.loop)
	return peer
}

// isFinal says whether another offer would come to the same end.
func isFinal(reason error) bool {
	return slices.ContainsFunc([]error{ErrFlooded, ErrDescription, ErrNoCommonCodec, ErrNothingWanted}, func(final error) bool {
		return errors.Is(reason, final)
	})
}

// forget is a peer's last call.
func (p *Pipeline) forget(peer *Peer, reason error) {
	if errors.Is(reason, errRemoved) {
		reason = nil
	}
	next, again, last := p.settle(peer, reason)
	p.config.Observer.Ended(reason)
	if reason == nil {
		return
	}
	peer.log.Info("peer ended", "reason", reason)
	switch {
	case again:
		peer.log.Info("will offer again", "in", next.delay.Round(100*time.Millisecond))
	case last && p.config.OnPeerEnd != nil:
		p.config.OnPeerEnd(peer.uid, reason)
	}
}

// settle has the next attempt take a peer's place, if there is to be one. A
// remote that leaves or offers meanwhile finds either of them. The peer was the
// last if nothing has taken its place and its remote has not left: else its end
// is of no interest to anybody.
func (p *Pipeline) settle(peer *Peer, reason error) (next attempt, again, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.peers[peer.uid] != peer {
		return attempt{}, false, false
	}
	last = reason != nil && !peer.removed
	if last && !p.closed {
		next, again = peer.nextAttempt(reason)
	}
	if again {
		p.offerLocked(peer.uid, next)
		return next, true, false
	}
	delete(p.peers, peer.uid)
	if last && peer.offers && !isFinal(reason) && len(p.lost) < maxPeers {
		p.lost[peer.uid] = reason
	}
	return attempt{}, false, last
}
