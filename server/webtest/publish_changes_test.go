package webtest

import (
	"fmt"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
)

// choose picks an option of the dialog, by number.
func (b tab) choose(source string, option int) {
	browsertest.Evaluate[bool](b.Tab, fmt.Sprintf(`(() => {
		const select = document.querySelector('#panel select[name=%s]');
		select.selectedIndex = %d;
		return select.dispatchEvent(new Event('change', {bubbles: true}));
	})()`, source, option))
}

// publishSound publishes with a microphone alone.
func publishSound(t *testing.T, r *relay, name string, scripts ...string) tab {
	t.Helper()
	b := openPublisher(t, r, name, scripts...)
	b.Eventually(`document.querySelector('#panel video').videoWidth > 0`)
	b.choose("camera", 0)
	b.Eventually(`!document.querySelector('#panel [data-preview]').hasAttribute('data-picture')`)
	b.start(name)
	return b
}

// TestCameraComesLater switches it on and off in the middle of a call.
func TestCameraComesLater(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	viewer := openPage(t, r.page("lab"))
	viewer.awaitRelay("joined")
	ada := publishSound(t, r, "ada")
	viewer.awaitLive("ada")
	viewer.awaitText(tile("ada")+" .explanation", "Sound only")
	viewer.awaitSound("ada")
	sound := viewer.Inbound("ada", "audio").SSRC

	ada.Click(button("camera"))
	viewer.AwaitFrames("ada", 15)
	viewer.Eventually(`document.querySelector('.tile').hasAttribute('data-picture')`)
	ada.Click(button("devices"))
	ada.Eventually(`document.querySelector('#panel select[name=camera]').options.length > 1`)
	ada.choose("camera", 0)
	viewer.Eventually(`!document.querySelector('.tile').hasAttribute('data-picture')`)
	viewer.awaitLive("ada")
	viewer.awaitSound("ada")
	if got := viewer.Inbound("ada", "audio").SSRC; got != sound {
		t.Errorf("the sound has SSRC %d, want that from before: %d", got, sound)
	}
}

// slowToTell has everything that goes to others wait, so that offers cross.
const slowToTell = `
	const send = WebSocket.prototype.send;
	WebSocket.prototype.send = function (text) {
		globalThis.slow ? setTimeout(() => this.readyState === 1 && send.call(this, text), 700) : send.call(this, text);
	};`

// TestChangesCross has both pages offer at once, on the connection that there is.
func TestChangesCross(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publishSound(t, r, "ada", slowToTell)
	ben := publishSound(t, r, "ben", slowToTell)
	ada.awaitLive("ben")
	ben.awaitLive("ada")
	for _, b := range []tab{ada, ben} {
		browsertest.Evaluate[bool](b.Tab, `globalThis.slow = true`)
	}
	for _, b := range []tab{ada, ben} {
		browsertest.Evaluate[any](b.Tab, `document.querySelector('`+button("camera")+`').click()`)
	}
	ada.AwaitFrames("ben", 15)
	ben.AwaitFrames("ada", 15)
	ada.awaitSound("ben")
	ben.awaitSound("ada")
}

// TestOffersCross has a sender offer while the page's offer is on its way.
func TestOffersCross(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sender string
		senderOffers bool
	}{{"the sender gives way", "camera", false}, {"the page gives way", "zebra", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t)
			camera := newPictureAndTone(t, c.sender, "lab")
			camera.crosses = true
			camera.join(r)
			b := openPage(t, r.page("lab"))
			b.awaitLive(c.sender)
			b.AwaitFrames(c.sender, 25)
			if got := camera.offered(); got != c.senderOffers {
				t.Errorf("the sender's offer counts: %v, want %v", got, c.senderOffers)
			}
		})
	}
}

