package pipeline

import (
	"fmt"
	"strings"
	"time"
)

const (
	// checkInterval is how often a peer looks how its remote is.
	checkInterval = 2 * time.Second
	// silenceLimit is how long a remote may be silent, or report that nothing
	// arrives, until its media is taken for lost.
	silenceLimit = 10 * time.Second
	// graceLimit is the same for a remote whose turn it is to offer anew, which
	// may come back by itself.
	graceLimit = 25 * time.Second
	// gatherLimit is how long the first address of ours may take to be found.
	gatherLimit = 10 * time.Second
)

// check notices a remote that has gone without a word: ICE alone takes 50 s.
func (p *Peer) check() error {
	if !p.playing && (p.relayIsMissing() || p.isNowhere()) {
		return p.whyFailed()
	}
	if !p.playing {
		return nil
	}
	if !p.active() {
		p.heard.Store(time.Now().UnixMilli()) // its silence means nothing
		return nil
	}
	ctx, cancel := p.operation()
	defer cancel()
	stats, err := p.bin.stats(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	p.report(stats, now)
	if sent := p.sentPackets(stats); sent != p.sent {
		p.sent = sent
	} else {
		p.receptions.pause(now)
	}
	silence := now.Sub(time.UnixMilli(p.heard.Load()))
	standstill := p.receptions.standstill()
	limit := graceLimit
	if p.offers {
		limit = silenceLimit
	}
	p.flows.Store(p.state == stateConnected && max(silence, standstill) < silenceLimit)
	if silence >= limit {
		return fmt.Errorf("%w: nothing heard for %s", ErrMediaLost, silence.Round(time.Second))
	}
	if standstill >= limit {
		return fmt.Errorf("%w: the remote is heard, but nothing that is sent has arrived there for %s", ErrMediaLost, standstill.Round(time.Second))
	}
	return nil
}

// active says whether anything flows at all, so that silence means something.
func (p *Peer) active() bool {
	for _, m := range p.mlines {
		if m.sends || m.receives {
			return true
		}
	}
	return false
}

func (p *Peer) sentPackets(stats statistics) (n uint64) {
	for _, line := range p.mlines {
		if line.sends {
			n += stats.outbound(line).number("packets-sent")
		}
	}
	return n
}

// candidateTypes are the types of ICE candidates of one side.
type candidateTypes struct{ host, srflx, relay, loopback int }

func (t *candidateTypes) add(candidate string) {
	fields := strings.Fields(candidate)
	if len(fields) < 8 {
		return
	}
	switch {
	case strings.HasPrefix(fields[4], "127.") || fields[4] == "::1":
		t.loopback++
	case fields[7] == "host":
		t.host++
	case fields[7] == "relay":
		t.relay++
	default:
		t.srflx++
	}
}

// errDTLS is for a remote that is reached, but that no keys were agreed on with.
var errDTLS = fmt.Errorf("%w: DTLS failed: the remote is reached, but encryption is not agreed on with it", ErrConnectionFailed)

// errClosed is for a remote that ends the connection in order.
var errClosed = fmt.Errorf("%w: the remote closed it", ErrConnectionFailed)

// whyFailed says in one line why there is no connection, as far as it can be
// known.
func (p *Peer) whyFailed() error {
	why := ""
	switch {
	case p.playing && p.state == stateClosed:
		return errClosed
	case p.playing:
		why = "the remote is not reached any more"
	case p.iceConnected.Load():
		return errDTLS
	case p.isNowhere():
		why = p.pipeline.config.Network.whyNowhere()
	case p.turnGaveNothing():
		why = "TURN refused: no TURN server gave us an address: its credentials are wrong, or it is not reached (gstpeer doctor tells)"
	case p.candidates == 0:
		why = "the remote named no address to reach it at"
	case p.state == stateClosed:
		why = "the remote closed it"
	case p.found.relay+p.found.srflx+p.gathered.relay+p.gathered.srflx == 0:
		why = "both sides named only addresses of their own networks: a STUN or TURN server is needed (--stun, --turn)"
	case p.gathered.relay+p.found.relay == 0:
		why = "no direct way was found, and there is no TURN server (--turn)"
	default:
		why = "no way was found, not even through the TURN server"
	}
	return fmt.Errorf("%w: %s", ErrConnectionFailed, why)
}

// turnGaveNothing says whether there are TURN servers of ours and none of them
// does what it is for.
func (p *Peer) turnGaveNothing() bool { return p.turnServers > 0 && p.gathered.relay == 0 }

// isNowhere says whether there is no address that we can be reached at. Those of
// this machine are known at once, and libnice does not say that there is none.
func (p *Peer) isNowhere() bool {
	return !p.described.IsZero() && time.Since(p.described) > gatherLimit &&
		!p.pipeline.config.Network.RelayOnly && p.gathered == candidateTypes{}
}

// relayIsMissing says whether there can be no connection for want of a relay.
func (p *Peer) relayIsMissing() bool {
	return p.iceGathered && p.pipeline.config.Network.RelayOnly && p.gathered.relay == 0
}
