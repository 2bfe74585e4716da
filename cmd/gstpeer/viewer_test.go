package main

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/signalling"
)

// viewer is an independent WebRTC peer in a room, made with pion, that receives
// from all who send there: it offers to those it finds, and answers those who
// come later.
type viewer struct {
	t       *testing.T
	uid     string
	client  *signalling.Client
	say     func(ctx context.Context, uid, text string) error
	publish []webrtc.TrackLocal // to everybody
	running sync.WaitGroup

	mu        sync.Mutex
	senders   map[string]*webrtc.PeerConnection
	tracks    []*receivedTrack
	relayEnds bool
}

// receivedTrack is what a viewer gets on one track, and on those of later
// connections that take its place.
type receivedTrack struct {
	sender    string
	kind      webrtc.RTPCodecType
	mimeType  string
	clockRate uint32

	mu      sync.Mutex
	track   *webrtc.TrackRemote // the last one
	begun   bool                // it has brought a packet
	packets int
	frames  int             // of a picture
	missing map[uint16]bool // sequence numbers
	next    uint16
	stamp   uint32        // of the newest packet
	pause   time.Duration // the longest between the timestamps of two packets
}

// joinRoom registers somebody at a relay and enters the room demo. The members
// found there are the second result.
func joinRoom(t *testing.T, relay, uid string) (*signalling.Client, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := signalling.Dial(ctx, signalling.ClientConfig{URL: relay, UID: uid})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	members, err := client.Join(ctx, "demo")
	if err != nil {
		t.Fatal(err)
	}
	return client, members
}

// newViewer joins the room demo of a relay, until the test ends.
func newViewer(t *testing.T, relay, uid string) *viewer {
	t.Helper()
	client, members := joinRoom(t, relay, uid)
	v := &viewer{t: t, uid: uid, client: client, say: client.SendTo, senders: make(map[string]*webrtc.PeerConnection)}
	v.running.Go(func() {
		for _, sender := range members {
			v.check(v.offer(sender))
		}
		v.loop()
	})
	t.Cleanup(v.close)
	return v
}

func (v *viewer) close() {
	v.client.Close()
	v.running.Wait()
	for _, connection := range v.senders {
		v.check(connection.GracefulClose())
	}
}

// expectEnd says that the relay will end from now on.
func (v *viewer) expectEnd() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.relayEnds = true
}

// check reports what must not happen.
func (v *viewer) check(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	expected := errors.Is(err, signalling.ErrClosed) || v.relayEnds && errors.Is(err, signalling.ErrDisconnected)
	if err != nil && !expected {
		v.t.Errorf("%s: %v", v.uid, err)
	}
}

func (v *viewer) loop() {
	for {
		event, err := v.client.Recv(context.Background())
		if err != nil {
			v.check(err)
			return
		}
		if message, ok := event.(signalling.Message); ok {
			v.check(v.take(message))
		}
	}
}

func (v *viewer) take(message signalling.Message) error {
	n, err := signalling.ParseNegotiation(message.Text)
	switch {
	case err != nil:
		return err
	case n.Candidate != nil:
		return v.connection(message.From).AddICECandidate(webrtc.ICECandidateInit{
			Candidate: n.Candidate.Candidate, SDPMid: n.Candidate.SDPMid, SDPMLineIndex: &n.Candidate.SDPMLineIndex})
	case n.Description.Type == signalling.Answer:
		return v.connection(message.From).SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: n.Description.SDP})
	}
	return v.answer(message.From, n.Description.SDP)
}

func (v *viewer) connection(sender string) *webrtc.PeerConnection {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.senders[sender]
}

// connect makes a connection to a sender.
func (v *viewer) connect(sender string) (*webrtc.PeerConnection, error) {
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() || ip.IsPrivate() })
	connection, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	connection.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			return
		}
		init := c.ToJSON()
		v.check(v.send(sender, signalling.Negotiation{Candidate: &signalling.Candidate{
			Candidate: init.Candidate, SDPMid: init.SDPMid, SDPMLineIndex: *init.SDPMLineIndex}}))
	})
	for _, track := range v.publish {
		if _, err := connection.AddTrack(track); err != nil {
			return nil, err
		}
	}
	connection.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.receive(sender, track) })
	v.mu.Lock()
	defer v.mu.Unlock()
	replaced := v.senders[sender]
	v.senders[sender] = connection
	if replaced != nil {
		v.running.Go(func() { v.check(replaced.GracefulClose()) })
	}
	return connection, nil
}

func (v *viewer) send(sender string, n signalling.Negotiation) error {
	return v.say(context.Background(), sender, n.String())
}

func (v *viewer) offer(sender string) error {
	connection, err := v.connect(sender)
	if err != nil {
		return err
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if len(v.publish) > 0 {
			break // the tracks have transceivers for both directions
		}
		if _, err := connection.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return err
		}
	}
	offer, err := connection.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := v.send(sender, signalling.Negotiation{Description: &signalling.Description{Type: signalling.Offer, SDP: offer.SDP}}); err != nil {
		return err
	}
	return connection.SetLocalDescription(offer)
}

