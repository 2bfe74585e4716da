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
//
// Other threads open and close files meanwhile. That a number is still the same
// camera's is seen right before dup3; what remains is that it becomes another
// file's between the two.
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

// isGone says whether a descriptor is of a camera that is there no more. Sockets
// and pipes hang up as well.
func isGone(descriptor int) bool {
	camera, is := cameraOf(descriptor)
	if !is {
		return false
	}
	poll := []unix.PollFd{{Fd: int32(descriptor)}}
	n, err := unix.Poll(poll, 0)
	if err != nil || n != 1 || poll[0].Revents&unix.POLLHUP == 0 {
		return false
	}
	still, is := cameraOf(descriptor)
	return is && still == camera
}

// videoMajor is the number that Linux gives to the devices of V4L2.
const videoMajor = 81

// cameraOf gives the number of the camera that a descriptor is of, if it is of one.
func cameraOf(descriptor int) (device uint64, is bool) {
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil {
		return 0, false
	}
	device = uint64(stat.Rdev)
	return device, stat.Mode&unix.S_IFMT == unix.S_IFCHR && unix.Major(device) == videoMajor
}
