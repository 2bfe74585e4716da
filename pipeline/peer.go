package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/sdp/v3"

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
	// ErrNoAnswer: the remote did not answer our offer.
	ErrNoAnswer = errors.New("no answer")
	// ErrNoCommonCodec: the remote would receive, but nothing that we can send.
	ErrNoCommonCodec = errors.New("no common codec")
	// ErrConnectionFailed: ICE found no way to the remote, or lost it.
	ErrConnectionFailed = errors.New("connection failed")
	// ErrMediaLost: nothing comes from the remote any more, or nothing gets there.
	ErrMediaLost = errors.New("media lost")
	// ErrNothingWanted: the remote would neither receive nor send anything.
	ErrNothingWanted = errors.New("the remote wants no media")
	// ErrFlooded: the remote sends more than it could mean.
	ErrFlooded = errors.New("too many messages at once")
)

// errRemoved ends a peer that left or that its owner removed.
var errRemoved = errors.New("removed")

// Peer is the connection to one remote peer. Its goroutine owns the webrtcbin:
// everything else posts operations to it, which it carries out one after the
// other.
type Peer struct {
	// Static.
	uid       string
	offers    bool            // the first offer is ours
	attempt   attempt         // of those to get lost media back
	after     <-chan struct{} // closed when what had our place is gone; nil if nothing had
	pipeline  *Pipeline
	signaller Signaller
	log       *slog.Logger
	ctx       context.Context // ends with the peer; its cause says why
	end       context.CancelCauseFunc
	done      chan struct{} // closed after the last of the peer is gone
	ops       chan func() error
	texts     chan string // that have arrived on data channels
	outgoing  chan string // texts for our data channel
	connected *time.Timer // runs until the connection is there

	removed bool // by its owner, who has lost interest; guarded by the pipeline's mu

	// Set by loop, read by others.
	flows    atomic.Bool             // media does
	session  atomic.Pointer[session] // of the remote, once it is known
	turn     atomic.Int32            // whether our offer goes out, see claimTurn
	offered  atomic.Int64            // when it did, in Unix milliseconds; 0 before
	answered atomic.Bool             // it was
	played   atomic.Bool             // playing, for threads of GStreamer
	measured atomic.Pointer[measured]

	channelOpen atomic.Bool  // our data channel is
	deaf        atomic.Bool  // the remote takes no texts
	heldUp      atomic.Int64 // the nanoseconds that its texts have held up their sender

	// Set by threads of GStreamer.
	heard     atomic.Int64           // the last sign of life, in Unix milliseconds
	routes    atomic.Pointer[routes] // where frames go that come in; set by loop
	textBytes atomic.Int64           // in texts
	// receptions are what the remote says about what it is sent.
	receptions receptions
	// iceConnected: there is a way to the remote; DTLS comes after it.
	iceConnected atomic.Bool

	// Owned by loop.
	born                   time.Time // when it is its turn
	bin                    *webrtcbin
	ufrag                  string                  // of the remote's description; empty before it
	local                  *sdp.SessionDescription // our offer
	remote                 *sdp.SessionDescription // the last that webrtcbin was told
	mlines                 []*mline
	state                  connectionState
	turnServers            int       // of ours
	described              time.Time // when the remote was told our description
	iceGathered            bool      // every address of ours is known
	negotiated             bool
	playing                bool
	candidates             int
	known                  map[string]struct{} // candidates
	localNames             int
	gathered               candidateTypes // of ours
	found                  candidateTypes // of the remote's
	feeding                sync.WaitGroup
	receivers              []receiver
	sent                   uint64  // packets, at the last check
	unsent                 *string // the text that the channel did not take yet
	longestText            int     // that the remote takes, in bytes
	sentTexts              int
	heardTexts, heardBytes int // since textLogged
	textLogged             time.Time
	retry                  <-chan time.Time // when it is tried again
}

// attempt is one of several to get media to a remote that had it before, or that
// answers although no connection comes about.
type attempt struct {
	failures int           // that came before in a row
	delay    time.Duration // before this one
	timeout  time.Duration // for the answer; 0 is that of a first offer
}

