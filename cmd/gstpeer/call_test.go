package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/mediatest"
	"github.com/gstpeer/gstpeer/pipeline"
	"github.com/gstpeer/gstpeer/signalling"
)

// wantRecorded looks into what a program has recorded: one file with picture and
// sound that end together.
func wantRecorded(t *testing.T, directory, pattern string, frames int) {
	t.Helper()
	picture, sound := wantRecordedFrames(t, directory, pattern, frames)
	if apart := (picture.End - sound.End).Abs(); apart > 50*time.Millisecond+picture.LastPause()+sound.LastPause() {
		t.Errorf("%s: picture and sound end %v apart", pattern, apart)
	}
}

// wantRecordedFrames is the same for a sender whose frames come as they may.
func wantRecordedFrames(t *testing.T, directory, pattern string, frames int) (picture, sound mediatest.Stream) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, pattern))
	if err != nil || len(files) != 1 {
		all, _ := filepath.Glob(filepath.Join(directory, "*"))
		t.Fatalf("%d files match %s, want one; there are %q", len(files), pattern, all)
	}
	picture = mediatest.Pass(t, files[0], "video_0", "decodebin")
	sound = mediatest.Pass(t, files[0], "audio_0", "decodebin")
	t.Logf("%s: picture %v, sound %v", filepath.Base(files[0]), picture, sound)
	if picture.Buffers < frames || sound.Buffers < frames {
		t.Errorf("%s: picture %v, sound %v; want at least %d of each", files[0], picture, sound, frames)
	}
	return picture, sound
}

// TestCallBetweenPrograms has one gstpeer call another, in both ways to negotiate.
func TestCallBetweenPrograms(t *testing.T) {
	for _, extra := range [][]string{nil, {"--remote-offers"}} {
		t.Run(strings.Join(extra, " "), func(t *testing.T) {
			t.Parallel()
			relay, recorded := "ws://"+startRelay(t), t.TempDir()
			callee := startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--answer", "--once", "--name", "callee", "--record", recorded}, small)...)
			callee.awaitOutput("Waiting for calls")
			call := startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--call", "callee", "--name", "us", "--record", recorded}, small, extra)...)
			call.awaitOutput("Calling")
			await(t, "both recordings", func() bool {
				files, _ := filepath.Glob(filepath.Join(recorded, "*.mkv"))
				return len(files) == 2
			})
			time.Sleep(3 * time.Second) // of the call
			call.signal(syscall.SIGTERM)
			if code := call.ExitCode(stopsWithin); code != 0 {
				t.Errorf("the caller ends with exit code %d, want 0", code)
			}
			if code := callee.ExitCode(patience); code != 0 {
				t.Errorf("the callee ends with exit code %d, want 0", code)
			}
			if said := callee.stderr.String(); !strings.Contains(said, "call ended") {
				t.Error("the callee does not say that the call ended")
			}
			wantRecorded(t, recorded, "call-callee-*.mkv", 30)
			wantRecorded(t, recorded, "call-caller-*.mkv", 30)
		})
	}
}

// TestAnswerMany takes call after call, with a caller that is refused meanwhile.
func TestAnswerMany(t *testing.T) {
	t.Parallel()
	relay := "ws://" + startRelay(t)
	callee := startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--answer", "--name", "callee"}, small)...)
	callee.awaitOutput("Waiting for calls")
	for i := range 3 {
		call := startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--call", "callee", "--name", fmt.Sprint("caller", i)}, small)...)
		await(t, "connection", func() bool { return strings.Contains(call.stderr.String(), "peer connected") })
		refused := startGstpeer(t, nil, "--server", relay, "--call", "callee", "--name", "second", "--receive-only")
		if code := refused.ExitCode(patience); code != 1 || !strings.Contains(refused.stderr.String(), "busy") {
			t.Errorf("the second caller: exit code %d, want 1 and that the callee is busy", code)
		}
		call.signal(syscall.SIGTERM)
		if code := call.ExitCode(stopsWithin); code != 0 {
			t.Errorf("call %d: exit code %d", i, code)
		}
		await(t, "end of the call", func() bool { return strings.Count(callee.stderr.String(), "call ended") == i+1 })
	}
}

// offerNothing is an offer of an RTCPeerConnection with which we share no codec.
const offerNothing = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na=recvonly\r\na=rtpmap:96 AV1/90000\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\na=fingerprint:sha-256 "

func nobodysCodec() string { return offerNothing + strings.Repeat("00:", 31) + "00\r\n" }

