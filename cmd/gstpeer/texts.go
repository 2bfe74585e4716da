package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// What is read of standard input, and what may wait to be written to standard
// output.
const (
	maxLine      = 256 << 10
	waitingTexts = 1024
)

// lastLinePatience is how long the reader of standard output may take at the end.
const lastLinePatience = 500 * time.Millisecond

// textWriter writes the texts that come in, for another program to read.
type textWriter struct {
	to    io.Writer
	log   *slog.Logger
	texts chan textLine
}

// textLine is what is written of a text.
type textLine struct {
	Peer string `json:"peer"`
	Text string `json:"text"`
}

func newTextWriter(to io.Writer, log *slog.Logger) *textWriter {
	return &textWriter{to: to, log: log, texts: make(chan textLine, waitingTexts)}
}

// take never waits: a reader who stands still must not hold up a peer.
func (w *textWriter) take(uid, text string) {
	select {
	case w.texts <- textLine{uid, text}:
	default:
		w.log.Error("text lost: standard output is not read", "peer", uid)
	}
}

// run writes until ctx ends. A write that nobody reads is left behind then:
// nothing can end it but the end of the program.
func (w *textWriter) run(ctx context.Context) error {
	written := make(chan error, 1)
	go func() { written <- w.write(ctx) }()
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
	}
	lastLine := time.NewTimer(lastLinePatience)
	defer lastLine.Stop()
	select {
	case err := <-written:
		return err
	case <-lastLine.C:
		w.log.Warn("texts are lost: standard output is not read")
		return nil
	}
}

func (w *textWriter) write(ctx context.Context) error {
	encoder := json.NewEncoder(w.to)
	encoder.SetEscapeHTML(false)
	for {
		select {
		case line := <-w.texts:
			if err := encoder.Encode(line); err != nil {
				return fmt.Errorf("--data-stdout: %w: whatever reads it has to go on", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// sendLines sends each line of a reader until ctx or the reader ends.
func sendLines(ctx context.Context, from io.Reader, send func(context.Context, string), log *slog.Logger) {
	lines := bufio.NewReaderSize(from, maxLine)
	for ctx.Err() == nil {
		line, tooLong, err := lines.ReadLine()
		for rest := tooLong; rest && err == nil; {
			_, rest, err = lines.ReadLine()
		}
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			log.Error("standard input is not read any more", "error", err)
			return
		case tooLong:
			log.Error("line not sent: it is too long", "bytes", "more than 262144")
		default:
			send(ctx, string(line))
		}
	}
}
