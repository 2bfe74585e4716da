package pipeline

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

func TestTURNServerURI(t *testing.T) {
	s := TURNServer{Address: netip.MustParseAddrPort("[2001:db8::1]:3478"), Username: "1700000000:cam 1", Credential: "a+b/c=@:%ü", TCP: true}
	if got, want := s.uri(), "turn://1700000000%3Acam%201:a%2Bb%2Fc%3D%40%3A%25%C3%BC@[2001:db8::1]:3478?transport=tcp"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if text := s.String(); strings.Contains(text, "a+b") {
		t.Errorf("the password is in %q", text)
	}
}

// TestToldCandidates: what remotes learn of our candidates.
func TestToldCandidates(t *testing.T) {
	const (
		host4 = "candidate:1 1 UDP 2015363327 172.17.0.2 50000 typ host"
		host6 = "candidate:2 1 UDP 2015363583 2001:db8::2 50001 typ host"
		tcp   = "candidate:3 1 TCP 1015021823 172.17.0.2 9 typ host tcptype active"
		srflx = "candidate:4 1 UDP 1677722111 198.51.100.1 50000 typ srflx raddr 172.17.0.2 rport 50000"
		relay = "candidate:5 1 UDP 503316991 198.51.100.2 50002 typ relay raddr 172.17.0.2 rport 50000"
	)
	for name, c := range map[string]struct {
		network Network
		want    []string
	}{
		"all": {Network{}, []string{host4, host6, srflx, relay, ""}},
		"announce": {Network{Announce: netip.MustParseAddr("203.0.113.7")},
			[]string{strings.Replace(host4, "172.17.0.2", "203.0.113.7", 1), host6, srflx, relay, ""}},
		"relay only": {Network{RelayOnly: true},
			[]string{"candidate:5 1 UDP 503316991 198.51.100.2 50002 typ relay raddr 0.0.0.0 rport 9", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			media := &sdp.MediaDescription{}
			for _, candidate := range []string{host4, host6, tcp, srflx, relay, ""} {
				if told, tell := c.network.candidate(candidate); tell {
					got = append(got, told)
				}
				media.Attributes = append(media.Attributes, sdp.NewAttribute("candidate", candidate))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			c.network.tellCandidates(media)
			var described []string
			for _, a := range media.Attributes {
				described = append(described, a.Value)
			}
			if !slices.Equal(described, c.want) {
				t.Errorf("in a description %q, want %q", described, c.want)
			}
		})
	}
}

// TestNoPortIsFree: a peer that finds no UDP port in its range says so, before the
// time for a connection is up.
func TestNoPortIsFree(t *testing.T) {
	taken, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	ended := firstEnd{reason: make(chan error, 1)}
	p, board := openTest(t, func(c *Config) {
		c.Observer = ended
		c.Network.MinPort, c.Network.MaxPort = port, port
	})
	r := newRemote(t, board, p, "viewer")
	defer r.close()
	p.Offer(r.uid)
	if reason := await(t, ended.reason).Error(); !strings.Contains(reason, "--udp-ports") || strings.Contains(reason, "after") {
		t.Errorf("got %q, want that no UDP port is free, before the time is up", reason)
	}
}