func newPeer(p *Pipeline, uid string, offers bool, after <-chan struct{}) *Peer {
	ctx, end := context.WithCancelCause(context.Background())
	peer := &Peer{
		uid: uid, offers: offers, after: after, pipeline: p, signaller: p.signaller, log: p.log.With("peer", uid),
		ctx: ctx, end: end, done: make(chan struct{}), ops: make(chan func() error, maxOperations),
		texts: make(chan string, maxTexts), outgoing: make(chan string, maxOutgoing), known: make(map[string]struct{}),
	}
	peer.measured.Store(&measured{report: PeerReport{UID: uid, State: stateNew.String()}})
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
	if !p.wait() {
		return
	}
	p.born = time.Now()
	p.connected = time.AfterFunc(cmp.Or(p.attempt.timeout, p.pipeline.connectTimeout), p.takesTooLong)
	defer p.connected.Stop()
	if err := p.open(); err != nil {
		p.end(err)
		return
	}
	defer p.close()
	p.serve()
}

// wait is for what has our place to be gone, so that a remote holds one webrtcbin,
// however often it offers anew, and for the time between two attempts. It
// returns false when the peer has ended by then. That end does not cut the first
// wait short, which has a limit of its own: who comes next waits for us alone.
func (p *Peer) wait() bool {
	if p.after != nil {
		<-p.after
	}
	pause := time.NewTimer(p.attempt.delay)
	defer pause.Stop()
	select {
	case <-pause.C:
		return p.ctx.Err() == nil
	case <-p.ctx.Done():
		return false
	}
}

func (p *Peer) takesTooLong() {
	if p.offers && !p.answered.Load() {
		p.end(fmt.Errorf("%w within %s", ErrNoAnswer, cmp.Or(p.attempt.timeout, p.pipeline.connectTimeout)))
		return
	}
	p.post(func() error {
		if p.playing { // just now
			return nil
		}
		return fmt.Errorf("%w (after %s)", p.whyFailed(), p.pipeline.connectTimeout)
	})
}

func (p *Peer) serve() {
	check := time.NewTicker(checkInterval)
	defer check.Stop()
	for {
		var err error
		select {
		case op := <-p.ops:
			if p.ctx.Err() != nil {
				return
			}
			err = op()
		case text := <-p.texts:
			p.takeText(text)
		case text := <-p.nextText():
			p.sendText(text)
		case <-p.retry:
			p.sendText(*p.unsent)
		case <-check.C:
			err = p.check()
		case <-p.ctx.Done():
			return
		}
		if err != nil {
			p.end(err)
		}
	}
}

func (p *Peer) open() error {
	settings := p.pipeline.settings()
	p.turnServers = len(settings.servers.TURN)
	bin, err := makeWithin(p.log, "webrtcbin", changeTimeout, func() (*webrtcbin, error) {
		return newWebrtcbin(p, settings)
	}, func(late *webrtcbin) {
		late.stop()
		late.free()
	})
	if err != nil {
		return err
	}
	p.bin = bin
	p.receivers = p.pipeline.newReceivers(p.uid, p.log)
	return nil
}

// close gives back everything that the peer holds.
func (p *Peer) close() {
	within(p.log, "webrtcbin", func() {
		p.bin.stop()
		p.feeding.Wait()
		p.bin.free()
	})
	for _, m := range p.mlines {
		m.pause()
		m.stopReceiving()
	}
	p.closeReceivers()
}

// closeReceivers leaves behind those that hang, such as one that writes to a disk:
// neither Close nor the next peer of that remote can wait for ever.
func (p *Peer) closeReceivers() {
	within(p.log, "what takes the remote's media", func() {
		var closing sync.WaitGroup
		for _, r := range p.receivers {
			closing.Go(r.close)
		}
		closing.Wait()
	})
}

// operation is the context of one step of webrtcbin.
func (p *Peer) operation() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.ctx, operationTimeout)
}

// isWith says whether the peer is connected to this remote RTCPeerConnection:
// another offer of it renegotiates.
func (p *Peer) isWith(s session) bool {
	with := p.session.Load()
	return with != nil && *with == s && p.ctx.Err() == nil
}

// Whose turn it is to offer, until our offer is on its way.
const (
	turnOpen int32 = iota
	turnOurs
	turnRemotes
)

// claimTurn decides between our offer and one of the remote that comes before
// ours is made. It returns false for who comes second.
func (p *Peer) claimTurn(turn int32) bool { return p.turn.CompareAndSwap(turnOpen, turn) }

// collides says whether an offer of the remote has crossed with ours. One that
// comes much later has not: the remote has lost ours. When it returns false, ours
// does not go out any more.
func (p *Peer) collides() bool {
	if !p.offers || p.answered.Load() || p.ctx.Err() != nil || p.claimTurn(turnRemotes) {
		return false
	}
	at := p.offered.Load()
	return at == 0 || time.Since(time.UnixMilli(at)) < collisionTime
}

