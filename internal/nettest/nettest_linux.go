// Package nettest has tests run programs in networks of their own.
package nettest

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/proctest"
)

// Own has a command run in a new network, and in what other namespaces more says
// (syscall.CLONE_…). Who is not root becomes it, there.
func Own(command *exec.Cmd, more uintptr) *exec.Cmd {
	command.SysProcAttr = proctest.OwnGroup()
	command.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | more
	if uid := os.Geteuid(); uid != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return command
}

// Test is a command that runs one test of this binary as Own does, with variables
// of the form NAME=VALUE beside ours. It has the time that t has, but for what it
// takes to tell where it hangs.
func Test(t *testing.T, name string, more uintptr, environment ...string) *exec.Cmd {
	t.Helper()
	args := []string{"-test.run=^" + name + "$", "-test.v"}
	if deadline, limited := t.Deadline(); limited {
		args = append(args, "-test.timeout="+max(time.Until(deadline)-10*time.Second, time.Second).String())
	}
	command := Own(exec.Command(os.Args[0], args...), more)
	command.Env = append(os.Environ(), environment...)
	return command
}

// Require skips a test where Own does not work, or fails in continuous
// integration.
func Require(t *testing.T, more uintptr) {
	t.Helper()
	text, err := Own(exec.Command("ip", "link", "add", "eth0", "type", "veth"), more).CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("networks are required here: %v: %s", err, text)
	default:
		t.Skipf("no networks of its own, are you root and is iproute2 installed? %v: %s", err, text)
	}
}

// IP runs the program ip of iproute2.
func IP(t *testing.T, arguments string) {
	t.Helper()
	if text, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", arguments, err, text)
	}
}
