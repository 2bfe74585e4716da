package pipeline

import (
	"net/netip"
	"time"
)

// DefaultLatency is that of the jitter buffers for what comes in: enough to have
// lost packets sent again over most networks.
const DefaultLatency = 200 * time.Millisecond

// Network is how remote peers are reached.
type Network struct {
	// RelayOnly uses TURN servers and nothing else (W3C's iceTransportPolicy).
	RelayOnly bool
	// MinPort and MaxPort bound the local UDP ports; 0 is any.
	MinPort, MaxPort uint16
	// Announce is the address that remotes are told in the place of this
	// machine's own of the same family, as is needed behind a port mapping.
	Announce netip.Addr
	// Latency is how long what comes in waits for packets that are late or sent
	// again; DefaultLatency if it is 0.
	Latency time.Duration
}

func (n Network) latency() time.Duration {
	if n.Latency <= 0 {
		return DefaultLatency
	}
	return n.Latency
}

// ICEServers help to find a way to a remote peer. The addresses are those of the
// servers themselves, not names: libnice would look these up late, or not at all.
type ICEServers struct {
	// STUN is stun://address:port; empty for none.
	STUN string
	// TURN are turn://user:password@address:port?transport=udp and the like.
	TURN []string
}

// SetICEServers is for peers that come from now on: credentials end.
func (p *Pipeline) SetICEServers(s ICEServers) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = s
}

// settings are those of the next webrtcbin.
func (p *Pipeline) settings() settings {
	p.mu.Lock()
	defer p.mu.Unlock()
	return settings{clock: p.clock, baseTime: p.baseTime, network: p.config.Network, servers: p.servers}
}
