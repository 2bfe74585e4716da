// Package cli is what the programs do alike at the command line: flags that are
// environment variables too, a log, errors in one line, and exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes. A program may have others, which ExitError tells.
const (
	exitFailure = 1
	exitUsage   = 2
)

// UsageError is an error about the command line or the environment: the
// program exits with 2 for it.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

func (e UsageError) Unwrap() error { return e.Err }

// ExitError is an error that the program exits with a code of its own for.
type ExitError struct {
	Err  error
	Code int
}

func (e ExitError) Error() string { return e.Err.Error() }

func (e ExitError) Unwrap() error { return e.Err }

// Run is a program: it works until ctx ends.
type Run func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// Main runs a program until it ends, or an interrupt or SIGTERM tells it to,
// and gives the exit code. An error becomes one line on standard error.
func Main(name string, run Run) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)   // a second signal ends the program at once
	signal.Ignore(syscall.SIGPIPE) // or nothing could be brought to an end when standard output is read no more
	return Report(os.Stderr, name, run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Report says what went wrong, in one line, and gives the exit code.
func Report(stderr io.Writer, name string, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", "; "))
	var usage UsageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var exit ExitError
	if errors.As(err, &exit) {
		return exit.Code
	}
	return exitFailure
}

// Parse reads the command line into a struct of kong's. Each flag is also an
// environment variable, named after it behind the prefix. It returns false when
// help was asked for, which has then been printed.
func Parse(flags any, name, description, envPrefix string, args []string, stdout, stderr io.Writer) (bool, error) {
	helped := false
	parser, err := kong.New(flags,
		kong.Name(name),
		kong.Description(description),
		kong.DefaultEnvars(envPrefix),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
	)
	if err != nil {
		return false, err
	}
	_, err = parser.Parse(args)
	switch {
	case helped:
		return false, nil
	case err != nil:
		return false, UsageError{fmt.Errorf("%w; see %s --help", err, name)}
	}
	return true, nil
}

// LogFlags are the flags of the log, to be embedded.
type LogFlags struct {
	LogLevel  string `default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"Least severity to log: ${enum}. Default: ${default}."`
	LogFormat string `default:"text" enum:"text,json" placeholder:"FORMAT" help:"Form of the log: ${enum}. Default: ${default}."`
}

// Logger is the log that the flags ask for.
func (f LogFlags) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // every enumerated one is a level
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
