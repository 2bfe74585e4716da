package webtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/gorilla/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/mediatest"
	"github.com/gstpeer/gstpeer/server/token"
)

// recordStates keeps the states that tiles were in, however shortly.
const recordStates = `
	globalThis.states = [];
	new MutationObserver((mutations) => {
		for (const {target} of mutations) states.push(target.dataset.state);
	}).observe(document, {subtree: true, attributeFilter: ['data-state']});`

func newPictureAndTone(t *testing.T, uid, room string) *sender {
	t.Helper()
	return newSender(t, uid, room, mediatest.PlayPicture(t), mediatest.PlayTone(t))
}

func TestSenderIsThereFirst(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := newPictureAndTone(t, "camera", "lab")
	camera.join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("camera")
	b.AwaitFrames("camera", 25)
	if camera.offered() {
		t.Error("the sender offered, want the newcomer to: the page")
	}
	b.Eventually(`document.querySelector('.tile video').videoWidth === 320`)
}

func TestViewerIsThereFirst(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPage(t, r.page("lab"))
	b.awaitRelay("joined")
	camera := newPictureAndTone(t, "camera", "lab")
	camera.join(r)
	b.awaitLive("camera")
	b.AwaitFrames("camera", 25)
	if !camera.offered() {
		t.Error("the page offered, want the newcomer to: the sender")
	}
}

func TestSoundComesOnWithAClick(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := newPictureAndTone(t, "camera", "lab")
	camera.join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("camera")
	b.Eventually(`!document.querySelector('#sound').hidden`)
	b.Eventually(`document.querySelector('.tile video').muted && !document.querySelector('.tile video').paused`)

	b.Click("#sound")
	b.Eventually(`document.querySelector('#sound').hidden`)
	b.Eventually(`!document.querySelector('.tile video').muted && !document.querySelector('.tile video').paused`)
	energy := b.Inbound("camera", "audio").TotalAudioEnergy
	b.Eventually(fmt.Sprintf(`gstpeer.peers()[0].stats().then((stats) =>
		stats.some(({kind, totalAudioEnergy}) => kind === 'audio' && totalAudioEnergy > %g))`, energy))

	b.Click(tile("camera") + " [data-action=sound]")
	b.Eventually(`document.querySelector('.tile video').muted`)
	b.Eventually(`document.querySelector('.tile').dataset.sound === 'off'`)
}

func TestSilentSenderHasNoSoundButton(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	newSender(t, "camera", "lab", mediatest.PlayPicture(t)).join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("camera")
	b.AwaitFrames("camera", 1)
	b.Eventually(`document.querySelector('#sound').hidden`)
	b.Eventually(`document.querySelector('.tile [data-action=sound]').hidden`)
}

func TestSoundOnlySender(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	newSender(t, "radio", "lab", mediatest.PlayTone(t)).join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("radio")
	b.Eventually(`document.querySelector('.explanation').textContent === 'Sound only'`)
}

func TestOneOfTwoSendersLeavesAndReturns(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	left := newPictureAndTone(t, "left", "lab")
	right := newPictureAndTone(t, "right", "lab")
	left.join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("left")
	right.join(r)
	b.awaitLive("right")
	b.Eventually(`document.querySelectorAll('.tile').length === 2`)

	ssrc := b.AwaitFrames("right", 1).SSRC
	left.close()
	b.awaitState("left", "ended", "ended")
	if got := b.AwaitFrames("right", 25).SSRC; got != ssrc {
		t.Errorf("the sender that stayed was negotiated anew: SSRC %d, want %d", got, ssrc)
	}

	again := newPictureAndTone(t, "left", "lab")
	again.join(r)
	b.awaitLive("left")
	b.AwaitFrames("left", 25)
	if n := browsertest.Evaluate[int](b.Tab, `document.querySelectorAll('.tile').length`); n != 2 {
		t.Errorf("%d tiles, want the returned sender in its old one: 2", n)
	}
}

func TestNoCommonCodec(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	mute := newPictureAndTone(t, "mute", "lab")
	mute.rewrite = func(sdp string) string { return strings.ReplaceAll(sdp, "a=sendonly", "a=inactive") }
	mute.join(r)
	b := openPage(t, r.page("lab"))
	b.awaitState("mute", "no-codec", "no common codec")
	text := browsertest.Evaluate[string](b.Tab, `document.querySelector('.explanation').textContent`)
	if !strings.Contains(text, "VP8") || !strings.Contains(text, "Opus") {
		t.Errorf("the tile says %q, want the codecs that were offered", text)
	}
}

