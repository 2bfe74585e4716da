package pipeline

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/sdp/v3"
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

// whyNowhere says what is the matter when no address was found.
func (n Network) whyNowhere() string {
	if n.MaxPort > 0 {
		return fmt.Sprintf("no UDP port from %d to %d is free here, or there is no network: each peer takes one (--udp-ports)", n.MinPort, n.MaxPort)
	}
	return "this machine has no network address"
}

// tellCandidates leaves those candidates in a description of ours that a remote may
// know.
func (n Network) tellCandidates(media *sdp.MediaDescription) {
	media.Attributes = slices.DeleteFunc(media.Attributes, func(a sdp.Attribute) bool {
		_, tell := n.candidate(a.Value)
		return a.Key == "candidate" && !tell
	})
	for i, a := range media.Attributes {
		if a.Key == "candidate" {
			media.Attributes[i].Value, _ = n.candidate(a.Value)
		}
	}
}

// candidate is what a remote is told of a candidate of ours (RFC 8839, section
// 5.1); false if nothing. One for TCP is there only for the way to a TURN server.
func (n Network) candidate(text string) (told string, tell bool) {
	fields := strings.Fields(text)
	if len(fields) < 8 {
		return text, true // the end of candidates
	}
	kind := fields[7]
	switch {
	case !strings.EqualFold(fields[2], "udp"), n.RelayOnly && kind != "relay":
		return "", false
	case n.RelayOnly:
		hideRelated(fields)
	case kind == "host" && n.announces(fields[4]):
		fields[4] = n.Announce.String()
	default:
		return text, true
	}
	return strings.Join(fields, " "), true
}

// announces says whether an address is to be replaced: one of the kind of that
// which was given.
func (n Network) announces(text string) bool {
	address, err := netip.ParseAddr(text)
	return n.Announce.IsValid() && err == nil && address.Is4() == n.Announce.Is4()
}

// hideRelated hides the address that a relayed candidate belongs to: this
// machine's own.
func hideRelated(fields []string) {
	for i := 8; i+1 < len(fields); i += 2 {
		switch fields[i] {
		case "raddr":
			fields[i+1] = "0.0.0.0"
		case "rport":
			fields[i+1] = "9"
		}
	}
}

// ICEServers help to find a way to a remote peer. They are given by address, not
// by name: libnice would look names up late, or not at all.
type ICEServers struct {
	STUN netip.AddrPort // not valid for none
	TURN []TURNServer
}

// TURNServer is a server that media is relayed through, reached by UDP or TCP:
// libnice cannot do TLS.
type TURNServer struct {
	Address              netip.AddrPort
	TCP                  bool
	Username, Credential string
}

// String is the server without what is secret.
func (t TURNServer) String() string {
	return "turn:" + t.Address.String() + "?transport=" + t.transport()
}

func (t TURNServer) transport() string {
	if t.TCP {
		return "tcp"
	}
	return "udp"
}

// uri is the form that webrtcbin wants. A user name of the TURN REST API has a
// colon in it, and a credential what base64 has.
func (t TURNServer) uri() string {
	return fmt.Sprintf("turn://%s:%s@%s?transport=%s", percentEncoded(t.Username), percentEncoded(t.Credential), t.Address, t.transport())
}

// percentEncoded leaves only what RFC 3986 calls unreserved.
func percentEncoded(text string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	var b strings.Builder
	for _, c := range []byte(text) {
		if strings.IndexByte(unreserved, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// stunURI is the form that webrtcbin wants; empty for none.
func (s ICEServers) stunURI() string {
	if !s.STUN.IsValid() {
		return ""
	}
	return "stun://" + s.STUN.String()
}

func (s ICEServers) turnURIs() []string {
	uris := make([]string, len(s.TURN))
	for i, server := range s.TURN {
		uris[i] = server.uri()
	}
	return uris
}

// needsTCP says whether a server is reached by TCP.
func (s ICEServers) needsTCP() bool {
	return slices.ContainsFunc(s.TURN, func(t TURNServer) bool { return t.TCP })
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
