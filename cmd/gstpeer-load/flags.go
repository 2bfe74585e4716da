package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/gstpeer/gstpeer/internal/load"
)

// original names GStreamer's simple_server.py.
const original = "original"

const churnSteps = 5

type flags struct {
	Only     []string      `default:"pingpong,inflight,join,talk,idle,churn" help:"What to measure. Default: ${default}."`
	Relays   []string      `help:"What to measure it on: gstpeer, bare, and original with --original. Default: all of them."`
	Original string        `env:"GSTPEER_SIMPLE_SERVER" placeholder:"PATH" help:"GStreamer's simple_server.py; without it there is no original."`
	Program  string        `placeholder:"PATH" help:"Program of the relay, such as gstpeer-server; it is told --listen. Default: the relay inside this program, which logs nothing."`
	Duration time.Duration `default:"5s" help:"Time of each measurement of speed. Default: ${default}."`
	Rounds   int           `default:"1" help:"How often to measure speed and joining, the relays in turn. Default: ${default}."`
	Sessions int           `default:"50" help:"Sessions that carry messages. Default: ${default}."`
	Joiners  int           `default:"1000" help:"Peers that join one room. Default: ${default}."`
	Idle     int           `default:"10000" help:"Peers that do nothing. Default: ${default}."`
	Churn    int           `default:"50000" help:"Peers that come and go, in five steps and by eight at a time. Default: ${default}."`
	Single   bool          `help:"Have the generator write each message on its own."`
}

// check finds what cannot be measured, before anything is.
func (f *flags) check() error {
	numbers := []struct {
		flag       string
		value, min int
	}{
		{"rounds", f.Rounds, 1}, {"sessions", f.Sessions, 1}, {"joiners", f.Joiners, 2},
		{"idle", f.Idle, 1}, {"churn", f.Churn, 8 * churnSteps},
	}
	for _, n := range numbers {
		if n.value < n.min {
			return fmt.Errorf("--%s wants %d or more, got %d", n.flag, n.min, n.value)
		}
	}
	if f.Duration < time.Second {
		return fmt.Errorf("--duration wants 1s or more, got %s", f.Duration)
	}
	for _, what := range f.Only {
		if _, ok := measurements[what]; !ok {
			return fmt.Errorf("--only: %q is not known, see --help", what)
		}
	}
	return f.checkRelays()
}

// checkRelays finds relays that are not there, and those that nothing of what is
// wanted can be measured of.
func (f *flags) checkRelays() error {
	for _, name := range f.Relays {
		switch {
		case name == original && f.Original == "":
			return errors.New("--relays: original is GStreamer's simple_server.py: say where with --original")
		case name != original && name != load.ProgramRelay && name != load.ProgramBare:
			return fmt.Errorf("--relays: %q is not known: want %s, %s or %s", name, load.ProgramRelay, load.ProgramBare, original)
		}
	}
	relays := f.relays()
	if f.Original != "" && slices.Contains(relays, original) {
		if _, err := os.Stat(f.Original); err != nil {
			return fmt.Errorf("--original: %w", err)
		}
	}
	if f.Program != "" && slices.Contains(relays, load.ProgramRelay) {
		if _, err := exec.LookPath(f.Program); err != nil {
			return fmt.Errorf("--program: %w", err)
		}
	}
	onlyBare := !slices.ContainsFunc(relays, func(name string) bool { return name != load.ProgramBare })
	if onlyBare && slices.ContainsFunc(f.Only, func(what string) bool { return !measurements[what].bare }) {
		return errors.New("--relays: bare has no protocol: of it --only can name pingpong and inflight")
	}
	return nil
}

// relays are those that were named, or else all that are there.
func (f *flags) relays() []string {
	switch {
	case len(f.Relays) > 0:
		return f.Relays
	case f.Original == "":
		return []string{load.ProgramRelay, load.ProgramBare}
	}
	return []string{load.ProgramRelay, load.ProgramBare, original}
}

// command is the program of a relay.
func (f *flags) command(name string) (func(address string) *exec.Cmd, error) {
	switch {
	case name == original:
		return load.Original(f.Original), nil
	case name == load.ProgramRelay && f.Program != "":
		return func(address string) *exec.Cmd { return exec.Command(f.Program, "--listen", address) }, nil
	}
	self, err := os.Executable()
	return func(address string) *exec.Cmd { return exec.Command(self, "serve", name, address) }, err
}
