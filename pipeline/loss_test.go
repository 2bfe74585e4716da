package pipeline

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/pion/webrtc/v4"
)

// lossyConn loses one of twenty media packets that arrive.
type lossyConn struct {
	net.PacketConn
	media, lost atomic.Int64
}

func (c *lossyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || n < 200 || b[0]>>6 != 2 { // RFC 7983: RTP begins with version 2
			return n, from, err
		}
		if c.media.Add(1)%20 != 0 {
			return n, from, err
		}
		c.lost.Add(1)
	}
}

// TestLossIsRepaired: packets that a receiver misses are sent again (NACK and
// RTX), with each codec and whoever made the offer.
func TestLossIsRepaired(t *testing.T) {
	p, board := openTest(t, func(c *Config) { c.VideoBitrate = 2000 })
	for name, mime := range map[string]string{"VP8": webrtc.MimeTypeVP8, "H264": webrtc.MimeTypeH264} {
		t.Run(name, func(t *testing.T) {
			t.Run("remote offers", func(t *testing.T) {
				testLoss(t, p, board, mime, func(r *remote) { r.offer(webrtc.RTPCodecTypeVideo) })
			})
			t.Run("we offer", func(t *testing.T) {
				testLoss(t, p, board, mime, func(r *remote) { p.Offer(r.uid) })
			})
		})
	}
}

func testLoss(t *testing.T, p *Pipeline, board *switchboard, mime string, start func(*remote)) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	lossy := &lossyConn{PacketConn: udp}
	mux := webrtc.NewICEUDPMux(nil, lossy)
	defer mux.Close()
	settings := webrtc.SettingEngine{}
	settings.SetICEUDPMux(mux)
	settings.SetIncludeLoopbackCandidate(true)
	r := newRemoteWith(t, settings, board, p, t.Name(), mime)
	defer r.close()
	defer p.Remove(r.uid)
	start(r)
	track := r.awaitTrack()
	track.awaitFrames(t, 90)
	arrived, missing := track.missing()
	t.Logf("%d of %d media packets were lost on the way, %d are missing in the end", lossy.lost.Load(), lossy.media.Load(), missing)
	if lossy.lost.Load() < 5 {
		t.Fatalf("only %d packets were lost: nothing is tested", lossy.lost.Load())
	}
	if missing*10 > int(lossy.lost.Load())*3 {
		t.Errorf("%d of %d packets are missing: lost ones are not sent again", missing, arrived+missing)
	}
}

// missing counts the sequence numbers that did not arrive; the newest may be on
// their way still.
func (got *receivedTrack) missing() (arrived, missing int) {
	got.mu.Lock()
	defer got.mu.Unlock()
	const onTheirWay = 50
	for n := got.first; n != got.next-onTheirWay; n++ {
		if got.seen[n] {
			arrived++
		} else {
			missing++
		}
	}
	return arrived, missing
}
