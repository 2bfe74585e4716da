package proctest

import "syscall"

// OwnGroup has a program lead a group of processes, and die with the tests however
// they end.
func OwnGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
