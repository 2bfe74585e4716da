package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/nettest"
)

// Tests of networks that fail run in processes of this test binary that have
// networks of their own: a near one, with the relay and gstpeer, and a far one,
// with a viewer. A bridge joins them, so that what happens in between changes
// nothing that either end can see of its own network.
const (
	inNetwork   = "TEST_RUNS_IN_NETWORK" // "near" or "far"
	farPage     = "TEST_FAR_PAGE"
	firstName   = "TEST_WHO_IS_FIRST" // "gstpeer" or "viewer": the other one offers
	nearAddress = "10.77.0.1"
	farAddress  = "10.77.0.2"
)

// networkAway is how long the viewer's network is cut, and pictureBack how soon
// after it the picture has to be back, with some time for a machine that is busy.
const (
	networkAway = 20 * time.Second
	pictureBack = 5 * time.Second
	busy        = 3 * time.Second
)

// startTest runs a test of this binary in a new network.
func startTest(t *testing.T, name string, environment ...string) *program {
	t.Helper()
	return startProgram(t, nettest.Test(t, name, 0, environment...))
}

// TestViewerCutOff cuts the network of one of two viewers. Its picture comes back
// soon after the network does, and the other one loses nothing.
func TestViewerCutOff(t *testing.T) {
	if os.Getenv(inNetwork) == "near" {
		cutOff(t, os.Getenv(firstName))
		return
	}
	nettest.Require(t, 0)
	for _, first := range []string{"gstpeer", "viewer"} {
		t.Run(first+" is there first", func(t *testing.T) {
			t.Parallel()
			near := startTest(t, "TestViewerCutOff", inNetwork+"=near", firstName+"="+first)
			if code := near.ExitCode(3*patience + networkAway); code != 0 {
				t.Errorf("exit code %d", code)
			}
			t.Log(regexp.MustCompile(`picture back .*`).FindString(near.stdout.String()))
		})
	}
}

// cutOff is what happens in the near network.
func cutOff(t *testing.T, first string) {
	makeNear(t)
	relay, _ := startRelayAt(t, nearAddress+":0")
	page := url.URL{Scheme: "http", Host: relay, Path: "/", RawQuery: "room=demo"}
	far := startTest(t, "TestFarViewer", inNetwork+"=far", farPage+"="+page.String())
	nettest.IP(t, fmt.Sprintf("link set far0 netns %d", far.Command.Process.Pid))
	if first == "viewer" {
		await(t, "page far away", func() bool { return strings.Contains(far.stdout.String(), "joined") })
	}
	startStreamingTo(t, "ws://"+relay, "cam")
	v, picture := watch(t, "ws://"+relay+"/?role=viewer", "near")
	await(t, "picture far away", func() bool { return decoded(far) >= enoughFrames })

	nettest.IP(t, "link set near0 nomaster")
	time.Sleep(networkAway / 2)
	cutAt := decoded(far)
	time.Sleep(networkAway / 2)
	if now := decoded(far); now != cutAt {
		t.Fatalf("the network is not cut: %d more frames", now-cutAt)
	}
	nettest.IP(t, "link set near0 master wire")
	mended := time.Now()
	await(t, "picture far away", func() bool { return decoded(far) > cutAt })
	back := time.Since(mended)
	t.Logf("picture back after %s", back.Round(10*time.Millisecond))
	if back > pictureBack+busy {
		t.Errorf("the picture was back %s after the network, want at most %s, and %s more on a busy machine", back, pictureBack, busy)
	}
	await(t, "picture that goes on", func() bool { return decoded(far) >= cutAt+3*enoughFrames })
	v.checkUndisturbed(picture)
	if closer, ok := far.stdin.(io.Closer); ok {
		closer.Close()
	}
	if code := far.ExitCode(patience); code != 0 {
		t.Errorf("the far viewer ends with %d", code)
	}
}

// makeNear makes the near end and the bridge, which an idle port keeps up. The
// kernel says up to a second late that the bridge runs, and before that nobody
// takes its address for a candidate.
func makeNear(t *testing.T) {
	t.Helper()
	nettest.IP(t, "link set lo up")
	nettest.IP(t, "link add name wire type bridge")
	nettest.IP(t, "address add "+nearAddress+"/24 dev wire")
	nettest.IP(t, "link add near0 type veth peer name far0")
	nettest.IP(t, "link add idle0 type veth peer name idle1")
	for _, device := range []string{"near0 master wire", "idle0 master wire", "idle1", "wire"} {
		nettest.IP(t, "link set "+device+" up")
	}
	await(t, "bridge", func() bool {
		wire, err := net.InterfaceByName("wire")
		return err == nil && wire.Flags&net.FlagRunning != 0
	})
}

// decoded is how many frames the far viewer has decoded, over all its connections.
func decoded(far *program) int {
	all := regexp.MustCompile(`(?m)^decoded (\d+)$`).FindAllStringSubmatch(far.stdout.String(), -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1][1])
	return n
}

// TestFarViewer is the page in the far network. It tells on standard output what
// it sees, until standard input ends.
func TestFarViewer(t *testing.T) {
	if os.Getenv(inNetwork) != "far" {
		t.Skip("it is a part of TestViewerCutOff")
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	await(t, "network", func() bool { _, err := net.InterfaceByName("far0"); return err == nil })
	nettest.IP(t, "link set lo up")
	nettest.IP(t, "address add "+farAddress+"/24 dev far0")
	nettest.IP(t, "link set far0 up")
	page := os.Getenv(farPage)
	b := browsertest.Open(t, page)
	b.Eventually(`document.body.dataset.relay === 'joined'`)
	fmt.Println("joined")
	last, total := b.Inbound("cam", "video"), 0
	for {
		select {
		case <-over:
			return
		case <-time.After(100 * time.Millisecond):
		}
		now := b.Inbound("cam", "video")
		if now.SSRC != last.SSRC {
			last = browsertest.Inbound{}
		}
		if now.FramesDecoded > last.FramesDecoded {
			total += now.FramesDecoded - last.FramesDecoded
			fmt.Printf("decoded %d\n", total)
		}
		last = now
	}
}
