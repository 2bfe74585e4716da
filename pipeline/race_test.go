//go:build race

package pipeline

// memoryTolerance is what may be added to the resident memory from join 100 to
// join 300, as a part of it. The race detector's own grows for longer than that.
const memoryTolerance = 0.3
