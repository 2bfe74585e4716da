package pipeline

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

// listener is a receiver that counts.
type listener struct {
	uid string
	mu  sync.Mutex
	// heard is what came of each track, in the order in which these were taken.
	heard   []*heard
	running sync.WaitGroup
	closed  bool
}

type heard struct {
	codec     *Codec
	frames    int
	keyframes int
	first     bool // was a keyframe
	last      time.Duration
}

func (l *listener) take(tracks []*Track) {
	for _, track := range tracks {
		l.mu.Lock()
		h := &heard{codec: track.Codec}
		l.heard = append(l.heard, h)
		l.mu.Unlock()
		frames := track.Subscribe()
		l.running.Go(func() {
			for {
				f, err := frames.Next(context.Background())
				if err != nil {
					return
				}
				l.mu.Lock()
				if h.frames == 0 {
					h.first = f.Keyframe
				}
				h.frames++
				if f.Keyframe {
					h.keyframes++
				}
				h.last = f.PTS
				l.mu.Unlock()
			}
		})
	}
}

func (l *listener) close() {
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

func (l *listener) snapshot() []heard {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []heard
	for _, h := range l.heard {
		list = append(list, *h)
	}
	return list
}

// listen has what every remote sends taken by a listener.
func listenTo(p *Pipeline) func(uid string) *listener {
	var mu sync.Mutex
	listeners := make(map[string]*listener)
	p.receiverMakers = append(p.receiverMakers, func(uid string, _ *slog.Logger) receiver {
		mu.Lock()
		defer mu.Unlock()
		listeners[uid] = &listener{uid: uid}
		return listeners[uid]
	})
	return func(uid string) *listener {
		mu.Lock()
		defer mu.Unlock()
		return listeners[uid]
	}
}

// awaitHeard waits until so many frames came on each of so many tracks.
func awaitHeard(t *testing.T, find func(string) *listener, uid string, tracks, frames int) []heard {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		var list []heard
		if l := find(uid); l != nil {
			list = l.snapshot()
		}
		enough := len(list) == tracks
		for _, h := range list {
			enough = enough && h.frames >= frames
		}
		if enough {
			return list
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: heard %+v after 30 s, want %d frames of %d tracks", uid, list, frames, tracks)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sending makes a remote send what a Track delivers, as a browser that publishes
// would, until stop is called.
func (r *remote) sending(mime string, from *Track) (stop func()) {
	r.t.Helper()
	local, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, from.Codec.Name, r.uid)
	if err != nil {
		r.t.Fatal(err)
	}
	sender, err := r.pc.AddTrack(local)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.pump(local, sender, from)
}

func (r *remote) pump(local *webrtc.TrackLocalStaticSample, sender *webrtc.RTPSender, from *Track) (stop func()) {
	frames := from.Subscribe()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { // the source of keyframes is the track's encoder
		for {
			if _, _, err := sender.ReadRTCP(); err != nil {
				return // it was removed, or the connection closed
			}
			if from.Codec.Kind == Video {
				from.RequestKeyframe()
			}
		}
	})
	running.Go(func() {
		last := time.Duration(-1)
		for {
			f, err := frames.Next(ctx)
			if err != nil {
				return
			}
			duration := time.Second / 30
			if from.Codec.Kind == Audio {
				duration = 20 * time.Millisecond
			} else if last >= 0 {
				duration = f.PTS - last
			}
			last = f.PTS
			if err := local.WriteSample(media.Sample{Data: f.Payload, Duration: duration}); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				r.t.Errorf("%s: write sample: %v", r.uid, err)
			}
			r.mu.Lock()
			r.sent[from.Codec.Kind] = r.sent[from.Codec.Kind].with(f.PTS, time.Now())
			r.mu.Unlock()
		}
	})
	return func() {
		if err := r.pc.RemoveTrack(sender); err != nil {
			r.t.Error(err)
		}
		cancel()
		frames.Close()
		running.Wait()
	}
}

func TestBothDirections(t *testing.T) {
	p, board := openTest(t, func(c *Config) { c.Receive = true })
	find := listenTo(p)
	for name, start := range map[string]func(*remote){
		"remote-offers": func(r *remote) { r.offer() },
		"we-offer":      func(r *remote) { p.Offer(r.uid) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t, board, p, name)
			stopVideo := r.sending(webrtc.MimeTypeVP8, p.tracks[VP8])
			stopAudio := r.sending(webrtc.MimeTypeOpus, p.tracks[Opus])
			start(r)
			for range 2 {
				r.awaitTrack().awaitFrames(t, 30)
			}
			for _, h := range awaitHeard(t, find, name, 2, 30) {
				if !h.first {
					t.Errorf("%s does not begin with a keyframe", h.codec.Name)
				}
			}
			stopVideo()
			stopAudio()
			r.close()
			p.Remove(name)
			awaitClosed(t, find(name))
		})
	}
}

