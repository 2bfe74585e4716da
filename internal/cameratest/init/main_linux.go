// Command init is the first process of a test's virtual machine. It runs what the
// test asks for until the test hangs up, and switches the machine off.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gstpeer/gstpeer/internal/cameratest"
)

// root is where the root of the machine that tests is mounted.
const root = "/host"

func main() {
	time.AfterFunc(cameratest.Lifetime, switchOff)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	switchOff()
}

func switchOff() { _ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) }

func run() error {
	if err := loadModules(); err != nil {
		return err
	}
	if err := mountAll(); err != nil {
		return err
	}
	for _, command := range []string{
		"ip link set lo up", "ip link set eth0 up", "ip address add " + cameratest.GuestAddress + " dev eth0",
		"ip route add default via " + cameratest.HostAddress,
	} {
		result := cameratest.Result{}
		if err := (machine{}).Run(cameratest.Command{Args: strings.Fields(command)}, &result); err != nil || result.Code != 0 {
			return fmt.Errorf("%s: exit code %d, %w", command, result.Code, err)
		}
	}
	test, err := net.DialTimeout("tcp", os.Getenv(cameratest.ControlVariable), time.Minute)
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName(cameratest.Service, machine{}); err != nil {
		return err
	}
	server.ServeConn(test)
	return nil
}

func loadModules() error {
	list, err := os.ReadFile(cameratest.ModuleList)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		path, parameters, _ := strings.Cut(strings.TrimSpace(line), " ")
		module, err := os.Open(path)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(module.Fd()), parameters, 0)
		module.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// mountAll makes a root in which programs find what they are used to.
func mountAll() error {
	const shared = "trans=virtio,version=9p2000.L,msize=512000,cache=loose"
	for _, m := range []struct{ source, target, kind, options string }{
		{"devtmpfs", "/dev", "devtmpfs", ""}, // for this program
		{cameratest.RootTag, root, "9p", shared},
		{"proc", root + "/proc", "proc", ""},
		{"sysfs", root + "/sys", "sysfs", ""},
		{"devtmpfs", root + "/dev", "devtmpfs", ""},
		{"tmpfs", root + "/dev/shm", "tmpfs", ""},
		{"tmpfs", root + "/tmp", "tmpfs", "mode=1777"},
		{"tmpfs", root + "/run", "tmpfs", ""},
		{cameratest.WorkTag, root + cameratest.WorkDirectory, "9p", shared},
	} {
		flags := uintptr(0)
		if m.kind == "9p" {
			flags = unix.MS_RDONLY
		}
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.kind, flags, m.options); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m.source, m.target, err)
		}
	}
	return nil
}

// machine is what the test asks for things.
type machine struct{}

// Run runs a program to its end, and shows on the console what it says.
func (machine) Run(c cameratest.Command, result *cameratest.Result) error {
	command := exec.Command("/usr/bin/env", c.Args...) // finds the program, in there
	command.Dir = "/"
	command.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LC_ALL=C.UTF-8"}, c.Environment...)
	command.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     root,
		Credential: &syscall.Credential{Uid: c.User, Gid: c.Group, Groups: c.Groups},
	}
	var output bytes.Buffer
	both := io.MultiWriter(&output, os.Stderr)
	command.Stdout, command.Stderr = both, both
	err := command.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return err
	}
	result.Output, result.Code = output.String(), command.ProcessState.ExitCode()
	return nil
}
