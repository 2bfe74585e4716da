package pipeline

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/signalling"
)

// answers is a Signaller that keeps what is said.
type answers chan signalling.Description

func (a answers) SendDescription(_ context.Context, _ string, d signalling.Description) error {
	a <- d
	return nil
}

func (answers) SendCandidate(context.Context, string, signalling.Candidate) error { return nil }

// offerOfBoth is an offer to send and receive picture, sound and texts.
func offerOfBoth(t *testing.T, mimes ...string) string {
	t.Helper()
	media := &webrtc.MediaEngine{}
	if err := registerCodecs(media, mimes); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(media)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP
}

// TestOddRenegotiation has remotes offer anew what cannot follow from their first
// offer. Whatever webrtcbin cannot do is left out or ignored; the peer goes on.
func TestOddRenegotiation(t *testing.T) {
	good := offerOfBoth(t)
	unknown := good
	for _, codec := range []string{"VP8", "VP9", "H264", "AV1", "H265"} {
		unknown = strings.ReplaceAll(unknown, codec+"/90000", "X"+codec+"/90000")
	}
	few := offerOfBoth(t, webrtc.MimeTypeVP8, webrtc.MimeTypeOpus)
	for name, test := range map[string]struct {
		first, second string
		answered      bool
	}{
		"a codec appears":       {unknown, good, true},
		"a payload type moves":  {few, strings.NewReplacer("SAVPF 100", "SAVPF 120", ":100 ", ":120 ", "apt=100", "apt=120").Replace(few), false},
		"an m-line is recycled": {good, strings.Replace(strings.Replace(good, "a=mid:1", "a=mid:3", 1), "BUNDLE 0 1", "BUNDLE 0 3", 1), false},
		"a codec disappears":    {good, unknown, false},
		"m-lines disappear":     {good, good[:strings.Index(good, "m=video")], false},
	} {
		t.Run(name, func(t *testing.T) {
			if test.first == test.second {
				t.Fatal("the offers are the same")
			}
			said, reasons := make(answers, 10), make(ends, 10)
			p, _ := openTest(t, func(c *Config) { c.Receive, c.OnPeerEnd = true, reasons.add })
			p.signaller = said
			p.HandleDescription("remote", signalling.Description{Type: signalling.Offer, SDP: test.first})
			await(t, said)
			p.HandleDescription("remote", signalling.Description{Type: signalling.Offer, SDP: test.second})
			if test.answered {
				await(t, said)
			}
			settled := make(chan struct{}) // after the offer: operations come one after the other
			peer := p.peer("remote")
			if peer == nil {
				t.Fatalf("the peer ended: %s", <-reasons)
			}
			peer.post(func() error { close(settled); return nil })
			select {
			case <-settled:
			case <-time.After(20 * time.Second):
				t.Fatal("the peer is stuck")
			}
			if p.Peers() != 1 || len(said) != 0 {
				t.Errorf("%d peers and %d answers are there, want 1 and none", p.Peers(), len(said))
			}
		})
	}
}
