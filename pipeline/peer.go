package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gstpeer/gstpeer/signalling"
)

// What a peer may take, and what a remote may ask of it.
const (
	// defaultConnectTimeout is from the first description until media can flow.
	defaultConnectTimeout = 30 * time.Second
	// operationTimeout bounds one step of webrtcbin.
	operationTimeout = 10 * time.Second
	maxOperations    = 256
)

// Errors that end a peer.
var (
	// ErrNoAnswer: the remote did not answer our offer, or no connection to it
	// came about in time.
	ErrNoAnswer = errors.New("no answer")
	// ErrNoCommonCodec: the remote would receive, but nothing that we can send.
	ErrNoCommonCodec = errors.New("no common codec")
	// ErrConnectionFailed: ICE found no way to the remote, or lost it.
	ErrConnectionFailed = errors.New("connection failed")
	// ErrNothingWanted: the remote would receive neither picture nor sound.
	ErrNothingWanted = errors.New("the remote wants no media")
	// ErrFlooded: the remote sends more than it could mean.
	ErrFlooded = errors.New("too many messages at once")
)

// errRemoved ends a peer that left or that its owner removed.
var errRemoved = errors.New("removed")

// Peer is the sending side of one remote peer. Its goroutine owns the
// webrtcbin: everything else posts operations to it, which it carries out one
// after the other.
type Peer struct {
	// Static.
	uid       string
	with      session         // of the remote's offer; zero if we offer
	after     <-chan struct{} // closed when what had our place is gone; nil if nothing had
	pipeline  *Pipeline
	signaller Signaller
	log       *slog.Logger
	ctx       context.Context // ends with the peer; its cause says why
	end       context.CancelCauseFunc
	done      chan struct{} // closed after the last of the peer is gone
	ops       chan func() error
	born      time.Time
	connected *time.Timer // runs until the connection is there

	flows atomic.Bool // media does; set by loop

	// Owned by loop.
	bin        *webrtcbin
	ufrag      string // of the remote's description; empty before it
	mlines     int    // of the remote's last offer
	senders    []*sender
	state      connectionState
	negotiated bool
	sending    bool
	candidates int
	localNames int
	feeding    sync.WaitGroup
}

// sender is what is sent on one m-line. Codec and what follows it are known
// after negotiation only, and senders that the remote does not want are then gone.
type sender struct {
	kind    Kind
	ssrc    uint32
	mline   int
	codec   *Codec
	payload int
	feed    *feed
	frames  *Subscription // nil before the connection is there
}

func newPeer(p *Pipeline, uid string, with session, after <-chan struct{}) *Peer {
	ctx, end := context.WithCancelCause(context.Background())
	peer := &Peer{
		uid: uid, with: with, after: after, pipeline: p, signaller: p.signaller, log: p.log.With("peer", uid),
		ctx: ctx, end: end, done: make(chan struct{}), ops: make(chan func() error, maxOperations), born: time.Now(),
	}
	peer.connected = time.AfterFunc(p.connectTimeout, func() {
		end(fmt.Errorf("%w within %s", ErrNoAnswer, p.connectTimeout))
	})
	return peer
}

// post queues an operation. It never blocks: a peer that is behind by more than
// it could be in earnest ends.
func (p *Peer) post(op func() error) {
	select {
	case p.ops <- op:
	default:
		p.end(ErrFlooded)
	}
}

// loop is the peer's goroutine.
func (p *Peer) loop() {
	defer close(p.done)
	defer func() { p.pipeline.forget(p, context.Cause(p.ctx)) }()
	defer p.connected.Stop()
	if p.after != nil {
		<-p.after // so that a remote holds one webrtcbin, however often it offers anew
	}
	if p.ctx.Err() != nil {
		return
	}
	if err := p.open(); err != nil {
		p.end(err)
		return
	}
	defer p.close()
	for {
		select {
		case op := <-p.ops:
			if p.ctx.Err() != nil {
				return
			}
			if err := op(); err != nil {
				p.end(err)
			}
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *Peer) open() error {
	var bin *webrtcbin
	var err error
	if !within(p.log, "webrtcbin", func() { bin, err = newWebrtcbin(p, p.pipeline.clock, p.pipeline.baseTime) }) {
		return errHangs
	}
	p.bin = bin
	return err
}

// close gives back everything that the peer holds.
func (p *Peer) close() {
	within(p.log, "webrtcbin", func() {
		p.bin.stop()
		p.feeding.Wait()
		p.bin.free()
	})
}

// operation is the context of one step of webrtcbin.
func (p *Peer) operation() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.ctx, operationTimeout)
}

