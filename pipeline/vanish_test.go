package pipeline

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/signalling"
)

// cuttableConn is a network that can fail without a word.
type cuttableConn struct {
	net.PacketConn
	cut      atomic.Bool
	cutMedia atomic.Bool // what comes in; the rest passes
}

func (c *cuttableConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || !c.cut.Load() && !(c.cutMedia.Load() && n > 1 && isMedia(b)) {
			return n, from, err
		}
	}
}

// isMedia tells RTP from all else that comes on the same port (RFC 7983, RFC 5761).
func isMedia(packet []byte) bool { return packet[0]>>6 == 2 && (packet[1] < 192 || packet[1] > 223) }

func (c *cuttableConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.cut.Load() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// newCuttable makes a remote whose network can be cut.
func newCuttable(t *testing.T, b *switchboard, p *Pipeline, uid string) (*remote, *cuttableConn) {
	t.Helper()
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	network := &cuttableConn{PacketConn: udp}
	mux := webrtc.NewICEUDPMux(nil, network)
	t.Cleanup(func() { mux.Close() })
	settings := webrtc.SettingEngine{}
	settings.SetICEUDPMux(mux)
	settings.SetIncludeLoopbackCandidate(true)
	return newRemoteWith(t, settings, b, p, uid), network
}

// disconnect has the switchboard deliver nothing more to a remote.
func (b *switchboard) disconnect(uid string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.remotes, uid)
}

