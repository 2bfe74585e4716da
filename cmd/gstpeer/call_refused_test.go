package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/signalling"
)

// startAnswering starts a callee named gst.
func startAnswering(t *testing.T, relay string, extra ...string) *program {
	t.Helper()
	p := startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--answer", "--name", "gst"}, small, extra)...)
	p.awaitOutput("Waiting for calls")
	return p
}

// callSaying calls gst and says one thing.
func callSaying(t *testing.T, relay, uid, text string) *signalling.Client {
	t.Helper()
	client, err := signalling.Dial(t.Context(), signalling.ClientConfig{URL: relay, UID: uid})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := errors.Join(client.Call(t.Context(), "gst"), client.Send(t.Context(), text)); err != nil {
		t.Fatal(err)
	}
	return client
}

// TestAnswerWithoutOffer: a caller that does not come to an offer does not keep the
// others out for ever.
func TestAnswerWithoutOffer(t *testing.T) {
	for name, test := range map[string]struct{ says, ends string }{
		"address":  {`{"ice":{"candidate":"candidate:1 1 UDP 1 127.0.0.1 9 typ host","sdpMLineIndex":0}}`, "call ended"},
		"nonsense": {`{"hello":"there"}`, "a caller is gone before there was a call"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay := "ws://" + startRelay(t)
			callee := startAnswering(t, relay)
			if cause := awaitCallEnd(t, callSaying(t, relay, "bad", test.says)); !errors.Is(cause, signalling.ErrPeerLeft) {
				t.Errorf("the call ended: %v, want that the callee hung up", cause)
			}
			callee.awaitLog(t, "no offer came within 30s")
			callee.awaitLog(t, test.ends) // it is at the relay again
			phone := newPhone(t, relay, "pion")
			phone.dial("gst", false)
			phone.awaitTrack(other, webrtc.RTPCodecTypeVideo).awaitFrames(t, enoughFrames)
		})
	}
}

// TestCallWithoutOffer calls a peer that does not offer when it is asked to.
func TestCallWithoutOffer(t *testing.T) {
	t.Parallel()
	relay := "ws://" + startRelay(t)
	client, err := signalling.Dial(t.Context(), signalling.ClientConfig{URL: relay, UID: "deaf"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p := startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--call", "deaf", "--remote-offers", "--name", "us"}, small)...)
	if code := p.ExitCode(patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if said := p.stderr.String(); !strings.Contains(said, "the call with deaf ended: no offer came within 30s") {
		t.Error("it does not say why the call ended")
	}
}

// TestAnswerOnceAfterNonsense: somebody who does not negotiate is no call.
func TestAnswerOnceAfterNonsense(t *testing.T) {
	t.Parallel()
	relay := "ws://" + startRelay(t)
	callee := startAnswering(t, relay, "--once")
	bad := callSaying(t, relay, "bad", "hello")
	callee.awaitLog(t, "message ignored")
	if err := bad.HangUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	callee.awaitLog(t, "a caller is gone before there was a call")
	phone := newPhone(t, relay, "pion")
	phone.dial("gst", false)
	phone.awaitTrack(other, webrtc.RTPCodecTypeVideo).awaitFrames(t, enoughFrames)
	phone.hangUp()
	if code := callee.ExitCode(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestOthersCallMeanwhile has a third peer call when the relay has lost the
// session of a call: media of the call goes on, whatever that one says.
func TestOthersCallMeanwhile(t *testing.T) {
	for name, bother := range map[string]func(t *testing.T, relay string){
		"offers": func(t *testing.T, relay string) { wantRefused(t, callNobodysCodec(t, relay)) },
		"requests": func(t *testing.T, relay string) {
			wantRefused(t, callSaying(t, relay, "stranger", signalling.OfferRequest))
		},
		"says everything else": func(t *testing.T, relay string) {
			stranger := callSaying(t, relay, "stranger", "hello")
			answer := signalling.Description{Type: signalling.Answer, SDP: nobodysCodec()}
			candidate := signalling.Candidate{Candidate: "candidate:1 1 UDP 1 127.0.0.1 9 typ host"}
			for _, n := range []signalling.Negotiation{{Description: &answer}, {Candidate: &candidate}, {OfferRequest: true}} {
				if err := stranger.Send(t.Context(), n.String()); err != nil {
					t.Fatal(err)
				}
			}
			wantRefused(t, stranger)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, stop := startRelayAt(t, "127.0.0.1:0")
			relay := "ws://" + address
			callee := startAnswering(t, relay, "--log-level", "debug")
			phone := newPhone(t, relay, "pion")
			phone.dial("gst", false)
			track := phone.awaitTrack(other, webrtc.RTPCodecTypeVideo)
			track.awaitFrames(t, enoughFrames)
			stop()
			startRelayAt(t, address)
			callee.awaitLog(t, "the relay has lost the session, media goes on")
			bother(t, relay)
			callee.awaitLog(t, "whoever called has gone")
			track.awaitFrames(t, enoughFrames)
			track.checkWhole(t)
			if n := strings.Count(callee.stderr.String(), "peer connected"); n != 1 {
				t.Errorf("%d connections, want one", n)
			}
		})
	}
}

func wantRefused(t *testing.T, stranger *signalling.Client) {
	t.Helper()
	if cause := awaitCallEnd(t, stranger); !errors.Is(cause, signalling.ErrPeerLeft) {
		t.Errorf("the call ended: %v, want that the callee hung up", cause)
	}
}
