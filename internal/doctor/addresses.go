package doctor

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dockerBridge is the network that containers are in unless they are told
// otherwise.
var dockerBridge = netip.MustParsePrefix("172.17.0.0/16")

// address is one that this machine has.
type address struct {
	netip.Addr
	// ofContainer is true on an interface such as containers have in a network of
	// their own. In that of the host they have the interfaces of the host.
	ofContainer bool
}

// Addresses reports at what addresses peers could reach this machine; announced is
// the one that they are told instead, if it is valid.
func (r *Report) Addresses(announced netip.Addr) {
	r.addresses(ownAddresses(), inContainer(), announced)
}

func (r *Report) addresses(own []address, container bool, announced netip.Addr) {
	own = slices.DeleteFunc(slices.Clone(own), func(a address) bool { return a.IsLoopback() || a.IsLinkLocalUnicast() })
	hidden := !slices.ContainsFunc(own, func(a address) bool {
		return !dockerBridge.Contains(a.Addr) && !(container && a.ofContainer && a.IsPrivate())
	})
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

func joined(addresses []address) string {
	texts := make([]string, len(addresses))
	for i, a := range addresses {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

func ownAddresses() []address {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var own []address
	for _, i := range interfaces {
		found, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		ofContainer := isOfContainer(filepath.Join("/sys/class/net", i.Name))
		for _, a := range found {
			if prefix, isIP := a.(*net.IPNet); isIP {
				if ip, ok := netip.AddrFromSlice(prefix.IP); ok {
					own = append(own, address{ip.Unmap(), ofContainer})
				}
			}
		}
	}
	return own
}

// isOfContainer looks at an interface, in sysfs: engines that run as root give
// containers one end of a veth pair, and others a tap device. A veth is linked to
// another interface, as a VLAN is, but has no type. What cannot be looked at may be
// a container's.
func isOfContainer(sysfs string) bool {
	index, err := os.ReadFile(filepath.Join(sysfs, "ifindex"))
	if err != nil {
		return true
	}
	if _, err := os.Stat(filepath.Join(sysfs, "tun_flags")); err == nil {
		return true
	}
	link, _ := os.ReadFile(filepath.Join(sysfs, "iflink"))
	event, _ := os.ReadFile(filepath.Join(sysfs, "uevent"))
	return string(link) != string(index) && !strings.Contains(string(event), "DEVTYPE=")
}

// inContainer says whether Docker or Podman says so. The latter leaves its file out
// where the root is read-only.
func inContainer() bool {
	if os.Getenv("container") == "podman" {
		return true
	}
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}
