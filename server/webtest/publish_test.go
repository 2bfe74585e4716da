package webtest

import (
	"fmt"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// smallCamera keeps what a test encodes small: the machine has other things to do.
const smallCamera = `
	const devices = navigator.mediaDevices;
	const open = devices.getUserMedia.bind(devices);
	globalThis.opened = []; // tracks
	devices.getUserMedia = async ({video, ...rest}) => {
		const small = video && {video: {...video, width: 320, height: 180, frameRate: 15}};
		const stream = await open({...rest, ...small});
		opened.push(...stream.getTracks());
		return stream;
	};`

// openPublisher opens the page, with its dialog for publishing.
func openPublisher(t *testing.T, r *relay, name string, scripts ...string) tab {
	t.Helper()
	return openPage(t, r.page("lab")+"&publish&name="+name, append([]string{smallCamera}, scripts...)...)
}

// start publishes what the dialog has chosen.
func (b tab) start(name string) {
	b.Eventually(`document.querySelector('#panel select[name=camera]').options.length > 1`)
	b.Click("#panel [data-panel=start]")
	b.Eventually(fmt.Sprintf(`!document.querySelector('#controls').hidden && !document.querySelector('#panel').open &&
		document.querySelector('#own-name').textContent === %q`, name))
}

func publish(t *testing.T, r *relay, name string, scripts ...string) tab {
	t.Helper()
	b := openPublisher(t, r, name, scripts...)
	b.Eventually(`document.querySelector('#panel video').videoWidth > 0`)
	b.start(name)
	return b
}

// awaitSound waits for sound of a peer that is more than silence. Who has opened
// a microphone hears others without a click.
func (b tab) awaitSound(uid string) {
	b.AwaitSound(uid)
}

// awaitText waits for the text of an element.
func (b tab) awaitText(selector, part string) {
	b.Eventually(fmt.Sprintf(`document.querySelector(%q).textContent.includes(%q)`, selector, part))
}

// button is the selector of one of the bar.
func button(name string) string {
	return fmt.Sprintf(`#controls [data-publish=%s]`, name)
}

func TestTwoBrowsersPublish(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publish(t, r, "ada")
	ben := publish(t, r, "ben")
	for _, c := range []struct {
		at   tab
		from string
	}{{ada, "ben"}, {ben, "ada"}} {
		c.at.awaitLive(c.from)
		c.at.AwaitFrames(c.from, 15)
		c.at.awaitSound(c.from)
		c.at.Eventually(`document.querySelectorAll('.tile').length === 1`)
	}
	ada.Eventually(`document.querySelector('#controls .preview[data-mirrored] video').videoWidth > 0`)
}

// TestViewerSeesPublisher has the viewer there before and after.
func TestViewerSeesPublisher(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	before := openPage(t, r.page("lab"))
	before.awaitRelay("joined")
	ada := publish(t, r, "ada")
	after := openPage(t, r.page("lab"))
	for _, b := range []tab{before, after} {
		b.awaitLive("ada")
		b.AwaitFrames("ada", 15)
		b.awaitSound("ada")
	}
	ada.awaitText("#summary", "2 watching")
	if n := browsertest.Evaluate[int](ada.Tab, `document.querySelectorAll('.tile').length`); n != 0 {
		t.Errorf("%d tiles, want none for viewers", n)
	}
}

// TestFocusGoesOn has each button that goes away hand the focus to what comes next.
func TestFocusGoesOn(t *testing.T) {
	for _, browser := range browsertest.Browsers {
		t.Run(browser.Name, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t)
			b := tab{browser.Open(t, r.page("lab")+"&name=ada", smallCamera)}
			b.awaitRelay("joined")
			publish := func() {
				b.Click("#publish")
				b.start("ada")
				b.awaitFocus(button("audio"))
			}
			publish()
			b.Click(button("devices"))
			b.Click("#panel [data-panel=start]")
			b.awaitFocus(button("devices"))
			b.Click(button("stop"))
			b.awaitFocus("#publish")
			publish()
			b.Click(button("leave"))
			b.awaitFocus("#return")
		})
	}
}

func (b tab) awaitFocus(selector string) {
	b.Eventually(fmt.Sprintf(`document.activeElement === document.querySelector(%q) && document.activeElement.checkVisibility()`, selector))
}

// TestButtonsHaveTitles holds that the icons alone, which are there where the words have
// no place, say the same.
func TestButtonsHaveTitles(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := publish(t, r, "ada")
	titled := `[...document.querySelectorAll('#controls button')].every(({title, textContent}) =>
		title !== '' && title === textContent.trim())`
	b.Eventually(titled)
	b.Click(button("screen"))
	b.awaitText(button("screen"), "Stop sharing")
	browsertest.Evaluate[any](b.Tab, `opened.find(({kind}) => kind === 'audio').dispatchEvent(new Event('ended'))`)
	b.awaitText(button("audio"), "Switch microphone on")
	b.Eventually(titled)
}

// TestMute has the others get silence and black instead, without negotiating.
func TestMute(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publish(t, r, "ada")
	ben := publish(t, r, "ben")
	ben.awaitLive("ada")
	ben.awaitSound("ada")
	ssrc := ben.AwaitFrames("ada", 1).SSRC

	ada.Click(button("audio"))
	ada.Eventually(`document.querySelector('` + button("audio") + `').getAttribute('aria-pressed') === 'true'`)
	ben.AwaitSilence("ada")
	ada.Click(button("camera"))
	ben.Eventually(black("ada") + `.then((black) => black)`)

	ada.Click(button("audio"))
	ada.Click(button("camera"))
	ben.awaitSound("ada")
	ben.Eventually(black("ada") + `.then((black) => !black)`)
	if got := ben.AwaitFrames("ada", 5).SSRC; got != ssrc {
		t.Errorf("the picture has SSRC %d, want that from before: %d", got, ssrc)
	}
}

// black is an expression that tells whether a peer's picture is black.
func black(uid string) string {
	return fmt.Sprintf(`(async () => {
		const canvas = new OffscreenCanvas(16, 9);
		const context = canvas.getContext('2d');
		context.drawImage(document.querySelector('%s video'), 0, 0, 16, 9);
		return context.getImageData(0, 0, 16, 9).data.every((value, i) => i %% 4 === 3 || value < 24);
	})()`, tile(uid))
}
