package main

import (
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// TestFirefoxPlaysTestSource has the page ask a gstpeer that is there for its
// media, and answer one that comes later.
func TestFirefoxPlaysTestSource(t *testing.T) {
	for _, test := range []struct {
		name, codec, mimeType string
		pageFirst             bool
	}{
		{"the page offers", "vp8", "video/VP8", false},
		{"gstpeer offers", "vp8", "video/VP8", true},
		{"the page offers VP9", "vp9", "video/VP9", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			relay := startRelay(t)
			open := func() *browsertest.Tab {
				b := browsertest.OpenFirefox(t, "http://"+relay+"/?room=demo")
				b.Eventually(`document.body.dataset.relay === 'joined'`)
				return b
			}
			var b *browsertest.Tab
			if test.pageFirst {
				b = open()
			}
			startStreamingTo(t, "ws://"+relay, "cam", "--codecs", test.codec)
			if !test.pageFirst {
				b = open()
			}
			if got := b.AwaitFrames("cam", enoughFrames); got.MimeType != test.mimeType {
				t.Errorf("the picture is %s, want %s", got.MimeType, test.mimeType)
			}
			if got := b.AwaitSound("cam"); got.MimeType != "audio/opus" {
				t.Errorf("the sound is %s, want Opus", got.MimeType)
			}
			if got := b.AwaitFrames("cam", enoughFrames); got.FrameWidth != 320 || got.FrameHeight != 180 {
				t.Errorf("the picture has %d×%d pixels, want 320×180", got.FrameWidth, got.FrameHeight)
			}
		})
	}
}
