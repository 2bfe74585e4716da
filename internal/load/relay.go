// Package load measures relays over real sockets: how fast they carry messages,
// what a message costs them, and what memory peers take. A relay under load is a
// process of its own, so that its CPU time and memory are its alone.
package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrRelay is wrapped by errors about a relay that does not start or that ends
// while it is measured.
var ErrRelay = errors.New("load: relay failed")

// Relay is a relay under load.
type Relay struct {
	Name string
	// Bare is set for a relay without the protocol: the two connections whose
	// URLs have the same path are a pair.
	Bare bool

	address string
	process *exec.Cmd
	output  tail
	ended   chan struct{}
}

// Start runs a relay's program; command makes it, given the host:port that it
// is to listen on. Stop ends it.
func Start(ctx context.Context, name string, command func(address string) *exec.Cmd) (*Relay, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	r := &Relay{Name: name, address: address, process: command(address), ended: make(chan struct{})}
	r.process.Stderr = &r.output
	if err := r.process.Start(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRelay, name, err)
	}
	go func() {
		defer close(r.ended)
		_ = r.process.Wait() // killed by Stop; before that, answers tells
	}()
	if err := r.answers(ctx); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

// URL is where peers reach the relay.
func (r *Relay) URL() string { return "ws://" + r.address }

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("load: no free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// answers waits until the relay accepts connections.
func (r *Relay) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := net.Dial("tcp", r.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-retry.C:
		case <-r.ended:
			return fmt.Errorf("%w: %s ended at once: %s", ErrRelay, r.Name, r.output.text())
		case <-ctx.Done():
			return fmt.Errorf("%w: %s does not listen on %s: %w", ErrRelay, r.Name, r.address, err)
		}
	}
}

// Stop ends the relay and returns when it has ended.
func (r *Relay) Stop() {
	_ = r.process.Process.Kill() // fails when it has ended
	<-r.ended
}

// clockTick is the unit of CPU times in /proc: 1/100 s on all of Linux.
const clockTick = 10 * time.Millisecond

// CPU is the time that the relay has computed, in steps of 10 ms.
func (r *Relay) CPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.process.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrRelay, r.Name, err)
	}
	// The name, in parentheses, may hold anything (proc(5)); utime and stime
	// are the 12th and 13th field after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("%w: %s: /proc/PID/stat is %q", ErrRelay, r.Name, stat)
	}
	var ticks time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("%w: %s: /proc/PID/stat is %q", ErrRelay, r.Name, stat)
		}
		ticks += time.Duration(n)
	}
	return ticks * clockTick, nil
}

// Resident is the relay's resident memory in bytes.
func (r *Relay) Resident() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", r.process.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrRelay, r.Name, err)
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &kilobytes); err == nil {
			return kilobytes << 10, nil
		}
	}
	return 0, fmt.Errorf("%w: %s: no Rss in /proc/PID/smaps_rollup", ErrRelay, r.Name)
}

// tail keeps the end of what a program says.
type tail struct {
	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const enough = 1024
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	t.last = t.last[max(0, len(t.last)-enough):]
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.last))
}
