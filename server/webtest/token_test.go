package webtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/server/token"
	"github.com/gstpeer/gstpeer/signalling"
)

var tokenSecret = []byte("a secret that only the tests know, of enough bytes")

func startRelayWithTokens(t *testing.T) *relay {
	t.Helper()
	return startRelayWith(t, server.Config{Tokens: keys(t, tokenSecret)})
}

func keys(t *testing.T, secret []byte) *token.Keys {
	t.Helper()
	k := new(token.Keys)
	if err := k.AddSecret(secret); err != nil {
		t.Fatal(err)
	}
	return k
}

func mint(t *testing.T, g token.Grant) string {
	t.Helper()
	if g.Expiry.IsZero() {
		g.Expiry = time.Now().Add(time.Hour)
	}
	minted, err := token.Mint(tokenSecret, "", g)
	if err != nil {
		t.Fatal(err)
	}
	return minted
}

// TestToken has the page show a sender by its token, which is not in the address
// any more, also after a reload.
func TestToken(t *testing.T) {
	t.Parallel()
	r := startRelayWithTokens(t)
	r.query = "?token=" + mint(t, token.Grant{})
	newPictureAndTone(t, "camera", "lab").join(r)
	b := openPage(t, r.page("lab")+"&token="+mint(t, token.Grant{Room: "lab", Role: signalling.RoleViewer, UIDPrefix: "gäste-"}))
	for range 2 {
		b.awaitLive("camera")
		b.AwaitFrames("camera", 5)
		if got := browsertest.Evaluate[string](b.Tab, `location.search`); got != "?room=lab" {
			t.Errorf("the address has %q, want the room alone", got)
		}
		b.Reload()
	}
}

// TestViewersToken offers nothing that the relay would refuse.
func TestViewersToken(t *testing.T) {
	t.Parallel()
	r := startRelayWithTokens(t)
	b := openPage(t, r.page("lab")+"&publish&token="+mint(t, token.Grant{Role: signalling.RoleViewer}))
	b.awaitRelay("joined")
	b.Eventually(`document.querySelector('#publish').hidden && !document.querySelector('#panel').open`)
	b.awaitText("#notice-text", "Start one")
}

func TestTokenForOneName(t *testing.T) {
	t.Parallel()
	r := startRelayWithTokens(t)
	b := openPage(t, r.page("lab")+"&token="+mint(t, token.Grant{UID: "guest"}))
	b.awaitRelay("joined")
}

func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	r := startRelayWithTokens(t)
	for _, c := range []struct{ token, says string }{
		{"", "a token is required"},
		{"nonsense", "malformed"},
		{mint(t, token.Grant{Expiry: time.Now().Add(-time.Hour)}), "expired"},
		{mint(t, token.Grant{Room: "attic"}), "room 'lab' is not allowed by the token"},
	} {
		b := openPage(t, r.page("lab")+"&token="+c.token)
		b.awaitRelay("refused")
		b.Eventually(`document.querySelector('#notice-title').textContent === 'This room cannot be joined'`)
		if text := browsertest.Evaluate[string](b.Tab, `document.querySelector('#notice-text').textContent`); !strings.Contains(text, c.says) {
			t.Errorf("the page says %q, want %q", text, c.says)
		}
	}
}

// TestNameIsNotAllowed has the page loaded by a name that the relay does not know.
func TestNameIsNotAllowed(t *testing.T) {
	t.Parallel()
	r := startRelayWith(t, server.Config{AllowedOrigins: []string{"https://app.example"}})
	b := openPage(t, strings.Replace(r.page("lab"), "127.0.0.1", browsertest.InsecureHost, 1))
	b.awaitRelay("refused")
	b.awaitText("#notice-text", "The relay says: pages of this origin may not use the relay.")
}

// TestTokenEnds has the page say why, instead of trying for ever.
func TestTokenEnds(t *testing.T) {
	t.Parallel()
	r := startRelayWithTokens(t)
	b := openPage(t, r.page("lab")+"&token="+mint(t, token.Grant{Expiry: time.Now().Add(4*time.Second - token.Leeway)}))
	b.awaitRelay("refused")
	b.Eventually(`document.querySelector('#notice-text').textContent.includes('the token has expired')`)
}

