// Package cameratest runs gstpeer with a real V4L2 camera: Linux's virtual one,
// vivid, in a virtual machine whose root is that of this machine, read-only.
// This is what the test and the first process in there, init, tell each other.
package cameratest

import "time"

const (
	// Service is the name under which init serves the methods of net/rpc.
	Service = "Machine"
	// ControlVariable tells init where to call the test.
	ControlVariable = "GSTPEER_CONTROL"

	// RootTag and WorkTag are the directories that the machine shares with this
	// one; the second one is at WorkDirectory in there.
	RootTag, WorkTag = "root", "work"
	WorkDirectory    = "/mnt"

	// Network is the machine's own, of addresses that are nowhere else.
	Network      = "192.0.2.0/24"
	HostAddress  = "192.0.2.2"
	GuestAddress = "192.0.2.15/24"

	// ModuleList is the file with the modules to load, one a line, with their
	// parameters.
	ModuleList = "/modules.list"

	// Lifetime is the longest that a machine runs.
	Lifetime = 10 * time.Minute
)

// Command is a program to run.
type Command struct {
	Args        []string
	Environment []string // NAME=VALUE
	User, Group uint32   // 0 is root
	Groups      []uint32 // beside Group
}

// Result is what came of a Command.
type Result struct {
	Output string // of both kinds
	Code   int    // as exit gave it, -1 after a signal
}
