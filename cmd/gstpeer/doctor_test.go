package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/turntest"
	"github.com/gstpeer/gstpeer/server"
)

// diagnosis is what gstpeer doctor finds in a world.
type diagnosis struct {
	name        string
	args        []string
	environment []string
	code        int
	says        []string // in lines of standard output
}

func (d diagnosis) check(t *testing.T) {
	t.Parallel()
	p := startGstpeer(t, d.environment, slices.Concat([]string{"doctor"}, small, d.args)...)
	if code := p.ExitCode(2 * startLimit); code != d.code {
		t.Errorf("exit code %d, want %d", code, d.code)
	}
	for line := range strings.Lines(p.stdout.String()) {
		if !regexp.MustCompile(`^(ok     |warning|missing)  \S`).MatchString(line) {
			t.Errorf("line %q, want ok, warning or missing in front", line)
		}
	}
	for _, want := range d.says {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(p.stdout.String()) {
			t.Errorf("no line %q", want)
		}
	}
	if all := p.stdout.String() + p.stderr.String(); strings.Contains(all, "top secret") {
		t.Error("it tells a secret")
	}
	if failed := strings.Contains(p.stderr.String(), "gstpeer: "); failed != (d.code != 0) {
		t.Errorf("exit code %d and standard error %q", d.code, p.stderr.String())
	}
}

func TestDoctorLooksAtRelay(t *testing.T) {
	noRelay := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(noRelay.Close)
	closed, _ := serveRelay(t, server.Config{}, func(*http.Request) bool { return false })
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	private := newAuthority(t)
	address := private.startTLSRelay(t)
	for _, d := range []diagnosis{
		{name: "ok", args: []string{"--server", "ws://" + startRelay(t)}, says: []string{
			`ok +GStreamer.*, base elements`, `ok +WebRTC elements`, `ok +encoder for vp8: vp8enc`, `ok +video source test opens`,
			`ok +relay: reached, and speaks the protocol`, `(ok|warning) +addresses: `, `warning +no STUN or TURN server`}},
		{name: "private authority", args: []string{"--server", "wss://" + address, "--ca-file", private.file}, says: []string{`ok +relay: `}},
		{name: "nobody", args: []string{"--server", "ws://" + freeAddress(t)}, code: 1, says: []string{`missing  relay: .*nothing listens at ws://\S+: is the relay running there\?`}},
		{name: "no such name", args: []string{"--server", "ws://relay.invalid:1"}, code: 1, says: []string{`missing  relay: .*host "relay.invalid" cannot be found`}},
		{name: "no relay", args: []string{"--server", "ws" + strings.TrimPrefix(noRelay.URL, "http")}, code: 1, says: []string{`missing  relay: .*HTTP 404 Not Found instead of a WebSocket: is it a relay\?`}},
		{name: "unknown authority", args: []string{"--server", "wss://" + address}, code: 1, says: []string{`missing  relay: .*unknown authority: give that with --ca-file`}},
		{name: "no TLS", args: []string{"--server", "wss://" + startRelay(t)}, code: 1, says: []string{`missing  relay: .*does not speak TLS: try ws://`}},
		{name: "token wanted", args: []string{"--server", closed}, code: 1, says: []string{`missing  relay: .*HTTP 401.*: give one with --token`}},
		{name: "token refused", args: []string{"--server", closed, "--token", "top secret"}, code: 1, says: []string{`missing  relay: .*HTTP 401.*: give another one with --token`, `warning +ICE servers of the relay: .*refused`}},
		{name: "built-in", args: []string{"--listen", "127.0.0.1:0"}, says: []string{`ok +built-in relay: `}},
		{name: "built-in, port taken", args: []string{"--listen", busy.Addr().String()}, says: []string{`warning +built-in relay: address \S+ is in use`}},
		{name: "built-in, not ours", args: []string{"--listen", "192.0.2.77:8443"}, code: 1, says: []string{`missing  built-in relay: cannot listen on`}},
	} {
		t.Run(d.name, d.check)
	}
}

func TestDoctorLooksAtICEServers(t *testing.T) {
	turn := turntest.Start(t, turntest.WithUser("cam", "top secret")...)
	shared := turntest.Start(t, turntest.WithSecret(turnSecret)...)
	at := turn.Address.String()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	relay := "ws://" + startRelay(t)
	named := relayWithTURN(t, shared, turnSecret, time.Hour, everybody)
	wrong := relayWithTURN(t, shared, "another", time.Hour, everybody)
	user := func(password string, args ...string) []string {
		return append([]string{"--server", relay, "--turn-user", "cam", "--turn-password", password}, args...)
	}
	for _, d := range []diagnosis{
		{name: "STUN", args: []string{"--server", relay, "--stun", at}, says: []string{`ok +stun:\S+ at \S+ is reached, and sees this machine as [\d.]+:\d+$`}},
		{name: "STUN, silent", args: []string{"--server", relay, "--stun", silent.LocalAddr().String()}, code: 1,
			says: []string{`missing  stun:\S+ at 127.0.0.1: no answer within 5s: check address and port, and whether firewalls on the way let UDP through`}},
		{name: "STUN, nobody", args: []string{"--server", relay, "--stun", freeAddress(t)}, code: 1, says: []string{`missing  stun:\S+ at 127.0.0.1: nothing listens there`}},
		{name: "STUN, no such name", args: []string{"--server", relay, "--stun", "nobody.invalid"}, code: 1, says: []string{`missing  stun:nobody.invalid:3478: host cannot be found`}},
		{name: "TURN", args: user("top secret", "--turn", at, "--ice-policy", "relay"), says: []string{`ok +turn:\S+ at \S+ takes the credentials, and relays at [\d.]+:\d+$`}},
		{name: "TURN by TCP", args: user("top secret", "--turn", "turn:"+at+"?transport=tcp"), says: []string{`ok +turn:\S+\?transport=tcp at \S+ takes the credentials, and relays at`}},
		{name: "TURN, wrong password", args: user("top secrets", "--turn", at), code: 1, says: []string{`missing  turn:\S+ at \S+: it refuses the credentials .*check user and password`}},
		{name: "TURN, silent", args: user("top secret", "--turn", silent.LocalAddr().String()), code: 1, says: []string{`missing  turn:\S+ at 127.0.0.1: no answer within 5s`}},
		{name: "TURN by TCP, nobody", args: user("top secret", "--turn", "turn:"+freeAddress(t)+"?transport=tcp"), code: 1, says: []string{`missing  turn:\S+ at 127.0.0.1: nothing is reached there by TCP`}},
		{name: "named by the relay", args: []string{"--server", named, "--ice-policy", "relay"}, says: []string{`ok +turn:\S+ at \S+ takes the credentials`}},
		{name: "named by the relay, wrong secret", args: []string{"--server", wrong}, says: []string{`warning +turn:\S+ at \S+: it refuses the credentials .*the secret that it shares with the relay`}},
		{name: "named by the relay, wrong secret, needed", args: []string{"--server", wrong, "--ice-policy", "relay"}, code: 1, says: []string{`missing  --ice-policy relay: no TURN server works`}},
		{name: "named by nobody, needed", args: []string{"--server", relay, "--ice-policy", "relay"}, code: 1, says: []string{`missing  --ice-policy relay: the relay names no TURN server`}},
	} {
		t.Run(d.name, d.check)
	}
}

