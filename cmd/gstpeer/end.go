package main

import (
	"context"
	"log/slog"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// endLimit is how long the program may take to end when it is told to, with some
// time left of the five seconds that it has.
const endLimit = 4500 * time.Millisecond

// boundEnd ends the program if something still hangs that long after ctx has
// ended, such as a disk. Its files may lack their end then, so that is a failure.
// What it returns says that nothing hangs.
func boundEnd(ctx context.Context, log *slog.Logger, exit func(code int)) (ended func()) {
	over := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-ctx.Done():
		case <-over:
			return
		}
		limit := time.NewTimer(endLimit)
		defer limit.Stop()
		select {
		case <-limit.C:
			log.Error("left behind: it does not end, and files may not be finished", "after", endLimit, "hangs", whereabouts())
			exit(1)
		case <-over:
		}
	}()
	return func() { close(over); <-done }
}

// ourFunction finds the innermost function of ours in the trace of a goroutine.
var ourFunction = regexp.MustCompile(`(?m)^(?:github\.com/gstpeer/gstpeer/|main\.)(\S*)\([^()]*\)$`)

// whereabouts lists the functions of ours that goroutines are in.
func whereabouts() string {
	traces := make([]byte, 1<<20)
	traces = traces[:runtime.Stack(traces, true)]
	var functions []string
	for trace := range strings.SplitSeq(string(traces), "\n\n") {
		if found := ourFunction.FindStringSubmatch(trace); found != nil {
			functions = append(functions, found[1])
		}
	}
	slices.Sort(functions)
	return strings.Join(slices.Compact(functions), " ")
}