func awaitClosed(t *testing.T, l *listener) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the receiver is not closed")
		}
	}
}

// TestReceivedCodecs takes each codec that a remote may send with.
func TestReceivedCodecs(t *testing.T) {
	p, board := openTest(t, func(c *Config) { c.Receive = true })
	find := listenTo(p)
	for mime, codec := range map[string]*Codec{webrtc.MimeTypeH264: H264, webrtc.MimeTypeVP9: VP9} {
		t.Run(codec.Name, func(t *testing.T) {
			r := newRemote(t, board, p, codec.Name, mime)
			stop := r.sending(mime, p.tracks[codec])
			r.offer()
			if list := awaitHeard(t, find, codec.Name, 1, 30); list[0].codec != codec {
				t.Errorf("got %s", list[0].codec.Name)
			}
			track := r.awaitTrack()
			track.awaitFrames(t, 30)
			if track.codec.MimeType != mime {
				t.Errorf("sends %s, want %s", track.codec.MimeType, mime)
			}
			stop()
			r.close()
			p.Remove(codec.Name)
		})
	}
}

// TestRemoteSwitchesOn renegotiates: a remote begins to send, ends, and begins
// again, which webrtcbin itself cannot follow.
func TestRemoteSwitchesOn(t *testing.T) {
	p, board := openTest(t, func(c *Config) { c.Receive = true })
	find := listenTo(p)
	r := newRemote(t, board, p, "switching")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
	first, second := r.awaitTrack(), r.awaitTrack()
	first.awaitFrames(t, 10)
	second.awaitFrames(t, 10)
	for i := range 3 {
		stop := r.sending(webrtc.MimeTypeVP8, p.tracks[VP8])
		r.renegotiate()
		awaitHeard(t, find, "switching", i+1, 20)
		stop()
		r.renegotiate()
	}
	for _, track := range []*receivedTrack{first, second} {
		track.awaitFrames(t, track.snapshot().frames+30)
		if gaps := track.snapshot().gaps; gaps != 0 {
			t.Errorf("%d packets of ours are missing", gaps)
		}
	}
}

// TestReceiverOfCodecsThatFlap: a remote that changes its codec with every few
// frames is followed at once, but not each time.
func TestReceiverOfCodecsThatFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{}
		p := &Peer{ops: make(chan func() error, maxOperations), log: slog.New(slog.DiscardHandler), receivers: []receiver{l},
			pipeline: &Pipeline{config: Config{Observer: unobserved{}}}}
		m := &mline{kind: Video, receives: true, payloads: []payload{
			{number: 96, encoding: "VP8", clockRate: 90000}, {number: 98, encoding: "VP9", clockRate: 90000}}}
		p.mlines = []*mline{m}
		p.listen(m, VP8)
		p.route()
		send := func(number int) { p.onFrame(1, number, Frame{Payload: []byte{0}, Keyframe: true}) }
		for range maxOperations + 1 { // while the peer is busy
			send(98)
		}
		if len(p.ops) != 1 {
			t.Fatalf("%d operations for one change", len(p.ops))
		}
		const changes = 5
		for start := time.Now(); time.Since(start) < changes*codecInterval; time.Sleep(15 * time.Millisecond) {
			for len(p.ops) > 0 {
				_ = (<-p.ops)()
			}
			send(96)
			send(98)
		}
		m.stopReceiving()
		l.close()
		list := l.snapshot()
		if len(list) < changes || len(list) > changes+2 || list[1].codec != VP9 || list[1].frames == 0 {
			t.Errorf("heard %+v, want about %d tracks, of which the second is VP9", list, changes+1)
		}
	})
}

// renegotiate offers what has changed, and waits for the answer.
func (r *remote) renegotiate() {
	r.t.Helper()
	r.offer()
	for deadline := time.Now().Add(20 * time.Second); r.pc.SignalingState() != webrtc.SignalingStateStable; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: no answer after 20 s", r.uid)
		}
	}
}

func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came in 20 s")
		panic("unreachable")
	}
}