// offer proposes every track that there is to the remote.
func (p *Peer) offer() error {
	ctx, cancel := p.operation()
	defer cancel()
	for _, kind := range p.pipeline.kinds() {
		s := &sender{kind: kind, ssrc: newSSRC()}
		p.senders = append(p.senders, s)
		p.bin.addTransceiver(sendOnly, kind, offerCaps(p.pipeline.codecs(kind), s.ssrc))
	}
	d, err := p.bin.create(ctx, signalling.Offer)
	if err != nil {
		return err
	}
	if err := p.bin.setLocal(ctx, d); err != nil {
		return err
	}
	return p.signaller.SendDescription(ctx, p.uid, d)
}

// isWith says whether the peer was made for an offer of this remote
// RTCPeerConnection: another offer of it renegotiates.
func (p *Peer) isWith(s session) bool {
	return p.with == s && s != (session{}) && p.ctx.Err() == nil
}

// acceptAnswer takes the remote's choice of codecs for our offer.
func (p *Peer) acceptAnswer(r remoteDescription) error {
	switch {
	case p.with != (session{}) || p.ufrag != "":
		p.log.Debug("answer ignored: there was no offer, or an answer before")
		return nil
	case len(r.sections) != len(p.senders):
		return fmt.Errorf("%w: the answer has %d m-lines, our offer has %d", ErrDescription, len(r.sections), len(p.senders))
	}
	reason := ErrNothingWanted
	if r.sections[0].rejected {
		// The first m-line carries the whole bundle, and webrtcbin has no way
		// to move it to another one.
		return fmt.Errorf("%w for %s", ErrNoCommonCodec, p.senders[0].kind)
	}
	for i, section := range r.sections {
		s := p.senders[i]
		s.mline = i
		if !section.wants || section.kind != s.kind {
			continue
		}
		codec, payload, common := choose(p.pipeline.codecs(s.kind), section)
		if !common {
			reason = fmt.Errorf("%w for %s", ErrNoCommonCodec, s.kind)
			continue
		}
		s.codec, s.payload = codec, payload.number
	}
	p.senders = slices.DeleteFunc(p.senders, func(s *sender) bool { return s.codec == nil })
	if len(p.senders) == 0 {
		return reason
	}
	ctx, cancel := p.operation()
	defer cancel()
	if err := p.setRemote(ctx, r); err != nil {
		return err
	}
	return p.connect()
}

// setRemote gives webrtcbin a description of the remote, and the candidates
// that came with it.
func (p *Peer) setRemote(ctx context.Context, r remoteDescription) error {
	if err := p.bin.setRemote(ctx, r.Description); err != nil {
		return err
	}
	p.ufrag = r.ufrag
	for _, c := range r.candidates {
		if err := p.addCandidate(c); err != nil {
			return err
		}
	}
	return nil
}

// answer answers an offer of the remote with what it can receive of our tracks.
func (p *Peer) answer(r remoteDescription) error {
	again := p.ufrag != ""
	if again && p.ufrag != r.ufrag {
		// An answer would end the media that still flows.
		p.log.Warn("offer ignored: it restarts ICE, which webrtcbin cannot; a new RTCPeerConnection would do")
		return nil
	}
	ctx, cancel := p.operation()
	defer cancel()
	if err := p.setRemote(ctx, r); err != nil {
		return err
	}
	missed := p.choose(r.sections)
	reply, err := p.bin.create(ctx, signalling.Answer)
	if err != nil {
		return err
	}
	if err := p.checkAnswer(reply); err != nil {
		return err
	}
	if err := p.bin.setLocal(ctx, reply); err != nil {
		return err
	}
	// The answer is sent even if nothing will be: the remote then knows, and
	// can say so.
	if err := p.signaller.SendDescription(ctx, p.uid, reply); err != nil {
		return err
	}
	switch {
	case len(p.senders) == 0:
		return missed
	case again:
		return nil
	}
	return p.connect()
}

