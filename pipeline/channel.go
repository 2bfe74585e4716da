package pipeline

import (
	"context"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// What may wait of the texts of one remote.
const (
	maxTexts     = 4096
	maxTextBytes = 4 << 20
)

// How texts go out.
const (
	maxOutgoing = 64
	// textPatience is how long a remote that takes no texts may hold up its
	// sender. After that it loses them, until it takes some again.
	textPatience = 2 * time.Second
	// textRetry is how often a channel is tried that took no more.
	textRetry = 20 * time.Millisecond
)

// SendText sends a text to every remote peer that has opened our data channel.
// It waits for those that are a little behind.
func (p *Pipeline) SendText(ctx context.Context, text string) {
	p.mu.Lock()
	peers := slices.Collect(maps.Values(p.peers))
	p.mu.Unlock()
	for _, peer := range peers {
		if peer.channelOpen.Load() {
			peer.queueText(ctx, text)
		}
	}
}

// queueText is for one goroutine.
func (p *Peer) queueText(ctx context.Context, text string) {
	select {
	case p.outgoing <- text:
		return
	default:
	}
	if p.deaf.Load() {
		return
	}
	patience := time.NewTimer(textPatience)
	defer patience.Stop()
	select {
	case p.outgoing <- text:
	case <-patience.C:
		p.deaf.Store(true)
		p.log.Warn("texts are lost: the remote takes no more")
	case <-p.ctx.Done():
	case <-ctx.Done():
	}
}

// sendText hands a text to the channel, or keeps it until that takes some again.
func (p *Peer) sendText(text string) {
	if p.bin.sendText(text) {
		p.unsent = nil
		p.deaf.Store(false)
		return
	}
	p.unsent = &text
}

// textQueue gives what goes out next, or when to try again.
func (p *Peer) textQueue() (next <-chan string, again <-chan time.Time) {
	if p.unsent != nil {
		return nil, time.After(textRetry)
	}
	return p.outgoing, nil
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

// takeText hands a text on.
func (p *Peer) takeText(text string) {
	p.textBytes.Add(-int64(len(text)))
	if !utf8.ValidString(text) {
		p.log.Debug("text ignored: not UTF-8")
		return
	}
	p.log.Info("text arrived", "bytes", len(text))
	if p.pipeline.config.OnText != nil {
		p.pipeline.config.OnText(p.uid, text)
	}
}
