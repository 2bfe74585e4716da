package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gstpeer/gstpeer/internal/iceconfig"
	"github.com/gstpeer/gstpeer/pipeline"
)

// networkFlags say how peers are reached.
type networkFlags struct {
	STUN             string        `name:"stun" group:"Network" placeholder:"HOST:PORT" help:"STUN server, which tells at what address this machine is seen from outside. Default: with --server, what that relay names."`
	TURN             []string      `name:"turn" group:"Network" placeholder:"HOST:PORT" help:"TURN server, which media is relayed through where no direct way is found; turn:HOST:PORT?transport=tcp is reached by TCP. Repeatable. Default: with --server, what that relay names."`
	TURNUser         string        `name:"turn-user" group:"Network" placeholder:"NAME" help:"User name for the TURN servers. Default: none."`
	TURNPassword     string        `name:"turn-password" group:"Network" placeholder:"PASSWORD" help:"Password for the TURN servers; better given in the environment or in a file, which others on this machine cannot read. Default: none."`
	TURNPasswordFile string        `name:"turn-password-file" group:"Network" placeholder:"FILE" help:"File with that password; a line break at its end does not count. Default: none."`
	ICEPolicy        string        `name:"ice-policy" group:"Network" default:"all" enum:"all,relay" placeholder:"POLICY" help:"Ways to try: ${enum}. With relay all media goes through a TURN server, and no address of this machine is told. Default: ${default}."`
	UDPPorts         string        `name:"udp-ports" group:"Network" placeholder:"MIN-MAX" help:"Range of local UDP ports for media; each peer takes one per address of this machine. Default: any."`
	AnnounceIP       string        `name:"announce-ip" group:"Network" placeholder:"ADDRESS" help:"Address to name to peers in the place of this machine's own, such as that of the host of a container, whose ports are mapped one to one. Default: this machine's own."`
	Latency          time.Duration `group:"Network" default:"200ms" placeholder:"DURATION" help:"How long what is received waits for packets that come late or are sent again; less is less delay and more loss. Default: ${default}."`
}

// Bounds of --latency: none at all would lose every packet that is overtaken.
const (
	minLatency = time.Millisecond
	maxLatency = 10 * time.Second
)

// checkNetwork finds flags that do not go together.
func (f *flags) checkNetwork() error {
	relayOnly := f.ICEPolicy == "relay"
	switch {
	case f.TURNPassword != "" && f.TURNPasswordFile != "":
		return errors.New("--turn-password and --turn-password-file exclude each other")
	case len(f.TURN) == 0 && (f.TURNUser != "" || f.TURNPassword != "" || f.TURNPasswordFile != ""):
		return errors.New("--turn-user and --turn-password are for the server of --turn: give that as well")
	case len(f.TURN) > 0 && (f.TURNUser == "" || f.TURNPassword == "" && f.TURNPasswordFile == ""):
		return errors.New("--turn wants --turn-user, and --turn-password or --turn-password-file")
	case relayOnly && len(f.TURN) == 0 && f.STUN != "":
		return errors.New("--ice-policy relay wants --turn: the server of --stun cannot relay")
	case relayOnly && len(f.TURN) == 0 && f.Server == "":
		return errors.New("--ice-policy relay wants a TURN server: name one with --turn, or with --server a relay that does")
	case relayOnly && f.AnnounceIP != "":
		return errors.New("--announce-ip does nothing with --ice-policy relay, which tells no address of this machine")
	case f.Latency < minLatency || f.Latency > maxLatency:
		return fmt.Errorf("--latency wants %s to %s, got %s", minLatency, maxLatency, f.Latency)
	}
	return nil
}

