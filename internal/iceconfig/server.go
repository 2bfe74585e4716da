// Package iceconfig is about the STUN and TURN servers that help peers to find a
// way to one another: as users and relays name them, and how they are had from a
// relay while their credentials come and go.
package iceconfig

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrServer is wrapped by every error about how a server is named.
var ErrServer = errors.New("invalid ICE server")

// Kind is what a server is for.
type Kind string

// The kinds of servers. With TLS their URLs begin with stuns: and turns:.
const (
	STUN Kind = "stun"
	TURN Kind = "turn"
)

// The ports of RFC 8489 and RFC 8656.
const (
	defaultPort    = 3478
	defaultTLSPort = 5349
)

// Server is a STUN or TURN server.
type Server struct {
	Kind Kind
	Host string // a name or an address
	Port uint16
	TLS  bool
	TCP  bool // so it is with TLS

	Username, Credential string // of TURN
}

// HostPort is the server's address.
func (s Server) HostPort() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

// String is the server's URL (RFC 7064, RFC 7065), without what is secret.
func (s Server) String() string {
	url := string(s.Kind)
	if s.TLS {
		url += "s"
	}
	url += ":" + s.HostPort()
	if s.TCP && s.Kind == TURN {
		url += "?transport=tcp"
	}
	return url
}

// Parse reads a server as a user names it, HOST or HOST:PORT, or as a URL of
// that kind. The port is the usual one if it is left out.
func Parse(kind Kind, text string) (Server, error) {
	s := Server{Kind: kind}
	refuse := func() (Server, error) {
		transport := ""
		if kind == TURN {
			transport = fmt.Sprintf(", %s:HOST:PORT?transport=tcp", kind)
		}
		// What was given may hold a password.
		return Server{}, fmt.Errorf("%w: want HOST:PORT or %s:HOST:PORT%s", ErrServer, kind, transport)
	}
	rest := text
	if after, found := strings.CutPrefix(rest, string(kind)+"s:"); found {
		rest, s.TLS, s.TCP = after, true, true
	} else {
		rest = strings.TrimPrefix(rest, string(kind)+":")
	}
	rest, query, asked := strings.Cut(rest, "?")
	if asked {
		transport, isTransport := strings.CutPrefix(query, "transport=")
		if !isTransport || kind != TURN || transport != "udp" && transport != "tcp" || s.TLS && transport == "udp" {
			return refuse()
		}
		s.TCP = transport == "tcp"
	}
	var err error
	if s.Host, s.Port, err = s.splitHostPort(rest); err != nil {
		return refuse()
	}
	return s, nil
}

// ParseURL reads a server's URL (RFC 7064, RFC 7065) as a browser does, which
// takes no zone of an address.
func ParseURL(kind Kind, text string) (Server, error) {
	s, err := Parse(kind, text)
	hasScheme := strings.HasPrefix(text, string(kind)+":") || strings.HasPrefix(text, string(kind)+"s:")
	if err == nil && hasScheme && !strings.Contains(text, "%") {
		return s, nil
	}
	transport := ""
	if kind == TURN {
		transport = fmt.Sprintf(" or %[1]s:HOST:PORT?transport=tcp, with %[1]ss: for TLS", kind)
	}
	return Server{}, fmt.Errorf("%[1]w: want %[2]s:HOST, %[2]s:HOST:PORT%[3]s", ErrServer, kind, transport)
}

func (s Server) splitHostPort(text string) (host string, port uint16, err error) {
	port = defaultPort
	if s.TLS {
		port = defaultTLSPort
	}
	switch {
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		host = text[1 : len(text)-1]
	case strings.Contains(text, ":"):
		var number string
		if host, number, err = net.SplitHostPort(text); err != nil {
			return "", 0, err
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return "", 0, errors.New("no port")
		}
		port = uint16(n)
	default:
		host = text
	}
	if bracketed := strings.HasPrefix(text, "["); !isHost(host) || bracketed != strings.Contains(host, ":") {
		return "", 0, errors.New("no host")
	}
	return host, port, nil
}

// isHost says whether a text can be an address or a name. A number is neither:
// it is a port that lacks its host.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	name := strings.Trim(text, "0123456789") != ""
	for _, c := range text {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return name && len(text) <= 253
}