// TestRefusedInTheMiddle has the relay take the token no more while the page shows a
// sender and publishes: all of that ends, and the page can be told to come back.
func TestRefusedInTheMiddle(t *testing.T) {
	for _, browser := range browsertest.Browsers {
		t.Run(browser.Name, func(t *testing.T) {
			t.Parallel()
			r := startRelayWithTokens(t)
			r.query = "?token=" + mint(t, token.Grant{})
			camera := newPictureAndTone(t, "camera", "lab")
			camera.join(r)
			b := tab{browser.Open(t, r.page("lab")+"&publish&name=ada&token="+mint(t, token.Grant{}), smallCamera)}
			b.start("ada")
			b.awaitLive("camera")

			r.stop()
			r.config.Tokens = keys(t, []byte("another secret, of which the page's token is not"))
			r.start()
			b.awaitRelay("refused")
			b.awaitText("#notice-text", "not signed by a key that is trusted")
			b.Eventually(`document.querySelectorAll('.tile').length === 0 && document.querySelector('#controls').hidden`)
			b.Eventually(`opened.length === 2 && opened.every(({readyState}) => readyState === 'ended')`)

			r.stop()
			r.config.Tokens = keys(t, tokenSecret)
			r.start()
			camera.leave()
			camera.join(r)
			b.Click("#return")
			b.awaitLive("camera")
			b.Eventually(`!document.querySelector('#publish').hidden`)
		})
	}
}

// recordAnnouncements keeps what a screen reader is given to say.
const recordAnnouncements = `
	globalThis.announced = [];
	new MutationObserver((mutations) => {
		const announcer = mutations.map(({target}) => target).find(({id}) => id === 'announcer');
		if (announcer?.textContent) announced.push(announcer.textContent);
	}).observe(document, {subtree: true, childList: true});`

// TestAnnouncements holds that each state of the page itself is announced, and once.
func TestAnnouncements(t *testing.T) {
	t.Parallel()
	r := startRelayWithTokens(t)
	b := openPage(t, r.page("lab")+"&publish&name=ada&token="+mint(t, token.Grant{}), smallCamera, recordAnnouncements)
	b.start("ada")
	var want []string
	announces := func(text string) {
		t.Helper()
		want = append(want, text)
		b.Eventually(fmt.Sprintf(`announced.length >= %d`, len(want)))
		if got := browsertest.Evaluate[[]string](b.Tab, `announced`); !slices.Equal(got, want) {
			t.Fatalf("announced is %q, want %q", got, want)
		}
	}
	b.Click(button("leave"))
	announces("You left room lab. Nothing is sent or received any more.")
	b.Click("#return")
	announces("You are in room lab.")
	r.stop()
	announces("The relay is out of reach. Trying again…")
	b.Eventually(`performance.getEntriesByType('resource').filter(({name}) => name.includes('/api/ice')).length > 4`) // attempts
	r.config.Tokens = keys(t, []byte("another secret, of which the page's token is not"))
	r.start()
	refused := "This room cannot be joined. The relay says: the token is not signed by a key that is trusted here."
	announces(refused)
	b.Click("#return")
	announces(refused)
	r.stop()
	r.config.Tokens = keys(t, tokenSecret)
	r.start()
	b.Click("#return")
	announces("You are in room lab.")
}

// TestRefusedWithTheDialog closes it: there is nothing to publish to.
func TestRefusedWithTheDialog(t *testing.T) {
	t.Parallel()
	r := startRelayWithTokens(t)
	b := openPage(t, r.page("lab")+"&publish&token=nonsense", smallCamera)
	b.awaitRelay("refused")
	b.Eventually(`!document.querySelector('#panel').open && opened.every(({readyState}) => readyState === 'ended')`)
}

// TestRelayIsFull has it refuse WebSockets: the page tells why, and comes in as soon
// as there is a place.
func TestRelayIsFull(t *testing.T) {
	for _, browser := range browsertest.Browsers {
		t.Run(browser.Name, func(t *testing.T) {
			t.Parallel()
			r := startRelayWith(t, server.Config{Limits: server.Limits{MaxConnectionsPerAddress: 20, TimeToHello: time.Hour}})
			last := fill(t, r, 19)
			watcher := openPage(t, r.page("lab"), smallCamera)
			watcher.awaitRelay("joined")
			watcher.Click("#publish")
			watcher.Eventually(`document.querySelector('#panel select[name=camera]').options.length > 1`)
			watcher.Click("#panel [data-panel=start]")
			watcher.awaitText("#panel-problem", "does not let you publish: too many connections from your address.")

			b := tab{browser.Open(t, r.page("lab"))}
			b.awaitText("#summary", "The relay says: too many connections from your address. Trying again…")
			b.awaitText("#notice-title", "does not let you in yet")
			last.Close()
			b.awaitRelay("joined")
		})
	}
}

