package pipeline

import "unicode/utf8"

// What may wait of the texts of one remote.
const (
	maxTexts     = 4096
	maxTextBytes = 4 << 20
)

// SendText sends a text to every remote peer that has opened our data channel.
// It does not wait, and a remote that is too slow for what is sent loses texts.
func (p *Pipeline) SendText(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, peer := range p.peers {
		peer.post(func() error {
			if peer.bin != nil && peer.channelOpen && !peer.bin.sendText(text) {
				peer.log.Warn("text not sent: the remote takes no more")
			}
			return nil
		})
	}
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
		p.channelOpen = true
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
