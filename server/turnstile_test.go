package server

import (
	"net/netip"
	"testing"
)

func TestNetworkOfClient(t *testing.T) {
	for client, want := range map[string]string{
		"192.0.2.17":           "192.0.2.17/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
	} {
		if got := networkOf(netip.MustParseAddr(client)); got != netip.MustParsePrefix(want) {
			t.Errorf("%s is one of %s, want %s", client, got, want)
		}
	}
	if networkOf(netip.Addr{}).IsValid() {
		t.Error("a client without an address has a network")
	}
}
