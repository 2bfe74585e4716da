package webtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/server/token"
)

// TestPicturesGoOnWhileRoleChanges publishes and stops, with a picture there.
func TestPicturesGoOnWhileRoleChanges(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	newPictureAndTone(t, "camera", "lab").join(r)
	b := openPage(t, r.page("lab")+"&name=ada", smallCamera, recordStates)
	b.awaitLive("camera")
	b.AwaitFrames("camera", 5)
	ben := publish(t, r, "ben")
	b.awaitLive("ben")
	browsertest.Evaluate[int](b.Tab, `states.length = 0`)

	b.Click("#publish")
	b.start("ada")
	ben.awaitLive("ada")
	ben.AwaitFrames("ada", 5)
	b.AwaitFrames("camera", 25)
	b.AwaitFrames("ben", 15)

	b.Click(button("stop"))
	b.Eventually(`document.querySelector('#controls').hidden && !document.querySelector('#publish').hidden`)
	ben.awaitState("ada", "ended", "ended")
	b.AwaitFrames("camera", 25)
	b.AwaitFrames("ben", 15)
	b.Eventually(`document.querySelectorAll('.tile').length === 2`)
	if states := browsertest.Evaluate[[]string](b.Tab, `[...new Set(states)].filter((state) => state !== 'live')`); len(states) > 0 {
		t.Errorf("tiles were %v meanwhile, want them live", states)
	}
	if browsertest.Evaluate[bool](b.Tab, `document.querySelector('#controls video').srcObject.active`) {
		t.Error("devices are still open")
	}
}

func TestLeaveAndComeBack(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ben := publish(t, r, "ben")
	ada := publish(t, r, "ada")
	ben.awaitLive("ada")
	ada.Click(button("leave"))
	ben.awaitState("ada", "ended", "ended")
	ada.awaitText("#notice-title", "You left room lab")
	ada.Eventually(`document.querySelectorAll('.tile').length === 0 && gstpeer.peers().length === 0`)
	ada.Click("#return")
	ada.awaitLive("ben")
	ada.AwaitFrames("ben", 5)
}

// TestRelayRestartsUnderPublishers has both keep their names and their media.
func TestRelayRestartsUnderPublishers(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publish(t, r, "ada")
	ben := publish(t, r, "ben")
	ada.awaitLive("ben")
	ssrc := ada.AwaitFrames("ben", 5).SSRC
	r.stop()
	ada.awaitRelay("lost")
	ben.awaitRelay("lost")
	ada.AwaitFrames("ben", 5)
	ada.Click(button("camera")) // nothing to negotiate, and nobody to do it with
	r.start()
	ada.awaitRelay("joined")
	ben.awaitRelay("joined")
	ben.awaitLive("ada")
	if got := ada.AwaitFrames("ben", 15).SSRC; got != ssrc {
		t.Errorf("the picture has SSRC %d, want that from before: %d", got, ssrc)
	}
}

// TestCameraComesWithoutRelay negotiates once there is one again.
func TestCameraComesWithoutRelay(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publishSound(t, r, "ada")
	ben := publish(t, r, "ben")
	ben.awaitLive("ada")
	r.stop()
	ada.awaitRelay("lost")
	ada.Click(button("camera"))
	ada.Eventually(`document.querySelector('#controls .preview').hasAttribute('data-picture')`)
	r.start()
	ben.AwaitFrames("ada", 5)
}

// recordTexts keeps what others say.
const recordTexts = `
	globalThis.texts = [];
	addEventListener('gstpeermessage', ({detail}) => texts.push(detail.peer + ': ' + detail.text));`

func TestTexts(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	ada := publish(t, r, "ada", recordTexts)
	ben := publish(t, r, "ben", recordTexts)
	viewer := openPage(t, r.page("lab"), recordTexts)
	say := func(b tab, to, text string) {
		b.Eventually(fmt.Sprintf(`gstpeer.peers().find(({uid}) => uid === %q)?.send(%q) ?? false`, to, text))
	}
	say(ada, "ben", "Grüß dich")
	ben.Eventually(`texts.join() === 'ada: Grüß dich'`)
	say(ben, "ada", "two\nlines")
	ada.Eventually(`texts.join() === 'ben: two\nlines'`)
	say(viewer, "ben", "hello")
	ben.Eventually(`texts.length === 2 && /^viewer-\w+: hello$/.test(texts[1])`)
	ben.Eventually(`gstpeer.peers().find(({uid}) => uid.startsWith('viewer-')).send('welcome')`)
	viewer.Eventually(`texts.join() === 'ben: welcome'`)
}

