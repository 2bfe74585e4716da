package pipeline

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// letGoOfCameras frees the names of cameras that are gone. GStreamer 1.22 never
// closes a camera that is unplugged while it is in use, and as long as it is open
// Linux gives another name to it when it is plugged in again. What GStreamer holds
// is /dev/null from then on, and not closed, since it may do that yet.
func letGoOfCameras() error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	for _, entry := range open {
		name, err := os.Readlink("/proc/self/fd/" + entry.Name())
		descriptor, numberErr := strconv.Atoi(entry.Name())
		if err != nil || numberErr != nil || !strings.HasPrefix(name, "/dev/video") || !isGone(descriptor) {
			continue
		}
		if err := unix.Dup3(null, descriptor, unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// isGone says whether the device of a descriptor is there no more.
func isGone(descriptor int) bool {
	poll := []unix.PollFd{{Fd: int32(descriptor)}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n == 1 && poll[0].Revents&unix.POLLHUP != 0
}
