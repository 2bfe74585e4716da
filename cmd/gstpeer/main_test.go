package main

import (
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/proctest"
)

const (
	patience     = browsertest.Patience
	pollInterval = 20 * time.Millisecond
)

// asProgram makes this test binary the program itself: what users meet of it,
// exit codes and signals included, with the race detector in it.
const asProgram = "TEST_RUNS_AS_GSTPEER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(browsertest.Main(m))
}

// small is what every test streams that does not say otherwise: many run at a
// time.
var small = []string{"--width", "320", "--height", "180", "--frame-rate", "15"}

// program is a gstpeer, or another program of ours, that runs.
type program struct {
	*proctest.Process
	t              *testing.T
	stdin          io.Writer
	stdout, stderr proctest.Output
}

// startGstpeer starts gstpeer with an environment of NAME=VALUE beside ours.
func startGstpeer(t *testing.T, environment []string, args ...string) *program {
	t.Helper()
	return startAsGstpeer(t, environment, exec.Command(os.Args[0], args...))
}

// startAsGstpeer starts a command in which this test binary is gstpeer.
func startAsGstpeer(t *testing.T, environment []string, command *exec.Cmd) *program {
	t.Helper()
	command.Env = append(slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "GSTPEER_")
	}), asProgram+"=1")
	command.Env = append(command.Env, environment...)
	return startProgram(t, command)
}

// startProgram runs a program until the test ends, or it does.
func startProgram(t *testing.T, command *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t}
	command.Stdout, command.Stderr = &p.stdout, &p.stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	t.Cleanup(func() { // after it has ended
		if strings.Contains(p.stderr.String(), "DATA RACE") {
			t.Errorf("the program has a data race:\n%s", &p.stderr)
		}
	})
	p.Process = proctest.Start(t, command)
	return p
}

// startStreaming starts a gstpeer with a relay of its own that streams from a source,
// and waits until it does.
func startStreaming(t *testing.T, args ...string) *program {
	t.Helper()
	p := startGstpeer(t, nil, slices.Concat([]string{"--listen", "127.0.0.1:0", "--name", "cam"}, small, args)...)
	p.page()
	return p
}

// startStreamingTo starts a gstpeer that streams to a relay, and waits until it does.
func startStreamingTo(t *testing.T, relay, name string, args ...string) *program {
	t.Helper()
	p := startGstpeer(t, nil, slices.Concat([]string{"--server", relay, "--name", name}, small, args)...)
	p.awaitOutput(`Streaming to room`)
	return p
}

// awaitOutput waits for a line on standard output, and gives its submatches.
func (p *program) awaitOutput(pattern string) []string {
	p.t.Helper()
	expression := regexp.MustCompile(pattern)
	var match []string
	await(p.t, pattern+" on standard output", func() bool {
		match = expression.FindStringSubmatch(p.stdout.String())
		return match != nil || p.hasExited()
	})
	if match == nil {
		p.t.Fatalf("ended without %s on standard output", pattern)
	}
	return match
}

// page is the address that the program tells to open.
func (p *program) page() string {
	p.t.Helper()
	return p.awaitOutput(`(?m)^Open (http://\S+)$`)[1]
}

// relay is the address of the program's own relay.
func (p *program) relay() string {
	p.t.Helper()
	page, err := url.Parse(p.page())
	if err != nil {
		p.t.Fatal(err)
	}
	return "ws://" + page.Host
}

func (p *program) hasExited() bool {
	select {
	case <-p.Exited:
		return true
	default:
		return false
	}
}

func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	limit := time.After(patience)
	for !so() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("no %s after %s", what, patience)
		}
	}
}
