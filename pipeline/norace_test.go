//go:build !race

package pipeline

const memoryTolerance = 0.05