func TestNameIsTaken(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	publish(t, r, "ada")
	b := openPublisher(t, r, "ada")
	b.Eventually(`document.querySelector('#panel select[name=camera]').options.length > 1`)
	b.Click("#panel [data-panel=start]")
	b.awaitText("#panel-problem", "The name ada is taken")
	b.awaitLive("ada") // as a viewer still

	browsertest.Evaluate[string](b.Tab, `document.querySelector('#panel input').value = 'ada  the second'`)
	b.start("ada-the-second")
	b.awaitLive("ada")
}

// TestNameOfBlanks takes none for a name.
func TestNameOfBlanks(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPublisher(t, r, "ada")
	b.Eventually(`document.querySelector('#panel select[name=camera]').options.length > 1`)
	browsertest.Evaluate[string](b.Tab, `document.querySelector('#panel input').value = '  '`)
	b.Click("#panel [data-panel=start]")
	b.Eventually(`document.querySelector('#panel input:invalid') === document.activeElement`)
	browsertest.Evaluate[string](b.Tab, `document.querySelector('#panel input').value = ' ada '`)
	b.start("ada")
}

// TestDialogFits has the buttons in sight on a telephone that is held sideways, with a
// preview above and whatever there is to say.
func TestDialogFits(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPublisher(t, r, "ada")
	b.Eventually(`document.querySelector('#panel video').videoWidth > 0`)
	for _, size := range [][2]int{{1280, 800}, {390, 844}, {740, 360}, {320, 256}} {
		b.Resize(size[0], size[1])
		b.Eventually(fmt.Sprintf(`innerWidth === %d && [...document.querySelectorAll('#panel .row button')].every((button) => {
			const {left, right, top, bottom} = button.getBoundingClientRect();
			return left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight &&
				button.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
		})`, size[0]))
		b.Eventually(`document.querySelector('#panel .preview').clientHeight < innerHeight / 2`)
	}
}

// TestPermissionIsDenied has the browser refuse the camera, and then both. The
// switch that has tests asked nothing leaves no other way.
func TestPermissionIsDenied(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPage(t, r.page("lab")+"&name=ada", smallCamera, `
		globalThis.denied = ['camera'];
		const allowed = navigator.mediaDevices.getUserMedia;
		navigator.mediaDevices.getUserMedia = (wanted) =>
			(wanted.video && denied.includes('camera')) || (wanted.audio && denied.includes('microphone'))
				? Promise.reject(new DOMException('Permission denied', 'NotAllowedError')) : allowed(wanted);
		navigator.permissions.query = async ({name}) => ({state: denied.includes(name) ? 'denied' : 'granted'});`)
	b.awaitRelay("joined")
	b.Click("#publish")
	b.awaitText("#panel-problem", "does not let this page use the camera")
	b.Eventually(`document.querySelector('#panel select[name=audio]').value !== ''`)

	b.Click("#panel [data-panel=cancel]")
	browsertest.Evaluate[int](b.Tab, `denied.push('microphone')`)
	b.Click("#publish")
	b.awaitText("#panel-problem", "use the camera")
	b.awaitText("#panel-problem", "use the microphone")
}

// TestNoDevices has the browser's refusals, and the words for them.
func TestNoDevices(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	for error, want := range map[string]string{
		"NotFoundError":    "No camera was found.",
		"NotReadableError": "The camera cannot be opened. Another program may be using it.",
		"TypeError":        "cannot be opened: why",
	} {
		b := openPage(t, r.page("lab")+"&publish", fmt.Sprintf(
			`navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('why', %q));`, error))
		b.Eventually(`document.querySelector('#panel-problem').textContent !== ''`)
		text := browsertest.Evaluate[string](b.Tab, `document.querySelector('#panel-problem').textContent`)
		if !strings.Contains(text, want) {
			t.Errorf("%s: the page says %q, want %q", error, text, want)
		}
	}
}

func TestInsecureOrigin(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPage(t, strings.Replace(r.page("lab"), "127.0.0.1", browsertest.InsecureHost, 1)+"&publish")
	b.awaitText("#panel-problem", "--tls-self-signed")
	b.Eventually(`document.querySelector('#panel [data-panel=start]').disabled`)
}

// TestTokenForOneNamePublishes has one name for both roles.
func TestTokenForOneNamePublishes(t *testing.T) {
	t.Parallel()
	r := startRelayWithTokens(t)
	r.query = "?token=" + mint(t, token.Grant{UID: "camera"})
	newPictureAndTone(t, "camera", "lab").join(r)
	b := openPage(t, r.page("lab")+"&publish&token="+mint(t, token.Grant{UID: "ada"}), smallCamera)
	b.start("ada")
	b.awaitLive("camera")
	b.AwaitFrames("camera", 5)
	b.Click(button("stop"))
	b.Eventually(`document.querySelector('#controls').hidden`)
	b.awaitLive("camera")
	b.AwaitFrames("camera", 5)
}
