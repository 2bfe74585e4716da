//go:build unix && !linux

package proctest

import "syscall"

// OwnGroup has a program lead a group of processes.
func OwnGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
