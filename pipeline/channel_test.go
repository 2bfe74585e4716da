package pipeline

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// hear gives the texts that come on data channels of the pipeline.
func (r *remote) hear() <-chan string {
	got := make(chan string, 100)
	r.pc.OnDataChannel(func(c *webrtc.DataChannel) {
		c.OnMessage(func(m webrtc.DataChannelMessage) { got <- string(m.Data) })
	})
	return got
}

// TestLongText: what a remote does not take is said, and what follows arrives.
func TestLongText(t *testing.T) {
	var log logged
	p, board := openTest(t, func(c *Config) { c.Log = log.logger() })
	const longest = 1000
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetSCTPMaxMessageSize(longest)
	r := newRemoteWith(t, settings, board, p, "reads")
	defer r.close()
	got := r.hear()
	p.Offer(r.uid)
	awaitChannel(t, p, r.uid)
	long := strings.Repeat("x", longest+1)
	for _, text := range []string{long[1:], long, "short"} {
		p.SendText(t.Context(), text)
	}
	if n := len(await(t, got)); n != longest {
		t.Errorf("the remote got %d bytes, want %d", n, longest)
	}
	if text := await(t, got); text != "short" {
		t.Errorf("the remote got %.20q, want the short one", text)
	}
	log.await(t, "text not sent: it is longer than the remote takes")
}

// TestManyTexts: a program that writes faster than the network is held up, and
// nothing is lost or changes its place.
func TestManyTexts(t *testing.T) {
	p, board := openTest(t, nil)
	r := newRemote(t, board, p, "reads")
	defer r.close()
	got := r.hear()
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

// TestHostileChannels: remotes that abuse data channels end, and nobody else.
func TestHostileChannels(t *testing.T) {
	reasons := make(ends, 100)
	p, board := openTest(t, func(c *Config) { c.OnPeerEnd = reasons.add })
	stays := newRemote(t, board, p, "stays")
	defer stays.close()
	stays.offer(webrtc.RTPCodecTypeVideo)
	track := stays.awaitTrack()
	track.awaitFrames(t, 10)
	before := currentHoldings(t)
	for name, attack := range map[string]struct {
		abuse  func(*testing.T, *webrtc.PeerConnection)
		reason error
	}{
		"many channels": {func(t *testing.T, pc *webrtc.PeerConnection) {
			for range 100 {
				openChannel(t, pc, func(*webrtc.DataChannel) {})
			}
		}, ErrConnectionFailed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t, board, p, name)
			attack.abuse(t, r.pc)
			r.offer(webrtc.RTPCodecTypeVideo)
			reasons.await(t, name, attack.reason)
			r.close()
		})
	}
	awaitAlone(t, p)
	awaitHoldings(t, before)
	track.awaitFrames(t, track.snapshot().frames+15)
	if gaps := track.snapshot().gaps; gaps != 0 {
		t.Errorf("the viewer who stays misses %d packets", gaps)
	}
}

// TestManyTextsOfRemote: what a remote sends without a pause is taken, and holds up
// nothing.
func TestManyTextsOfRemote(t *testing.T) {
	var texts atomic.Int64
	p, board := openTest(t, func(c *Config) { c.OnText = func(string, string) { texts.Add(1) } })
	r := newRemote(t, board, p, "talks")
	over := make(chan struct{})
	openChannel(t, r.pc, func(c *webrtc.DataChannel) {
		defer close(over)
		for c.SendText(strings.Repeat(".", 1000)) == nil && texts.Load() < 20_000 {
			for c.BufferedAmount() > 1<<20 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	r.offer(webrtc.RTPCodecTypeVideo)
	awaitChannel(t, p, r.uid)
	p.SendText(t.Context(), "heard")
	await(t, over)
	if texts.Load() < 20_000 {
		t.Errorf("%d texts came", texts.Load())
	}
	p.Remove(r.uid)
	awaitNobody(t, p)
	r.close()
}

// TestChannelsComeAndGo opens and closes more channels than a page would.
func TestChannelsComeAndGo(t *testing.T) {
	reasons := make(ends, 10)
	p, board := openTest(t, func(c *Config) { c.OnPeerEnd = reasons.add })
	r := newRemote(t, board, p, "opens")
	openChannel(t, r.pc, func(*webrtc.DataChannel) {})
	r.offer(webrtc.RTPCodecTypeVideo)
	awaitChannel(t, p, r.uid)
	for i := range 40 {
		opened := make(chan struct{})
		c := openChannel(t, r.pc, func(*webrtc.DataChannel) { close(opened) })
		select {
		case <-opened:
		case reason := <-reasons:
			t.Fatalf("channel %d: %s", i, reason)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // for the end to be known there, which is not confirmed
	}
	p.Remove(r.uid)
	awaitNobody(t, p)
	r.close()
}

// readSlowly takes a text a second, as a webrtcbin does whose remote reads slowly.
func readSlowly(peer *Peer) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-second.C:
		case <-peer.ctx.Done():
			return
		}
		select {
		case <-peer.outgoing:
			peer.noteSent()
		default:
		}
	}
}

// TestSlowRemotes: those that read slowly hold up who sends only once, however
// many they are, and miss texts instead.
func TestSlowRemotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said logged
		p := &Pipeline{log: said.logger(), peers: make(map[string]*Peer)}
		p.config.Log = p.log
		for _, uid := range []string{"a", "b", "c"} {
			peer := newPeer(p, uid, true, nil)
			peer.log = p.log
			peer.channelOpen.Store(true)
			p.peers[uid] = peer
			defer peer.end(errRemoved)
			go readSlowly(peer)
		}
		start := time.Now()
		for range 1000 {
			p.SendText(t.Context(), "text")
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("1000 texts took %s", took)
		}
		p.SendText(t.Context(), "with\x00NUL")
		if text := said.String(); strings.Count(text, "has a NUL in it") != 1 {
			t.Errorf("got %s", text)
		}
	})
}

// openChannel makes a data channel that something is done with when it is open.
func openChannel(t *testing.T, pc *webrtc.PeerConnection, opened func(*webrtc.DataChannel)) *webrtc.DataChannel {
	t.Helper()
	c, err := pc.CreateDataChannel("any", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.OnOpen(func() { go opened(c) })
	return c
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
