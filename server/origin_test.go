package server

import (
	"errors"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestAllowedOrigins(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		origin   string
		want     bool
	}{
		{nil, "https://anywhere.example", true},
		{nil, "null", true},
		{[]string{"https://app.example"}, "", true}, // not a browser
		{[]string{"https://app.example"}, "https://app.example", true},
		{[]string{"https://app.example"}, "https://APP.example:443", true},
		{[]string{"https://app.example:443"}, "https://app.example", true},
		{[]string{"https://app.example"}, "http://app.example", false},
		{[]string{"https://app.example"}, "https://app.example:8443", false},
		{[]string{"https://app.example:8443"}, "https://app.example:8443", true},
		{[]string{"https://app.example"}, "https://app.example.evil.example", false},
		{[]string{"https://app.example"}, "https://evil.example", false},
		{[]string{"https://app.example"}, "null", false},
		{[]string{"https://app.example"}, "https://relay.example", false}, // it may be rebound
		{[]string{"https://*.app.example"}, "https://a.app.example", true},
		{[]string{"https://*.app.example"}, "https://app.example", false},
		{[]string{"https://*.app.example"}, "https://evilapp.example", false},
		{[]string{"https://*.app.example:8443"}, "https://a.b.app.example:8443", true},
		{[]string{"https://*.app.example:8443"}, "https://a.app.example", false},
		{[]string{"http://[2001:db8::1]:8443"}, "http://[2001:db8::1]:8443", true},
		{[]string{"https://a.example", "https://b.example"}, "https://b.example", true},
		{[]string{"capacitor://localhost"}, "capacitor://localhost", true}, // an app
	} {
		allowed, err := parseOrigins(c.patterns)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "https://relay.example/ws", nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if got := allowed.allow(r); got != c.want {
			t.Errorf("%q, origin %q: %v, want %v", c.patterns, c.origin, got, c.want)
		}
	}
	elsewhere, err := parseOrigins([]string{"https://elsewhere.example"})
	if err != nil {
		t.Fatal(err)
	}
	for target, pages := range map[string]map[string]bool{ // is it the relay's own page
		"https://192.0.2.1/ws":           {"https://192.0.2.1": true, "http://192.0.2.1": false, "https://192.0.2.1:8443": false},
		"https://[2001:db8::1]:8443/ws":  {"https://[2001:db8::1]:8443": true, "https://[2001:db8::2]:8443": false},
		"http://localhost:8443/ws":       {"http://localhost:8443": true, "https://localhost:8443": true, "http://localhost": false},
		"http://relay.localhost:8443/ws": {"http://relay.localhost:8443": true, "http://localhost:8443": false},
		"http://relay.example/ws":        {"http://relay.example": false, "http://localhost.example": false},
	} {
		for origin, want := range pages {
			r := httptest.NewRequest("GET", target, nil)
			r.Header.Set("Origin", origin)
			if got := elsewhere.allow(r); got != want {
				t.Errorf("%s from the page at %s: %v, want %v", target, origin, got, want)
			}
		}
	}
	for _, pattern := range []string{"", "*", "app.example", "https://app.example/", "https://app.example/path", "https://",
		"https://:443", "https://app.example:", "https://app.example:port", "https://me@app.example", "ftp://app.example", "wss://app.example", "//app.example",
		"https://*", "https://*:8443", "https://*.", "https://*.:8443", "https://*..example", "https://*app.example", "https://app.*",
		"https://a.*.example", "https://*.*.example", "https://**.example"} {
		if _, err := parseOrigins([]string{pattern}); !errors.Is(err, ErrConfig) {
			t.Errorf("pattern %q: error %v, want ErrConfig", pattern, err)
		}
	}
}

func TestClientAddress(t *testing.T) {
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:1000", nil, "192.0.2.1"},
		{"192.0.2.1:1000", []string{"203.0.113.9"}, "192.0.2.1"}, // anybody can claim anything
		{"10.0.0.1:1000", nil, "10.0.0.1"},
		{"10.0.0.1:1000", []string{"203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.1:1000", []string{"198.51.100.7, 203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.1:1000", []string{"198.51.100.7", "203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.1:1000", []string{"203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"10.0.0.1:1000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"10.0.0.1:1000", []string{"203.0.113.9, unknown"}, "10.0.0.1"},
		{"10.0.0.1:1000", []string{"203.0.113.9:55555"}, "203.0.113.9"},
		{"[fd00::1]:1000", []string{"[2001:db8::9]:55555"}, "2001:db8::9"},
		{"[fd00::1]:1000", []string{"2001:db8::9"}, "2001:db8::9"},
		{"[::ffff:10.0.0.1]:1000", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		for _, value := range c.forwarded {
			r.Header.Add("X-Forwarded-For", value)
		}
		if got := trusted.client(r); got.String() != c.want {
			t.Errorf("%s, forwarded for %q: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "@"
	if got := trusted.client(r); got.IsValid() {
		t.Errorf("a client on no network has the address %s", got)
	}
}
