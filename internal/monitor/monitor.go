// Package monitor answers those who watch over a program, on an address of its
// own: with metrics for Prometheus, and with whether it is healthy and ready.
package monitor

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gstpeer/gstpeer/server"
)

// maxAtOnce is how many may ask for metrics at the same time.
const maxAtOnce = 4

// NewRegistry makes a registry that has the figures of the Go runtime and of the
// process.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

// Answers are what is said on /metrics, /health and /ready.
type Answers struct {
	Metrics       prometheus.Gatherer
	Health, Ready http.Handler
}

// Serve answers on the address that --metrics gave until stop is called; on none
// if that is empty. It says where.
func Serve(address string, a Answers, say io.Writer, log *slog.Logger) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	listener, err := server.ListenFor("--metrics", address)
	if err != nil {
		return nil, err
	}
	s := &http.Server{
		Handler:      a.handler(),
		ReadTimeout:  10 * time.Second,
		WriteTimeout: time.Minute,
		ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "error", err)
		}
	}()
	fmt.Fprintf(say, "The metrics are at %smetrics\n", server.PageURL(listener.Addr(), false))
	return func() {
		s.Close()
		<-ended
	}, nil
}

func (a Answers) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: maxAtOnce, ErrorHandling: promhttp.ContinueOnError}))
	mux.Handle("GET /health", a.Health)
	mux.Handle("GET /ready", a.Ready)
	return mux
}
