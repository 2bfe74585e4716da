package cameratest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/relaytest"
)

const (
	program = WorkDirectory + "/gstpeer"
	camera  = "v4l2:/dev/video0"

	// enoughFrames are a second or two.
	enoughFrames = 15
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

// TestCamera lists a camera and watches it in a browser. It unplugs it, by taking
// it from its driver, and plugs it in again.
func TestCamera(t *testing.T) {
	m := boot(t)
	m.admit()
	m.isListed()
	relay, _ := relaytest.Start(t, "127.0.0.1:0")
	start := time.Now()
	peer := m.begin(user(program, "--server", fmt.Sprintf("ws://%s:%d", HostAddress, relay.Port), "--room", "demo", "--name", "cam",
		"--video", camera, "--width", "320", "--height", "180", "--frame-rate", "10"))
	b := browsertest.Open(t, fmt.Sprintf("http://%s/?room=demo", relay))
	b.AwaitPicture("cam")
	b.AwaitFrames("cam", enoughFrames)
	t.Logf("watched after %s", time.Since(start).Round(time.Second))

	m.unplug()
	b.AwaitSlate("cam")
	b.AwaitFrames("cam", enoughFrames)
	m.plug()
	b.AwaitPicture("cam")
	b.AwaitFrames("cam", enoughFrames)
	m.shell("kill -TERM $(pidof gstpeer)")
	result := peer.wait()
	if result.Code != 0 {
		t.Errorf("after SIGTERM: exit code %d, want 0", result.Code)
	}
	for _, line := range []string{"source lost", "source back"} {
		if n := strings.Count(result.Output, line); n != 1 {
			t.Errorf("%d lines of the log say %q, want 1", n, line)
		}
	}
	if strings.Contains(result.Output, "DATA RACE") {
		t.Error("gstpeer has a data race")
	}
}

// isListed holds that gstpeer devices names the camera, and how to use it.
func (m *machine) isListed() {
	m.t.Helper()
	listed := m.run(user(program, "devices"))
	if want := "--video " + camera + "\n"; listed.Code != 0 || !strings.HasPrefix(listed.Output, "camera ") || !strings.HasSuffix(listed.Output, want) {
		m.t.Errorf("gstpeer devices: exit code %d, %q, want a camera with %q", listed.Code, listed.Output, want)
	}
}

const driver = "/sys/bus/platform/drivers/vivid/"

// unplug takes the camera from its driver.
func (m *machine) unplug() {
	m.t.Helper()
	m.shell("echo vivid.0 >" + driver + "unbind && test ! -e /dev/video0")
}

// plug gives the camera to its driver again.
func (m *machine) plug() {
	m.t.Helper()
	m.shell("echo vivid.0 >" + driver + "bind")
	m.admit()
}

// admit does what udev does when a camera has come.
func (m *machine) admit() {
	m.t.Helper()
	m.shell("chgrp video /dev/video0 && chmod 660 /dev/video0")
}
