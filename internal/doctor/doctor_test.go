package doctor

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	var said strings.Builder
	r := NewReport(&said)
	r.Check("screen", nil, Missing)
	r.Check("camera", errors.New("none\nat all"), Missing)
	r.Check("sound", errors.New("none"), Warning)
	if want := "ok       screen\nmissing  camera: none; at all\nwarning  sound: none\n"; said.String() != want || r.Missing() != 1 {
		t.Errorf("got %q and %d missing, want %q and 1", said.String(), r.Missing(), want)
	}
}

func TestAddressesOfThisMachine(t *testing.T) {
	for _, c := range []struct {
		own       string
		container bool
		announced string
		want      string
	}{
		{own: "127.0.0.1 ::1 fe80::1 169.254.7.7", want: `^warning +addresses: only those of the loopback interface`},
		{own: "127.0.0.1 192.168.1.20 fd00::2", want: `^ok +addresses: 192.168.1.20, fd00::2$`},
		{own: "172.17.0.2", want: `^warning +addresses: 172.17.0.2, of a container.*--udp-ports.*--announce-ip`},
		{own: "172.17.0.1 192.168.1.20", want: `^ok `},
		{own: "veth:10.88.0.3", container: true, want: `^warning +addresses: 10.88.0.3, of a container`},
		{own: "veth:10.88.0.3", want: `^ok `},
		{own: "192.168.1.20", container: true, want: `^ok +addresses: 192.168.1.20$`},            // in the host's network,
		{own: "172.17.0.1 192.168.1.20", container: true, want: `^ok `},                          // with the bridge of others
		{own: "veth:10.88.0.3 192.168.1.20", container: true, want: `^ok +addresses: 10.88.0.3`}, // in a second network
		{own: "veth:203.0.113.7", container: true, want: `^ok `},
		{own: "veth:172.17.0.2", container: true, announced: "203.0.113.7", want: `^ok +addresses: 172.17.0.2, announced as 203.0.113.7$`},
	} {
		var own []address
		for text := range strings.FieldsSeq(c.own) {
			ip, ofContainer := strings.CutPrefix(text, "veth:")
			own = append(own, address{netip.MustParseAddr(ip), ofContainer})
		}
		announced, _ := netip.ParseAddr(c.announced)
		var said strings.Builder
		NewReport(&said).addresses(own, c.container, announced)
		if got := strings.TrimSpace(said.String()); !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s: %q, want %s", c.own, got, c.want)
		}
	}
}