func TestSenderOffersOnlyAForeignCodec(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPage(t, r.page("lab"))
	b.awaitRelay("joined")
	alien := newSender(t, "alien", "lab", mediatest.NewTrack(t, "video/ALIEN"))
	alien.setAPI(foreignCodecAPI(t))
	alien.join(r)
	b.awaitState("alien", "no-codec", "no common codec")
	b.Eventually(`document.querySelector('.explanation').textContent.includes('ALIEN')`)
}

func TestRelayRestarts(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := newPictureAndTone(t, "camera", "lab")
	camera.join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("camera")
	ssrc := b.AwaitFrames("camera", 1).SSRC

	r.stop()
	b.awaitRelay("lost")
	b.awaitState("camera", "live", "live")
	b.AwaitFrames("camera", 25)

	r.start()
	b.awaitRelay("joined")
	b.AwaitFrames("camera", 25)
	camera.leave()
	camera.join(r)
	if got := b.AwaitFrames("camera", 50).SSRC; got != ssrc {
		t.Errorf("media that ran on was negotiated anew: SSRC %d, want %d", got, ssrc)
	}
	b.awaitState("camera", "live", "live")
}

func TestSenderOffersAnewWhileLive(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := newPictureAndTone(t, "camera", "lab")
	camera.join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("camera")
	ssrc := b.AwaitFrames("camera", 1).SSRC

	viewer := camera.viewer()
	if err := camera.tryOffer(viewer); err != nil {
		t.Fatal(err)
	}
	b.Eventually(fmt.Sprintf(`gstpeer.peers()[0].stats().then((stats) =>
		stats.some(({kind, ssrc}) => kind === 'video' && ssrc !== %d))`, ssrc))
	b.awaitLive("camera")
	b.AwaitFrames("camera", 25)
}

func TestConnectionDies(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := newPictureAndTone(t, "camera", "lab")
	camera.join(r)
	b := openPage(t, r.page("lab"), recordStates)
	b.awaitLive("camera")
	ssrc := b.AwaitFrames("camera", 1).SSRC

	camera.hangUp()
	b.Eventually(`states.includes('reconnecting')`)
	b.awaitLive("camera")
	if got := b.AwaitFrames("camera", 25).SSRC; got == ssrc {
		t.Errorf("still SSRC %d, want that of a new connection", got)
	}
}

// TestFiguresOfClosedConnection: who asks for figures gets an answer, if perhaps an
// empty one, although the connection is closed meanwhile.
func TestFiguresOfClosedConnection(t *testing.T) {
	for _, browser := range browsertest.Browsers {
		t.Run(browser.Name, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t)
			newPictureAndTone(t, "camera", "lab").join(r)
			b := tab{browser.Open(t, r.page("lab"))}
			b.awaitLive("camera")
			browsertest.Evaluate[int](b.Tab, `(async () => {
				const figures = gstpeer.peers()[0].stats();
				dispatchEvent(new Event('pagehide'));
				return (await figures).length;
			})()`)
		})
	}
}

// TestSenderVanishes takes the sender's network away, so that nothing tells the
// page but silence.
func TestSenderVanishes(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := newPictureAndTone(t, "camera", "lab")
	vanish := camera.useOneSocket()
	camera.join(r)
	b := openPage(t, r.page("lab"), recordStates)
	b.awaitLive("camera")
	ssrc := b.AwaitFrames("camera", 1).SSRC

	vanish()
	b.Eventually(`states.includes('reconnecting')`)
	b.awaitLive("camera")
	if got := b.AwaitFrames("camera", 25).SSRC; got == ssrc {
		t.Errorf("still SSRC %d, want that of a new connection", got)
	}
}

func TestOfferWithoutAnswerIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := newPictureAndTone(t, "camera", "lab")
	camera.ignored = 1
	camera.join(r)
	b := openPage(t, r.page("lab"))
	b.awaitState("camera", "connecting", "connecting")
	b.awaitLive("camera")
	b.AwaitFrames("camera", 25)
}

func TestEmptyRoom(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPage(t, "http://"+r.address+"/")
	b.awaitRelay("joined")
	b.Eventually(`document.querySelector('#notice-title').textContent === 'Waiting for a sender in room demo'`)
	command := browsertest.Evaluate[string](b.Tab, `document.querySelector('#notice-command').textContent`)
	if want := "gstpeer --server ws://" + r.address + " --room demo"; command != want {
		t.Errorf("the notice's command is %q, want %q", command, want)
	}
	newSender(t, "camera", "demo", mediatest.PlayPicture(t)).join(r)
	b.awaitLive("camera")
	b.Eventually(`document.querySelector('#notice').hidden`)
}

