package pipeline

import (
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pion/sdp/v3"
)

// What may wait of the texts of one remote.
const (
	maxTexts     = 4096
	maxTextBytes = 4 << 20
)

// How texts go out.
const (
	maxOutgoing = 64
	// textPatience is how long a remote may hold up the sender until it has taken
	// a full queue. One that is slower loses texts, until it has caught up.
	textPatience = 2 * time.Second
	// textRetry is how often a channel is tried that took no more.
	textRetry = 20 * time.Millisecond
	// textLogInterval is how often the log tells of what arrives.
	textLogInterval = time.Second
	// usualLongestText is what a remote takes that does not say (RFC 8841, section 6).
	usualLongestText = 65536
)

// longestText is how many bytes the author of a description takes in one text.
func longestText(d *sdp.SessionDescription) int {
	for _, media := range d.MediaDescriptions {
		if text, given := media.Attribute("max-message-size"); given {
			if n, err := strconv.Atoi(text); err == nil && n > 0 {
				return n
			}
			return math.MaxInt // 0 is any
		}
	}
	return usualLongestText
}

// SendText sends a text to every remote peer that has opened our data channel.
// It waits for those that are a little behind.
func (p *Pipeline) SendText(ctx context.Context, text string) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		p.log.Warn("text not sent: it is not UTF-8, or has a NUL in it", "bytes", len(text))
		return
	}
	p.mu.Lock()
	peers := slices.Collect(maps.Values(p.peers))
	p.mu.Unlock()
	for _, peer := range peers {
		if peer.channelOpen.Load() {
			peer.queueText(ctx, text)
		}
	}
}

// queueText waits for a remote that is behind, as long as the sender's patience
// lasts: textPatience for a full queue. It is for one goroutine.
func (p *Peer) queueText(ctx context.Context, text string) {
	if p.deaf.Load() {
		return
	}
	select {
	case p.outgoing <- text:
		return
	default:
	}
	began := time.Now()
	patience := time.NewTimer(textPatience - time.Duration(p.heldUp.Load()))
	defer patience.Stop()
	select {
	case p.outgoing <- text:
		p.heldUp.Add(int64(time.Since(began)))
	case <-patience.C:
		p.deaf.Store(true)
		p.log.Warn("texts are lost: the remote is too slow for them")
	case <-p.ctx.Done():
	case <-ctx.Done():
	}
}

// sendText hands a text to the channel, or keeps it until that takes some again. A
// remote that was deaf hears again once it has caught up.
func (p *Peer) sendText(text string) {
	if len(text) > p.longestText { // it would be lost without a word
		p.log.Warn("text not sent: it is longer than the remote takes", "bytes", len(text), "at most", p.longestText)
	} else if !p.bin.sendText(text) {
		p.unsent, p.retry = &text, time.After(textRetry)
		return
	}
	p.unsent, p.retry = nil, nil
	p.noteSent()
}

// noteSent gives the sender's patience back with every full queue that has gone
// out: at that pace the network is what is slow. A remote that was too slow hears
// again once it has caught up.
func (p *Peer) noteSent() {
	p.sentTexts++
	if p.sentTexts%maxOutgoing == 0 {
		p.heldUp.Store(0)
	}
	if len(p.outgoing) == 0 {
		p.heldUp.Store(0)
		p.deaf.Store(false)
	}
}

// nextText gives the texts that can go out, none while one waits.
func (p *Peer) nextText() <-chan string {
	if p.unsent != nil {
		return nil
	}
	return p.outgoing
}

// onText takes a text that came in.
func (p *Peer) onText(text string) {
	if len(text) > maxMessageSize || p.textBytes.Add(int64(len(text))) > maxTextBytes {
		p.end(ErrFlooded)
		return
	}
	select {
	case p.texts <- text:
	default:
		p.end(ErrFlooded)
	}
}

func (p *Peer) onChannelOpen() {
	p.post(func() error {
		p.channelOpen.Store(true)
		p.log.Debug("data channel open")
		return nil
	})
}

// logText tells of what arrives, once a second at most.
func (p *Peer) logText(bytes int) {
	p.heardTexts++
	p.heardBytes += bytes
	if now := time.Now(); now.Sub(p.textLogged) >= textLogInterval {
		p.log.Info("text arrived", "texts", p.heardTexts, "bytes", p.heardBytes)
		p.textLogged, p.heardTexts, p.heardBytes = now, 0, 0
	}
}

// takeText hands a text on.
func (p *Peer) takeText(text string) {
	p.textBytes.Add(-int64(len(text)))
	if !utf8.ValidString(text) {
		p.log.Debug("text ignored: not UTF-8")
		return
	}
	p.logText(len(text))
	if p.pipeline.config.OnText != nil {
		p.pipeline.config.OnText(p.uid, text)
	}
}
