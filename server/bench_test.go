package server_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/load"
)

// What the profile of the relay says: in ping-pong, three quarters of its time
// are the system's own calls to read and write a socket, 2 % are epoll's, 5 %
// are the scheduler's, and what is left is shared by reading frames, the registry
// and the outbox. The bare relay makes the same calls for each message, so that
// no relay that writes each message when it comes can be much faster than that.
// With more than one message under way the calls are shared by all that wait for
// the same socket, and with one notice to all of a room even by many joiners.

// asProgram has the test binary be one end of a measurement, so that the CPU time
// and the memory of both ends can be told apart. asProgramAt is the relay's address.
const (
	asProgram   = "GSTPEER_TEST_AS_PROGRAM"
	asProgramAt = "GSTPEER_TEST_AS_PROGRAM_AT"
)

// onRelays runs a benchmark on this relay, on the bare one if that can do it, and
// on GStreamer's original one where GSTPEER_SIMPLE_SERVER names it.
func onRelays(b *testing.B, withBare bool, measure func(b *testing.B, r *load.Relay)) {
	relays := map[string]func(address string) *exec.Cmd{load.ProgramRelay: self(load.ProgramRelay)}
	names := []string{load.ProgramRelay}
	if withBare {
		relays[load.ProgramBare] = self(load.ProgramBare)
		names = append(names, load.ProgramBare)
	}
	if script := os.Getenv("GSTPEER_SIMPLE_SERVER"); script != "" {
		relays["original"] = load.Original(script)
		names = append(names, "original")
	}
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			r := startProgram(b, name, relays[name])
			for b.Loop() {
				measure(b, r)
			}
			b.ReportMetric(0, "ns/op") // what counts is reported by measure
		})
	}
}

func startProgram(t testing.TB, name string, command func(address string) *exec.Cmd) *load.Relay {
	t.Helper()
	r, err := load.Start(context.Background(), name, command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	r.Bare = name == load.ProgramBare
	return r
}

func self(program string) func(address string) *exec.Cmd {
	return func(address string) *exec.Cmd {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), asProgram+"="+program, asProgramAt+"="+address)
		return command
	}
}

// BenchmarkPingPong has one long message at a time in each of 50 sessions.
func BenchmarkPingPong(b *testing.B) {
	onRelays(b, true, func(b *testing.B, r *load.Relay) {
		measureTraffic(b, r, load.Traffic{Sessions: 50, Size: 1500, InFlight: 1})
	})
}

// BenchmarkInFlight has 16 short messages at a time in each of 50 sessions.
func BenchmarkInFlight(b *testing.B) {
	onRelays(b, true, func(b *testing.B, r *load.Relay) {
		measureTraffic(b, r, load.Traffic{Sessions: 50, Size: 200, InFlight: 16})
	})
}

func measureTraffic(b *testing.B, r *load.Relay, t load.Traffic) {
	t.WarmUp, t.Duration = 500*time.Millisecond, 3*time.Second
	s, err := t.Measure(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(s.PerSecond(), "msg/s")
	b.ReportMetric(s.PerCPUSecond(), "msg/cpu-s")
	b.ReportMetric(s.P50.Seconds()*1e3, "p50-ms")
	b.ReportMetric(s.P99.Seconds()*1e3, "p99-ms")
	b.ReportMetric(s.Max.Seconds()*1e3, "max-ms")
}

// BenchmarkJoin has 1,000 peers join one room at once, and half of them leave.
func BenchmarkJoin(b *testing.B) {
	onRelays(b, false, func(b *testing.B, r *load.Relay) {
		g, err := load.Gather(b.Context(), r, 1000)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(g.Joined.Seconds(), "join-s")
		b.ReportMetric(g.JoinedCPU.Seconds(), "join-cpu-s")
		if g.LeftErr != nil {
			b.Log(g.LeftErr) // a known fault of the original
			return
		}
		b.ReportMetric(g.Left.Seconds(), "leave-s")
		b.ReportMetric(g.LeftCPU.Seconds(), "leave-cpu-s")
	})
}

// BenchmarkTalk tells what two members of a busy room notice of one that reads
// nothing.
func BenchmarkTalk(b *testing.B) {
	for name, deaf := range map[string]bool{"calm": false, "beside-deaf": true} {
		b.Run(name, func(b *testing.B) {
			r := startProgram(b, load.ProgramRelay, self(load.ProgramRelay))
			for b.Loop() {
				s, err := load.Talk{Deaf: deaf, Duration: 3 * time.Second}.Measure(b.Context(), r)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(s.P50.Seconds()*1e3, "p50-ms")
				b.ReportMetric(s.P99.Seconds()*1e3, "p99-ms")
				b.ReportMetric(s.Max.Seconds()*1e3, "max-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkIdle tells what a peer costs that does nothing.
func BenchmarkIdle(b *testing.B) {
	onRelays(b, false, func(b *testing.B, r *load.Relay) {
		bytes, err := load.Idle(b.Context(), r, idlePeers)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(bytes, "B/peer")
	})
}

const idlePeers = 10_000

// BenchmarkChurn has peers join rooms of new names and leave.
func BenchmarkChurn(b *testing.B) {
	r := startProgram(b, load.ProgramRelay, self(load.ProgramRelay))
	for b.Loop() {
		resident, err := load.Churn(b.Context(), r, 5, 10_000)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(resident[0])/(1<<20), "MiB-after-10k")
		b.ReportMetric(float64(resident[4])/(1<<20), "MiB-after-50k")
	}
	b.ReportMetric(0, "ns/op")
}