// choose decides what is sent on each m-line of an offer that is new, and ends
// what the remote wants no longer on the others. The error says why nothing is
// sent, if nothing is.
func (p *Peer) choose(sections []section) (missed error) {
	missed = ErrNothingWanted
	p.senders = slices.DeleteFunc(p.senders, func(s *sender) bool {
		unwanted := s.mline < len(sections) && !sections[s.mline].wants
		if unwanted && s.frames != nil {
			s.frames.Close()
		}
		return unwanted
	})
	for i, section := range sections {
		if i < p.mlines || section.kind == "" {
			continue
		}
		ours := p.pipeline.codecs(section.kind)
		taken := slices.ContainsFunc(p.senders, func(s *sender) bool { return s.kind == section.kind })
		if !section.wants || taken || len(ours) == 0 || p.mlines > 0 {
			p.bin.addTransceiver(inactive, section.kind, inactiveCaps(section))
			continue
		}
		codec, payload, common := choose(ours, section)
		if !common {
			missed = fmt.Errorf("%w for %s", ErrNoCommonCodec, section.kind)
			p.bin.addTransceiver(inactive, section.kind, inactiveCaps(section))
			continue
		}
		s := &sender{kind: section.kind, mline: i, codec: codec, payload: payload.number, ssrc: newSSRC()}
		p.senders = append(p.senders, s)
		p.bin.addTransceiver(sendOnly, section.kind, codec.caps(s.payload, s.ssrc))
	}
	p.mlines = len(sections)
	return missed
}

// checkAnswer makes sure that our answer sends what it should: webrtcbin says
// nothing when it does not.
func (p *Peer) checkAnswer(d signalling.Description) error {
	for _, s := range p.senders {
		if !sends(d.SDP, s.mline) {
			return fmt.Errorf("our answer does not send %s on m-line %d: this is a bug", s.codec.Name, s.mline)
		}
	}
	return nil
}

// connect links the tracks to what was negotiated. Frames flow once the remote
// is there.
func (p *Peer) connect() error {
	for _, s := range p.senders {
		feed, err := p.bin.newFeed(s.mline, s.codec, s.payload, s.ssrc)
		if err != nil {
			return err
		}
		s.feed = feed
		p.log.Debug("will send", "kind", s.kind, "codec", s.codec.Name, "payload type", s.payload)
	}
	p.negotiated = true
	return p.start()
}

// start begins to send, as soon as tracks and connection are both there.
func (p *Peer) start() error {
	if !p.negotiated || p.state != stateConnected || p.sending {
		return nil
	}
	p.sending = true
	p.flows.Store(true)
	p.connected.Stop()
	p.log.Info("peer connected", "after", time.Since(p.born).Round(time.Millisecond))
	for _, s := range p.senders {
		s.frames = p.pipeline.tracks[s.codec].Subscribe()
		p.feeding.Go(func() { s.send(p.ctx) })
	}
	return nil
}

// send pushes frames until the peer, the track or the remote's interest ends.
func (s *sender) send(ctx context.Context) {
	defer s.frames.Close()
	for {
		frame, err := s.frames.Next(ctx)
		if err != nil || !s.feed.push(frame) {
			return
		}
	}
}

// setState follows the connection.
func (p *Peer) setState(state connectionState) error {
	p.state = state
	p.flows.Store(p.sending && state == stateConnected)
	p.log.Debug("connection", "state", state)
	switch state {
	case stateFailed, stateClosed:
		return ErrConnectionFailed
	case stateConnected:
		return p.start()
	}
	return nil
}

// addCandidate hands a candidate of the remote to ICE.
func (p *Peer) addCandidate(c signalling.Candidate) error {
	p.candidates++
	switch {
	case c.Candidate == "": // the end of candidates, which ICE does not need
		return nil
	case p.candidates > maxCandidates:
		return fmt.Errorf("%w: more than %d candidates", ErrFlooded, maxCandidates)
	case !fitForICE(c.Candidate):
		p.log.Debug("remote candidate ignored: not one for UDP")
		return nil
	case isLocalName(c.Candidate):
		if p.localNames++; p.localNames > maxLocalNames {
			return nil
		}
	}
	p.bin.addCandidate(c) // which keeps it until the description is there
	return nil
}

// requestKeyframe passes on that the remote lost its picture.
func (p *Peer) requestKeyframe() error {
	for _, s := range p.senders {
		if s.kind == Video {
			p.pipeline.tracks[s.codec].RequestKeyframe()
		}
	}
	return nil
}

func (p *Peer) onCandidate(c signalling.Candidate) {
	p.post(func() error { return p.signaller.SendCandidate(p.ctx, p.uid, c) })
}

func (p *Peer) onConnectionState(s connectionState) {
	p.post(func() error { return p.setState(s) })
}

func (p *Peer) onKeyframeWanted() { p.post(p.requestKeyframe) }

func (p *Peer) onError(err error) {
	p.end(fmt.Errorf("%w: %w", ErrConnectionFailed, err))
}

// newSSRC is a random one (RFC 3550, section 8.1); 0 would mean none.
func newSSRC() uint32 { return 1 + rand.Uint32N(1<<32-1) }
