package pipeline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/signalling"
)

// impostor is an interceptor that changes the headers of what a remote sends.
type impostor struct {
	interceptor.NoOp
	disguise func(*rtp.Header)
}

func (f *impostor) NewInterceptor(string) (interceptor.Interceptor, error) { return f, nil }

func (f *impostor) BindLocalStream(_ *interceptor.StreamInfo, writer interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(header *rtp.Header, payload []byte, attributes interceptor.Attributes) (int, error) {
		forged := header.Clone()
		f.disguise(&forged)
		return writer.Write(&forged, payload, attributes)
	})
}

// TestHostileSenders has remotes send what was not agreed on, beside a viewer who
// must not notice and a directory for recordings that nothing may leave.
func TestHostileSenders(t *testing.T) {
	reasons := make(ends, 100)
	root := t.TempDir()
	dir := filepath.Join(root, "recordings")
	p, board := openTest(t, func(c *Config) {
		c.Receive, c.OnPeerEnd = true, reasons.add
		c.Record = Recording{Directory: dir, Room: "lab"}
	})
	stays := newRemote(t, board, p, "stays")
	defer stays.close()
	stays.offer(webrtc.RTPCodecTypeVideo)
	track := stays.awaitTrack()
	track.awaitFrames(t, 10)
	before := currentHoldings(t)
	goesOn := func(t *testing.T) {
		t.Helper()
		track.awaitFrames(t, track.snapshot().frames+15)
		if gaps := track.snapshot().gaps; gaps != 0 {
			t.Errorf("the viewer who stays misses %d packets", gaps)
		}
	}

	for name, forge := range map[string]func(*rtp.Header){
		"unknown sources":       func(h *rtp.Header) { h.SSRC = rand.Uint32() },
		"unknown payload types": func(h *rtp.Header) { h.PayloadType = uint8(rand.UintN(128)) },
		"both":                  func(h *rtp.Header) { h.SSRC, h.PayloadType = rand.Uint32(), uint8(rand.UintN(128)) },
	} {
		for _, channelFirst := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", channel first ", channelFirst), func(t *testing.T) {
				sendForged(t, p, board, forge, channelFirst)
				goesOn(t)
			})
		}
	}
	t.Run("names with paths", func(t *testing.T) {
		for _, uid := range []string{"../../evil", "/tmp/evil", "..", "a/../../b", strings.Repeat("x", 1000)} {
			recordOne(t, p, board, uid)
		}
		wantOnlyIn(t, root, dir)
		goesOn(t)
	})
	awaitAlone(t, p)
	awaitHoldings(t, before)
}

// sendForged has a remote send for a while with forged headers. It negotiates the
// data channel before the picture if that is to be the first m-line.
func sendForged(t *testing.T, p *Pipeline, board *switchboard, forge func(*rtp.Header), channelFirst bool) {
	t.Helper()
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	interceptors := &interceptor.Registry{}
	interceptors.Add(&impostor{disguise: forge})
	r := newRemoteThrough(t, interceptors, settings, board, p, "impostor")
	if channelFirst {
		if _, err := r.pc.CreateDataChannel("first", nil); err != nil {
			t.Fatal(err)
		}
		r.renegotiate()
	}
	stop := r.sending(webrtc.MimeTypeVP8, p.tracks[VP8])
	r.renegotiate()
	for deadline := time.Now().Add(20 * time.Second); r.pc.ConnectionState() != webrtc.PeerConnectionStateConnected; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the impostor is %s after 20 s", r.pc.ConnectionState())
		}
	}
	time.Sleep(time.Second) // of forged media
	stop()
	r.close()
	p.Remove("impostor")
	awaitAlone(t, p)
}

// recordOne lets a remote send until it is recorded.
func recordOne(t *testing.T, p *Pipeline, board *switchboard, uid string) {
	t.Helper()
	files := func() int {
		all, err := os.ReadDir(p.config.Record.Directory)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(all)
	}
	before := files()
	r := newRemote(t, board, p, uid)
	stop := r.sending(webrtc.MimeTypeVP8, p.tracks[VP8])
	r.offer()
	for deadline := time.Now().Add(20 * time.Second); files() == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%.20q is not recorded after 20 s", uid)
		}
	}
	p.Remove(uid)
	awaitAlone(t, p)
	stop()
	r.close()
}