// TestCommandBehindProxy has the page in a folder of a proxy with a certificate, where
// the command leads to the relay all the same.
func TestCommandBehindProxy(t *testing.T) {
	t.Parallel()
	r := startRelayWithTokens(t)
	through := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.address})
	for _, c := range []struct {
		name  string
		start func(http.Handler) *httptest.Server
		needs string
	}{
		{"plain", httptest.NewServer, "with a token for senders in GSTPEER_TOKEN:"},
		{"TLS", httptest.NewTLSServer, "with a token for senders in GSTPEER_TOKEN, and the certificate’s authority in GSTPEER_CA_FILE if it is a private one:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy := c.start(http.StripPrefix("/my lab", through))
			t.Cleanup(proxy.Close)
			token := mint(t, token.Grant{})
			b := openPage(t, "about:blank")
			b.Run(trustAnybody)
			b.Run(chromedp.Navigate(proxy.URL + "/my%20lab/?room=-my'lab&token=" + token))
			b.awaitText("#notice-text", c.needs)
			server := strings.Replace(proxy.URL, "http", "ws", 1) + "/my%20lab/"
			command := browsertest.Evaluate[string](b.Tab, `document.querySelector('#notice-command').textContent`)
			if want := "gstpeer --server " + server + ` --room='-my'\''lab'`; command != want {
				t.Errorf("the notice's command is %s, want %s", command, want)
			}
			dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			socket, response, err := dialer.Dial(server, http.Header{"Authorization": {"Bearer " + token}})
			if err != nil {
				t.Fatalf("the command's relay: %v", err)
			}
			response.Body.Close()
			socket.Close()
		})
	}
}

// trustAnybody takes any certificate.
func trustAnybody(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
	_, err := chromedp.Call(ctx, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
	return chromedp.Void{}, err
}

func TestRoomsThatTheRelayRefuses(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	for _, room := range []string{"session", "two words", strings.Repeat("x", 1025)} {
		b := openPage(t, r.page(room))
		b.awaitRelay("refused")
		b.Eventually(`document.querySelector('#notice-title').textContent === 'This room cannot be joined'`)
		b.Eventually(`document.querySelector('#notice-text').textContent.includes('invalid room id')`)
	}
}

func TestBrowserWithoutWebRTC(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPage(t, r.page("lab"), `delete globalThis.RTCPeerConnection`)
	b.Eventually(`document.querySelector('#notice-title').textContent === 'This browser has no WebRTC'`)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	newPictureAndTone(t, "camera", "lab").join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("camera")

	b.tabTo(t, tile("camera"))
	b.Run(chromedp.KeyEvent("i"))
	b.Eventually(`document.querySelector('[data-figure=resolution]').textContent === '320 × 180'`)
	b.Eventually(`/\d per second/.test(document.querySelector('[data-figure=frames]').textContent)`)
	b.Eventually(`/\d kbit/.test(document.querySelector('[data-figure=bitrate]').textContent)`)
	b.Eventually(`/^(VP8 · Opus|Opus · VP8)$/.test(document.querySelector('[data-figure=codec]').textContent)`)
	b.Run(chromedp.KeyEvent("i"))
	b.Eventually(`document.querySelector('.figures').hidden`)

	b.Run(chromedp.KeyEvent("f"))
	b.Eventually(`document.fullscreenElement === document.querySelector('.tile')`)
	b.Run(chromedp.KeyEvent("f"))
	b.Eventually(`document.fullscreenElement === null`)

	b.Run(chromedp.DoubleClick(chromedp.CSS(".tile video")))
	b.Eventually(`document.fullscreenElement === document.querySelector('.tile')`)
}

// tabTo has the keyboard bring the focus to an element.
func (b tab) tabTo(t *testing.T, selector string) {
	t.Helper()
	for range 20 {
		if browsertest.Evaluate[bool](b.Tab, fmt.Sprintf(`document.querySelector(%q) === document.activeElement`, selector)) {
			return
		}
		b.Run(chromedp.KeyEvent(kb.Tab))
	}
	t.Fatalf("the keyboard does not get to %s", selector)
}

// TestKeysAreForTheTileOnly has the letters do nothing elsewhere, where they may be
// typed, or said, to something else.
func TestKeysAreForTheTileOnly(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	newPictureAndTone(t, "camera", "lab").join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("camera")
	hidden := `document.querySelector('.figures').hidden`

	away := func() {
		t.Helper()
		b.Run(chromedp.KeyEvent("i"))
		if !browsertest.Evaluate[bool](b.Tab, hidden) {
			t.Error("a key acts with neither focus nor pointer at the tile")
		}
	}
	b.Run(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 2, 2))
	away()
	b.Run(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 640, 300))
	b.Eventually(`document.querySelector('.tile').matches(':hover')`)
	b.tabTo(t, "#publish")
	away()
	browsertest.Evaluate[any](b.Tab, `document.activeElement.blur()`)
	b.Run(chromedp.KeyEvent("i"))
	b.Eventually("!" + hidden)
}