func (v *viewer) answer(sender, offer string) error {
	connection, err := v.connect(sender)
	if err != nil {
		return err
	}
	if err := connection.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return err
	}
	answer, err := connection.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := v.send(sender, signalling.Negotiation{Description: &signalling.Description{Type: signalling.Answer, SDP: answer.SDP}}); err != nil {
		return err
	}
	return connection.SetLocalDescription(answer)
}

// receive counts what arrives on a track, until its connection ends.
func (v *viewer) receive(sender string, track *webrtc.TrackRemote) {
	got := v.addTrack(sender, track)
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		got.count(track, packet)
	}
}

// addTrack has the track take the place of the one of an earlier connection.
func (v *viewer) addTrack(sender string, track *webrtc.TrackRemote) *receivedTrack {
	got := &receivedTrack{sender: sender, kind: track.Kind(), mimeType: track.Codec().MimeType, clockRate: track.Codec().ClockRate}
	v.mu.Lock()
	defer v.mu.Unlock()
	i := slices.IndexFunc(v.tracks, func(r *receivedTrack) bool { return r.sender == sender && r.mimeType == got.mimeType })
	if i >= 0 {
		got = v.tracks[i]
	}
	got.follow(track)
	v.tracks = append(v.tracks, got)
	return got
}

// follow begins with a track, whose sequence numbers and timestamps are its own.
func (got *receivedTrack) follow(track *webrtc.TrackRemote) {
	got.mu.Lock()
	defer got.mu.Unlock()
	got.track, got.begun = track, false
	got.missing = make(map[uint16]bool)
}

func (got *receivedTrack) count(track *webrtc.TrackRemote, packet *rtp.Packet) {
	got.mu.Lock()
	defer got.mu.Unlock()
	if track != got.track {
		return
	}
	switch ahead := int16(packet.SequenceNumber - got.next); {
	case !got.begun:
		got.begun = true
		got.advance(packet)
	case ahead < 0: // sent again, or overtaken
		delete(got.missing, packet.SequenceNumber)
	default:
		for ; got.next != packet.SequenceNumber; got.next++ {
			got.missing[got.next] = true
		}
		got.pause = max(got.pause, time.Duration(packet.Timestamp-got.stamp)*time.Second/time.Duration(got.clockRate))
		got.advance(packet)
	}
	got.packets++
	if packet.Marker && got.kind == webrtc.RTPCodecTypeVideo {
		got.frames++
	}
}

// advance notes the newest packet. It is called with mu held.
func (got *receivedTrack) advance(packet *rtp.Packet) {
	got.stamp = packet.Timestamp
	got.next = packet.SequenceNumber + 1
}

// counts gives packets and frames so far.
func (got *receivedTrack) counts() (packets, frames int) {
	got.mu.Lock()
	defer got.mu.Unlock()
	return got.packets, got.frames
}

// lost is how many packets before the newest one did not arrive so far.
func (got *receivedTrack) lost() int {
	got.mu.Lock()
	defer got.mu.Unlock()
	return len(got.missing)
}

// checkWhole finds what did not arrive so far, or was not sent.
func (got *receivedTrack) checkWhole(t *testing.T) {
	t.Helper()
	got.mu.Lock()
	defer got.mu.Unlock()
	if len(got.missing) != 0 || got.pause > longestPause {
		t.Errorf("%d of %d packets missing, want 0; longest pause of the picture %v, want at most %v",
			len(got.missing), got.packets, got.pause, longestPause)
	}
}

// longestPause is far more than from one frame to the next, also of a source that
// a busy machine holds up, and far less than to the next keyframe, after 10 s.
const longestPause = 1500 * time.Millisecond

// awaitTrack waits for a track of a sender.
func (v *viewer) awaitTrack(sender string, kind webrtc.RTPCodecType) *receivedTrack {
	v.t.Helper()
	var track *receivedTrack
	await(v.t, kind.String()+" from "+sender, func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		i := slices.IndexFunc(v.tracks, func(r *receivedTrack) bool { return r.sender == sender && r.kind == kind })
		if i >= 0 {
			track = v.tracks[i]
		}
		return i >= 0
	})
	return track
}

// awaitPackets waits for more packets of a track.
func (got *receivedTrack) awaitPackets(t *testing.T, more int) {
	t.Helper()
	before, _ := got.counts()
	await(t, "more packets of "+got.mimeType, func() bool {
		now, _ := got.counts()
		return now >= before+more
	})
}

// awaitFrames waits for more frames of a picture.
func (got *receivedTrack) awaitFrames(t *testing.T, more int) {
	t.Helper()
	_, before := got.counts()
	await(t, "more frames", func() bool {
		_, now := got.counts()
		return now >= before+more
	})
}
