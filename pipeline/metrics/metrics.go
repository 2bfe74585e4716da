// Package metrics shows to Prometheus what a pipeline captures, encodes, sends and
// receives.
package metrics

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gstpeer/gstpeer/pipeline"
)

// Metrics are those of one pipeline, of which they are the Observer, and which is
// then given to Watch.
type Metrics struct {
	registry prometheus.Registerer

	captured   *prometheus.CounterVec
	encoded    *prometheus.CounterVec
	keyframes  *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	inEncoder  *prometheus.HistogramVec
	connecting prometheus.Histogram
	firstFrame *prometheus.HistogramVec
	ends       *prometheus.CounterVec
}

// New makes metrics that no pipeline has yet.
func New(registry prometheus.Registerer) *Metrics {
	byEncoder := []string{"codec", "encoder"}
	m := &Metrics{
		registry: registry,
		captured: counters("gstpeer_source_frames_total", "Pictures and pieces of sound that the source has delivered.", "kind"),

		encoded:   counters("gstpeer_encoder_frames_total", "Frames that were encoded.", byEncoder...),
		keyframes: counters("gstpeer_encoder_keyframes_total", "Keyframes among them.", byEncoder...),
		bytes:     counters("gstpeer_encoder_bytes_total", "Bytes of these frames.", byEncoder...),
		inEncoder: histograms("gstpeer_encoder_seconds", "Time that a frame was in its encoder, waiting for its turn included.",
			prometheus.ExponentialBuckets(0.0005, 2, 12), byEncoder...), // to 1 s
		connecting: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gstpeer_connect_seconds", Help: "Time from the begin of the negotiation until a remote peer was connected.", Buckets: patience,
		}),
		firstFrame: histograms("gstpeer_first_frame_seconds", "Time from the begin of the negotiation of a stream until its first frame.",
			patience, "kind", "direction"),
		ends: counters("gstpeer_remote_ends_total", "Connections to remote peers that have ended, by the reason.", "reason"),
	}
	registry.MustRegister(m.captured, m.encoded, m.keyframes, m.bytes, m.inEncoder, m.connecting, m.firstFrame, m.ends)
	for _, reason := range reasons {
		m.ends.WithLabelValues(reason.name)
	}
	m.ends.WithLabelValues(otherReason)
	return m
}

// patience are the buckets for what somebody waits for: 25 ms to 51 s.
var patience = prometheus.ExponentialBuckets(0.025, 2, 12)

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// Watch adds the pipeline's own figures. It may be called once.
func (m *Metrics) Watch(p *pipeline.Pipeline) { m.registry.MustRegister(collector{p}) }

// CapturedFrame is the Observer's.
func (m *Metrics) CapturedFrame(kind pipeline.Kind) {
	m.captured.WithLabelValues(string(kind)).Inc()
}

// EncodedFrame is the Observer's.
func (m *Metrics) EncodedFrame(codec *pipeline.Codec, encoder string, inEncoder time.Duration, keyframe bool, bytes int) {
	m.encoded.WithLabelValues(codec.Name, encoder).Inc()
	m.bytes.WithLabelValues(codec.Name, encoder).Add(float64(bytes))
	if keyframe {
		m.keyframes.WithLabelValues(codec.Name, encoder).Inc()
	}
	if inEncoder > 0 {
		m.inEncoder.WithLabelValues(codec.Name, encoder).Observe(inEncoder.Seconds())
	}
}

// Connected is the Observer's.
func (m *Metrics) Connected(after time.Duration) { m.connecting.Observe(after.Seconds()) }

// FirstFrame is the Observer's.
func (m *Metrics) FirstFrame(kind pipeline.Kind, sent bool, after time.Duration) {
	m.firstFrame.WithLabelValues(string(kind), direction(sent)).Observe(after.Seconds())
}

// Ended is the Observer's.
func (m *Metrics) Ended(reason error) { m.ends.WithLabelValues(nameOf(reason)).Inc() }

// reasons are all that a connection can end for, the more particular ones first.
var reasons = []struct {
	name string
	err  error
}{
	{"left", nil},
	{"no_answer", pipeline.ErrNoAnswer},
	{"no_common_codec", pipeline.ErrNoCommonCodec},
	{"nothing_wanted", pipeline.ErrNothingWanted},
	{"media_lost", pipeline.ErrMediaLost},
	{"flooded", pipeline.ErrFlooded},
	{"bad_description", pipeline.ErrDescription},
	{"connection_failed", pipeline.ErrConnectionFailed},
}

const otherReason = "other"

func nameOf(err error) string {
	for _, reason := range reasons {
		if err == nil && reason.err == nil || reason.err != nil && errors.Is(err, reason.err) {
			return reason.name
		}
	}
	return otherReason
}

func direction(sent bool) string {
	if sent {
		return "sent"
	}
	return "received"
}