// readNetwork says how peers are reached.
func (f *flags) readNetwork(s *settings) error {
	n := &s.media.Network
	n.RelayOnly, n.Latency = f.ICEPolicy == "relay", f.Latency
	var err error
	if n.MinPort, n.MaxPort, err = parsePorts(f.UDPPorts); err != nil {
		return forFlag("udp-ports", err)
	}
	if n.Announce, err = parseAnnounced(f.AnnounceIP); err != nil {
		return forFlag("announce-ip", err)
	}
	s.iceServers, err = f.iceServers()
	return err
}

// parsePorts reads MIN-MAX; 0 is any.
func parsePorts(text string) (first, last uint16, err error) {
	if text == "" {
		return 0, 0, nil
	}
	low, high, found := strings.Cut(text, "-")
	a, errLow := strconv.ParseUint(low, 10, 16)
	b, errHigh := strconv.ParseUint(high, 10, 16)
	switch {
	case !found, errLow != nil, errHigh != nil, a == 0, b == 0:
		return 0, 0, fmt.Errorf("want MIN-MAX with ports from 1 to 65535, such as 50000-50100, got %q", text)
	case a > b:
		return 0, 0, fmt.Errorf("want the smaller port first, got %q", text)
	}
	return uint16(a), uint16(b), nil
}

func parseAnnounced(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("want an IP address, such as 203.0.113.7, got %q", text)
	}
	if address = address.Unmap(); address.IsUnspecified() || address.IsMulticast() {
		return netip.Addr{}, fmt.Errorf("nobody can be reached at %s: want this machine's address as others see it", address)
	}
	return address, nil
}

// iceServers are those that the flags name.
func (f *flags) iceServers() ([]iceconfig.Server, error) {
	var servers []iceconfig.Server
	if f.STUN != "" {
		server, err := iceconfig.Parse(iceconfig.STUN, f.STUN)
		if err == nil && server.TLS {
			err = errNoTLS
		}
		if err != nil {
			return nil, forFlag("stun", err)
		}
		servers = append(servers, server)
	}
	password, err := f.turnPassword()
	if err != nil {
		return nil, err
	}
	for _, text := range f.TURN {
		server, err := iceconfig.Parse(iceconfig.TURN, text)
		if err == nil && server.TLS {
			err = errNoTLS
		}
		if err != nil {
			return nil, forFlag("turn", err)
		}
		server.Username, server.Credential = f.TURNUser, password
		servers = append(servers, server)
	}
	return servers, nil
}

// errNoTLS is for servers that want TLS.
var errNoTLS = errors.New("GStreamer's ICE library, libnice, cannot use TLS: name the server's port without TLS, for TURN with ?transport=tcp if need be; media is encrypted all the same")

func (f *flags) turnPassword() (string, error) {
	if f.TURNPasswordFile == "" {
		return f.TURNPassword, nil
	}
	content, err := os.ReadFile(f.TURNPasswordFile)
	if err != nil {
		return "", forFlag("turn-password-file", err)
	}
	password := bytes.TrimRight(content, "\r\n")
	if len(password) == 0 {
		return "", fmt.Errorf("--turn-password-file: %s is empty", f.TURNPasswordFile)
	}
	return string(password), nil
}

// locate looks up where servers are, except those with TLS, which cannot be used.
// The error is about those that are not found.
func locate(ctx context.Context, servers []iceconfig.Server) (located pipeline.ICEServers, missing error) {
	for _, server := range servers {
		if server.TLS {
			continue
		}
		addresses, err := server.Addresses(ctx)
		if err != nil {
			missing = errors.Join(missing, fmt.Errorf("%s server %s: %w", strings.ToUpper(string(server.Kind)), server, err))
			continue
		}
		switch server.Kind {
		case iceconfig.STUN:
			if !located.STUN.IsValid() { // libnice takes one
				located.STUN = addresses[0]
			}
		case iceconfig.TURN:
			for _, address := range addresses {
				located.TURN = append(located.TURN, pipeline.TURNServer{
					Address: address, TCP: server.TCP, Username: server.Username, Credential: server.Credential,
				})
			}
		}
	}
	return located, missing
}
