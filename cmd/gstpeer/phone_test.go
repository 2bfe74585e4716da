package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/internal/mediatest"
	"github.com/gstpeer/gstpeer/signalling"
)

// other is what a phone calls the peer that it talks to.
const other = "other"

// newPhone registers an independent peer for calls, with a picture and sound of
// its own, until the test ends. It follows what the other peer of a call asks for.
func newPhone(t *testing.T, relay, uid string) *viewer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := signalling.Dial(ctx, signalling.ClientConfig{URL: relay, UID: uid})
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{t: t, uid: uid, client: client, senders: make(map[string]*webrtc.PeerConnection),
		publish: []webrtc.TrackLocal{mediatest.PlayPicture(t), mediatest.PlayTone(t)}}
	v.say = func(ctx context.Context, _, text string) error { return client.Send(ctx, text) }
	v.running.Go(v.converse)
	t.Cleanup(v.close)
	return v
}

// converse takes what comes in a call.
func (v *viewer) converse() {
	for {
		event, err := v.client.Recv(context.Background())
		if err != nil {
			v.check(err)
			return
		}
		switch e := event.(type) {
		case signalling.CallMessage:
			if e.Text == signalling.OfferRequest {
				v.check(v.offer(other))
				continue
			}
			v.check(v.take(signalling.Message{From: other, Text: e.Text}))
		case signalling.CallEnded:
			v.t.Logf("%s: the call ended: %v", v.uid, e.Cause)
		}
	}
}

// dial calls a peer, and offers or has that one offer.
func (v *viewer) dial(uid string, ask bool) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), patience)
	defer cancel()
	if err := v.client.Call(ctx, uid); err != nil {
		v.t.Fatal(err)
	}
	if ask {
		v.check(v.client.Send(ctx, signalling.OfferRequest))
		return
	}
	v.check(v.offer(other))
}

// hangUp ends the call.
func (v *viewer) hangUp() {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), patience)
	defer cancel()
	if err := v.client.HangUp(ctx); err != nil {
		v.t.Error(err)
	}
}

// TestCallsWithPion goes through the four shapes of a call, with a peer that is
// neither a browser nor GStreamer. It hangs up in the end.
func TestCallsWithPion(t *testing.T) {
	for _, shape := range []struct {
		name        string
		weCall, ask bool
	}{
		{"we call and offer", true, false},
		{"we call and ask for an offer", true, true},
		{"pion calls and offers", false, false},
		{"pion calls and asks for an offer", false, true},
	} {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			relay, recorded := "ws://"+startRelay(t), t.TempDir()
			phone := newPhone(t, relay, "pion")
			args := slices.Concat([]string{"--server", relay, "--name", "gst", "--record", recorded}, small)
			if shape.weCall {
				args = append(args, "--call", "pion")
			} else {
				args = append(args, "--answer", "--once")
			}
			if shape.weCall && shape.ask {
				args = append(args, "--remote-offers")
			}
			p := startGstpeer(t, nil, args...)
			if !shape.weCall {
				p.awaitOutput("Waiting for calls")
				phone.dial("gst", shape.ask)
			}
			picture := phone.awaitTrack(other, webrtc.RTPCodecTypeVideo)
			picture.awaitFrames(t, 3*enoughFrames)
			phone.awaitTrack(other, webrtc.RTPCodecTypeAudio).awaitPackets(t, 50)
			await(t, "recording", func() bool {
				files, _ := filepath.Glob(filepath.Join(recorded, "call-*.mkv"))
				return len(files) == 1
			})
			time.Sleep(2 * time.Second) // of the call
			if picture.lost() != 0 {
				t.Errorf("%d packets of the picture are missing", picture.lost())
			}
			phone.hangUp()
			if code := p.ExitCode(stopsWithin); code != 0 {
				t.Errorf("exit code %d after the call, want 0", code)
			}
			if !strings.Contains(p.stderr.String(), `reason="signalling: the other peer has left the call"`) {
				t.Error("it does not say why the call ended")
			}
			if strings.Contains(p.stderr.String(), "reset skew") {
				t.Skip("so busy is this machine that our own picture or sound stood still for more than a second")
			}
			wantRecorded(t, recorded, "call-*.mkv", 25)
		})
	}
}
