// Package metrics shows what a relay does to Prometheus.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gstpeer/gstpeer/server"
)

// Metrics are those of one relay, which gets RelayTime by its Config, and is then
// given to Watch.
type Metrics struct {
	// RelayTime is how long messages are on their way through the relay.
	RelayTime server.Observer

	registry prometheus.Registerer
}

// New makes metrics that no relay has yet.
func New(registry prometheus.Registerer) *Metrics {
	relayTime := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "gstpeer_relay_seconds",
		Help: "Time from the arrival of a message to its writing to another peer, of every 16th message.",
		// 16 µs to 67 s: half of all on an idle machine take less than the third,
		// and none waits much longer for a peer that is to come back.
		Buckets: prometheus.ExponentialBuckets(16e-6, 4, 12),
	})
	registry.MustRegister(relayTime)
	return &Metrics{RelayTime: relayTime, registry: registry}
}

// Watch adds the relay's own figures. It may be called once.
func (m *Metrics) Watch(relay *server.Server) {
	m.registry.MustRegister(collector{relay})
}

// collector asks the relay when it is asked itself.
type collector struct{ relay *server.Server }

var (
	connections = describe("gstpeer_connections", "WebSockets, registered or not.")
	peers       = describe("gstpeer_peers", "Registered peers, those included that are to come back.")
	rooms       = describe("gstpeer_rooms", "Rooms.")
	sessions    = describe("gstpeer_sessions", "Sessions.")

	queuedMessages = describe("gstpeer_queue_messages", "Messages that wait to be written to their peers.")
	queuedBytes    = describe("gstpeer_queue_bytes", "Bytes that wait to be written to their peers.")
	longestQueue   = describe("gstpeer_queue_longest_messages", "Messages that wait for the peer with the most of them.")

	received      = describe("gstpeer_received_messages_total", "Messages of registered peers, by what they are for.", "kind")
	receivedBytes = describe("gstpeer_received_bytes_total", "Bytes of the payload of these messages.", "kind")
	sent          = describe("gstpeer_sent_messages_total", "Messages written to peers.")
	sentBytes     = describe("gstpeer_sent_bytes_total", "Bytes of the payload of these messages.")
	refusals      = describe("gstpeer_refusals_total", "Connections, requests and commands that were refused, by the reason.", "reason")
)

var kinds = map[server.Kind]string{
	server.KindCommand: "command",
	server.KindSession: "session",
	server.KindRoom:    "room",
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{
		connections, peers, rooms, sessions, queuedMessages, queuedBytes, longestQueue,
		received, receivedBytes, sent, sentBytes, refusals,
	} {
		to <- description
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	stats := c.relay.Stats()
	gauge := func(d *prometheus.Desc, value int) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value))
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	gauge(connections, stats.Connections)
	gauge(peers, stats.Peers)
	gauge(rooms, stats.Rooms)
	gauge(sessions, stats.Sessions)
	gauge(queuedMessages, stats.QueuedMessages)
	gauge(queuedBytes, stats.QueuedBytes)
	gauge(longestQueue, stats.LongestQueue)
	for kind, name := range kinds {
		counter(received, stats.Received[kind].Messages, name)
		counter(receivedBytes, stats.Received[kind].Bytes, name)
	}
	counter(sent, stats.Sent.Messages)
	counter(sentBytes, stats.Sent.Bytes)
	for reason, n := range c.relay.Refusals() {
		counter(refusals, n, string(reason))
	}
}
