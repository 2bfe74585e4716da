package doctest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/proctest"
)

// patience is how long anything that has to happen may take.
const patience = proctest.Patience

// process is a program that runs, with those that it has started.
type process struct {
	*proctest.Process
	t    *testing.T
	said proctest.Output
}

// startProcess runs a program until the test ends, or it does.
func startProcess(t *testing.T, command *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t}
	command.Stdout, command.Stderr = &p.said, &p.said
	p.Process = proctest.Start(t, command)
	return p
}

// awaitOutput waits for something to be said, and gives its submatches.
func (p *process) awaitOutput(pattern *regexp.Regexp) []string {
	p.t.Helper()
	match := p.awaitOutputOrEnd(pattern)
	if match == nil {
		p.t.Fatalf("ended without saying %s", pattern)
	}
	return match
}

func (p *process) awaitOutputOrEnd(pattern *regexp.Regexp) []string {
	p.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(patience)
	for {
		if match := pattern.FindStringSubmatch(p.said.String()); match != nil {
			return match
		}
		select {
		case <-ticker.C:
		case <-p.Exited:
			return pattern.FindStringSubmatch(p.said.String())
		case <-limit:
			p.t.Fatalf("has not said %s after %s", pattern, patience)
		}
	}
}

// terminate sends SIGTERM to the programs at work, and not to the shell or the
// make that waits for them.
func (p *process) terminate() {
	p.t.Helper()
	for _, pid := range p.workers() {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && err != syscall.ESRCH {
			p.t.Fatal(err)
		}
	}
}

// workers are the processes of the group that wait for no other one of it.
func (p *process) workers() []int {
	p.t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		p.t.Fatal(err)
	}
	members, parents := []int{}, map[int]bool{}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		var pid, parent, group int
		var state string
		_, _ = fmt.Sscanf(string(text), "%d", &pid)
		behindName := string(text[bytes.LastIndexByte(text, ')')+1:])
		if n, _ := fmt.Sscanf(strings.TrimSpace(behindName), "%s %d %d", &state, &parent, &group); n == 3 && group == p.Command.Process.Pid && state != "Z" {
			members, parents[parent] = append(members, pid), true
		}
	}
	var workers []int
	for _, pid := range members {
		if !parents[pid] {
			workers = append(workers, pid)
		}
	}
	return workers
}