// wantOnlyIn finds files under root that are not right in a directory.
func wantOnlyIn(t *testing.T, root, dir string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Dir(path) != dir {
			t.Errorf("%s is outside of the recordings", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestManyRenegotiations: a remote may negotiate as often as it likes, one after
// the other, with all its candidates in each description.
func TestManyRenegotiations(t *testing.T) {
	reasons := make(ends, 100)
	p, board := openTest(t, func(c *Config) { c.OnPeerEnd = reasons.add })
	r := newRemote(t, board, p, "changes")
	defer r.close()
	gathered := webrtc.GatheringCompletePromise(r.pc)
	r.offer(webrtc.RTPCodecTypeVideo)
	track := r.awaitTrack()
	track.awaitFrames(t, 10)
	<-gathered
	perOffer := max(1, strings.Count(r.pc.LocalDescription().SDP, "a=candidate:"))
	for range maxCandidates/perOffer + 2 {
		r.renegotiate()
	}
	track.awaitFrames(t, track.snapshot().frames+30)
	if len(reasons) > 0 {
		t.Errorf("the peer has ended: %s", <-reasons)
	}
}

// TestHostileNegotiation floods a peer with what a remote may say on the relay.
func TestHostileNegotiation(t *testing.T) {
	reasons := make(ends, 100)
	p, board := openTest(t, func(c *Config) { c.OnPeerEnd = reasons.add })
	stays := newRemote(t, board, p, "stays")
	defer stays.close()
	stays.offer(webrtc.RTPCodecTypeVideo)
	track := stays.awaitTrack()
	track.awaitFrames(t, 10)
	before := currentHoldings(t)

	t.Run("too many candidates", func(t *testing.T) {
		r := newRemote(t, board, p, "names")
		defer r.close()
		r.offer(webrtc.RTPCodecTypeVideo)
		r.awaitTrack().awaitFrames(t, 1)
		for i := range maxCandidates + 10 {
			p.HandleCandidate("names", signalling.Candidate{Candidate: fmt.Sprintf("candidate:%d 1 UDP 1 192.0.2.1 %d typ host", i, 1000+i)})
			time.Sleep(time.Millisecond) // slower than what is a flood by itself
		}
		reasons.await(t, "names", ErrFlooded)
	})
	t.Run("negotiates without end", func(t *testing.T) {
		r := newRemote(t, board, p, "restless")
		defer r.close()
		r.offer(webrtc.RTPCodecTypeVideo)
		r.awaitTrack().awaitFrames(t, 1)
		again := signalling.Description{Type: signalling.Offer, SDP: r.pc.LocalDescription().SDP}
		board.disconnect("restless") // it takes none of the answers
		peer, held := p.peer("restless"), make(chan struct{})
		peer.post(func() error { <-held; return nil }) // so that it cannot keep up
		for i := 0; peer.ctx.Err() == nil && i < 3*maxOperations; i++ {
			p.HandleDescription("restless", again)
		}
		close(held)
		reasons.await(t, "restless", ErrFlooded)
	})
	track.awaitFrames(t, track.snapshot().frames+30)
	if gaps := track.snapshot().gaps; gaps != 0 {
		t.Errorf("the viewer who stays misses %d packets", gaps)
	}
	awaitAlone(t, p)
	awaitHoldings(t, before)
}

// TestEndlessFrame: the parts of a frame that never ends are not kept for ever.
func TestEndlessFrame(t *testing.T) {
	reasons := make(ends, 10)
	p, board := openTest(t, func(c *Config) { c.Receive, c.OnPeerEnd = true, reasons.add })
	listenTo(p)
	r := newRemote(t, board, p, "endless", webrtc.MimeTypeVP8)
	defer r.close()
	local, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "video")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.pc.AddTrack(local); err != nil {
		t.Fatal(err)
	}
	r.offer()
	r.awaitTrack().awaitFrames(t, 10)
	keyframe := []byte{0x10, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xf0, 0}
	rest := make([]byte, 1200)
	for i := 0; len(reasons) == 0; i++ {
		packet := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: 1000}, Payload: rest}
		if i == 0 {
			packet.Payload = keyframe
		}
		if err := local.WriteRTP(packet); err != nil || i*len(rest) > 4*(16<<20) {
			t.Fatalf("%d packets are taken: %v", i, err)
		}
		if i%50 == 49 {
			time.Sleep(5 * time.Millisecond) // or too many are lost
		}
	}
	reasons.await(t, "endless", errors.New("a frame without an end"))
}

// TestMalformedReports: reports (RTCP) that promise more than they have tell
// nothing, and do no harm.
func TestMalformedReports(t *testing.T) {
	p, board := openTest(t, nil)
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo)
	track := r.awaitTrack()
	track.awaitFrames(t, 10)
	ssrc := uint32(track.ssrc)
	receiverReport := []byte{0x80 | 31, 201, 0, 1, 0, 0, 0, 1} // 31 blocks, and none is there
	senderReport := append([]byte{0x80 | 31, 200, 0, 6}, make([]byte, 24)...)
	cutBlock := binary.BigEndian.AppendUint32([]byte{0x80 | 1, 201, 0, 2, 0, 0, 0, 1}, ssrc)
	for range 100 {
		for _, raw := range [][]byte{receiverReport, senderReport, cutBlock, append(senderReport, receiverReport...)} {
			packet := rtcp.RawPacket(raw)
			if err := r.pc.WriteRTCP([]rtcp.Packet{&packet}); err != nil {
				t.Fatal(err)
			}
		}
	}
	track.awaitMore(t, 60)
	report := awaitReport(t, p, func(r PeerReport) bool { return len(r.Streams) == 1 && r.Streams[0].Jitter > 0 })
	if s := report.Streams[0]; s.Lost != 0 || s.RoundTrip != 0 || s.Jitter > time.Second {
		t.Errorf("got %+v", s)
	}
}
