package browsertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gstpeer/gstpeer/internal/proctest"
)

// endsWithin is how long Firefox may take to end by itself.
const endsWithin = 10 * time.Second

// firefoxPreferences say what differs from a user's Firefox.
var firefoxPreferences = map[string]any{
	"media.navigator.permission.disabled":               true, // nobody is there to be asked
	"media.navigator.streams.fake":                      true,
	"media.peerconnection.ice.loopback":                 true, // where only lo is up
	"media.peerconnection.ice.obfuscate_host_addresses": false,

	// Nothing is asked of the network.
	"app.normandy.enabled":                         false,
	"browser.safebrowsing.malware.enabled":         false,
	"browser.safebrowsing.phishing.enabled":        false,
	"browser.search.update":                        false,
	"datareporting.policy.dataSubmissionEnabled":   false,
	"extensions.getAddons.cache.enabled":           false,
	"media.gmp-manager.updateEnabled":              false,
	"network.captive-portal-service.enabled":       false,
	"network.connectivity-service.enabled":         false,
	"services.settings.server":                     "data:,",
	"toolkit.telemetry.enabled":                    false,
	"toolkit.telemetry.reportingpolicy.firstRun":   false,
	"browser.newtabpage.activity-stream.telemetry": false,
}

// firefox is the one Firefox of all the tests.
var firefox firefoxProcess

type firefoxProcess struct {
	once    sync.Once
	err     error // why there is none
	profile string
	command *exec.Cmd
	stderr  sync.WaitGroup // its reader
	bidi    *bidi

	mu    sync.Mutex
	pages map[string]func(line string) // guarded by mu: who keeps a page's console, by its context
}

func (f *firefoxProcess) start() {
	if f.err = f.launch(); f.err != nil {
		f.err = errors.Join(f.err, f.stop())
	}
}

func (f *firefoxProcess) launch() error {
	path, err := exec.LookPath("firefox-esr")
	if err != nil {
		return err
	}
	if f.profile, err = newProfile(); err != nil {
		return err
	}
	f.command = exec.Command(path, "--headless", "--no-remote", "--profile", f.profile, "--remote-debugging-port=0",
		"--width", "1280", "--height", "800")
	f.command.Env = append(os.Environ(), "MOZ_CRASHREPORTER_DISABLE=1")
	f.command.SysProcAttr = proctest.OwnGroup()
	// A pipe of our own: Wait closes one of StderrPipe's under its reader.
	from, to, err := os.Pipe()
	if err != nil {
		return err
	}
	f.command.Stderr = to
	err = f.command.Start()
	to.Close()
	if err != nil {
		f.command = nil
		from.Close()
		return err
	}
	return f.connect(f.read(from))
}

func newProfile() (string, error) {
	directory, err := os.MkdirTemp("", "gstpeer-firefox-")
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for name, value := range firefoxPreferences {
		encoded, _ := json.Marshal(value)
		fmt.Fprintf(&lines, "user_pref(%q, %s);\n", name, encoded)
	}
	return directory, os.WriteFile(filepath.Join(directory, "user.js"), []byte(lines.String()), 0o600)
}

// read reads standard error to its end, and gives the address for BiDi. The
// channel is closed if there is none.
func (f *firefoxProcess) read(from io.ReadCloser) <-chan string {
	address := make(chan string, 1)
	f.stderr.Go(func() {
		defer from.Close()
		defer close(address)
		lines := bufio.NewScanner(from)
		for lines.Scan() {
			if url, listens := strings.CutPrefix(lines.Text(), "WebDriver BiDi listening on "); listens {
				address <- url
				break
			}
		}
		_, _ = io.Copy(io.Discard, from) // it must never wait for us
	})
	return address
}

func (f *firefoxProcess) connect(address <-chan string) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var err error
	select {
	case url, listens := <-address:
		if !listens {
			return errors.New("it ended, or does not speak WebDriver BiDi")
		}
		f.pages = make(map[string]func(string))
		if f.bidi, err = dialBiDi(ctx, url+"/session", f.event); err != nil {
			return err
		}
	case <-ctx.Done():
		return fmt.Errorf("it did not start within %v", Patience)
	}
	if _, err = call[any](f.bidi, "session.new", map[string]any{"capabilities": map[string]any{}}); err != nil {
		return err
	}
	_, err = call[any](f.bidi, "session.subscribe", map[string]any{"events": []string{"log.entryAdded"}})
	return err
}

// event keeps a line of a page's console.
func (f *firefoxProcess) event(_ string, parameters json.RawMessage) {
	var entry struct {
		Level, Text string
		Source      struct{ Context string }
	}
	if json.Unmarshal(parameters, &entry) != nil {
		return
	}
	f.mu.Lock()
	says := f.pages[entry.Source.Context]
	f.mu.Unlock()
	if says != nil {
		says(entry.Level + " " + entry.Text)
	}
}

// stop ends Firefox and whatever it started, and waits for it.
func (f *firefoxProcess) stop() error {
	if f.bidi != nil {
		_, _ = call[any](f.bidi, "browser.close", map[string]any{}) // it is killed otherwise
	}
	if f.command != nil {
		kill := time.AfterFunc(endsWithin, func() { _ = killGroup(f.command.Process.Pid) })
		_ = f.command.Wait() // its exit code tells nothing
		kill.Stop()
		_ = killGroup(f.command.Process.Pid) // what it left behind
		f.stderr.Wait()
	}
	if f.bidi != nil {
		f.bidi.close()
	}
	f.bidi, f.command = nil, nil
	if f.profile == "" {
		return nil
	}
	return os.RemoveAll(f.profile)
}

func killGroup(leader int) error { return syscall.Kill(-leader, syscall.SIGKILL) }