// collisionTime is how long two offers may take to be on their ways at the same
// time.
const collisionTime = 5 * time.Second

// setState follows the connection.
func (p *Peer) setState(state connectionState) error {
	p.state = state
	p.flows.Store(p.playing && state == stateConnected)
	p.reportState()
	p.log.Debug("connection", "state", state)
	switch state {
	case stateFailed, stateClosed:
		return p.whyFailed()
	case stateConnected:
		return p.play()
	}
	return nil
}

// play begins to send what was agreed on, as soon as the connection is there, and
// ends what is agreed on no longer.
func (p *Peer) play() error {
	if !p.negotiated || p.state != stateConnected {
		return nil
	}
	if !p.playing {
		if err := p.checkCertificate(); err != nil {
			return err
		}
		p.playing = true
		p.played.Store(true)
		p.connected.Stop()
		p.heard.Store(time.Now().UnixMilli())
		p.pipeline.config.Observer.Connected(time.Since(p.born))
		p.log.Info("peer connected", "after", time.Since(p.born).Round(time.Millisecond))
	}
	p.flows.Store(true)
	for _, m := range p.mlines {
		switch {
		case !m.sends:
			m.pause()
		case m.frames == nil:
			if err := p.send(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// send begins to send a track on an m-line.
func (p *Peer) send(m *mline) error {
	if m.feed == nil {
		p.receptions.expect(m.ssrc, time.Now())
		feed, err := p.bin.newFeed(m.index, m.codec, m.payload, m.ssrc)
		if err != nil {
			return err
		}
		m.feed = feed
	}
	p.log.Debug("sending", "kind", m.kind, "codec", m.codec.Name, "payload type", m.payload)
	frames, feed := p.pipeline.tracks[m.codec].Subscribe(), m.feed
	m.frames = frames
	p.feeding.Go(func() { p.push(m, frames, feed) })
	return nil
}

// push hands on frames to the remote, and counts them.
func (p *Peer) push(m *mline, frames *Subscription, to *feed) {
	push(p.ctx, frames, to, func(f Frame) {
		if m.sent.add(f) {
			p.pipeline.config.Observer.FirstFrame(m.kind, true, time.Since(m.since))
		}
	})
}

// push hands on frames until ctx, the track or the interest of who takes them ends.
func push(ctx context.Context, frames *Subscription, to *feed, pushed func(Frame)) {
	defer frames.Close()
	for {
		frame, err := frames.Next(ctx)
		if err != nil || !to.push(frame) {
			return
		}
		pushed(frame)
	}
}

// sends says whether a codec is in use.
func (p *Peer) sends(codec *Codec) bool {
	return slices.ContainsFunc(p.mlines, func(m *mline) bool { return m.sends && m.codec == codec })
}

// requestKeyframe passes on that the remote lost its picture.
func (p *Peer) requestKeyframe() error {
	for _, m := range p.mlines {
		if m.kind == Video && m.frames != nil {
			p.pipeline.tracks[m.codec].RequestKeyframe()
		}
	}
	return nil
}

func (p *Peer) onCandidate(c signalling.Candidate) {
	p.post(func() error { return p.sendCandidate(c) })
}

func (p *Peer) onConnectionState(s connectionState) {
	p.post(func() error { return p.setState(s) })
}

func (p *Peer) onICEState(gathered, connected bool) {
	p.iceConnected.Store(connected)
	p.post(func() error {
		p.iceGathered = gathered
		return nil
	})
}

func (p *Peer) onKeyframeWanted() { p.post(p.requestKeyframe) }

func (p *Peer) onHeard() { p.heard.Store(time.Now().UnixMilli()) }

func (p *Peer) onReport() { p.receptions.report(time.Now()) }

func (p *Peer) onReception(ssrc uint32, r reception) { p.receptions.note(ssrc, r, time.Now()) }

func (p *Peer) onError(element string, err error) {
	reason := ErrConnectionFailed
	dtls := strings.HasPrefix(element, "dtls")
	switch played := p.played.Load(); {
	case dtls && !played: // such as an alert of a remote that refuses our certificate
		reason = errDTLS
	case played && (dtls || strings.HasPrefix(element, "sctp")):
		reason = errClosed
	}
	p.end(fmt.Errorf("%w: %s: %w", reason, element, err))
}

// newSSRC is a random one (RFC 3550, section 8.1); 0 would mean none.
func newSSRC() uint32 { return 1 + rand.Uint32N(1<<32-1) }