// TestPageObeysItsPolicy holds that nothing in the page needs what the relay's
// Content-Security-Policy forbids, and that nothing throws.
func TestPageObeysItsPolicy(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	newPictureAndTone(t, "camera", "lab").join(r)
	b := openPage(t, r.page("lab"), `
		globalThis.wrongs = [];
		addEventListener('securitypolicyviolation', (event) => wrongs.push(event.violatedDirective));
		addEventListener('error', (event) => wrongs.push(event.message));
		addEventListener('unhandledrejection', (event) => wrongs.push(String(event.reason)));`)
	b.awaitLive("camera")
	b.tabTo(t, tile("camera"))
	b.Run(chromedp.KeyEvent("i"))
	b.Eventually(`/\d kbit/.test(document.querySelector('[data-figure=bitrate]').textContent)`)
	if wrongs := browsertest.Evaluate[[]string](b.Tab, `wrongs`); len(wrongs) > 0 {
		t.Errorf("the page did wrong: %v", wrongs)
	}
}

// TestFilesThatDoNotArrive has the page come to itself after the browser could
// not load all of it, and leaves it alone when it is somebody else's script.
func TestFilesThatDoNotArrive(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	newPictureAndTone(t, "camera", "lab").join(r)
	for _, browser := range browsertest.Browsers {
		for _, file := range []string{"/main.js", "/room.js"} {
			t.Run(browser.Name+file, func(t *testing.T) {
				b := tab{browser.Open(t, losing(t, r, file)+"/?room=lab")}
				b.awaitLive("camera")
				how := `performance.getEntriesByType('navigation')[0].type`
				if got := browsertest.Evaluate[string](b.Tab, how); got != "reload" {
					t.Fatalf("the page came by %q, want a reload: nothing is tested", got)
				}
				since := browsertest.Evaluate[float64](b.Tab, `performance.timeOrigin`)
				b.Eventually(`new Promise((failed) => {
					const script = Object.assign(document.createElement('script'), {src: 'missing.js'});
					script.onerror = () => setTimeout(failed, 1500, true);
					document.head.append(script);
				})`)
				if now := browsertest.Evaluate[float64](b.Tab, `performance.timeOrigin`); now != since {
					t.Error("the page was loaded again for a script that is not its own")
				}
			})
		}
	}
}

// TestStyleThatDoesNotArrive has the page get it later, and lose nothing else by that.
func TestStyleThatDoesNotArrive(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	newPictureAndTone(t, "camera", "lab").join(r)
	for _, browser := range browsertest.Browsers {
		t.Run(browser.Name, func(t *testing.T) {
			var losses atomic.Int32 // as the page sees them: the browser asks several times
			address := losingIf(t, r, func(path string) bool {
				if path == "/lost" {
					losses.Add(1)
				}
				return path == "/style.css" && losses.Load() < 2
			})
			b := tab{browser.Open(t, address+"/?room=lab", `
				addEventListener('error', ({target}) => target.rel === 'stylesheet' && fetch('lost'), true);`)}
			b.awaitLive("camera")
			b.Eventually(`getComputedStyle(document.querySelector('.tile')).position === 'relative'`)
			again := `performance.getEntriesByType('navigation')[0].type === 'reload' && !history.state?.failures`
			if browsertest.Evaluate[bool](b.Tab, again) {
				t.Error("the page was loaded again, and not for a module")
			}
			b.Eventually(`document.querySelectorAll('link[rel=stylesheet]').length === 1`)
		})
	}
}

// losing is a relay behind which a file fails for those who load the page the
// first time, however often they ask for it.
func losing(t *testing.T, r *relay, file string) (address string) {
	var loads atomic.Int32
	return losingIf(t, r, func(path string) bool {
		if path == "/" {
			loads.Add(1)
		}
		return path == file && loads.Load() == 1
	})
}

// losingIf is a relay behind which requests fail.
func losingIf(t *testing.T, r *relay, fails func(path string) bool) (address string) {
	through := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.address})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if fails(request.URL.Path) {
			panic(http.ErrAbortHandler) // closes the connection
		}
		through.ServeHTTP(w, request)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// foreignCodecAPI speaks one video codec that no browser has.
func foreignCodecAPI(t *testing.T) *webrtc.API {
	t.Helper()
	var engine webrtc.MediaEngine
	codec := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/ALIEN", ClockRate: 90000},
		PayloadType:        99,
	}
	if err := engine.RegisterCodec(codec, webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(&engine))
}
