// Package pipeline is everything that gstpeer does with GStreamer: it captures
// a source, encodes it once per codec, and sends it to any number of remote
// peers, each through a webrtcbin in a pipeline of its own, so that whatever
// happens to one of them cannot reach the source or another one.
//
// A Pipeline does its own negotiation: it is told what remote peers say, and
// says what it has to say through a Signaller.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/go-gst/go-gst/gst"
	"golang.org/x/sync/errgroup"

	"github.com/gstpeer/gstpeer/signalling"
)

// ErrNoMedia is wrapped by the error for a source that delivers nothing.
var ErrNoMedia = errors.New("delivers nothing")

// Config says what to capture and how to encode it.
type Config struct {
	Video, Audio Source
	// Width and Height in pixels; 0 is the source's own, for the test source
	// and for cameras 1280×720.
	Width, Height int
	// FrameRate in frames per second, at most; 30 if it is 0.
	FrameRate int
	// VideoBitrate and AudioBitrate in kbit/s; 2000 and 64 if they are 0.
	VideoBitrate, AudioBitrate int
	// Codecs are those for pictures in the order of preference; VideoCodecs if
	// it is empty.
	Codecs []*Codec
	// StartTimeout is how long a source may take to its first frame; 10 s if
	// it is 0.
	StartTimeout time.Duration
	// StallTimeout is how long a source may then deliver nothing before it is
	// lost; 5 s if it is 0. One of few frames a second has longer.
	StallTimeout time.Duration
	// ExitOnSourceLoss ends the Pipeline, with ErrSourceLost, when a source is
	// lost after it was there. Else it is opened again and again, and peers see a
	// slate meanwhile.
	ExitOnSourceLoss bool
	// encoders are other ones than those of the codecs, in tests.
	encoders map[*Codec][]encoderElement
	// longestReopening is lastReopening, except in tests.
	longestReopening time.Duration
	// OnPeerEnd, if not nil, is told that a peer ended by itself, and why. It
	// is called on the peer's goroutine and must not call the Pipeline.
	OnPeerEnd func(uid string, reason error)
	// OnText, if not nil, gets the texts that remotes send on data channels. It
	// is called on the peer's goroutine and must not call the Pipeline.
	OnText func(uid, text string)
	// Receive lets remotes send. Without it our descriptions decline their media.
	Receive bool
	// Record and Sinks take what remotes send, if Receive lets them.
	Record Recording
	Sinks  []Sink
	// Yields says whose offer counts when ours and that of a remote cross: the
	// remote's, if it returns true. It has to return the opposite at the other
	// end. Without it the remote's counts.
	Yields  func(uid string) bool
	Network Network
	Servers ICEServers
	// Observer, if not nil, hears of each frame.
	Observer Observer
	Log      *slog.Logger
}

// Signaller carries what the Pipeline has to say to a remote peer. An error
// ends that peer here.
type Signaller interface {
	SendDescription(ctx context.Context, uid string, d signalling.Description) error
	SendCandidate(ctx context.Context, uid string, c signalling.Candidate) error
}

// Pipeline is a source with its encoders and the peers that receive it.
type Pipeline struct {
	// Static.
	config    Config
	signaller Signaller
	log       *slog.Logger
	clock     *gst.Clock
	baseTime  gst.ClockTime
	// connectTimeout is defaultConnectTimeout, except in tests.
	connectTimeout time.Duration
	receiverMakers []func(uid string, log *slog.Logger) receiver
	captures       []*capture
	encoders       []*liveEncoder
	tracks         map[*Codec]*Track
	stop           context.CancelFunc
	workers        *errgroup.Group
	done           chan struct{} // closed when the source ended
	err            error         // why it ended; set before done is closed

	mu      sync.Mutex
	closed  bool
	servers ICEServers
	peers   map[string]*Peer
	lost    map[string]error // why peers ended that it is ours to offer to again, when they are in reach
	// ending are the loops of all peers, those that were replaced included.
	ending sync.WaitGroup
}

var initialize = sync.OnceFunc(func() { gst.Init(nil) })