// TestVanish: viewers that are gone without a word hold nothing after 30 s,
// whoever had made the offer.
func TestVanish(t *testing.T) {
	const viewers = 20
	p, board := openTest(t, func(c *Config) { c.Receive = true })
	stays := newRemote(t, board, p, "stays")
	defer stays.close()
	stays.offer(webrtc.RTPCodecTypeVideo)
	track := stays.awaitTrack()
	track.awaitFrames(t, 10)
	before := currentHoldings(t)

	var networks []*cuttableConn
	for i := range viewers {
		r, network := newCuttable(t, board, p, fmt.Sprint("viewer", i))
		defer r.close()
		networks = append(networks, network)
		if i%2 == 0 {
			r.offer(webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
		} else {
			p.Offer(r.uid)
		}
		r.awaitTrack().awaitFrames(t, 5)
	}
	vanished := time.Now()
	for i, network := range networks {
		board.disconnect(fmt.Sprint("viewer", i))
		network.cut.Store(true)
	}
	for p.Peers() > 1 || webrtcbinsAlive() > before.webrtcbins {
		if time.Since(vanished) > 30*time.Second {
			t.Fatalf("%d peers and %d webrtcbins are left after 30 s, want the one who stays", p.Peers(), webrtcbinsAlive())
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("all gone after %s", time.Since(vanished).Round(time.Second))
	track.awaitFrames(t, track.snapshot().frames+10)
	if gaps := track.snapshot().gaps; gaps != 0 {
		t.Errorf("the viewer who stayed misses %d packets", gaps)
	}
}

// TestMediaComesBack: to a remote that we made the offer to, and whose network
// fails, we offer again.
func TestMediaComesBack(t *testing.T) {
	p, board := openTest(t, nil)
	r, network := newCuttable(t, board, p, "viewer")
	defer r.close()
	p.Offer("viewer")
	r.awaitTrack().awaitFrames(t, 10)
	network.cut.Store(true)
	again := newRemote(t, board, p, "viewer") // takes the next offer, as a page does with a new RTCPeerConnection
	defer again.close()
	again.awaitTrack().awaitFrames(t, 10)
}

// firstEnd is an observer that hears why a peer ended.
type firstEnd struct {
	unobserved
	reason chan error // with room for one
}

func (o firstEnd) Ended(reason error) {
	if reason == nil { // replaced, or of no interest any more
		return
	}
	select {
	case o.reason <- reason:
	default:
	}
}

// TestNothingArrives: to a remote that is heard, and says that nothing arrives,
// we offer again.
func TestNothingArrives(t *testing.T) {
	o := firstEnd{reason: make(chan error, 1)}
	p, board := openTest(t, func(c *Config) { c.Observer = o })
	r, network := newCuttable(t, board, p, "viewer")
	defer r.close()
	p.Offer("viewer")
	r.awaitTrack().awaitFrames(t, 30)
	network.cutMedia.Store(true)
	again := newRemote(t, board, p, "viewer")
	defer again.close()
	again.awaitTrack().awaitFrames(t, 10)
	if reason := <-o.reason; !strings.Contains(reason.Error(), "the remote is heard, but nothing") {
		t.Errorf("got %q", reason)
	}
}

// TestLateAnswer: a remote that was out of reach for so long that its answer
// comes too late is offered anew.
func TestLateAnswer(t *testing.T) {
	p, board := openTest(t, nil)
	p.connectTimeout = time.Second
	p.Offer("late")
	awaitNobody(t, p)
	p.connectTimeout = defaultConnectTimeout
	r := newRemote(t, board, p, "late")
	defer r.close()
	p.HandleDescription("late", signalling.Description{Type: signalling.Answer, SDP: pionOffer(t)})
	r.awaitTrack().awaitFrames(t, 10)
}

// keptOffers keeps the first offers from their remote, for others to answer. One
// peer at a time uses it.
type keptOffers struct {
	Signaller
	kept    chan signalling.Description
	left    int
	through bool // the latest offer is
}

func (k *keptOffers) SendDescription(ctx context.Context, uid string, d signalling.Description) error {
	if k.through = k.left == 0; k.through {
		return k.Signaller.SendDescription(ctx, uid, d)
	}
	k.left--
	k.kept <- d
	return nil
}

func (k *keptOffers) SendCandidate(ctx context.Context, uid string, c signalling.Candidate) error {
	if k.through {
		return k.Signaller.SendCandidate(ctx, uid, c)
	}
	return nil
}

// TestAnswerToEarlierOffer: an answer that was on its way when we offered again
// is taken for the one to the new offer, until that one comes.
func TestAnswerToEarlierOffer(t *testing.T) {
	o := firstEnd{reason: make(chan error, 1)}
	p, board := openTest(t, func(c *Config) { c.Observer = o })
	offers := &keptOffers{Signaller: board, kept: make(chan signalling.Description), left: 2}
	p.signaller = offers
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	var answers []signalling.Description
	for range 2 {
		p.Offer("viewer")
		answers = append(answers, answerTo(t, await(t, offers.kept)))
	}
	for _, a := range answers {
		p.HandleDescription("viewer", a)
	}
	r.awaitTrack().awaitFrames(t, 10)
	if reason := await(t, o.reason); !strings.Contains(reason.Error(), "earlier offer") {
		t.Errorf("got %q", reason)
	}
}

// answerTo is the answer of a new RTCPeerConnection.
func answerTo(t *testing.T, offer signalling.Description) signalling.Description {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP}); err != nil {
		t.Fatal(err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return signalling.Description{Type: signalling.Answer, SDP: answer.SDP}
}

// TestShortCut: a network that comes back in time costs no connection.
func TestShortCut(t *testing.T) {
	p, board := openTest(t, nil)
	r, network := newCuttable(t, board, p, "viewer")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo)
	track := r.awaitTrack()
	track.awaitFrames(t, 10)
	network.cut.Store(true)
	time.Sleep(4 * time.Second) // pion takes five until it counts as disconnected
	network.cut.Store(false)
	track.awaitFrames(t, track.snapshot().frames+30)
}

// line joins two pipelines. What one says, the other hears from a uid.
type line struct {
	uid string
	to  *Pipeline
}

func (l *line) SendDescription(_ context.Context, _ string, d signalling.Description) error {
	l.to.HandleDescription(l.uid, d)
	return nil
}

func (l *line) SendCandidate(_ context.Context, _ string, c signalling.Candidate) error {
	l.to.HandleCandidate(l.uid, c)
	return nil
}

// openPair opens two pipelines that are each other's remotes.
func openPair(t *testing.T) (a, b *Pipeline) {
	t.Helper()
	toA, toB := &line{uid: "b"}, &line{uid: "a"}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	open := func(own string, to *line) *Pipeline {
		p, err := Open(ctx, Config{
			Video: mustParse(t, ParseVideo, "test"), Audio: mustParse(t, ParseAudio, "test"),
			Width: 320, Height: 240, VideoBitrate: 500, Receive: true, Log: testLog(t).With("pipeline", own),
			Yields: func(uid string) bool { return own < uid },
		}, to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	a = open("a", toB)
	toA.to = a
	b = open("b", toA)
	toB.to = b
	return a, b
}

// TestTwoPipelines connects two of our own, also when both offer at once.
func TestTwoPipelines(t *testing.T) {
	for name, offer := range map[string]func(a, b *Pipeline){
		"one offers":          func(a, b *Pipeline) { a.Offer("b") },
		"both offer, a first": func(a, b *Pipeline) { a.Offer("b"); b.Offer("a") },
		"both offer, b first": func(a, b *Pipeline) { b.Offer("a"); a.Offer("b") },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := openPair(t)
			hearsA, hearsB := listenTo(b), listenTo(a)
			offer(a, b)
			awaitHeard(t, hearsA, "a", 2, 30)
			awaitHeard(t, hearsB, "b", 2, 30)
			a.Remove("b")
			b.Remove("a")
			awaitNobody(t, a)
			awaitNobody(t, b)
		})
	}
}

func awaitNobody(t *testing.T, p *Pipeline) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); p.Peers() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d peers are left", p.Peers())
		}
	}
}
