package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/signalling"
)

// ends collects why peers end.
type ends chan string

func (e ends) add(uid string, reason error) { e <- fmt.Sprintf("%s: %v", uid, reason) }

// await waits for a peer to end with an error that contains a text.
func (e ends) await(t *testing.T, uid string, reason error) {
	t.Helper()
	select {
	case got := <-e:
		if !strings.HasPrefix(got, uid+": ") || !strings.Contains(got, reason.Error()) {
			t.Errorf("ended %q, want %s with %q", got, uid, reason)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%s goes on after 20 s, want its end with %q", uid, reason)
	}
}

// pionOffer is the offer of a browser-like viewer.
func pionOffer(t testing.TB) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP
}

// TestBadPeersHurtNobody has every kind of bad remote at once beside a viewer
// who must not notice.
func TestBadPeersHurtNobody(t *testing.T) {
	reasons := make(ends, 400)
	p, board := openTest(t, func(c *Config) { c.OnPeerEnd = reasons.add })
	stays := newRemote(t, board, p, "stays")
	defer stays.close()
	stays.offer(webrtc.RTPCodecTypeVideo)
	track := stays.awaitTrack()
	track.awaitFrames(t, 10)
	before := currentHoldings(t)
	p.connectTimeout = 2 * time.Second

	t.Run("never answers", func(t *testing.T) {
		p.Offer("silent")
		reasons.await(t, "silent", ErrNoAnswer)
	})
	t.Run("offers and vanishes", func(t *testing.T) {
		p.HandleDescription("gone", signalling.Description{Type: signalling.Offer, SDP: pionOffer(t)})
		reasons.await(t, "gone", ErrConnectionFailed)
	})
	t.Run("answers nonsense", func(t *testing.T) {
		p.Offer("mad")
		p.HandleDescription("mad", signalling.Description{Type: signalling.Answer, SDP: "nonsense"})
		reasons.await(t, "mad", ErrDescription)
	})
	t.Run("answers with too few m-lines", func(t *testing.T) {
		p.Offer("short")
		sdp := pionOffer(t)
		p.HandleDescription("short", signalling.Description{Type: signalling.Answer, SDP: sdp[:strings.LastIndex(sdp, "m=")]})
		reasons.await(t, "short", ErrDescription)
	})
	t.Run("floods", func(t *testing.T) {
		p.Offer("flood")
		for i := range 2 * maxOperations {
			p.HandleCandidate("flood", signalling.Candidate{Candidate: fmt.Sprintf("candidate:1 1 UDP %d 127.0.0.1 9 typ host", i)})
		}
		reasons.await(t, "flood", ErrFlooded)
	})
	t.Run("answers nobody asked for", func(t *testing.T) {
		p.HandleDescription("stranger", signalling.Description{Type: signalling.Answer, SDP: pionOffer(t)})
		p.HandleCandidate("stranger", signalling.Candidate{Candidate: "candidate:1 1 UDP 1 127.0.0.1 9 typ host"})
	})
	p.connectTimeout = 300 * time.Millisecond
	t.Run("mutated offers", func(t *testing.T) { sendMutatedOffers(t, p, 100) })

	frames := track.snapshot().frames
	track.awaitFrames(t, frames+30)
	if got := track.snapshot(); got.gaps != 0 {
		t.Errorf("the viewer who stayed misses %d packets", got.gaps)
	}
	awaitAlone(t, p)
	awaitHoldings(t, before)
}

