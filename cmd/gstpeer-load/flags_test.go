package main

import (
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/gstpeer/gstpeer/internal/cli"
)

// TestFlagErrors: what cannot be measured is an error about the command line,
// before anything is measured.
func TestFlagErrors(t *testing.T) {
	t.Setenv("GSTPEER_SIMPLE_SERVER", "")
	for _, test := range []struct{ args, says string }{
		{"--idle 0", `--idle wants 1 or more, got 0`},
		{"--duration 0s", `--duration wants 1s or more, got 0s`},
		{"--duration 9ms", `--duration wants 1s or more, got 9ms`},
		{"--sessions 0", `--sessions wants 1 or more, got 0`},
		{"--sessions=-1", `--sessions wants 1 or more, got -1`},
		{"--joiners 1", `--joiners wants 2 or more, got 1`},
		{"--rounds 0", `--rounds wants 1 or more, got 0`},
		{"--churn 3", `--churn wants 40 or more, got 3`},
		{"--only pong", `--only: "pong" is not known`},
		{"--only pingpong,pong", `--only: "pong" is not known`},
		{"--relays orginal", `--relays: "orginal" is not known: want gstpeer, bare or original`},
		{"--relays original", `--relays: original is GStreamer's simple_server.py: say where with --original`},
		{"--relays gstpeer,original", `say where with --original`},
		{"--original /nonexistent.py", `--original: .*/nonexistent.py: no such file`},
		{"--program /nonexistent", `--program: .*/nonexistent.*no such file`},
		{"--relays bare --only pingpong,talk", `--relays: bare has no protocol: of it --only can name pingpong and inflight`},
	} {
		var stdout strings.Builder
		err := run(t.Context(), strings.Fields(test.args), &stdout, io.Discard)
		var usage cli.UsageError
		if !errors.As(err, &usage) || !regexp.MustCompile(test.says).MatchString(err.Error()) || stdout.Len() > 0 {
			t.Errorf("%s: %v after %q, want a usage error: %s", test.args, err, stdout.String(), test.says)
		}
	}
}