// TestRoomIsFullAfterwards has others be faster when the relay comes back: what the
// page shows goes on, and it waits for a place.
func TestRoomIsFullAfterwards(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	camera := newPictureAndTone(t, "camera", "lab")
	camera.join(r)
	b := openPage(t, r.page("lab"))
	b.awaitLive("camera")
	ssrc := b.AwaitFrames("camera", 25).SSRC
	r.config.Limits.MaxRooms = 1
	for {
		r.stop()
		b.awaitRelay("lost")
		r.start()
		if joins(t, r, "other") {
			break
		}
	}
	b.awaitText("#summary", "The relay says: too many rooms, join one that exists or try again later. Trying again…")
	if got := b.AwaitFrames("camera", 25).SSRC; got != ssrc {
		t.Errorf("the picture has SSRC %d, want that from before: %d", got, ssrc)
	}
	r.stop()
	r.config.Limits.MaxRooms = 0
	r.start()
	b.awaitRelay("joined")
}

// joins has somebody be in a room until the test ends, and tells whether the relay
// lets it.
func joins(t *testing.T, r *relay, room string) bool {
	t.Helper()
	socket := connect(t, r)
	var answer []byte
	var err error
	for _, command := range []string{"HELLO somebody", "ROOM " + room} {
		if err := socket.WriteMessage(websocket.TextMessage, []byte(command)); err != nil {
			t.Fatal(err)
		}
		if _, answer, err = socket.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	return strings.HasPrefix(string(answer), "ROOM_OK")
}

// fill has the relay serve that many until the test ends, or until the last one,
// which it gives, is closed.
func fill(t *testing.T, r *relay, connections int) (last *websocket.Conn) {
	t.Helper()
	for range connections {
		last = connect(t, r)
	}
	return last
}

// connect opens a WebSocket until the test ends.
func connect(t *testing.T, r *relay) *websocket.Conn {
	t.Helper()
	socket, response, err := websocket.DefaultDialer.Dial(r.webSocket(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	t.Cleanup(func() { socket.Close() })
	return socket
}

// TestICEServers has the page give the relay's servers to its connections.
func TestICEServers(t *testing.T) {
	t.Parallel()
	r := startRelayWith(t, server.Config{ICE: server.ICE{
		STUN: []string{"stun:127.0.0.1:9"},
		TURN: []string{"turn:127.0.0.1:9"}, TURNSecret: "shared", // nobody answers there, nor need to
	}})
	newPictureAndTone(t, "camera", "lab").join(r)
	b := openPage(t, r.page("lab"), `
		globalThis.configurations = [];
		globalThis.RTCPeerConnection = class extends RTCPeerConnection {
			constructor(configuration) {
				super(configuration);
				configurations.push(this.getConfiguration());
			}
		};`)
	b.awaitLive("camera")
	b.Eventually(`(() => {
		const [stun, turn] = configurations[0].iceServers;
		return stun.urls[0] === 'stun:127.0.0.1:9' && turn.urls[0] === 'turn:127.0.0.1:9' &&
			/^\d+:viewer-[0-9a-f]{16}$/.test(turn.username) && turn.credential.length === 28;
	})()`)
}

// TestWithoutICEServers has a relay that says nothing about them, or nothing at all.
func TestWithoutICEServers(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	newPictureAndTone(t, "camera", "lab").join(r)
	for name, answer := range map[string]string{
		"missing": `Promise.resolve(new Response('not found', {status: 404}))`,
		"foreign": `Promise.resolve(new Response('<html>'))`,
		"failing": `Promise.reject(new TypeError('no network'))`,
		"hanging": `new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))`,
	} {
		b := openPage(t, r.page("lab"), `globalThis.fetch = (url, {signal}) => `+answer)
		b.awaitLive("camera")
		b.AwaitFrames("camera", 1)
		t.Log(name)
	}
}
