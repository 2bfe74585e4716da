package pipeline

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// TestTexts exchanges texts with a remote on data channels.
func TestTexts(t *testing.T) {
	came := make(chan string, 10)
	p, board := openTest(t, func(c *Config) { c.OnText = func(uid, text string) { came <- uid + ": " + text } })
	for name, start := range map[string]func(*remote){
		"remote-offers": func(r *remote) {
			if _, err := r.pc.CreateDataChannel("any", nil); err != nil {
				t.Fatal(err)
			}
			r.offer(webrtc.RTPCodecTypeAudio)
		},
		"we-offer": func(r *remote) { p.Offer(r.uid) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t, board, p, name)
			defer r.close()
			got := make(chan string, 10)
			r.pc.OnDataChannel(func(c *webrtc.DataChannel) {
				c.OnOpen(func() {
					if err := c.SendText("hello from " + c.Label()); err != nil {
						t.Error(err)
					}
				})
				c.OnMessage(func(m webrtc.DataChannelMessage) { got <- string(m.Data) })
			})
			start(r)
			if text := await(t, came); text != name+": hello from gstpeer" {
				t.Errorf("got %q", text)
			}
			for deadline := time.Now().Add(20 * time.Second); ; {
				p.SendText(t.Context(), "grüße")
				select {
				case text := <-got:
					if text != "grüße" {
						t.Errorf("the remote got %q", text)
					}
					p.Remove(name)
					return
				case <-time.After(100 * time.Millisecond):
				}
				if time.Now().After(deadline) {
					t.Fatal("the remote got nothing")
				}
			}
		})
	}
}

// TestManyTexts: a program that writes faster than the network is held up, and
// nothing is lost or changes its place.
func TestManyTexts(t *testing.T) {
	p, board := openTest(t, nil)
	r := newRemote(t, board, p, "reads")
	defer r.close()
	got := make(chan string, 100)
	r.pc.OnDataChannel(func(c *webrtc.DataChannel) {
		c.OnMessage(func(m webrtc.DataChannelMessage) { got <- string(m.Data) })
	})
	p.Offer(r.uid)
	awaitChannel(t, p, r.uid)
	const texts = 5000
	padding := strings.Repeat(".", 1000)
	go func() {
		for i := range texts {
			p.SendText(t.Context(), strconv.Itoa(i)+padding)
		}
	}()
	for i := range texts {
		if text := await(t, got); text != strconv.Itoa(i)+padding {
			t.Fatalf("got %.10q..., want the one with number %d", text, i)
		}
	}
	p.Remove(r.uid)
}

// TestDeafRemote: one that reads no texts loses them, and holds up nobody for
// long, nor its own end.
func TestDeafRemote(t *testing.T) {
	t.Run("reads again", func(t *testing.T) { meetDeafRemote(t, true) })
	t.Run("never reads", func(t *testing.T) { meetDeafRemote(t, false) })
}

func meetDeafRemote(t *testing.T, readsAgain bool) {
	p, board := openTest(t, nil)
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.DetachDataChannels()
	r := newRemoteWith(t, settings, board, p, "deaf")
	reads := make(chan func() (int, error), 1)
	r.pc.OnDataChannel(func(c *webrtc.DataChannel) {
		c.OnOpen(func() {
			raw, err := c.Detach()
			if err != nil {
				t.Error(err)
				return
			}
			buffer := make([]byte, 1<<16)
			reads <- func() (int, error) { return raw.Read(buffer) }
		})
	})
	p.Offer(r.uid)
	peer := awaitChannel(t, p, r.uid)
	read := await(t, reads)
	long := strings.Repeat(".", 16<<10)
	for deadline := time.Now().Add(30 * time.Second); !peer.deaf.Load(); {
		p.SendText(t.Context(), long)
		if time.Now().After(deadline) {
			t.Fatal("texts without end are taken")
		}
	}
	for range 10_000 {
		p.SendText(t.Context(), "lost")
	}
	for readsAgain && peer.deaf.Load() {
		if _, err := read(); err != nil {
			t.Fatal(err)
		}
	}
	if p.Peers() != 1 {
		t.Error("the peer has ended")
	}
	p.Remove(r.uid)
	awaitNobody(t, p)
	r.close()
}

// awaitChannel waits for our data channel to a remote to be open.
func awaitChannel(t *testing.T, p *Pipeline, uid string) *Peer {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if peer := p.peer(uid); peer != nil && peer.channelOpen.Load() {
			return peer
		}
		if time.Now().After(deadline) {
			t.Fatal("no data channel after 20 s")
		}
	}
}