// Open starts the source and returns when its first frames are there, or with
// an error that says what to do. Ctx is only for the start; Close ends it.
func Open(ctx context.Context, config Config, signaller Signaller) (*Pipeline, error) {
	initialize()
	setDefaults(&config)
	p := &Pipeline{
		config: config, signaller: signaller, log: config.Log, connectTimeout: defaultConnectTimeout,
		clock: gst.ObtainSystemClock().Clock, tracks: make(map[*Codec]*Track),
		peers: make(map[string]*Peer), lost: make(map[string]error), servers: config.Servers, done: make(chan struct{}),
	}
	p.baseTime = p.clock.GetTime()
	if err := p.plan(); err != nil {
		return nil, err
	}
	p.start()
	warm := make(chan struct{})
	go func() {
		defer close(warm)
		p.warmUp(ctx)
	}()
	err := p.awaitMedia(ctx)
	<-warm
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Check finds sources that do not go together.
func (c Config) Check() error {
	audio, err := resolveAudio(c.Audio, c.Video)
	if err == nil && c.Video.None() && audio.None() && !c.Receive {
		err = fmt.Errorf("%w: neither picture nor sound to send", ErrSource)
	}
	return err
}

func setDefaults(c *Config) {
	c.FrameRate = orElse(c.FrameRate, 30)
	c.VideoBitrate = orElse(c.VideoBitrate, 2000)
	c.AudioBitrate = orElse(c.AudioBitrate, 64)
	if len(c.Codecs) == 0 {
		c.Codecs = VideoCodecs
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 10 * time.Second
	}
	if c.longestReopening == 0 {
		c.longestReopening = lastReopening
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = 5 * time.Second
	}
	if c.Observer == nil {
		c.Observer = unobserved{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// plan makes what will run, and finds what is missing for it.
func (p *Pipeline) plan() error {
	if err := requireElements(webrtcElements...); err != nil {
		return err
	}
	if err := p.planReceivers(); err != nil {
		return err
	}
	specs, err := captureSpecs(p.config)
	if err != nil {
		return err
	}
	for _, spec := range specs {
		c := newCapture(spec, p.encode, p.requestKeyframes)
		c.clock, c.baseTime, c.log, c.observer = p.clock, p.baseTime, p.log, p.config.Observer
		c.limits = sourceLimits{start: p.config.StartTimeout, stall: p.config.StallTimeout, fatal: p.config.ExitOnSourceLoss}
		c.retry = newReopening(p.config.longestReopening)
		c.frame = time.Second / time.Duration(p.config.FrameRate)
		if err := c.check(); err != nil {
			return err
		}
		p.captures = append(p.captures, c)
		for _, kind := range spec.kinds {
			if err := p.planEncoders(kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// planEncoders makes an encoder for each codec of a kind that can be encoded
// here. It takes one: the others are for remote peers that lack that one.
func (p *Pipeline) planEncoders(kind Kind) error {
	codecs := []*Codec{Opus}
	if kind == Video {
		codecs = p.config.Codecs
	}
	var missing error
	for _, codec := range codecs {
		candidates, err := encoderPipelines(codec, p.config)
		if err == nil {
			err = requireElements(codec.payloader)
		}
		if err != nil {
			p.log.Warn("cannot encode", "codec", codec.Name, "error", err)
			if missing == nil { // one is enough: the first is what is wanted most
				missing = err
			}
			continue
		}
		e := newLiveEncoder(codec, candidates, p.config.Observer, p.log)
		p.encoders = append(p.encoders, e)
		p.tracks[codec] = e.track
	}
	if len(p.codecsOf(kind)) == 0 {
		return missing
	}
	return nil
}

// start runs captures and encoders. The first one that fails ends them all.
func (p *Pipeline) start() {
	running, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.workers, running = errgroup.WithContext(running)
	for _, c := range p.captures {
		p.workers.Go(func() error { return c.run(running) })
	}
	for _, e := range p.encoders {
		p.workers.Go(func() error { return p.runEncoder(running, e) })
	}
	go func() {
		p.err = p.workers.Wait()
		close(p.done)
	}()
}

// runEncoder runs an encoder until ctx ends. One that fails ends its track, and
// the source only when it was the last one for its kind: remote peers are offered
// what is left.
func (p *Pipeline) runEncoder(ctx context.Context, e *liveEncoder) error {
	err := e.run(ctx)
	if err == nil {
		return nil
	}
	e.failed.raise()
	e.track.close()
	if len(p.codecsOf(e.codec.Kind)) == 0 {
		return err
	}
	p.log.Error("encoder given up", "error", err)
	p.replaceCodec(e.codec)
	return nil
}

// soundGrace is how much later than the picture its sound may start before it
// is taken for missing.
const soundGrace = time.Second

// awaitMedia waits for the first frame of everything that is captured.
func (p *Pipeline) awaitMedia(ctx context.Context) error {
	timeout := time.After(p.config.StartTimeout)
	for _, c := range p.captures {
		for _, kind := range c.spec.kinds {
			limit := timeout
			if kind == c.spec.optional {
				limit = time.After(soundGrace)
			}
			select {
			case <-c.started[kind].up:
			case <-limit:
				if kind == c.spec.optional {
					p.log.Info("no sound", "source", c.spec.name)
					continue
				}
				return c.explain(fmt.Errorf("%w: no %s within %s", ErrNoMedia, kind, p.config.StartTimeout))
			case <-p.done:
				return p.err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// warmUp makes and drops a webrtcbin: the first one of a process loads its
// plugins and makes the DTLS key, for which no viewer should have to wait.
func (p *Pipeline) warmUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	within(p.log, "first webrtcbin", func() {
		bin, err := newWebrtcbin(nobody{}, p.settings())
		if err != nil {
			return // the first peer will say so
		}
		defer bin.free()
		defer bin.stop()
		bin.addTransceiver(sendRecv, Video, offerCaps([]*Codec{VP8}, newSSRC()))
		d, err := bin.create(ctx, signalling.Offer)
		if err == nil {
			err = bin.setLocal(ctx, d)
		}
		p.log.Debug("warmed up", "error", err)
	})
}

// nobody owns a webrtcbin that no remote will ever hear of.
type nobody struct{}

func (nobody) onCandidate(signalling.Candidate)  {}
func (nobody) onConnectionState(connectionState) {}
func (nobody) onICEState(bool, bool)             {}
func (nobody) onKeyframeWanted()                 {}
func (nobody) onFrame(uint32, int, Frame)        {}
func (nobody) onText(string)                     {}
func (nobody) onChannelOpen()                    {}
func (nobody) onHeard()                          {}
func (nobody) onReport()                         {}
func (nobody) onReception(uint32, reception)     {}
func (nobody) onError(string, error)             {}

// encode hands raw media to every encoder for it.
func (p *Pipeline) encode(kind Kind, caps string, buffer *gst.Buffer) {
	for _, e := range p.encoders {
		if e.codec.Kind == kind {
			e.encode(caps, buffer)
		}
	}
}

// requestKeyframes has every viewer get a whole picture next: it is a new one.
func (p *Pipeline) requestKeyframes(kind Kind) {
	for _, e := range p.encoders {
		if e.codec.Kind == kind {
			e.track.RequestKeyframe()
		}
	}
}

// SourceStates tells how each source is. A Pipeline that only receives has none.
func (p *Pipeline) SourceStates() []SourceState {
	var states []SourceState
	for _, c := range p.captures {
		states = append(states, c.sourceState())
	}
	return states
}

// CapturedFrames is how many pictures, or pieces of sound, the sources have
// delivered so far.
func (p *Pipeline) CapturedFrames(kind Kind) uint64 {
	var frames uint64
	for _, c := range p.captures {
		if o := c.outlets[kind]; o != nil {
			frames += o.captured()
		}
	}
	return frames
}

// Wait returns the error that ended the source, or nil when ctx ended before.
func (p *Pipeline) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return nil
	}
}

// Close ends all peers, then the source, and returns after the last goroutine
// and thread of theirs ended. It may be called twice.
func (p *Pipeline) Close() {
	p.mu.Lock()
	p.closed = true
	for _, peer := range p.peers {
		peer.end(errRemoved)
	}
	p.mu.Unlock()
	p.ending.Wait()
	p.stop()
	<-p.done
	for _, t := range p.tracks {
		t.close()
	}
}

// codecs is how a kind can be sent just now: not at all, if the source has not
// delivered any of it.
func (p *Pipeline) codecs(kind Kind) []*Codec {
	for _, c := range p.captures {
		if started := c.started[kind]; started != nil && started.isUp() {
			return p.codecsOf(kind)
		}
	}
	return nil
}

// codecsOf lists the codecs whose encoder works, in the order of preference.
func (p *Pipeline) codecsOf(kind Kind) []*Codec {
	var codecs []*Codec
	for _, e := range p.encoders {
		if e.codec.Kind == kind && !e.failed.isUp() {
			codecs = append(codecs, e.codec)
		}
	}
	return codecs
}

// onlyLoopback says whether this machine has no address but its own.
func onlyLoopback() bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			return false
		}
	}
	return true
}