func TestDoctorLooksAtGStreamer(t *testing.T) {
	few := withoutPlugins(t, "libgstwebrtc.so", "libgstx264.so", "libgstopenh264.so")
	none := []string{"GST_PLUGIN_SYSTEM_PATH_1_0=" + t.TempDir(), "GST_REGISTRY=" + filepath.Join(t.TempDir(), "registry")}
	here := []string{"--listen", "127.0.0.1:0"}
	for _, d := range []diagnosis{
		{name: "no plugins", environment: none, args: here, code: 1, says: []string{`missing  GStreamer.*, base elements: .*sudo apt install gstreamer1.0-plugins-base`, `missing  WebRTC elements: `}},
		{name: "some plugins", environment: few, args: here, code: 1, says: []string{
			`ok +GStreamer.*, base elements`, `missing  WebRTC elements: .*"webrtcbin" is in the Debian package gstreamer1.0-plugins-bad: sudo apt install gstreamer1.0-plugins-bad`,
			`warning +encoder for h264: .*sudo apt install gstreamer1.0-plugins-ugly`, `ok +encoder for vp8`}},
		{name: "H264 alone", environment: few, args: append(here, "--codecs", "h264"), code: 1, says: []string{`missing  encoder for h264: .*sudo apt install gstreamer1.0-plugins-ugly`}},
		{name: "source", args: append(here, "--video", "launch:nosuchsrc"), code: 1, says: []string{`missing  video source launch:nosuchsrc \.\.\. opens: .*no element "nosuchsrc"`}},
		{name: "no source wanted", args: append(here, "--receive-only"), says: []string{`ok +WebRTC elements`}},
	} {
		t.Run(d.name, d.check)
	}
	t.Run("usage", failure{args: []string{"doctor", "--width", "1"}, code: 2, says: `--width wants 16`}.check)
}

// withoutPlugins is an environment in which some plugins are not installed.
func withoutPlugins(t *testing.T, missing ...string) []string {
	t.Helper()
	found, err := exec.Command("pkg-config", "--variable=pluginsdir", "gstreamer-1.0").Output()
	if err != nil {
		t.Fatal(err)
	}
	from, to := strings.TrimSpace(string(found)), t.TempDir()
	plugins, err := filepath.Glob(filepath.Join(from, "*.so"))
	if err != nil || len(plugins) == 0 {
		t.Fatalf("no plugins in %s: %v", from, err)
	}
	for _, plugin := range plugins {
		if name := filepath.Base(plugin); !slices.Contains(missing, name) {
			if err := os.Symlink(plugin, filepath.Join(to, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return []string{"GST_PLUGIN_SYSTEM_PATH_1_0=" + to, "GST_REGISTRY=" + filepath.Join(t.TempDir(), "registry")}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	p := startGstpeer(t, []string{"DISPLAY=", "PULSE_SERVER=/nonexistent"}, "devices")
	if code := p.ExitCode(startLimit); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	cameras, _ := filepath.Glob("/dev/video*")
	sounds, _ := filepath.Glob("/dev/snd/pcm*c")
	if len(cameras)+len(sounds) == 0 && !regexp.MustCompile(`^No camera, microphone or screen is found\..*group video`).MatchString(p.stdout.String()) {
		t.Errorf("got %q, want what to do", p.stdout.String())
	}
}

func TestDevicesHaveScreen(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("Xvfb")
	if err != nil {
		t.Skip(err)
	}
	screen := startProgram(t, exec.Command(path, "-displayfd", "1", "-screen", "0", "320x180x24", "-nolisten", "tcp"))
	display := []string{"DISPLAY=:" + screen.awaitOutput(`(?m)^(\d+)$`)[1], "PULSE_SERVER=/nonexistent"}
	startGstpeer(t, display, "devices").awaitOutput(`(?m)^screen  X11 display :\d+ +--video screen$`)
	startGstpeer(t, display, "devices", "--json").awaitOutput(`(?m)^{"what":"screen","name":"X11 display :\d+","flag":"--video","value":"screen"}$`)
}
