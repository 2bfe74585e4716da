// Command gstpeer-load measures the relay beside a bare one without protocol,
// and beside GStreamer's simple_server.py where one is there.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"text/tabwriter"
	"time"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/internal/load"
)

// original names GStreamer's simple_server.py.
const original = "original"

type flags struct {
	Only     []string      `default:"pingpong,inflight,join,talk,idle,churn" help:"What to measure. Default: ${default}."`
	Relays   []string      `default:"gstpeer,bare,original" help:"What to measure it on. Default: ${default}."`
	Original string        `env:"GSTPEER_SIMPLE_SERVER" placeholder:"PATH" help:"GStreamer's simple_server.py; without it there is no original."`
	Program  string        `placeholder:"PATH" help:"Program of the relay, such as gstpeer-server; it is told --listen. Default: the relay inside this program, which logs nothing."`
	Duration time.Duration `default:"5s" help:"Time of each measurement of speed. Default: ${default}."`
	Rounds   int           `default:"1" help:"How often to measure speed and joining, the relays in turn. Default: ${default}."`
	Sessions int           `default:"50" help:"Sessions that carry messages. Default: ${default}."`
	Joiners  int           `default:"1000" help:"Peers that join one room. Default: ${default}."`
	Idle     int           `default:"10000" help:"Peers that do nothing. Default: ${default}."`
	Churn    int           `default:"50000" help:"Peers that come and go, in five steps. Default: ${default}."`
	Single   bool          `help:"Have the generator write each message on its own."`
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "serve" { // a relay under load
		fmt.Fprintln(os.Stderr, load.Serve(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	os.Exit(cli.Main("gstpeer-load", run))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var f flags
	ok, err := cli.Parse(&f, "gstpeer-load", "Measures relays over loopback.", "GSTPEER_LOAD", args, stdout, stderr)
	if !ok || err != nil {
		return err
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, what := range f.Only {
		measure, ok := measurements[what]
		if !ok {
			return cli.UsageError{Err: fmt.Errorf("--only: %q is not known", what)}
		}
		for range measure.rounds(f) {
			for _, name := range f.Relays {
				if err := f.measure(ctx, table, what, name, measure); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// measurement measures one thing of one relay and words the result.
type measurement struct {
	of   func(ctx context.Context, f *flags, r *load.Relay) (string, error)
	bare bool // possible without the protocol
	once bool
}

func (m measurement) rounds(f flags) int {
	if m.once {
		return 1
	}
	return f.Rounds
}

var measurements = map[string]measurement{
	"pingpong": {bare: true, of: func(ctx context.Context, f *flags, r *load.Relay) (string, error) {
		return speed(ctx, f, r, load.Traffic{Size: 1500, InFlight: 1})
	}},
	"inflight": {bare: true, of: func(ctx context.Context, f *flags, r *load.Relay) (string, error) {
		return speed(ctx, f, r, load.Traffic{Size: 200, InFlight: 16})
	}},
	"join": {of: func(ctx context.Context, f *flags, r *load.Relay) (string, error) {
		g, err := load.Gather(ctx, r, f.Joiners)
		left := fmt.Sprintf("half left in %.2f s, CPU %.2f s", g.Left.Seconds(), g.LeftCPU.Seconds())
		if g.LeftErr != nil {
			left = fmt.Sprintf("half left, but: %v", g.LeftErr)
		}
		return fmt.Sprintf("%d joined in %.2f s, CPU %.2f s\t%s", f.Joiners, g.Joined.Seconds(), g.JoinedCPU.Seconds(), left), err
	}},
	"talk": {of: func(ctx context.Context, f *flags, r *load.Relay) (string, error) {
		calm, err := load.Talk{Duration: f.Duration}.Measure(ctx, r)
		if err != nil {
			return "", err
		}
		deaf, err := load.Talk{Deaf: true, Duration: f.Duration}.Measure(ctx, r)
		return fmt.Sprintf("p50 %v, p99 %v, max %v\tbeside one who does not read: p50 %v, p99 %v, max %v",
			calm.P50, calm.P99, calm.Max, deaf.P50, deaf.P99, deaf.Max), err
	}},
	"idle": {once: true, of: func(ctx context.Context, f *flags, r *load.Relay) (string, error) {
		bytes, err := load.Idle(ctx, r, f.Idle)
		return fmt.Sprintf("%.0f bytes per peer of %d", bytes, f.Idle), err
	}},
	"churn": {once: true, of: func(ctx context.Context, f *flags, r *load.Relay) (string, error) {
		const steps = 5
		resident, err := load.Churn(ctx, r, steps, f.Churn/steps)
		text := fmt.Sprintf("MiB after each %d:", f.Churn/steps)
		for _, bytes := range resident {
			text += fmt.Sprintf(" %.1f", float64(bytes)/(1<<20))
		}
		return text, err
	}},
}

func speed(ctx context.Context, f *flags, r *load.Relay, t load.Traffic) (string, error) {
	t.Sessions, t.Single, t.WarmUp, t.Duration = f.Sessions, f.Single, f.Duration/5, f.Duration
	s, err := t.Measure(ctx, r)
	return fmt.Sprintf("%.0f/s\t%.0f per CPU second\tp50 %v, p99 %v, max %v",
		s.PerSecond(), s.PerCPUSecond(), s.P50, s.P99, s.Max), err
}

// measure does one measurement on a fresh relay.
func (f *flags) measure(ctx context.Context, table *tabwriter.Writer, what, name string, m measurement) error {
	command, err := f.command(name)
	if err != nil || command == nil || name == load.ProgramBare && !m.bare {
		return err
	}
	relay, err := load.Start(ctx, name, command)
	if err != nil {
		return err
	}
	defer relay.Stop()
	relay.Bare = name == load.ProgramBare
	result, err := m.of(ctx, f, relay)
	if err != nil && name != original {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err != nil { // it has its faults
		result = fmt.Sprintf("failed: %v", err)
	}
	fmt.Fprintf(table, "%s\t%s\t%s\n", what, name, result)
	return table.Flush()
}

// command is the program of a relay; nil when it is not there.
func (f *flags) command(name string) (func(address string) *exec.Cmd, error) {
	switch {
	case name == original && f.Original == "":
		return nil, nil
	case name == original:
		return load.Original(f.Original), nil
	case name == load.ProgramRelay && f.Program != "":
		return func(address string) *exec.Cmd { return exec.Command(f.Program, "--listen", address) }, nil
	case name != load.ProgramRelay && name != load.ProgramBare:
		return nil, cli.UsageError{Err: fmt.Errorf("--relays: %q is not known", name)}
	}
	self, err := os.Executable()
	return func(address string) *exec.Cmd { return exec.Command(self, "serve", name, address) }, err
}
