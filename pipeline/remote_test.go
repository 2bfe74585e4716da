package pipeline

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/signalling"
)

// switchboard is a Signaller that delivers to remotes in this process.
type switchboard struct {
	mu      sync.Mutex
	remotes map[string]*remote
	unheard int // descriptions for a remote that is not there
}

func (b *switchboard) find(uid string) *remote {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remotes[uid]
}

// drop forgets a remote, with all that it has received.
func (b *switchboard) drop(r *remote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.remotes[r.uid] == r {
		delete(b.remotes, r.uid)
	}
}

func (b *switchboard) SendDescription(_ context.Context, uid string, d signalling.Description) error {
	if r := b.find(uid); r != nil {
		r.inbox <- signalling.Negotiation{Description: &d}
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unheard++
	return nil
}

func (b *switchboard) SendCandidate(_ context.Context, uid string, c signalling.Candidate) error {
	if r := b.find(uid); r != nil {
		r.inbox <- signalling.Negotiation{Candidate: &c}
	}
	return nil
}

// remote is an independent WebRTC peer, made with pion, that receives.
type remote struct {
	t        testing.TB
	uid      string
	board    *switchboard
	pipeline *Pipeline
	pc       *webrtc.PeerConnection
	inbox    chan signalling.Negotiation
	tracks   chan *receivedTrack
	quit     chan struct{}
	done     chan struct{}

	mu   sync.Mutex
	sent map[Kind]sentTimes // of pump
}

// sentTimes is when the frames of one kind were sent.
type sentTimes struct {
	first, last time.Time
	// least and most are from the time that a frame's timestamp gives, counted
	// from the first one, until it was sent.
	firstPTS, least, most time.Duration
}

func (s sentTimes) with(pts time.Duration, now time.Time) sentTimes {
	if s.first.IsZero() {
		s.first, s.firstPTS = now, pts
	}
	late := now.Sub(s.first) - (pts - s.firstPTS)
	s.last, s.least, s.most = now, min(s.least, late), max(s.most, late)
	return s
}

// uneven is by how much the frames came later at one time than at another.
func (s sentTimes) uneven() time.Duration { return s.most - s.least }

// receivedTrack is what arrived of one track.
type receivedTrack struct {
	kind  webrtc.RTPCodecType
	codec webrtc.RTPCodecParameters
	ssrc  webrtc.SSRC

	mu                 sync.Mutex
	packets            int
	seen               map[uint16]bool
	startsWithKeyframe bool
	gaps               int // sequence numbers that are missing
	frames             int // whole ones
	longest            time.Duration
	last               time.Time
	first, next        uint16
	onPacket           func(*rtp.Packet)
	keyframe           chan time.Time // gets the arrival of the first frame, if it is a whole VP8 keyframe
}

// newRemote makes a remote that can receive the given codecs; nil means pion's own.
func newRemote(t testing.TB, b *switchboard, p *Pipeline, uid string, mimeTypes ...string) *remote {
	t.Helper()
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	return newRemoteWith(t, settings, b, p, uid, mimeTypes...)
}

func newRemoteWith(t testing.TB, settings webrtc.SettingEngine, b *switchboard, p *Pipeline, uid string, mimeTypes ...string) *remote {
	t.Helper()
	return newRemoteThrough(t, &interceptor.Registry{}, settings, b, p, uid, mimeTypes...)
}

// newRemoteThrough has interceptors change what the remote sends.
func newRemoteThrough(t testing.TB, interceptors *interceptor.Registry, settings webrtc.SettingEngine, b *switchboard, p *Pipeline, uid string, mimeTypes ...string) *remote {
	t.Helper()
	r := &remote{t: t, uid: uid, board: b, pipeline: p, sent: make(map[Kind]sentTimes), inbox: make(chan signalling.Negotiation, 256),
		tracks: make(chan *receivedTrack, 4), quit: make(chan struct{}), done: make(chan struct{})}
	media := &webrtc.MediaEngine{}
	if err := registerCodecs(media, mimeTypes); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.RegisterDefaultInterceptors(media, interceptors); err != nil {
		t.Fatal(err)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(interceptors), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	r.pc = pc
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			init := c.ToJSON()
			p.HandleCandidate(uid, signalling.Candidate{Candidate: init.Candidate, SDPMid: init.SDPMid, SDPMLineIndex: *init.SDPMLineIndex})
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { r.receive(track) })
	b.mu.Lock()
	b.remotes[uid] = r
	b.mu.Unlock()
	go r.loop()
	return r
}

func registerCodecs(media *webrtc.MediaEngine, mimeTypes []string) error {
	if len(mimeTypes) == 0 {
		return media.RegisterDefaultCodecs()
	}
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	known := map[string]webrtc.RTPCodecParameters{
		webrtc.MimeTypeVP8:  {PayloadType: 100, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: feedback}},
		webrtc.MimeTypeVP9:  {PayloadType: 104, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP9, ClockRate: 90000, RTCPFeedback: feedback}},
		webrtc.MimeTypeAV1:  {PayloadType: 106, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeAV1, ClockRate: 90000, RTCPFeedback: feedback}},
		webrtc.MimeTypeH264: {PayloadType: 102, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", RTCPFeedback: feedback}},
		webrtc.MimeTypeOpus: {PayloadType: 109, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}},
	}
	rtx := map[string]webrtc.RTPCodecParameters{
		webrtc.MimeTypeVP8:  {PayloadType: 101, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=100"}},
		webrtc.MimeTypeH264: {PayloadType: 103, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=102"}},
	}
	for _, mime := range mimeTypes {
		if repair, exists := rtx[mime]; exists {
			if err := media.RegisterCodec(repair, webrtc.RTPCodecTypeVideo); err != nil {
				return err
			}
		}
		kind := webrtc.RTPCodecTypeVideo
		if mime == webrtc.MimeTypeOpus {
			kind = webrtc.RTPCodecTypeAudio
		}
		if err := media.RegisterCodec(known[mime], kind); err != nil {
			return err
		}
	}
	return nil
}

// offer offers to receive a track of each kind.
func (r *remote) offer(kinds ...webrtc.RTPCodecType) {
	r.t.Helper()
	for _, kind := range kinds {
		if _, err := r.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			r.t.Fatal(err)
		}
	}
	offer, err := r.pc.CreateOffer(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.pipeline.HandleDescription(r.uid, signalling.Description{Type: signalling.Offer, SDP: offer.SDP})
	if err := r.pc.SetLocalDescription(offer); err != nil {
		r.t.Fatal(err)
	}
}

// loop takes what the pipeline signals, until the end.
func (r *remote) loop() {
	defer close(r.done)
	for {
		select {
		case n := <-r.inbox:
			if err := r.take(n); err != nil {
				r.t.Errorf("%s: %v", r.uid, err)
			}
		case <-r.quit:
			return
		}
	}
}

func (r *remote) take(n signalling.Negotiation) error {
	if n.Candidate != nil {
		return r.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: n.Candidate.Candidate, SDPMLineIndex: &n.Candidate.SDPMLineIndex})
	}
	if n.Description.Type == signalling.Answer {
		return r.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: n.Description.SDP})
	}
	if err := r.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: n.Description.SDP}); err != nil {
		return err
	}
	answer, err := r.pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	r.pipeline.HandleDescription(r.uid, signalling.Description{Type: signalling.Answer, SDP: answer.SDP})
	return r.pc.SetLocalDescription(answer)
}