// TestAnswerAfterFailure: a caller with whom no media comes about is told so, and
// the one after it is answered.
func TestAnswerAfterFailure(t *testing.T) {
	t.Parallel()
	relay := "ws://" + startRelay(t)
	callee := startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--answer", "--name", "gst"}, small)...)
	callee.awaitOutput("Waiting for calls")
	stranger := callNobodysCodec(t, relay)
	if cause := awaitCallEnd(t, stranger); !errors.Is(cause, signalling.ErrPeerLeft) {
		t.Errorf("the call ended: %v, want that the callee hung up", cause)
	}
	ended := regexp.MustCompile(`msg="call ended" peer=caller reason=.*no common codec`)
	await(t, "word why the call ended", func() bool { return ended.MatchString(callee.stderr.String()) }) // it is at the relay again
	phone := newPhone(t, relay, "pion")
	phone.dial("gst", false)
	phone.awaitTrack(other, webrtc.RTPCodecTypeVideo).awaitFrames(t, enoughFrames)
	if !strings.Contains(callee.stderr.String(), `msg="peer connected" peer=caller-2`) {
		t.Error("the second caller has not a name of its own")
	}
	callee.signal(syscall.SIGTERM)
	if code := callee.ExitCode(stopsWithin); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestEndOfAnotherCall: what ended the media of a call before this one does not
// end this one.
func TestEndOfAnotherCall(t *testing.T) {
	t.Parallel()
	c := &calls{}
	before := c.nextCaller()
	c.remote, c.on = c.nextCaller(), true
	if over, err := c.mediaEnded(t.Context(), mediaEnd{before, pipeline.ErrNoCommonCodec}); over || err != nil || c.failed != nil {
		t.Errorf("over %t, error %v, failed %v; want that the call goes on", over, err, c.failed)
	}
}

// callNobodysCodec calls the peer gst with offerNothing.
func callNobodysCodec(t *testing.T, relay string) *signalling.Client {
	t.Helper()
	client, err := signalling.Dial(t.Context(), signalling.ClientConfig{URL: relay, UID: "stranger"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.Call(t.Context(), "gst"); err != nil {
		t.Fatal(err)
	}
	offer := signalling.Description{Type: signalling.Offer, SDP: nobodysCodec()}
	if err := client.Send(t.Context(), signalling.Negotiation{Description: &offer}.String()); err != nil {
		t.Fatal(err)
	}
	return client
}

// awaitCallEnd waits for the end of a call, and gives its cause.
func awaitCallEnd(t *testing.T, client *signalling.Client) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		event, err := client.Recv(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if ended, ok := event.(signalling.CallEnded); ok {
			return ended.Cause
		}
	}
}

func TestCallNobody(t *testing.T) {
	t.Parallel()
	p := startGstpeer(t, nil, "--server", "ws://"+startRelay(t), "--call", "nobody", "--name", "us", "--receive-only")
	if code := p.ExitCode(patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if said := p.stderr.String(); !strings.Contains(said, "nobody") || !strings.Contains(said, "start that peer first") {
		t.Errorf("says %q", said)
	}
}

// demoPeer is a page's script that does what the clients of GStreamer's examples
// do: it registers, calls or is called, and sends and receives. A page that has
// been given a microphone may play sound without a click.
const demoPeer = `(async (relay, uid, callee, ask) => {
	const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 320, height: 180}});
	const socket = new WebSocket(relay);
	const peer = new RTCPeerConnection();
	globalThis.demo = {peer, texts: [], state: 'new'};
	media.getTracks().forEach((track) => peer.addTrack(track, media));
	peer.ontrack = ({streams}) => {
		const video = document.body.appendChild(document.createElement('video'));
		video.srcObject = streams[0];
		video.play();
	};
	peer.ondatachannel = ({channel}) => {
		demo.channel = channel;
		channel.onmessage = ({data}) => demo.texts.push(data);
	};
	const tell = (message) => socket.send(JSON.stringify(message));
	peer.onicecandidate = ({candidate}) => candidate && tell({ice: candidate});
	const offer = async () => {
		peer.createDataChannel('demo');
		await peer.setLocalDescription();
		tell({sdp: peer.localDescription});
	};
	const handle = async (text) => {
		if (text === 'HELLO') { demo.state = 'registered'; if (callee) socket.send('SESSION ' + callee); return; }
		if (text === 'SESSION_OK') { if (ask) socket.send('OFFER_REQUEST'); else await offer(); return; }
		if (text === 'OFFER_REQUEST') { await offer(); return; }
		const message = JSON.parse(text);
		if (message.ice) { await peer.addIceCandidate(message.ice); return; }
		await peer.setRemoteDescription(message.sdp);
		if (message.sdp.type === 'offer') { await peer.setLocalDescription(); tell({sdp: peer.localDescription}); }
	};
	let turn = Promise.resolve();
	socket.onmessage = ({data}) => { turn = turn.then(() => handle(data)).catch((error) => { demo.error = String(error); }); };
	socket.onclose = () => { demo.state = 'closed'; };
	await new Promise((open) => { socket.onopen = open; });
	socket.send('HELLO ' + uid);
})`

// openDemo opens a page with a demoPeer at a relay.
func openDemo(t *testing.T, relay, uid, callee string, ask bool) *browsertest.Tab {
	t.Helper()
	b := browsertest.Open(t, "http://"+relay+"/health")
	arguments, err := json.Marshal([]any{"ws://" + relay, uid, callee, ask})
	if err != nil {
		t.Fatal(err)
	}
	browsertest.Evaluate[any](b, demoPeer+"(..."+string(arguments)+")")
	return b
}

// awaitMedia waits until the page has decoded picture and sound.
func awaitMedia(b *browsertest.Tab) {
	b.Eventually(`demo.peer.getStats().then((stats) => {
		const inbound = [...stats.values()].filter(({type}) => type === 'inbound-rtp');
		return inbound.some(({framesDecoded}) => framesDecoded > 20) && inbound.some(({totalAudioEnergy}) => totalAudioEnergy > 0);
	})`)
}

// TestCallsWithBrowser goes through the four shapes of a call: who calls, and who
// offers. Pictures, sound and texts go both ways in each.
func TestCallsWithBrowser(t *testing.T) {
	for _, shape := range []struct {
		name        string
		weCall, ask bool
	}{
		{"we call and offer", true, false},
		{"we call and ask for an offer", true, true},
		{"the browser calls and offers", false, false},
		{"the browser calls and asks for an offer", false, true},
	} {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			relay, recorded := startRelay(t), t.TempDir()
			args := slices.Concat([]string{"--server", "ws://" + relay, "--name", "gst", "--record", recorded, "--data-stdout", "--data-stdin"}, small)
			var p *program
			var b *browsertest.Tab
			if shape.weCall {
				b = openDemo(t, relay, "browser", "", false)
				b.Eventually(`demo.state === 'registered'`)
				args = append(args, "--call", "browser")
				if shape.ask {
					args = append(args, "--remote-offers")
				}
				p = startGstpeer(t, nil, args...)
			} else {
				p = startGstpeer(t, nil, append(args, "--answer")...)
				await(t, "readiness", func() bool { return strings.Contains(p.stderr.String(), "Waiting for calls") })
				b = openDemo(t, relay, "browser", "gst", shape.ask)
			}
			awaitMedia(b)
			exchangeTexts(t, p, b)
			p.signal(syscall.SIGTERM)
			if code := p.ExitCode(stopsWithin); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			b.Eventually(`demo.state === 'closed'`)
			wantRecorded(t, recorded, "call-*.mkv", 10)
		})
	}
}

// exchangeTexts sends a text each way.
func exchangeTexts(t *testing.T, p *program, b *browsertest.Tab) {
	t.Helper()
	b.Eventually(`demo.channel?.readyState === 'open'`)
	browsertest.Evaluate[any](b, `demo.channel.send('<hi> "there"') ?? true`)
	awaitTextsBothWays(t, p, b)
}

// awaitTextsBothWays waits for the text that the page has sent, and answers it.
func awaitTextsBothWays(t *testing.T, p *program, b *browsertest.Tab) {
	t.Helper()
	await(t, "text on standard output", func() bool {
		return strings.Contains(p.stdout.String(), `"text":"<hi> \"there\""}`+"\n")
	})
	if _, err := p.stdin.Write([]byte("to all\n")); err != nil {
		t.Fatal(err)
	}
	b.Eventually(`demo.texts.includes('to all')`)
}

// TestPageTexts has the page and gstpeer talk to each other.
func TestPageTexts(t *testing.T) {
	for _, browser := range browsertest.Browsers {
		t.Run(browser.Name, func(t *testing.T) {
			t.Parallel()
			relay := startRelay(t)
			p := startGstpeer(t, nil, slices.Concat([]string{"--server", "ws://" + relay, "--name", "cam", "--data-stdout", "--data-stdin"}, small)...)
			b := browser.Open(t, "http://"+relay+"/?room=demo", `
				globalThis.demo = {texts: []};
				addEventListener('gstpeermessage', ({detail: {peer, text}}) => peer === 'cam' && demo.texts.push(text));`)
			b.Eventually(`gstpeer.peers().find(({uid}) => uid === 'cam')?.send('<hi> "there"') ?? false`)
			awaitTextsBothWays(t, p, b)
		})
	}
}
