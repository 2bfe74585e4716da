package browsertest

import "syscall"

// ownGroup has a process lead a group, and die with the tests however they end.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
