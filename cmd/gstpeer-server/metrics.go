package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gstpeer/gstpeer/server"
)

// serveMetrics answers the operator, on a listener of its own, for the metrics
// and for the relay's health and readiness until stop is called.
func (f *flags) serveMetrics(relay *server.Server, metrics http.Handler, stdout io.Writer, log *slog.Logger) (stop func(), err error) {
	if f.Metrics == "" {
		return func() {}, nil
	}
	listener, err := server.ListenFor("--metrics", f.Metrics)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /health", relay.Handler())
	mux.Handle("GET /ready", relay.Handler())
	s := &http.Server{
		Handler:      mux,
		ReadTimeout:  10 * time.Second,
		WriteTimeout: time.Minute,
		ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "err", err)
		}
	}()
	fmt.Fprintf(stdout, "The metrics are at %smetrics\n", server.PageURL(listener.Addr(), false))
	return func() {
		s.Close()
		<-ended
	}, nil
}
