// Package proctest runs programs in tests.
package proctest

import (
	"bytes"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything that has to happen may take: the machine may be
// busy.
const Patience = 60 * time.Second

// Output collects what is written by many.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Process is a program that runs.
type Process struct {
	Command *exec.Cmd
	Exited  <-chan struct{} // closed after the end

	t testing.TB
}

// Start runs a program, and what that starts, until the test ends, or it does. If
// the test fails it tells what went to each Output.
func Start(t testing.TB, command *exec.Cmd) *Process {
	t.Helper()
	if command.SysProcAttr == nil {
		command.SysProcAttr = OwnGroup()
	}
	command.WaitDelay = 5 * time.Second // for others that have its output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = command.Wait() // the exit code is in ProcessState
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // unless all have ended
		<-exited
		if !t.Failed() {
			return
		}
		for i, writer := range []any{command.Stdout, command.Stderr} {
			if output, ok := writer.(*Output); ok && (i == 0 || command.Stderr != command.Stdout) {
				t.Logf("%s:\n%s", command, output)
			}
		}
	})
	return &Process{Command: command, Exited: exited, t: t}
}

// ExitCode waits for the end.
func (p *Process) ExitCode(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.Exited:
		return p.Command.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Fatalf("%s has not ended after %s", p.Command, limit)
		return -1
	}
}

// AwaitListener waits until the program listens at an address, of TCP.
func (p *Process) AwaitListener(address string) {
	p.t.Helper()
	limit := time.After(Patience)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.Exited:
			p.t.Fatalf("%s has ended", p.Command)
		case <-limit:
			p.t.Fatalf("%s does not listen after %s: %v", p.Command, Patience, err)
		}
	}
}
