package doctor

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// dockerBridge is the network that containers are in unless they are told
// otherwise.
var dockerBridge = netip.MustParsePrefix("172.17.0.0/16")

// Addresses reports at what addresses peers could reach this machine; announced is
// the one that they are told instead, if it is valid.
func (r *Report) Addresses(announced netip.Addr) {
	r.addresses(ownAddresses(), inContainer(), announced)
}

func (r *Report) addresses(own []netip.Addr, container bool, announced netip.Addr) {
	own = slices.DeleteFunc(slices.Clone(own), func(a netip.Addr) bool { return a.IsLoopback() || a.IsLinkLocalUnicast() })
	hidden := !slices.ContainsFunc(own, func(a netip.Addr) bool { return !dockerBridge.Contains(a) && !(container && a.IsPrivate()) })
	list := joined(own)
	switch {
	case len(own) == 0:
		r.Add(Warning, "addresses: only those of the loopback interface, so that nobody on another machine is reached: connect a network")
	case announced.IsValid():
		r.Add(OK, "addresses: %s, announced as %s", list, announced)
	case hidden:
		r.Add(Warning, "addresses: %s, of a container, which peers outside do not reach: run it in the host's network, or map the ports of --udp-ports one to one and name the host's address with --announce-ip, or use a TURN server", list)
	default:
		r.Add(OK, "addresses: %s", list)
	}
}

func joined(addresses []netip.Addr) string {
	texts := make([]string, len(addresses))
	for i, a := range addresses {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

func ownAddresses() []netip.Addr {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Addr
	for _, a := range found {
		if prefix, isIP := a.(*net.IPNet); isIP {
			if address, ok := netip.AddrFromSlice(prefix.IP); ok {
				own = append(own, address.Unmap())
			}
		}
	}
	return own
}

// inContainer says whether Docker or Podman says so.
func inContainer() bool {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}
