package webtest

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/server/web"
)

// The parts of the page that need no browser around them, in tables of
// expressions: each is evaluated with the module's exports at hand.

func TestPureModules(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPage(t, r.page("lab"))
	for _, test := range []struct{ module, expression, want string }{
		{"protocol", `m.parse('HELLO')`, `{"type":"hello"}`},
		{"protocol", `m.parse('ERROR invalid peer uid')`, `{"type":"error","reason":"invalid peer uid"}`},
		{"protocol", `m.parse('ROOM_OK ')`, `{"type":"room","members":[]}`},
		{"protocol", `m.parse('ROOM_OK a b')`, `{"type":"room","members":["a","b"]}`},
		{"protocol", `m.parse('ROOM_PEER_LIST a')`, `{"type":"list","members":["a"]}`},
		{"protocol", `m.parse('ROOM_PEER_JOINED a')`, `{"type":"joined","uid":"a"}`},
		{"protocol", `m.parse('ROOM_PEER_LEFT a')`, `{"type":"left","uid":"a"}`},
		{"protocol", `m.parse('ROOM_PEER_MSG a  b\n c')`, `{"type":"message","uid":"a","message":" b\n c"}`},
		{"protocol", `m.parse('ROOM_PEER_MSGX a')`, `{"type":"unknown","text":"ROOM_PEER_MSGX a"}`},
		{"protocol", `m.parseNegotiation('{"sdp":{"type":"offer","sdp":"v=0","more":1}}')`, `{"sdp":{"type":"offer","sdp":"v=0"}}`},
		{"protocol", `m.parseNegotiation('{"sdp":{"type":"rollback","sdp":""}}')`, `null`},
		{"protocol", `m.parseNegotiation('{"ice":{"candidate":"c","sdpMLineIndex":1}}')`,
			`{"ice":{"candidate":"c","sdpMid":null,"sdpMLineIndex":1}}`},
		{"protocol", `m.parseNegotiation('{"ice":{"candidate":"","sdpMid":"0"}}')`,
			`{"ice":{"candidate":"","sdpMid":"0","sdpMLineIndex":null}}`},
		{"protocol", `m.parseNegotiation('{"ice":{"candidate":"c"}}')`,
			`{"ice":{"candidate":"c","sdpMid":null,"sdpMLineIndex":0}}`},
		{"protocol", `m.parseNegotiation('null')`, `null`},
		{"protocol", `m.parseNegotiation('{')`, `null`},
		{"protocol", `m.toMember('a', {ice: {candidate: ''}})`, `"ROOM_PEER_MSG a {\"ice\":{\"candidate\":\"\"}}"`},

		{"sdp", `m.sameConnection('o=- 1 1 IN\r\na=ice-ufrag:x\r\n', 'o=- 1 2 IN\r\na=ice-ufrag:y\r\n')`, `true`},
		{"sdp", `m.sameConnection('o=- 1 1 IN\r\na=ice-ufrag:x\r\n', 'o=- 2 1 IN\r\na=ice-ufrag:x\r\n')`, `true`},
		{"sdp", `m.sameConnection('o=- 1 1 IN\r\na=ice-ufrag:x\r\n', 'o=- 2 1 IN\r\na=ice-ufrag:y\r\n')`, `false`},
		{"sdp", `m.codecs('m=audio 9 X 1 2\r\na=rtpmap:1 opus/48000/2\r\na=rtpmap:2 CN/8000\r\n' +
			'm=video 9 X 3 4 5\r\na=rtpmap:3 VP8/90000\r\na=rtpmap:4 rtx/90000\r\na=rtpmap:5 H264/90000\r\n')`,
			`{"audio":["Opus"],"video":["VP8","H264"]}`},
		{"sdp", `m.sendsMedia('v=0\r\nm=audio 9 X 1\r\na=recvonly\r\nm=video 9 X 2\r\na=sendonly\r\n')`, `true`},
		{"sdp", `m.sendsMedia('v=0\r\nm=audio 9 X 1\r\na=recvonly\r\nm=video 0 X 2\r\na=sendonly\r\n')`, `false`},
		{"sdp", `m.sendsMedia('v=0\r\nm=audio 9 X 1\r\na=recvonly\r\nm=video 0 X 2\r\na=bundle-only\r\na=sendonly\r\n')`, `true`},
		{"sdp", `m.sendsMedia('v=0\r\nm=audio 9 X 1\r\na=inactive\r\nm=application 9 X 2\r\n')`, `null`},
		{"sdp", `m.sendsMedia('v=0\r\na=recvonly\r\nm=audio 9 X 1\r\nm=video 9 X 2\r\n')`, `false`},
		{"sdp", `m.codecs('')`, `{"audio":[],"video":[]}`},

		{"backoff", `(() => { const b = new m.Backoff({random: () => 1, now: () => 0});
			return Array.from({length: 8}, () => b.next()); })()`, `[500,1000,2000,4000,8000,16000,30000,30000]`},
		{"backoff", `new m.Backoff({random: () => 0}).next()`, `0`},
		{"backoff", `(() => { let now = 0; const b = new m.Backoff({random: () => 1, now: () => now});
			b.next(); b.succeeded(); now = 9999; const soon = b.next();
			b.succeeded(); now += 10000; return [soon, b.next()]; })()`, `[1000,500]`},

		{"layout", `m.layout(0, 1280, 720, 8)`, `{"width":1280,"height":720,"scrolls":false}`},
		{"layout", `m.layout(1, 360, 640, 8)`, `{"width":360,"height":640,"scrolls":false}`},
		{"layout", `m.layout(2, 400, 700, 8)`, `{"width":400,"height":225,"scrolls":false}`},
		{"layout", `m.layout(4, 1280, 720, 8)`, `{"width":632,"height":355,"scrolls":false}`},
		{"layout", `m.layout(5, 1280, 740, 8)`, `{"width":429,"height":241,"scrolls":false}`},
		{"layout", `m.layout(6, 360, 640, 8)`, `{"width":360,"height":202,"scrolls":true}`},
		{"layout", `m.layout(100, 1280, 720, 8)`, `{"width":314,"height":176,"scrolls":true}`},

		{"stats", `m.words(m.figures([]))`, `{"resolution":"–","frames":"–","bitrate":"–","codec":"–"}`},
		{"stats", `(() => {
			const at = (timestamp, bytesReceived, framesDecoded) => [
				{type: 'inbound-rtp', kind: 'video', timestamp, bytesReceived, framesDecoded, frameWidth: 1280, frameHeight: 720, codecId: 'c'},
				{type: 'codec', id: 'c', mimeType: 'video/VP8'}];
			return m.words(m.figures(at(3000, 425000, 60), m.figures(at(1000, 0, 0)))); })()`,
			`{"resolution":"1280 × 720","frames":"30 per second","bitrate":"1.7 Mbit/s","codec":"VP8"}`},
	} {
		got := browsertest.Evaluate[string](b.Tab, fmt.Sprintf(
			`import('/%s.js').then((m) => JSON.stringify(%s))`, test.module, test.expression))
		if got != test.want {
			t.Errorf("%s: %s\n got %s\nwant %s", test.module, test.expression, got, test.want)
		}
	}
}