// receive counts what arrives on a track.
func (r *remote) receive(track *webrtc.TrackRemote) {
	got := &receivedTrack{kind: track.Kind(), codec: track.Codec(), ssrc: track.SSRC(), keyframe: make(chan time.Time, 1), seen: make(map[uint16]bool)}
	r.tracks <- got
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		got.count(packet)
	}
}

func (got *receivedTrack) count(packet *rtp.Packet) {
	got.mu.Lock()
	defer got.mu.Unlock()
	switch ahead := int16(packet.SequenceNumber - got.next); {
	case got.packets == 0:
		got.first = packet.SequenceNumber
		got.startsWithKeyframe = startsVP8Keyframe(packet.Payload)
		got.next = packet.SequenceNumber + 1
	case ahead >= 0:
		got.gaps += int(ahead)
		got.next = packet.SequenceNumber + 1
	}
	if got.onPacket != nil {
		got.onPacket(packet)
	}
	got.packets++
	got.seen[packet.SequenceNumber] = true
	if !packet.Marker {
		return
	}
	now := time.Now()
	if got.frames > 0 {
		got.longest = max(got.longest, now.Sub(got.last))
	} else if got.startsWithKeyframe && got.gaps == 0 {
		got.keyframe <- now
	}
	got.last = now
	got.frames++
}

// close ends the remote without a word to the pipeline.
func (r *remote) close() {
	r.board.drop(r)
	close(r.quit)
	<-r.done
	if err := r.pc.Close(); err != nil {
		r.t.Error(err)
	}
}

// counts is what a receivedTrack counted.
type counts struct{ gaps, frames int }

func (got *receivedTrack) snapshot() counts {
	got.mu.Lock()
	defer got.mu.Unlock()
	return counts{gaps: got.gaps, frames: got.frames}
}

// awaitMore waits for frames that come from now on.
func (got *receivedTrack) awaitMore(t testing.TB, n int) {
	t.Helper()
	got.mu.Lock()
	if got.kind == webrtc.RTPCodecTypeAudio {
		n += got.packets
	} else {
		n += got.frames
	}
	got.mu.Unlock()
	got.awaitFrames(t, n)
}

// awaitFrames waits until a track has that many whole frames.
func (got *receivedTrack) awaitFrames(t testing.TB, n int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got.mu.Lock()
		frames, packets := got.frames, got.packets
		got.mu.Unlock()
		if frames >= n || (got.kind == webrtc.RTPCodecTypeAudio && packets >= n) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d frames in %d packets after 20 s, want %d", got.codec.MimeType, frames, packets, n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (r *remote) awaitTrack() *receivedTrack {
	r.t.Helper()
	select {
	case track := <-r.tracks:
		return track
	case <-time.After(20 * time.Second):
		r.t.Fatalf("%s: no track after 20 s", r.uid)
		return nil
	}
}

func testLog(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", t.Name())
}

// startsVP8Keyframe says whether a packet is the first one of a keyframe (RFC 7741).
func startsVP8Keyframe(payload []byte) bool {
	var vp8 codecs.VP8Packet
	frame, err := vp8.Unmarshal(payload)
	return err == nil && vp8.S == 1 && vp8.PID == 0 && len(frame) > 0 && frame[0]&1 == 0
}

// awaitKeyframe waits for the first frame of the picture, and returns when it
// was whole.
func (r *remote) awaitKeyframe() time.Time {
	r.t.Helper()
	for {
		track := r.awaitTrack()
		if track.kind == webrtc.RTPCodecTypeAudio {
			continue
		}
		select {
		case at := <-track.keyframe:
			return at
		case <-time.After(20 * time.Second):
			r.t.Fatalf("%s: no keyframe at its start after 20 s", r.uid)
		}
	}
}

// Peers is the number of remote peers that a connection exists or is made to.
func (p *Pipeline) Peers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.peers)
}
