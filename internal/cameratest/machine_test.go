package cameratest

import (
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/browsertest"
	"github.com/gstpeer/gstpeer/internal/proctest"
)

// patience is how long anything may take: the machine's processor is emulated.
const patience = 2 * browsertest.Patience

const emulator = "qemu-system-x86_64"

// machine is a virtual one that runs until the test ends.
type machine struct {
	t       *testing.T
	console proctest.Output
	control *rpc.Client
}

// require ends the test where no machine can be run: that is a failure, unless
// it is said to be known.
func require(t *testing.T) {
	t.Helper()
	switch {
	case os.Getenv("GSTPEER_SKIP_CAMERA") == "1":
		t.Skip("GSTPEER_SKIP_CAMERA=1: no camera is tried")
	case os.Getenv("GSTPEER_TEST_CAMERA") != "1":
		t.Skip("make test-camera tries a camera, in a virtual machine")
	}
	const without = "GSTPEER_SKIP_CAMERA=1 goes without"
	if runtime.GOARCH != "amd64" {
		t.Fatalf("the virtual machine needs a PC, and this is %s; %s", runtime.GOARCH, without)
	}
	for _, tool := range []string{emulator, "apt-get", "apt-cache", "dpkg-deb", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("no virtual machine can be run here: %v; %s", err, without)
		}
	}
}

// boot starts a machine with a camera and with gstpeer.
func boot(t *testing.T) *machine {
	t.Helper()
	require(t)
	start := time.Now()
	work := t.TempDir()
	build(t, work)
	k := findKernel(t)
	initramfs := k.initramfs(t, filepath.Join(work, "init"))
	t.Logf("prepared in %s", time.Since(start).Round(time.Second))
	start = time.Now()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	m := &machine{t: t}
	emulated := m.start(work, k.image, initramfs, listener.Addr().(*net.TCPAddr).Port)
	m.awaitCall(listener, emulated.Exited)
	t.Logf("booted in %s", time.Since(start).Round(time.Second))
	return m
}

// build makes the programs of the machine.
func build(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{
		{"CGO_ENABLED=1", "go", "build", "-race", "-o", filepath.Join(dir, "gstpeer"), "../../cmd/gstpeer"},
		{"CGO_ENABLED=0", "go", "build", "-o", filepath.Join(dir, "init"), "./init"},
	} {
		if _, err := run("", "env", args...); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts QEMU.
func (m *machine) start(work, image, initramfs string, control int) *proctest.Process {
	m.t.Helper()
	command := exec.Command(emulator,
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", image, "-initrd", initramfs,
		"-append", fmt.Sprintf("console=ttyS0 quiet loglevel=4 panic=-1 %s=%s:%d", ControlVariable, HostAddress, control),
		"-netdev", fmt.Sprintf("user,id=network,net=%s,host=%s", Network, HostAddress),
		"-device", "virtio-net-pci,netdev=network,romfile=",
		"-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
		"-device", "virtio-9p-pci,fsdev=root,mount_tag="+RootTag,
		"-fsdev", "local,id=work,path="+work+",security_model=none,readonly=on",
		"-device", "virtio-9p-pci,fsdev=work,mount_tag="+WorkTag,
	)
	command.Stdout, command.Stderr = &m.console, &m.console
	process := proctest.Start(m.t, command)
	m.t.Cleanup(func() {
		if m.control != nil {
			m.control.Close()
		}
	})
	return process
}

// awaitCall waits until init calls, which does so when the machine is ready.
func (m *machine) awaitCall(listener net.Listener, exited <-chan struct{}) {
	m.t.Helper()
	called := make(chan io.ReadWriteCloser, 1)
	go func() {
		defer close(called)
		if conn, err := listener.Accept(); err == nil {
			called <- conn
		}
	}()
	select {
	case conn := <-called:
		m.control = rpc.NewClient(conn)
	case <-exited:
		m.t.Fatal("the machine has ended before it was ready")
	case <-time.After(patience):
		m.t.Fatalf("the machine is not ready after %s", patience)
	}
}

// running is a program that runs in the machine.
type running struct {
	m    *machine
	call *rpc.Call
}

// user is one who may use cameras, as Debian's udev has it.
func user(args ...string) Command {
	const video = 44
	return Command{Args: args, User: 1000, Group: 1000, Groups: []uint32{video}}
}

// begin starts a program.
func (m *machine) begin(c Command) *running {
	return &running{m: m, call: m.control.Go(Service+".Run", c, new(Result), make(chan *rpc.Call, 1))}
}

// wait waits for the program's end.
func (r *running) wait() Result {
	r.m.t.Helper()
	select {
	case call := <-r.call.Done:
		if call.Error != nil {
			r.m.t.Fatal(call.Error)
		}
		return *call.Reply.(*Result)
	case <-time.After(patience):
		r.m.t.Fatalf("%s has not ended after %s", r.call.Args, patience)
		return Result{}
	}
}

// run runs a program to its end.
func (m *machine) run(c Command) Result {
	m.t.Helper()
	return m.begin(c).wait()
}

// shell has to succeed. It is root who says it.
func (m *machine) shell(script string) string {
	m.t.Helper()
	result := m.run(Command{Args: []string{"sh", "-c", script}})
	if result.Code != 0 {
		m.t.Fatalf("%s: exit code %d: %s", script, result.Code, result.Output)
	}
	return strings.TrimSpace(result.Output)
}
