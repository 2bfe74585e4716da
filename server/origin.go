package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// origins are the pages that may use the relay; none of them means any page.
type origins []originPattern

type originPattern struct {
	scheme string
	host   string // in lower case, with the port if it is not the scheme's own
	below  bool   // host begins with a dot: any name below it
}

func parseOrigins(patterns []string) (origins, error) {
	parsed := make(origins, len(patterns))
	for i, pattern := range patterns {
		var err error
		if parsed[i], err = parseOrigin(pattern); err != nil {
			return nil, fmt.Errorf("%w: allowed origin: %w", ErrConfig, err)
		}
	}
	return parsed, nil
}

// parseOrigin takes no pattern that allows more than it seems to, such as
// https://*example.org, nor a scheme that no page has. Apps and extensions have some of
// their own.
func parseOrigin(pattern string) (originPattern, error) {
	u, err := url.Parse(pattern)
	if err != nil || slices.Contains([]string{"", "ws", "wss", "ftp"}, u.Scheme) || pattern != u.Scheme+"://"+u.Host {
		return originPattern{}, errOrigin(pattern)
	}
	domain, below := strings.CutPrefix(u.Hostname(), "*.")
	if domain == "" || domain[0] == '.' || strings.Contains(domain, "*") || strings.HasSuffix(u.Host, ":") {
		return originPattern{}, errOrigin(pattern)
	}
	return originPattern{u.Scheme, strings.TrimPrefix(originHost(u), "*"), below}, nil
}

func errOrigin(pattern string) error {
	return fmt.Errorf("want https://host, https://host:port or https://*.domain, or the same with another scheme, got %q", pattern)
}

// CheckOrigin tells what is wrong with one of Config.AllowedOrigins, if anything.
func CheckOrigin(pattern string) error {
	_, err := parseOrigin(pattern)
	return err
}

// originHost leaves out the port that a browser leaves out (RFC 6454, section 6.2).
func originHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; port != "" {
		host = strings.TrimSuffix(host, port)
	}
	return host
}

// allow tells whether the page that made the request may use the relay. What is
// not a browser names no origin, nor does a page that gets something from where
// it was loaded: only WebSockets always come with one.
func (o origins) allow(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if len(o) == 0 || origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if own(u, r) {
		return true
	}
	host := originHost(u)
	for _, p := range o {
		if p.scheme == u.Scheme && (host == p.host || p.below && strings.HasSuffix(host, p.host)) {
			return true
		}
	}
	return false
}

// own tells whether a page is the relay's. That the request came to the name that
// the page is of does not prove it: anybody can have a name of his lead here,
// once his page is loaded (DNS rebinding). An address cannot be made to.
func own(origin *url.URL, r *http.Request) bool {
	host := strings.ToLower(origin.Hostname())
	certain := net.ParseIP(host) != nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
	secure := origin.Scheme == "https" || r.TLS == nil
	return certain && secure && strings.EqualFold(origin.Host, r.Host)
}

// proxies are the networks whose word on a client's address is taken.
type proxies []netip.Prefix

// client gives the address that a request comes from: that of the connection
// or, as long as a trusted proxy says so, the one that X-Forwarded-For adds.
// Each proxy appends whom it got the request from, so the list is read from the
// right; what is left of the first untrusted address anybody may have written.
func (p proxies) client(r *http.Request) netip.Addr {
	client := remoteAddress(r)
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(forwarded) - 1; i >= 0 && p.trust(client); i-- {
		next, ok := parseAddress(strings.TrimSpace(forwarded[i]))
		if !ok {
			break
		}
		client = next
	}
	return client
}

func (p proxies) trust(address netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// remoteAddress is the other end of the connection; the zero address if that is
// not TCP.
func remoteAddress(r *http.Request) netip.Addr {
	address, _ := parseAddress(r.RemoteAddr)
	return address
}

// parseAddress reads an address with or without a port.
func parseAddress(text string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	address, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return address.Unmap().WithZone(""), err == nil
}