func TestScreen(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publish(t, r, "ada")
	viewer := openPage(t, r.page("lab"))
	viewer.awaitLive("ada")
	ssrc := viewer.AwaitFrames("ada", 5).SSRC

	viewer.Eventually(`document.querySelector('.tile video').videoWidth <= 320`)
	ada.Click(button("screen"))
	ada.awaitText(button("screen"), "Stop sharing")
	ada.Eventually(`!document.querySelector('#controls .preview').hasAttribute('data-mirrored')`)
	viewer.Eventually(`document.querySelector('.tile video').videoWidth > 320`)
	viewer.AwaitFrames("ada", 5)
	ada.Click(button("screen"))
	viewer.Eventually(`document.querySelector('.tile video').videoWidth <= 320`)
	if got := viewer.AwaitFrames("ada", 5).SSRC; got != ssrc {
		t.Errorf("the picture has SSRC %d, want that from before: %d", got, ssrc)
	}
}

// TestScreenAlone begins with nothing to send.
func TestScreenAlone(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	viewer := openPage(t, r.page("lab"))
	viewer.awaitRelay("joined")
	ada := openPublisher(t, r, "ada")
	ada.Eventually(`document.querySelector('#panel select[name=camera]').options.length > 1`)
	ada.choose("camera", 0)
	ada.choose("audio", 0)
	ada.start("ada")
	ada.Click(button("screen"))
	viewer.awaitLive("ada")
	viewer.AwaitFrames("ada", 5)
}

func TestScreenRefused(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publish(t, r, "ada", `navigator.mediaDevices.getDisplayMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));`)
	ada.Click(button("screen"))
	ada.awaitText("#problem", "cancelled")
}

// oneCamera opens the first camera whichever is wanted: WebRTC gets no frames of
// Chromium's second fake one.
const oneCamera = `
	const openAny = devices.getUserMedia;
	devices.getUserMedia = ({video, ...rest}) => openAny({...rest, ...(video && {video: {}})});`

// TestOtherDevices changes camera and microphone in the middle of a call.
func TestOtherDevices(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publish(t, r, "ada", oneCamera)
	viewer := openPage(t, r.page("lab"))
	viewer.awaitLive("ada")
	ssrc := viewer.AwaitFrames("ada", 5).SSRC

	ada.Click(button("devices"))
	for i, source := range []string{"camera", "audio"} {
		ada.Eventually(`document.querySelector('#panel select[name=camera]').options.length === 3`)
		ada.choose(source, 2)
		ada.Eventually(fmt.Sprintf(`opened.length === %d && document.querySelector('#panel select[name=%s]').value ===
			opened.at(-1).getSettings().deviceId`, 3+i, source))
		viewer.awaitSound("ada")
		if got := viewer.AwaitFrames("ada", 25).SSRC; got != ssrc {
			t.Errorf("the picture has SSRC %d, want that from before: %d", got, ssrc)
		}
	}
	ada.Eventually(`opened.filter(({readyState}) => readyState === 'live').length === 2`)
	ada.Click("#panel [data-panel=start]")
	ada.Eventually(`!document.querySelector('#panel').open && !document.querySelector('#controls').hidden`)
}

// TestDevicesAreUnplugged takes one after the other away.
func TestDevicesAreUnplugged(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publish(t, r, "ada")
	viewer := openPage(t, r.page("lab"))
	viewer.awaitLive("ada")
	viewer.AwaitFrames("ada", 5)
	unplug := func(kind string) {
		browsertest.Evaluate[bool](ada.Tab, fmt.Sprintf(`opened.find(({kind}) => kind === %q).dispatchEvent(new Event('ended'))`, kind))
	}
	unplug("video")
	ada.awaitText("#problem", "The camera is gone. The rest goes on.")
	viewer.awaitText(tile("ada")+" .explanation", "Sound only")
	viewer.awaitSound("ada")
	unplug("audio")
	ada.awaitText("#problem", "The microphone is gone.")
	viewer.Eventually(`document.querySelectorAll('.tile').length === 0`)
	ada.Click(button("camera"))
	viewer.AwaitFrames("ada", 5)
	viewer.awaitLive("ada")
}
