package main

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// publishFromPage opens the page in the room demo and publishes in a size that
// the machine bears, until the test ends.
func publishFromPage(t *testing.T, browser browsertest.Browser, relay, name string) *browsertest.Tab {
	t.Helper()
	b := browser.Open(t, fmt.Sprintf("http://%s/?room=demo&publish&name=%s", relay, name), `
		const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
		navigator.mediaDevices.getUserMedia = ({video, ...rest}) => open({...rest,
			...(video && {video: {...video, width: 320, height: 180, frameRate: 15}})});`)
	b.Eventually(`document.querySelector('#panel video').videoWidth > 0`)
	b.Click("#panel [data-panel=start]")
	b.Eventually(`!document.querySelector('#controls').hidden`)
	return b
}

// TestRoomOfBrowsersAndPeers has two pages that publish and two gstpeers in one
// room, who come by turns: each gets picture and sound of the three others. In
// recordings they end together; with Firefox, where they come as they may, both
// are there.
func TestRoomOfBrowsersAndPeers(t *testing.T) {
	t.Run("two of Chromium", func(t *testing.T) {
		testRoomOfBrowsersAndPeers(t, browsertest.Chromium, wantRecorded)
	})
	t.Run("Chromium and Firefox", func(t *testing.T) {
		testRoomOfBrowsersAndPeers(t, browsertest.Firefox, func(t *testing.T, directory, pattern string, frames int) {
			wantRecordedFrames(t, directory, pattern, frames)
		})
	})
}

func testRoomOfBrowsersAndPeers(t *testing.T, second browsertest.Browser, wantRecorded func(t *testing.T, directory, pattern string, frames int)) {
	relay := startRelay(t)
	tabs, programs, recorded := map[string]*browsertest.Tab{}, map[string]*program{}, map[string]string{}
	start := func(name string) {
		recorded[name] = t.TempDir()
		programs[name] = startStreamingTo(t, "ws://"+relay, name, "--record", recorded[name])
	}
	start("cam1")
	tabs["ada"] = publishFromPage(t, browsertest.Chromium, relay, "ada")
	start("cam2")
	tabs["ben"] = publishFromPage(t, second, relay, "ben")
	everybody := []string{"cam1", "ada", "cam2", "ben"}
	for name, b := range tabs {
		for _, other := range everybody {
			if other != name {
				b.AwaitFrames(other, enoughFrames)
				b.AwaitSound(other)
			}
		}
	}
	for name, directory := range recorded {
		await(t, "recordings of all", func() bool {
			files, _ := filepath.Glob(filepath.Join(directory, "demo-*.mkv"))
			return len(files) == len(everybody)-1
		})
		for _, b := range tabs { // for some more of it
			b.AwaitFrames(name, 2*enoughFrames)
		}
	}
	for name, p := range programs {
		p.signal(syscall.SIGTERM)
		if code := p.ExitCode(stopsWithin); code != 0 {
			t.Errorf("%s: exit code %d, want 0", name, code)
		}
	}
	for name, directory := range recorded {
		for _, other := range everybody {
			if other != name {
				wantRecorded(t, directory, "demo-"+other+"-*.mkv", enoughFrames)
			}
		}
	}
	tabs["ada"].AwaitFrames("ben", enoughFrames) // who are not disturbed
}

// TestPageSwitchesCamera off and on again in the middle of a call, which takes new
// offers of the page on the connection that there is.
func TestPageSwitchesCamera(t *testing.T) {
	for _, browser := range browsertest.Browsers {
		t.Run(browser.Name, func(t *testing.T) {
			t.Parallel()
			testPageSwitchesCamera(t, browser)
		})
	}
}

func testPageSwitchesCamera(t *testing.T, browser browsertest.Browser) {
	relay, recorded := startRelay(t), t.TempDir()
	p := startStreamingTo(t, "ws://"+relay, "cam", "--record", recorded)
	b := publishFromPage(t, browser, relay, "ada")
	ssrc := b.AwaitFrames("cam", enoughFrames).SSRC
	choose := func(option int) {
		b.Click("#controls [data-publish=devices]")
		b.Eventually(`document.querySelector('#panel select[name=camera]').options.length > 1`)
		browsertest.Evaluate[bool](b, fmt.Sprintf(`(() => {
			const select = document.querySelector('#panel select[name=camera]');
			select.selectedIndex = %d;
			return select.dispatchEvent(new Event('change', {bubbles: true}));
		})()`, option))
		b.Click("#panel [data-panel=start]")
	}
	sent := func(kind string) string {
		return fmt.Sprintf(`(async () => {
			const of = async () => (await gstpeer.peers()[0].stats()).filter(({type}) => type === 'outbound-rtp');
			const before = (await of()).find(({kind}) => kind === %q)?.packetsSent ?? 0;
			await new Promise((done) => setTimeout(done, 500));
			return ((await of()).find(({kind}) => kind === %[1]q)?.packetsSent ?? 0) > before + 3;
		})()`, kind)
	}
	b.Eventually(sent("video"))
	choose(0)
	b.Eventually(sent("video") + `.then((sends) => !sends)`)
	b.Eventually(sent("audio"))
	choose(1)
	b.Eventually(sent("video"))
	if got := b.AwaitFrames("cam", enoughFrames); got.SSRC != ssrc {
		t.Errorf("the picture of gstpeer has SSRC %d, want that from before: %d", got.SSRC, ssrc)
	}
	p.signal(syscall.SIGTERM)
	if code := p.ExitCode(stopsWithin); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
