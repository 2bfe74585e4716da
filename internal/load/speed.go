package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Traffic is what sessions carry: in each, so many messages are always under
// way, for every one that arrives is sent back.
type Traffic struct {
	Sessions int
	InFlight int           // per session
	Size     int           // of a message in bytes, 32 at least
	Single   bool          // write each message on its own, not with others that are due
	WarmUp   time.Duration // before the measurement
	Duration time.Duration
}

// Speed is what Traffic or Talk came to.
type Speed struct {
	Messages int
	Wall     time.Duration
	CPU      time.Duration // of the relay; not of Talk
	Dropped  int           // how often the relay dropped who did not read; of Talk

	// From the write of a message to its arrival at the other peer.
	P50, P99, Max time.Duration
}

// PerSecond is the number of messages in a second.
func (s Speed) PerSecond() float64 {
	return float64(s.Messages) / s.Wall.Seconds()
}

// PerCPUSecond is the number of messages in a second of the relay's CPU.
func (s Speed) PerCPUSecond() float64 {
	return float64(s.Messages) / s.CPU.Seconds()
}

// Measure has sessions carry messages, up to the end of the duration.
func (t Traffic) Measure(ctx context.Context, r *Relay) (Speed, error) {
	ends, err := t.connect(ctx, r)
	defer func() {
		for _, e := range ends {
			e.conn.Close()
		}
	}()
	if err != nil {
		return Speed{}, err
	}
	var running errgroup.Group
	stop := time.Now().Add(t.WarmUp + t.Duration + time.Second)
	for i, e := range ends {
		if err := e.conn.SetDeadline(stop); err != nil {
			return Speed{}, err
		}
		running.Go(func() error { return e.run(t, i%2 == 0) })
	}
	speed, err := t.observe(r, ends)
	for _, e := range ends {
		_ = e.conn.SetDeadline(time.Unix(1, 0)) // closed already when that fails
	}
	if runErr := running.Wait(); runErr != nil {
		return speed, fmt.Errorf("load: %s: %w", r.Name, runErr)
	}
	var latencies []uint32
	for _, e := range ends {
		latencies = append(latencies, e.latencies...)
	}
	speed.setLatencies(latencies)
	return speed, err
}

// observe counts what happens in the time of the measurement.
func (t Traffic) observe(r *Relay, ends []*end) (Speed, error) {
	time.Sleep(t.WarmUp)
	cpu, err := r.CPU()
	if err != nil {
		return Speed{}, err
	}
	began, before := time.Now(), arrived(ends)
	time.Sleep(t.Duration)
	after, wall := arrived(ends), time.Since(began)
	cpuAfter, err := r.CPU()
	return Speed{Messages: after - before, Wall: wall, CPU: cpuAfter - cpu}, err
}

func (s *Speed) setLatencies(microseconds []uint32) {
	if len(microseconds) == 0 {
		return
	}
	slices.Sort(microseconds)
	at := func(share float64) time.Duration {
		return time.Duration(microseconds[int(share*float64(len(microseconds)-1))]) * time.Microsecond
	}
	s.P50, s.P99, s.Max = at(0.5), at(0.99), at(1)
}

func (t Traffic) connect(ctx context.Context, r *Relay) ([]*end, error) {
	var ends []*end
	for i := range t.Sessions {
		for j := range 2 {
			var p *peer
			var err error
			if r.Bare {
				p, err = dial(ctx, r, fmt.Sprintf("/pair%d", i))
			} else {
				p, err = register(ctx, r, fmt.Sprintf("session%d-%d-%d", os.Getpid(), i, j))
			}
			if err != nil {
				return ends, err
			}
			ends = append(ends, &end{peer: p})
		}
		if r.Bare {
			continue
		}
		callee := fmt.Sprintf("session%d-%d-1", os.Getpid(), i)
		if err := ends[2*i].ask("SESSION "+callee, "SESSION_OK"); err != nil {
			return ends, err
		}
	}
	return ends, nil
}

// end is one end of a session.
type end struct {
	*peer
	count     atomic.Int64
	latencies []uint32 // in microseconds
	out       []byte
}

func arrived(ends []*end) int {
	sum := 0
	for _, e := range ends {
		sum += int(e.count.Load())
	}
	return sum
}

// stampLength is that of the time at which a message was sent, its first part.
const stampLength = 19

// run sends back what arrives, until the deadline.
func (e *end) run(t Traffic, first bool) error {
	e.buffer, e.start = make([]byte, 0, 64<<10), 0 // all that was said before has been read
	filler := make([]byte, t.Size)
	for i := range filler {
		filler[i] = 'a' + byte(i%26)
	}
	template := appendFrame(nil, opText, filler)
	due := 0
	if first {
		due = t.InFlight
	}
	for {
		if err := e.reply(template, t.Size, due, t.Single); err != nil {
			return unlessTimeout(err)
		}
		if err := e.fill(); err != nil {
			return unlessTimeout(err)
		}
		for due = 0; ; due++ {
			op, payload, ok := e.cut()
			if !ok {
				break
			}
			if op != opText || len(payload) != t.Size {
				return fmt.Errorf("got a frame of kind %d and %d bytes, want text of %d", op, len(payload), t.Size)
			}
			sent, err := strconv.ParseInt(string(payload[:stampLength]), 10, 64)
			if err != nil {
				return err
			}
			e.latencies = append(e.latencies, uint32((time.Now().UnixNano()-sent)/1000))
			e.count.Add(1)
		}
	}
}

// reply sends messages, stamped with the time.
func (e *end) reply(template []byte, size, due int, single bool) error {
	for range due {
		at := len(e.out) + len(template) - size
		e.out = append(e.out, template...)
		stamp := e.out[at : at+stampLength]
		strconv.AppendInt(stamp[:0], time.Now().UnixNano(), 10)
		for i := range stamp {
			stamp[i] ^= mask[i%len(mask)]
		}
		if single {
			if err := e.flush(); err != nil {
				return err
			}
		}
	}
	return e.flush()
}

func (e *end) flush() error {
	if len(e.out) == 0 {
		return nil
	}
	_, err := e.conn.Write(e.out)
	e.out = e.out[:0]
	return err
}

func unlessTimeout(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}
