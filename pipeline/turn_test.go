package pipeline

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/turntest"
	"github.com/gstpeer/gstpeer/signalling"
)

// TestTURN: media goes through a TURN server, with credentials as relays hand them
// out: they have to be encoded.
func TestTURN(t *testing.T) {
	const secret = "shared with coturn"
	for name, tcp := range map[string]bool{"udp": false, "tcp": true} {
		t.Run(name, func(t *testing.T) {
			turn := turntest.Start(t, turntest.WithSecret(secret)...)
			username, credential := turntest.Credentials(secret, "cam", time.Now().Add(time.Hour))
			p, board := openTest(t, func(c *Config) {
				c.Network.RelayOnly = true
				c.Servers.TURN = []TURNServer{{Address: turn.Address, TCP: tcp, Username: username, Credential: credential}}
			})
			r := newRemote(t, board, p, "viewer")
			defer r.close()
			r.offer(webrtc.RTPCodecTypeVideo)
			r.awaitTrack().awaitFrames(t, 30)
			pair, err := r.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
			if err != nil || pair.Remote.Typ != webrtc.ICECandidateTypeRelay {
				t.Errorf("media comes by %v %v, want the relay", pair, err)
			}
		})
	}
}

// TestTURNRefused: the one line that says why says that.
func TestTURNRefused(t *testing.T) {
	turn := turntest.Start(t, turntest.WithSecret("right")...)
	username, credential := turntest.Credentials("wrong", "cam", time.Now().Add(time.Hour))
	why := make(chan error, 1)
	p, board := openTest(t, func(c *Config) {
		c.Network.RelayOnly = true
		c.Servers.TURN = []TURNServer{{Address: turn.Address, Username: username, Credential: credential}}
		c.OnPeerEnd = func(_ string, reason error) { why <- reason }
	})
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	r.offer(webrtc.RTPCodecTypeVideo)
	awaitReason(t, why, "TURN refused")
}

// TestDTLSFails: the remote finds another certificate than it was told of.
func TestDTLSFails(t *testing.T) {
	why := make(chan error, 10)
	p, board := openTest(t, func(c *Config) {
		c.OnPeerEnd = func(_ string, reason error) { why <- reason }
	})
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	p.signaller = forger{board}
	r.offer(webrtc.RTPCodecTypeVideo)
	awaitReason(t, why, "DTLS failed")
}

// TestForgedCertificate: whoever answers has not the certificate that the remote's
// description speaks of.
func TestForgedCertificate(t *testing.T) {
	why := make(chan error, 10)
	p, board := openTest(t, func(c *Config) {
		c.OnPeerEnd = func(_ string, reason error) { why <- reason }
	})
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	if _, err := r.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	offer, err := r.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.HandleDescription(r.uid, signalling.Description{Type: signalling.Offer, SDP: fingerprint.ReplaceAllString(offer.SDP, "${1}00:00:00")})
	if err := r.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	awaitReason(t, why, "DTLS failed: .*: its certificate is not the one")
	select {
	case track := <-r.tracks:
		t.Errorf("media was sent to it: %v", track.kind)
	default:
	}
}

func awaitReason(t *testing.T, why <-chan error, want string) {
	t.Helper()
	select {
	case err := <-why:
		if !errors.Is(err, ErrConnectionFailed) || !regexp.MustCompile("(?-s)"+want+".*$").MatchString(err.Error()) {
			t.Errorf("the peer ended: %v, want %q in one line", err, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the peer has not ended after 20 s, want %q", want)
	}
}

// forger tells of another fingerprint than that of our certificate.
type forger struct{ *switchboard }

var fingerprint = regexp.MustCompile(`(a=fingerprint:\S+ )\S{8}`)

func (f forger) SendDescription(ctx context.Context, uid string, d signalling.Description) error {
	d.SDP = fingerprint.ReplaceAllString(d.SDP, "${1}00:00:00")
	return f.switchboard.SendDescription(ctx, uid, d)
}

// TestWhyFailed: each reason that can be known.
func TestWhyFailed(t *testing.T) {
	for want, p := range map[string]*Peer{
		"named no address":                     {},
		"TURN refused":                         {turnServers: 1, candidates: 1, gathered: candidateTypes{host: 1}},
		"only addresses of their own networks": {candidates: 1, gathered: candidateTypes{host: 1}, found: candidateTypes{host: 1}},
		"there is no TURN server":              {candidates: 1, gathered: candidateTypes{srflx: 1}, found: candidateTypes{host: 1}},
		"not even through the TURN server":     {turnServers: 1, candidates: 1, gathered: candidateTypes{relay: 1}, found: candidateTypes{host: 1}},
		"is not reached any more":              {playing: true},
	} {
		if err := p.whyFailed(); !errors.Is(err, ErrConnectionFailed) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
