package pipeline

import (
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/turntest"
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
