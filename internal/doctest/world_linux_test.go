package doctest

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gstpeer/gstpeer/internal/nettest"
	"github.com/gstpeer/gstpeer/internal/rtsptest"
)

// inWorld marks the process of this test that has a world of its own.
const inWorld = "TEST_RUNS_IN_WORLD"

// ownAddress and the names are what the pages call this machine.
const (
	ownAddress = "192.168.1.20"
	ownName    = "relay.example"
	names      = "127.0.0.1 localhost\n" + ownAddress + " " + ownName + " relay.example.org stun.example.org turn.example.org\n"
)

// ownNamespaces are what a world has of its own beside a network.
const ownNamespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS

// world is a machine as the pages speak of it: in a network of its own with all
// ports free, with the names and the camera of the pages, and with a fresh
// checkout as its folder.
type world struct {
	t           *testing.T
	checkout    string
	environment []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, checkout: filepath.Join(t.TempDir(), "gstpeer")}
	w.makeNetwork()
	w.copySources()
	w.environment = w.makeEnvironment()
	rtsptest.Start(t, rtsptest.Camera{Address: ownAddress + ":554", User: "user", Password: "password"})
	w.write("log.txt", "hello\n")
	w.must("gst-launch-1.0 -q videotestsrc num-buffers=75 ! video/x-raw,width=320,height=180,framerate=25/1 ! vp8enc deadline=1 ! matroskamux ! filesink location=holiday.mkv")
	w.must("openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=" + ownName + " -keyout key.pem -out cert.pem")
	w.must("make build")
	return w
}

// makeNetwork makes an interface that has the address of the pages, and the names.
func (w *world) makeNetwork() {
	w.t.Helper()
	for _, arguments := range []string{
		"link set lo up", "link add eth0 type veth peer name wire", "address add " + ownAddress + "/24 dev eth0", "link set eth0 up", "link set wire up",
	} {
		nettest.IP(w.t, arguments)
	}
	hosts := filepath.Join(w.t.TempDir(), "hosts")
	for _, err := range []error{
		os.WriteFile(hosts, []byte(names), 0o644),
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""),
		syscall.Mount("none", "/run", "tmpfs", 0, ""), // for what leaves its number there
		syscall.Sethostname([]byte(ownName)),
	} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// copySources makes the checkout.
func (w *world) copySources() {
	w.t.Helper()
	err := filepath.WalkDir(Root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(Root, path)
		if err != nil {
			return err
		}
		switch {
		case name == ".git" || name == "bin":
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(w.checkout, name), 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		w.write(name, string(text))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.checkout, name), []byte(text), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// makeEnvironment is ours without what is set for tests, and with a home of its
// own. What Go and GStreamer have cached is used.
func (w *world) makeEnvironment() []string {
	w.t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		w.t.Fatal(err)
	}
	ours := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return regexp.MustCompile(`^(GSTPEER_|TEST_|CI=|HOME=|GOFLAGS=|MAKE)`).MatchString(variable)
	})
	ours = append(ours, "HOME="+w.t.TempDir(), "XDG_CACHE_HOME="+cache, "GORACE=atexit_sleep_ms=0", "DISPLAY="+w.startDisplay())
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			w.t.Fatal(err)
		}
		ours = append(ours, name+"="+strings.TrimSpace(string(value)))
	}
	return ours
}

// startDisplay starts an X server, and gives its name.
func (w *world) startDisplay() string {
	w.t.Helper()
	screen := startProcess(w.t, exec.Command("Xvfb", "-displayfd", "1", "-screen", "0", "320x180x24", "-nolisten", "tcp"))
	return ":" + screen.awaitOutput(regexp.MustCompile(`(?m)^(\d+)$`))[1]
}

// shell is a shell that runs a command of a page; without a pipe it becomes that.
func (w *world) shell(before []string, command string) *exec.Cmd {
	if !strings.ContainsAny(command, "|;&=") {
		command = "exec " + command
	}
	shell := exec.Command("bash", "-c", strings.Join(append(slices.Clone(before), command), "\n"))
	shell.Dir, shell.Env = w.checkout, w.environment
	if strings.HasPrefix(command, "exec make") { // with the race detector, as the tests: that is built already
		shell.Env = append(slices.Clone(shell.Env), "GOFLAGS=-race")
	}
	return shell
}

// must runs what has to succeed.
func (w *world) must(command string) {
	w.t.Helper()
	if text, err := w.shell(nil, command).CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", command, err, text)
	}
}

// serve starts the servers that a block speaks of and does not start itself, until
// the test ends.
func (w *world) serve(t *testing.T, b Block) {
	t.Helper()
	all := strings.Join(b.Commands, "\n")
	if strings.Contains(all, "ws://"+ownName+":8443") && !strings.Contains(all, "gstpeer-server") {
		startProcess(t, w.shell(nil, "./bin/gstpeer-server --listen :8443")).awaitOutput(ready)
	}
	if strings.Contains(all, "turn.example.org") && !strings.Contains(all, "turnserver") {
		startProcess(t, w.shell(nil, fmt.Sprintf("turnserver -n --no-cli --no-tls --no-dtls --log-file=stdout --pidfile=turn.pid --userdb=turn.db"+
			" --listening-ip=%s --relay-ip=%s --realm=example.org --lt-cred-mech --user=cam:secret", ownAddress, ownAddress))).AwaitListener(ownAddress + ":3478")
	}
}
