// Package doctor finds out what keeps peers from one another, and says it in plain
// words, a line for each thing.
package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Level is how a thing is.
type Level string

// The levels. What is missing is needed; a warning is worth knowing.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Missing Level = "missing"
)

// Report writes findings.
type Report struct {
	to      io.Writer
	missing int
}

// NewReport makes a Report.
func NewReport(to io.Writer) *Report { return &Report{to: to} }

// Missing is how much is missing.
func (r *Report) Missing() int { return r.missing }

// Add reports a thing, in one line.
func (r *Report) Add(level Level, format string, arguments ...any) {
	if level == Missing {
		r.missing++
	}
	line := strings.ReplaceAll(fmt.Sprintf(format, arguments...), "\n", "; ")
	fmt.Fprintf(r.to, "%-8s %s\n", level, line)
}

// Check reports that a thing is well, or else what is wrong with it.
func (r *Report) Check(what string, err error, otherwise Level) {
	if err == nil {
		r.Add(OK, "%s", what)
		return
	}
	r.Add(otherwise, "%s: %s", what, err)
}
