package containertest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/nettest"
)

// What a process of this test with a network of its own has to watch, and the
// interface that it gets.
const (
	farPage = "TEST_FAR_PAGE"
	farLink = "TEST_FAR_LINK"
)

// This machine and another one, which reaches nothing else.
const (
	hostAddress = "10.78.0.1"
	farAddress  = "10.78.0.2"
)

// TestMappedPorts watches a container from another machine, which reaches the
// ports alone that are mapped.
func TestMappedPorts(t *testing.T) {
	if page := os.Getenv(farPage); page != "" {
		watchFromFar(t, page)
		return
	}
	e := newBuiltEngine(t)
	nettest.Require(t, 0)
	here, far := fmt.Sprintf("gp%d", os.Getpid()), fmt.Sprintf("gq%d", os.Getpid())
	nettest.IP(t, "link add "+here+" type veth peer name "+far)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", here).Run() }) // it may be gone with the other one
	nettest.IP(t, "address add "+hostAddress+"/24 dev "+here)
	nettest.IP(t, "link set "+here+" up")

	c := e.run(t, peerImage, "--publish", hostAddress+":50443:8443", "--publish", hostAddress+":50000-50010:50000-50010/udp",
		"--env", "GSTPEER_NAME=cam", "--env", "GSTPEER_UDP_PORTS=50000-50010", "--env", "GSTPEER_ANNOUNCE_IP="+hostAddress)
	c.awaitHealthy()
	viewer := nettest.Own(exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMappedPorts$", "-test.v"), 0)
	viewer.Env = append(os.Environ(), farPage+"=http://"+hostAddress+":50443/?room=demo", farLink+"="+far)
	var said bytes.Buffer
	viewer.Stdout, viewer.Stderr = &said, &said
	if err := viewer.Start(); err != nil {
		t.Fatal(err)
	}
	nettest.IP(t, fmt.Sprintf("link set %s netns %d", far, viewer.Process.Pid))
	if err := viewer.Wait(); err != nil {
		t.Errorf("the other machine: %v:\n%s", err, &said)
	}
	if report := e.podman(t, "exec", c.name, "/usr/bin/gstpeer", "doctor"); !strings.Contains(report, ", announced as "+hostAddress) {
		t.Errorf("doctor says:\n%s", report)
	}
	c.stop()
}

// watchFromFar is what the other machine does.
func watchFromFar(t *testing.T, page string) {
	link := os.Getenv(farLink)
	await(t, func() error { _, err := net.InterfaceByName(link); return err })
	nettest.IP(t, "link set lo up")
	nettest.IP(t, "address add "+farAddress+"/24 dev "+link)
	nettest.IP(t, "link set "+link+" up")
	b := browsertest.Open(t, page)
	b.AwaitFrames("cam", enoughFrames)
	named := browsertest.Evaluate[[]string](b, `gstpeer.peers().find(({uid}) => uid === 'cam').stats().then(stats =>
		stats.filter(({type}) => type === 'remote-candidate').map(({address, port}) => address + ' ' + port))`)
	for _, candidate := range named {
		var port int
		if n, _ := fmt.Sscanf(candidate, hostAddress+" %d", &port); n != 1 || port < 50000 || port > 50010 {
			t.Errorf("media comes from %s, want a mapped port of %s", candidate, hostAddress)
		}
	}
	if len(named) == 0 {
		t.Error("getStats names no candidate of the container")
	}
}
