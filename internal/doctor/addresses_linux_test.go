package doctor

import (
	"os"
	"syscall"
	"testing"

	"github.com/gstpeer/gstpeer/internal/nettest"
)

// inNetwork marks the process of this test that has a network of its own.
const inNetwork = "TEST_RUNS_IN_NETWORK"

// TestInterfaces looks at interfaces such as hosts have, and containers.
func TestInterfaces(t *testing.T) {
	if os.Getenv(inNetwork) == "" {
		nettest.Require(t, syscall.CLONE_NEWNS)
		text, err := nettest.Test(t, "TestInterfaces", syscall.CLONE_NEWNS, inNetwork+"=1").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return
	}
	for _, err := range []error{
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("none", "/sys", "sysfs", 0, ""), // that of this network
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	nettest.IP(t, "link add eth0 type veth peer name wire")
	nettest.IP(t, "address add 10.88.0.3/24 dev eth0")
	nettest.IP(t, "link add bridge0 type bridge")
	nettest.IP(t, "address add 192.168.1.20/24 dev bridge0")
	want := map[string]bool{"10.88.0.3": true, "192.168.1.20": false}
	seen := 0
	for _, a := range ownAddresses() {
		ofContainer, known := want[a.String()]
		if !known {
			continue
		}
		seen++
		if a.ofContainer != ofContainer {
			t.Errorf("%s: of a container: %v, want %v", a, a.ofContainer, ofContainer)
		}
	}
	if seen != len(want) {
		t.Errorf("%d addresses seen, want %d", seen, len(want))
	}
}
