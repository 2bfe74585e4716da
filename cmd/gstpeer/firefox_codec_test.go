package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// TestFirefoxWithoutH264 meets a gstpeer that sends nothing else, whoever of the
// two is there first: both sides say so. Where there is sound it is heard, and
// whoever has H264 goes on.
func TestFirefoxWithoutH264(t *testing.T) {
	for _, test := range []struct {
		name, audio string
		pageFirst   bool
		state, says string // of the page
	}{
		{"the page offers", "none", false, "no-codec", "in none of the codecs that this browser plays: VP8"},
		{"gstpeer offers", "none", true, "no-codec", "This browser plays none of the codecs that cam offers: H264"},
		{"the page offers, with sound", "test", false, "live", "Sound only"},
		{"gstpeer offers, with sound", "test", true, "live", "Sound only"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			relay := startRelay(t)
			var b *browsertest.Tab
			open := func() {
				b = browsertest.OpenFirefox(t, "http://"+relay+"/?room=demo")
				b.Eventually(`document.body.dataset.relay === 'joined'`)
			}
			if test.pageFirst {
				open()
			}
			other := newViewer(t, "ws://"+relay+"/?role=viewer", "other")
			cam := startStreamingTo(t, "ws://"+relay, "cam", "--codecs", "h264", "--audio", test.audio)
			picture := other.awaitTrack("cam", webrtc.RTPCodecTypeVideo)
			picture.awaitFrames(t, enoughFrames)
			if !test.pageFirst {
				open()
			}
			b.Eventually(fmt.Sprintf(`(() => {
				const tile = document.querySelector('[data-uid=cam]');
				return tile?.dataset.state === %q && tile.querySelector('.explanation').textContent.includes(%q);
			})()`, test.state, test.says))
			await(t, "word of it in the log", func() bool {
				return strings.Contains(cam.stderr.String(), "no common codec for video: we send H264, the remote takes VP8")
			})
			if test.audio != "none" {
				b.AwaitSound("cam")
			}
			picture.awaitFrames(t, enoughFrames)
			picture.checkWhole(t)
		})
	}
}
