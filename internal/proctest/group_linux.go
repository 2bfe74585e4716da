package proctest

import "syscall"

// OwnGroup has a program lead a group of processes, and die with the tests however
// they end. What the program itself has started does not die with it then.
func OwnGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
