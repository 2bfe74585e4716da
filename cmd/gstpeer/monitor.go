package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/internal/monitor"
	"github.com/gstpeer/gstpeer/pipeline"
	"github.com/gstpeer/gstpeer/pipeline/metrics"
	"github.com/gstpeer/gstpeer/server"
	relaymetrics "github.com/gstpeer/gstpeer/server/metrics"
	"github.com/gstpeer/gstpeer/signalling"
)

// monitorFlags say where the program can be watched.
type monitorFlags struct {
	Metrics string `group:"Log" placeholder:"HOST:PORT" help:"Address to serve /metrics on, for Prometheus, with /health (it runs) and /ready (it is in the room and has its source). Choose one that only the operator reaches, such as 127.0.0.1:9091. Default: none."`
}

// watching is what those see who watch the program: nothing, and at no cost, if
// no --metrics is given.
type watching struct {
	registry *prometheus.Registry // nil without --metrics
	media    *metrics.Metrics
	ready    readiness
}

// readiness is whether the program does what it is there for.
type readiness struct {
	mu    sync.Mutex
	relay string // what is wrong with it; empty if nothing is
	media *pipeline.Pipeline
}

// startWatching serves the metrics until stop is called.
func (s *settings) startWatching() (stop func(), err error) {
	s.watching.ready.relay = "not at the relay yet"
	if s.flags.Metrics == "" {
		return func() {}, nil
	}
	s.watching.registry = monitor.NewRegistry()
	s.watching.media = metrics.New(s.watching.registry)
	s.media.Observer = s.watching.media
	stop, err = monitor.Serve(s.flags.Metrics, monitor.Answers{
		Metrics: s.watching.registry,
		Health:  http.HandlerFunc(sayHealthy),
		Ready:   &s.watching.ready,
	}, s.say, s.log)
	if errors.Is(err, server.ErrAddress) {
		err = cli.UsageError{Err: err}
	}
	return stop, err
}

func (w *watching) watch(p *pipeline.Pipeline) {
	w.ready.mu.Lock()
	w.ready.media = p
	w.ready.mu.Unlock()
	if w.registry != nil {
		w.media.Watch(p)
	}
}

// newRelay makes the built-in relay, which is watched too.
func (w *watching) newRelay(config server.Config) (*server.Server, error) {
	if w.registry == nil {
		return server.New(config)
	}
	m := relaymetrics.New(w.registry)
	config.RelayTime = m.RelayTime
	relay, err := server.New(config)
	if err == nil {
		m.Watch(relay)
	}
	return relay, err
}

func sayHealthy(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "OK") }

// note takes what an event tells about the relay.
func (r *readiness) note(event signalling.Event) {
	switch e := event.(type) {
	case signalling.Reconnecting:
		r.set("the relay is lost")
	case signalling.Refused:
		r.set(fmt.Sprintf("the relay does not take us back: %v", e.Cause))
	case signalling.Resumed, signalling.Rejoined, signalling.CallEnded:
		r.set("")
	}
}

func (r *readiness) set(relay string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.relay = relay
}

// ServeHTTP answers with 503 and the reason as long as the program is not ready.
func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if missing := r.missing(); len(missing) > 0 {
		http.Error(w, strings.Join(missing, "\n"), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "OK")
}

// missing lists what is wrong.
func (r *readiness) missing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var missing []string
	if r.relay != "" {
		missing = append(missing, r.relay)
	}
	if r.media == nil {
		return missing
	}
	for _, source := range r.media.SourceStates() {
		if source.Lost {
			missing = append(missing, source.Name+" is lost")
		}
	}
	return missing
}
