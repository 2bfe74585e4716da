// Package containertest builds the images of the Dockerfile and runs them as
// operators would: hardened, and watched in a browser from outside.
package containertest

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/version"
)

const (
	// stopsWithin is how long a container may take to end when it is told to.
	stopsWithin = 5 * time.Second
	// enoughFrames is about a second of them.
	enoughFrames = 15

	pollInterval = 100 * time.Millisecond
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

// TestConfiguration looks at what engines are told about the images.
func TestConfiguration(t *testing.T) {
	e := newBuiltEngine(t)
	for _, program := range []string{"gstpeer", "gstpeer-server"} {
		var config struct {
			User        string
			Entrypoint  []string
			Labels      map[string]string
			Healthcheck struct{ Test []string }
		}
		said := e.podman(t, "image", "inspect", "--format", "{{json .Config}}", "localhost/"+program)
		health := e.podman(t, "image", "inspect", "--format", "{{json .HealthCheck}}", "localhost/"+program)
		if err := json.Unmarshal([]byte(said), &config); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(health), &config.Healthcheck); err != nil {
			t.Fatal(err)
		}
		if want := []string{"/usr/bin/" + program}; !slices.Equal(config.Entrypoint, want) {
			t.Errorf("%s: entry point %q, want %q", program, config.Entrypoint, want)
		}
		if want := []string{"CMD", "/usr/bin/" + program, "health"}; !slices.Equal(config.Healthcheck.Test, want) {
			t.Errorf("%s: health check %q, want %q", program, config.Healthcheck.Test, want)
		}
		if config.User == "" || config.User == "root" || strings.HasPrefix(config.User, "0") {
			t.Errorf("%s: user %q", program, config.User)
		}
		for label, want := range map[string]string{"title": program, "licenses": "Apache-2.0", "version": version.Number, "revision": commit} {
			if got := config.Labels["org.opencontainers.image."+label]; got != want {
				t.Errorf("%s: label %s is %q, want %q", program, label, got, want)
			}
		}
		if said := e.podman(t, "run", "--rm", "localhost/"+program, "version"); !strings.Contains(said, "commit "+commit+",") {
			t.Errorf("%s: version says %q", program, said)
		}
	}
}

// container is one that runs until the test ends.
type container struct {
	t    *testing.T
	e    *engine
	name string
}

// run starts a container that may do nothing that it need not.
func (e *engine) run(t *testing.T, image string, options ...string) *container {
	t.Helper()
	hardened := []string{"--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"}
	return e.start(t, image, append(hardened, options...)...)
}

// start starts a container whose port can be reached from this machine.
func (e *engine) start(t *testing.T, image string, options ...string) *container {
	t.Helper()
	c := &container{t: t, e: e, name: fmt.Sprintf("gstpeer-test-%d-%d", os.Getpid(), time.Now().UnixNano())}
	args := []string{"run", "--detach", "--name", c.name, "--health-interval=disable", "--publish", "127.0.0.1::8443"}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s says:\n%s", image, e.logs(c.name))
		}
		e.podman(t, "rm", "--force", "--time", "0", "--volumes", c.name)
	})
	e.podman(t, append(append(args, options...), image)...)
	return c
}

// address is where its port is to be reached from outside.
func (c *container) address() string {
	c.t.Helper()
	return c.e.podman(c.t, "port", c.name, "8443")
}

// awaitHealthy waits until the image's own check says so.
func (c *container) awaitHealthy() {
	c.t.Helper()
	awaitHealthy(c.t, c.e, c.name)
}

func awaitHealthy(t *testing.T, e *engine, name string) {
	t.Helper()
	await(t, func() error {
		_, err := e.try(patience, "podman", "healthcheck", "run", name)
		return err
	})
}

// await waits until something succeeds.
func await(t *testing.T, try func() error) {
	t.Helper()
	limit := time.After(patience)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatal(err)
		}
	}
}

// isConfined holds that its process has no privilege of any kind.
func (c *container) isConfined() {
	c.t.Helper()
	pid := c.e.podman(c.t, "inspect", "--format", "{{.State.Pid}}", c.name)
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(string(status), want) {
			c.t.Errorf("not %q in its /proc/self/status:\n%s", want, status)
		}
	}
}

// stop sends SIGTERM, and wants exit code 0 in time.
func (c *container) stop() {
	c.t.Helper()
	start := time.Now()
	c.e.podman(c.t, "kill", "--signal", "TERM", c.name)
	code := c.e.podman(c.t, "wait", c.name)
	if took := time.Since(start); code != "0" || took > stopsWithin {
		c.t.Errorf("after SIGTERM: exit code %s in %s, want 0 within %s", code, took, stopsWithin)
	}
}

func TestRelay(t *testing.T) {
	e := newBuiltEngine(t)
	c := e.run(t, relay)
	c.awaitHealthy()
	c.isConfined()
	c.stop()
}

// TestPeer watches what docker run -p 8443:8443 gstpeer streams.
func TestPeer(t *testing.T) {
	e := newBuiltEngine(t)
	start := time.Now()
	c := e.run(t, peerImage, "--env", "GSTPEER_NAME=cam")
	c.awaitHealthy()
	healthy := time.Since(start)
	c.isConfined()
	b := browsertest.Open(t, "http://"+c.address()+"/?room=demo")
	b.AwaitFrames("cam", enoughFrames)
	t.Logf("healthy after %s, watched after %s", healthy.Round(pollInterval), time.Since(start).Round(pollInterval))
	b.AwaitSound("cam")
	if said := e.podman(t, "exec", c.name, "/usr/bin/gstpeer", "doctor"); !strings.Contains(said, "WebRTC elements") || !strings.Contains(said, ", of a container, which peers outside do not reach") {
		t.Errorf("doctor says:\n%s", said)
	}
	if said := e.logs(c.name); strings.Contains(said, "Fontconfig") {
		t.Errorf("it misses fonts:\n%s", said)
	}
	c.stop()
}

// TestDecoders streams what has to be decoded and encoded anew, as from most
// cameras with RTSP, and as from most with USB.
func TestDecoders(t *testing.T) {
	e := newBuiltEngine(t)
	const test = "launch:videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=15/1 ! "
	for name, source := range map[string]string{"H264": test + "x264enc tune=zerolatency ! h264parse", "MJPEG": test + "jpegenc"} {
		t.Run(name, func(t *testing.T) {
			c := e.run(t, peerImage, "--env", "GSTPEER_NAME=cam", "--env", "GSTPEER_VIDEO="+source, "--env", "GSTPEER_CODECS=vp8")
			c.awaitHealthy()
			b := browsertest.Open(t, "http://"+c.address()+"/?room=demo")
			b.AwaitFrames("cam", enoughFrames)
		})
	}
}