// TestICEServersAreAskedForAgain has the relay answer, or not, and says after how many
// milliseconds the page asks again.
func TestICEServersAreAskedForAgain(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	b := openPage(t, "http://"+r.address+"/health") // where nothing else sets a timer
	for _, test := range []struct{ answer, want string }{
		{`new Response('{"ttl": 3600}')`, `[1800000]`},
		{`new Response('{"ttl": 5184000}')`, `[2147483647]`}, // what a timer can wait
		{`new Response('{"iceServers": []}')`, `[]`},
		{`Promise.reject(new TypeError('no network'))`, `[30000]`},
		{`({ok: true, json: () => Promise.reject(new TypeError('cut off'))})`, `[30000]`},
		{`new Response('relay shuts down', {status: 503})`, `[30000]`},
		{`new Response('the token has expired', {status: 401})`, `[]`},
		{`new Response('<html>')`, `[]`},
		{`new Response('{"error": "not found"}', {status: 404})`, `[]`},
	} {
		got := browsertest.Evaluate[string](b.Tab, fmt.Sprintf(`import('/ice.js').then(async ({Ice}) => {
			const delays = [];
			globalThis.fetch = async () => %s;
			globalThis.setTimeout = (_, delay) => delays.push(delay);
			await new Ice(location.origin + '/api/ice').refresh('peer').catch(() => {});
			return JSON.stringify(delays);
		})`, test.answer))
		if got != test.want {
			t.Errorf("%s: the page asks again after %s, want %s", test.answer, got, test.want)
		}
	}
}

// TestModulesArePreloaded keeps the list in index.html complete: a module that
// is missing there costs a round trip for each import on the way to it.
func TestModulesArePreloaded(t *testing.T) {
	t.Parallel()
	index, err := fs.ReadFile(web.Files, "index.html")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := fs.Glob(web.Files, "*.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range modules {
		if module != "main.js" && !strings.Contains(string(index), `<link rel="modulepreload" href="`+module+`">`) {
			t.Errorf("index.html does not preload %s", module)
		}
	}
}
