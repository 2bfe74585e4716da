package main

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// TestFirefoxPublishes has gstpeer record, and Chromium show, what a page in
// Firefox sends, which itself shows gstpeer's picture.
func TestFirefoxPublishes(t *testing.T) {
	for _, test := range []struct {
		name      string
		pageFirst bool
	}{{"the page offers", false}, {"gstpeer offers", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			relay, recorded := startRelay(t), t.TempDir()
			watcher := browsertest.Open(t, "http://"+relay+"/?room=demo")
			watcher.Eventually(`document.body.dataset.relay === 'joined'`)
			var ada *browsertest.Tab
			if test.pageFirst {
				ada = publishFromPage(t, browsertest.Firefox, relay, "ada")
			}
			p := startStreamingTo(t, "ws://"+relay, "cam", "--record", recorded)
			if !test.pageFirst {
				ada = publishFromPage(t, browsertest.Firefox, relay, "ada")
			}
			awaitEachOther(watcher, ada)
			ssrc := watcher.Inbound("ada", "video").SSRC
			mute(ada, true)
			watcher.AwaitSlate("ada") // black
			watcher.AwaitSilence("ada")
			mute(ada, false)
			watcher.AwaitPicture("ada")
			awaitEachOther(watcher, ada)
			if got := watcher.Inbound("ada", "video").SSRC; got != ssrc {
				t.Errorf("the picture has SSRC %d, want that from before: %d", got, ssrc)
			}
			await(t, "recording", func() bool {
				files, _ := filepath.Glob(filepath.Join(recorded, "demo-ada-*.mkv"))
				return len(files) == 1
			})
			p.signal(syscall.SIGTERM)
			if code := p.ExitCode(stopsWithin); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			wantRecordedFrames(t, recorded, "demo-ada-*.mkv", 3*enoughFrames)
			watcher.AwaitFrames("ada", enoughFrames) // who is not disturbed
		})
	}
}

// awaitEachOther waits for picture and sound of ada at the watcher, and of cam at
// ada.
func awaitEachOther(watcher, ada *browsertest.Tab) {
	watcher.AwaitFrames("ada", enoughFrames)
	watcher.AwaitSound("ada")
	ada.AwaitFrames("cam", enoughFrames)
	ada.AwaitSound("cam")
}

// mute mutes microphone and camera, or no longer.
func mute(b *browsertest.Tab, muted bool) {
	for _, source := range []string{"audio", "camera"} {
		button := "#controls [data-publish=" + source + "]"
		b.Click(button)
		b.Eventually(fmt.Sprintf(`document.querySelector(%q).getAttribute('aria-pressed') === '%t'`, button, muted))
	}
}
