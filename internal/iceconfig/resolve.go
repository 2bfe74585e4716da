package iceconfig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// ErrNotFound is wrapped by the error for a host that has no address.
var ErrNotFound = errors.New("host cannot be found")

// resolveTimeout bounds the search for the addresses of one host.
const resolveTimeout = 5 * time.Second

// Addresses looks up where a server is: at most one address of each family, IPv4
// first. Several of one family are the same server.
func (s Server) Addresses(ctx context.Context) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.Host)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrNotFound, s.Host, err)
	}
	var v4, v6 netip.Addr
	for _, a := range found {
		switch a = a.Unmap(); {
		case a.Is4() && !v4.IsValid():
			v4 = a
		case a.Is6() && !v6.IsValid():
			v6 = a
		}
	}
	var addresses []netip.AddrPort
	for _, a := range []netip.Addr{v4, v6} {
		if a.IsValid() {
			addresses = append(addresses, netip.AddrPortFrom(a, s.Port))
		}
	}
	return addresses, nil
}
