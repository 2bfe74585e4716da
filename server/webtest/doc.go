// Package webtest holds the tests of the page: Chromium, the relay in this
// process, and pion as an independent sender. It exports nothing.
//
// testdata has four seconds each of a moving VP8 picture (320×180, 25 frames a
// second, a keyframe every second) and of a 440 Hz tone in Opus.
package webtest
