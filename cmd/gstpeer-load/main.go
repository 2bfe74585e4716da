// Command gstpeer-load measures the relay beside a bare one without protocol,
// and beside GStreamer's simple_server.py where one is there.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/internal/load"
)

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
	if err := f.check(); err != nil {
		return cli.UsageError{Err: err}
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, what := range f.Only {
		measure := measurements[what]
		for range measure.rounds(f) {
			for _, name := range f.relays() {
				if name == load.ProgramBare && !measure.bare {
					continue
				}
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
		resident, err := load.Churn(ctx, r, churnSteps, f.Churn/churnSteps)
		text := fmt.Sprintf("MiB after each %d:", f.Churn/churnSteps)
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
	if err != nil {
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