// sendMutatedOffers offers what a broken or hostile remote could: a real offer
// with lines lost, doubled, cut, exchanged or garbled.
func sendMutatedOffers(t *testing.T, p *Pipeline, n int) {
	const seed = 20
	random := rand.New(rand.NewPCG(seed, seed))
	offer := pionOffer(t)
	for i := range n {
		uid := fmt.Sprint("mutant", i)
		p.HandleDescription(uid, signalling.Description{Type: signalling.Offer, SDP: mutate(random, offer)})
		p.HandleCandidate(uid, signalling.Candidate{Candidate: "candidate:garbled", SDPMLineIndex: uint16(random.UintN(1 << 16))})
		if i%8 == 7 { // not all at once
			for deadline := time.Now().Add(30 * time.Second); p.Peers() > 4 && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

func mutate(random *rand.Rand, sdp string) string {
	lines := strings.Split(sdp, "\r\n")
	for range 1 + random.IntN(4) {
		i, j := random.IntN(len(lines)), random.IntN(len(lines))
		switch random.IntN(5) {
		case 0:
			lines = append(lines[:i], lines[i+1:]...)
		case 1:
			lines = append(lines[:i+1], lines[i:]...)
		case 2:
			lines[i] = lines[i][:random.IntN(len(lines[i])+1)]
		case 3:
			lines[i], lines[j] = lines[j], lines[i]
		case 4:
			garbled := []byte(lines[i])
			if len(garbled) > 0 {
				garbled[random.IntN(len(garbled))] = byte(random.UintN(256))
			}
			lines[i] = string(garbled)
		}
	}
	return strings.Join(lines, "\r\n")
}

func TestNoCommonCodec(t *testing.T) {
	reasons := make(ends, 4)
	p, board := openTest(t, func(c *Config) { c.OnPeerEnd, c.Audio = reasons.add, Source{} })
	for name, start := range map[string]func(*remote){
		"remote offers": func(r *remote) { r.offer(webrtc.RTPCodecTypeVideo) },
		"we offer":      func(r *remote) { p.Offer(r.uid) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t, board, p, name, webrtc.MimeTypeAV1)
			defer r.close()
			start(r)
			reasons.await(t, name, ErrNoCommonCodec)
		})
	}
}

func TestParseDescriptionRefuses(t *testing.T) {
	good := pionOffer(t)
	if _, err := parseDescription(signalling.Description{Type: signalling.Offer, SDP: good}); err != nil {
		t.Fatalf("a good offer: %v", err)
	}
	without := func(prefix string) string {
		var kept []string
		for line := range strings.SplitSeq(good, "\r\n") {
			if !strings.HasPrefix(line, prefix) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\r\n")
	}
	for name, test := range map[string]struct{ sdp, want string }{
		"nothing":              {"", "0 m-lines"},
		"JSON":                 {`{"type":"offer"}`, "not SDP"},
		"no m-line":            {good[:strings.Index(good, "m=")], "0 m-lines"},
		"too many m-lines":     {good + strings.Repeat(good[strings.LastIndex(good, "m="):], maxSections), "m-lines, want 1 to"},
		"too long":             {good + strings.Repeat("a=x\r\n", maxDescriptionSize/5), "at most"},
		"no mid":               {without("a=mid"), "no a=mid"},
		"the same mid twice":   {strings.ReplaceAll(good, "a=mid:1", "a=mid:0"), "twice"},
		"no fingerprint":       {without("a=fingerprint"), "fingerprint"},
		"two fingerprints":     {strings.Replace(good, "m=", "a=fingerprint:sha-256 00\r\nm=", 1) + "a=fingerprint:sha-256 11\r\n", "fingerprint"},
		"no ICE credentials":   {without("a=ice-pwd"), "ICE"},
		"no setup":             {without("a=setup"), "a=setup"},
		"BUNDLE names nobody":  {strings.ReplaceAll(good, "BUNDLE 0 1", "BUNDLE 0 1 7"), `"7"`},
		"unknown media":        {strings.ReplaceAll(good, "m=video", "m=text"), `"text"`},
		"not UTF-8":            {good + "a=\xff\r\n", "not text"},
		"NUL":                  {good + "a=x\x00y\r\n", "not text"},
		"many payload types":   {strings.Replace(good, "UDP/TLS/RTP/SAVPF 96", "UDP/TLS/RTP/SAVPF 96"+strings.Repeat(" 97", maxPayloads), 1), "payload types, want 1 to"},
		"a payload type twice": {strings.Replace(good, "UDP/TLS/RTP/SAVPF 96", "UDP/TLS/RTP/SAVPF 96 96", 1), "payload type 96 is there twice"},
		"payload type too big": {strings.ReplaceAll(good, "a=rtpmap:96", "a=rtpmap:196"), "payload type"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseDescription(signalling.Description{Type: signalling.Offer, SDP: test.sdp})
			if !errors.Is(err, ErrDescription) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want ErrDescription with %q", err, test.want)
			}
		})
	}
}

