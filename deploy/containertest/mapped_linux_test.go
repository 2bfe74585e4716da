package containertest

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/nettest"
	"github.com/gstpeer/gstpeer/internal/proctest"
)

// TestMappedPorts runs in three processes with a network each: that of the test,
// which it leaves as it is; a machine with a container; and a viewer, which
// reaches nothing else than that machine.
const (
	mappedRole = "TEST_MAPPED_ROLE" // "machine" or "viewer"
	mappedPage = "TEST_MAPPED_PAGE" // what the viewer watches

	machineAddress = "10.78.0.1"
	viewerAddress  = "10.78.0.2"
)

// TestMappedPorts watches a container from another machine, which reaches the
// ports alone that are mapped.
func TestMappedPorts(t *testing.T) {
	switch os.Getenv(mappedRole) {
	case "machine":
		runMapped(t)
		return
	case "viewer":
		watchMapped(t, os.Getenv(mappedPage))
		return
	}
	newBuiltEngine(t)
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("CI") != "":
		t.Fatal("root is required here, for containers in a network of one's own")
	default:
		t.Skip("podman needs root for containers in a network of one's own")
	}
	nettest.Require(t, 0)
	if code := startMapped(t, "machine").ExitCode(5 * patience); code != 0 {
		t.Errorf("the machine with the container ends with %d", code)
	}
}

// startMapped starts this test in another role, in a network of its own.
func startMapped(t *testing.T, role string, environment ...string) *proctest.Process {
	t.Helper()
	command := nettest.Test(t, "TestMappedPorts", 0, append(environment, mappedRole+"="+role)...)
	said := new(proctest.Output)
	command.Stdout, command.Stderr = said, said
	return proctest.Start(t, command)
}

// runMapped is what the machine does that has the container.
func runMapped(t *testing.T) {
	e := newEngine(t)
	for _, arguments := range []string{
		"link set lo up",
		"link add near type veth peer name far",
		"address add " + machineAddress + "/24 dev near",
		"link set near up",
	} {
		nettest.IP(t, arguments)
	}
	c := e.run(t, peerImage, "--publish", machineAddress+":50443:8443", "--publish", machineAddress+":50000-50010:50000-50010/udp",
		"--env", "GSTPEER_NAME=cam", "--env", "GSTPEER_UDP_PORTS=50000-50010", "--env", "GSTPEER_ANNOUNCE_IP="+machineAddress)
	c.awaitHealthy()
	viewer := startMapped(t, "viewer", mappedPage+"=http://"+machineAddress+":50443/?room=demo")
	nettest.IP(t, fmt.Sprintf("link set far netns %d", viewer.Command.Process.Pid))
	if code := viewer.ExitCode(3 * patience); code != 0 {
		t.Errorf("the viewer ends with %d", code)
	}
	if report := e.podman(t, "exec", c.name, "/usr/bin/gstpeer", "doctor"); !strings.Contains(report, ", announced as "+machineAddress) {
		t.Errorf("doctor says:\n%s", report)
	}
	c.stop()
}

// watchMapped is what the other machine does.
func watchMapped(t *testing.T, page string) {
	await(t, func() error { _, err := net.InterfaceByName("far"); return err })
	for _, arguments := range []string{
		"link set lo up",
		"address add " + viewerAddress + "/24 dev far",
		"link set far up",
	} {
		nettest.IP(t, arguments)
	}
	b := browsertest.Open(t, page)
	b.AwaitFrames("cam", enoughFrames)
	named := browsertest.Evaluate[[]string](b, `gstpeer.peers().find(({uid}) => uid === 'cam').stats().then(stats =>
		stats.filter(({type}) => type === 'remote-candidate').map(({address, port}) => address + ' ' + port))`)
	for _, candidate := range named {
		var port int
		if n, _ := fmt.Sscanf(candidate, machineAddress+" %d", &port); n != 1 || port < 50000 || port > 50010 {
			t.Errorf("media comes from %s, want a mapped port of %s", candidate, machineAddress)
		}
	}
	if len(named) == 0 {
		t.Error("getStats names no candidate of the container")
	}
}
