package iceconfig

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		text string
		want Server // without its kind
		url  string
	}{
		{STUN, "stun.example.org", Server{Host: "stun.example.org", Port: 3478}, "stun:stun.example.org:3478"},
		{STUN, "stun:192.0.2.1:19302", Server{Host: "192.0.2.1", Port: 19302}, "stun:192.0.2.1:19302"},
		{STUN, "[2001:db8::1]", Server{Host: "2001:db8::1", Port: 3478}, "stun:[2001:db8::1]:3478"},
		{STUN, "stuns:stun.example.org", Server{Host: "stun.example.org", Port: 5349, TLS: true, TCP: true}, "stuns:stun.example.org:5349"},
		{TURN, "turn.example.org:443", Server{Host: "turn.example.org", Port: 443}, "turn:turn.example.org:443"},
		{TURN, "turn:turn:3478?transport=udp", Server{Host: "turn", Port: 3478}, "turn:turn:3478"},
		{TURN, "turn:[2001:db8::1]:443?transport=tcp", Server{Host: "2001:db8::1", Port: 443, TCP: true}, "turn:[2001:db8::1]:443?transport=tcp"},
		{TURN, "turns:turn.example.org?transport=tcp", Server{Host: "turn.example.org", Port: 5349, TLS: true, TCP: true}, "turns:turn.example.org:5349?transport=tcp"},
	} {
		c.want.Kind = c.kind
		got, err := Parse(c.kind, c.text)
		if err != nil || got != c.want || got.String() != c.url {
			t.Errorf("%q: %+v %v, want %s", c.text, got, err, c.url)
		}
	}
	for _, c := range []struct {
		kind Kind
		text string
	}{
		{STUN, ""}, {STUN, "turn:turn.example.org"}, {STUN, "host:0"}, {STUN, "host:65536"}, {STUN, "host:"}, {STUN, "host:port"},
		{STUN, ":3478"}, {STUN, "3478"}, {STUN, "2001:db8::1"}, {STUN, "a b"}, {STUN, "stun://host"}, {STUN, "host/path"},
		{STUN, "host?transport=udp"}, {STUN, strings.Repeat("a", 254)}, {STUN, "[host]x"},
		{TURN, "turn:user:secret@host"}, {TURN, "turn:host?transport=sctp"}, {TURN, "turn:host?x=y"}, {TURN, "turns:host?transport=udp"},
		{TURN, "stun:host"}, {TURN, "http://host"},
	} {
		got, err := Parse(c.kind, c.text)
		if !errors.Is(err, ErrServer) {
			t.Errorf("%q: %+v %v, want ErrServer", c.text, got, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the password is in %q", c.text, err)
		}
	}
}

// TestParseURL: what users may leave out, browsers want.
func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		text string
		want bool
	}{
		{STUN, "stun:host", true}, {STUN, "stuns:host:443", true}, {STUN, "stun:[2001:db8::1]:3478", true},
		{TURN, "turn:host", true}, {TURN, "turns:host:443?transport=tcp", true}, {TURN, "turn:host?transport=udp", true},
		{STUN, "host", false}, {STUN, "host:3478", false}, {STUN, "turn:host", false}, {STUN, "stun:host:99999", false},
		{STUN, "stun:host:0", false}, {STUN, "stun:[:::::]", false}, {STUN, "stun:3478", false}, {STUN, "stun:[fe80::1%eth0]", false},
		{STUN, "stun:[host]", false}, {STUN, "stun:[192.0.2.1]:3478", false},
		{TURN, "stun:host", false}, {TURN, "turns:host?transport=udp", false}, {TURN, "turn:user:secret@host", false}, {TURN, "", false},
	} {
		s, err := ParseURL(c.kind, c.text)
		if (err == nil) != c.want || err == nil && s.Host == "" {
			t.Errorf("%s %q: %+v %v, want success %t", c.kind, c.text, s, err, c.want)
		}
		if err != nil && (!errors.Is(err, ErrServer) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: %v, want ErrServer without what was given", c.text, err)
		}
	}
}

func TestServerKeepsSecrets(t *testing.T) {
	s := Server{Kind: TURN, Host: "host", Port: 1, Username: "user", Credential: "secret"}
	if text := s.String(); strings.Contains(text, "secret") {
		t.Errorf("the password is in %q", text)
	}
}

func TestAddresses(t *testing.T) {
	got, err := Server{Host: "::ffff:192.0.2.1", Port: 7}.Addresses(t.Context())
	if err != nil || !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7")}) {
		t.Errorf("got %v %v, want one IPv4 address", got, err)
	}
	if _, err := (Server{Host: "nobody.invalid", Port: 7}).Addresses(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