// TestManySSRCs: of what a remote names without end, little is kept.
func TestManySSRCs(t *testing.T) {
	media := &sdp.MediaDescription{}
	for i := range 10 * maxSSRCs {
		media.WithValueAttribute("ssrc", fmt.Sprint(i+1))
	}
	if got := len(ssrcs(media)); got != maxSSRCs {
		t.Errorf("%d sources are kept, want %d", got, maxSSRCs)
	}
}

func FuzzParseDescription(f *testing.F) {
	f.Add(pionOffer(f))
	f.Add("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n")
	f.Fuzz(func(t *testing.T, sdp string) {
		for _, kind := range []signalling.SDPType{signalling.Offer, signalling.Answer} {
			r, err := parseDescription(signalling.Description{Type: kind, SDP: sdp})
			if err != nil {
				continue
			}
			for _, s := range r.sections {
				if s.mid == "" {
					t.Errorf("an m-line without mid got through: webrtcbin aborts on it")
				}
				choose(VideoCodecs, s)
			}
		}
	})
}

func TestFitForICE(t *testing.T) {
	for candidate, want := range map[string]bool{
		"candidate:1 1 UDP 2130706431 192.0.2.1 40000 typ host":                                         true,
		"candidate:1 1 udp 1694498815 192.0.2.1 40000 typ srflx raddr 10.0.0.1 rport 5000 generation 0": true,
		"candidate:1 1 udp 2113937151 4f1c1d8a-0f2a-4d0f-8d5e-2b1f6a4d1c11.local 40000 typ host":        true,
		"": false, "candidate:": false, "candidate:1 1 UDP 1 192.0.2.1 9 typ": false,
		"candidate:1 0 UDP 2130706431 192.0.2.1 40000 typ host":                                    false,
		"candidate:1 4294967295 UDP 2130706431 192.0.2.1 40000 typ host":                           false,
		"candidate:1 1 TCP 2105524479 192.0.2.1 22 typ host tcptype passive":                       false,
		"candidate:1 1 UDP 2130706431 192.0.2.1 70000 typ host":                                    false,
		"candidate:1 1 UDP 99999999999 192.0.2.1 40000 typ host":                                   false,
		"candidate:1 1 UDP 2130706431 192.0.2.1 40000 typ ghost":                                   false,
		"candidate:" + strings.Repeat("1", maxCandidateSize) + " 1 UDP 1 192.0.2.1 40000 typ host": false,
	} {
		if got := fitForICE(candidate); got != want {
			t.Errorf("fitForICE(%.80q) is %t", candidate, got)
		}
	}
}

// TestManyOffers: a remote that offers anew all the time holds little.
func TestManyOffers(t *testing.T) {
	p, board := openTest(t, nil)
	before := currentHoldings(t)
	offer := pionOffer(t)
	most := 0
	for i := range 200 {
		lines := strings.SplitN(offer, "\r\n", 3)
		lines[1] = fmt.Sprintf("o=- %d 2 IN IP4 0.0.0.0", i+1)
		p.HandleDescription("restless", signalling.Description{Type: signalling.Offer, SDP: strings.Join(lines, "\r\n")})
		most = max(most, webrtcbinsAlive()-before.webrtcbins)
	}
	if most > 2 {
		t.Errorf("200 offers led to %d webrtcbins at once, want one or two", most)
	}
	r := newRemote(t, board, p, "calm")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo)
	r.awaitTrack().awaitFrames(t, 10)
}

// TestRemoteRenegotiates: a viewer may stop to receive, which ends nothing else.
func TestRemoteRenegotiates(t *testing.T) {
	p, board := openTest(t, nil)
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio)
	first, second := r.awaitTrack(), r.awaitTrack()
	first.awaitFrames(t, 10)
	second.awaitFrames(t, 10)
	for _, transceiver := range r.pc.GetTransceivers() {
		if transceiver.Kind() == webrtc.RTPCodecTypeVideo {
			if err := transceiver.Stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.offer()
	sound := first
	if second.kind == webrtc.RTPCodecTypeAudio {
		sound = second
	}
	sound.awaitFrames(t, sound.snapshot().frames+50)
	if p.Peers() != 1 {
		t.Error("the peer has ended")
	}
}
