package metrics

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gstpeer/gstpeer/pipeline"
)

// Remote peers choose their names, and there may be many: this many of them have
// series of their own at a time, under labels of a bounded length.
const (
	maxRemotes   = 100
	maxLabelSize = 64
)

// collector asks the pipeline when it is asked itself.
type collector struct{ pipeline *pipeline.Pipeline }

var (
	ofRemote = []string{"remote"}
	ofStream = []string{"remote", "direction", "mline", "kind", "codec"}

	sourceUp = describe("gstpeer_source_up", "1 while the source delivers, 0 while a slate or silence stands in for it.", "kind")

	remotes = describe("gstpeer_remotes", "Remote peers, by the state of the connection.", "state")
	info    = describe("gstpeer_remote_info", "1 for each remote peer, with its state and the types of the selected candidate pair.",
		append(ofRemote, "state", "local_candidate", "remote_candidate")...)

	frames    = describe("gstpeer_remote_frames_total", "Frames sent or received. Those received are counted if anything is done with them.", ofStream...)
	keyframes = describe("gstpeer_remote_keyframes_total", "Keyframes among them.", ofStream...)
	packets   = describe("gstpeer_remote_packets_total", "RTP packets sent or received.", ofStream...)
	bytes     = describe("gstpeer_remote_bytes_total", "Bytes of their payload.", ofStream...)
	bitrate   = describe("gstpeer_remote_bitrate", "Bits per second over the last seconds.", ofStream...)
	lost      = describe("gstpeer_remote_lost_packets", "RTP packets that the receiver has missed.", ofStream...)
	roundTrip = describe("gstpeer_remote_round_trip_seconds", "Round-trip time, as the receiver's reports tell.", ofStream...)
	jitter    = describe("gstpeer_remote_jitter_seconds", "Jitter of the arrival at the receiver.", ofStream...)
	nacks     = describe("gstpeer_remote_nacks_total", "Negative acknowledgements (RTCP NACK) by the receiver.", ofStream...)
	plis      = describe("gstpeer_remote_plis_total", "Lost pictures (RTCP PLI) that the receiver told of.", ofStream...)
	firs      = describe("gstpeer_remote_firs_total", "Keyframes (RTCP FIR) that the receiver asked for.", ofStream...)
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		sourceUp, remotes, info, frames, keyframes, packets, bytes, bitrate, lost, roundTrip, jitter, nacks, plis, firs,
	} {
		to <- d
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	c.collectSources(to)
	reports := c.pipeline.Reports()
	states := map[string]int{"new": 0, "connecting": 0, "connected": 0, "disconnected": 0, "failed": 0, "closed": 0}
	for i, r := range reports {
		states[r.State]++
		if i < maxRemotes {
			collectRemote(to, r)
		}
	}
	for state, n := range states {
		to <- prometheus.MustNewConstMetric(remotes, prometheus.GaugeValue, float64(n), state)
	}
}

func (c collector) collectSources(to chan<- prometheus.Metric) {
	for _, source := range c.pipeline.SourceStates() {
		up := 1.0
		if source.Lost {
			up = 0
		}
		for _, kind := range source.Kinds {
			to <- prometheus.MustNewConstMetric(sourceUp, prometheus.GaugeValue, up, string(kind))
		}
	}
}

func collectRemote(to chan<- prometheus.Metric, r pipeline.PeerReport) {
	name := label(r.UID)
	to <- prometheus.MustNewConstMetric(info, prometheus.GaugeValue, 1, name, r.State, r.LocalCandidate, r.RemoteCandidate)
	for _, s := range r.Streams {
		labels := []string{name, direction(s.Sent), strconv.Itoa(s.MLine), string(s.Kind), s.Codec}
		counter := func(d *prometheus.Desc, n uint64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
		}
		gauge := func(d *prometheus.Desc, value float64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
		}
		counter(frames, s.Frames)
		counter(keyframes, s.Keyframes)
		counter(packets, s.Packets)
		counter(bytes, s.Bytes)
		gauge(bitrate, s.Bitrate)
		gauge(lost, float64(s.Lost))
		if s.Sent {
			gauge(roundTrip, s.RoundTrip.Seconds())
		}
		gauge(jitter, s.Jitter.Seconds())
		counter(nacks, s.NACKs)
		counter(plis, s.PLIs)
		counter(firs, s.FIRs)
	}
}

// label is a uid, or what tells it from every other one, if it is long or looks
// like such a label: no remote can have that of another, which would spoil all.
func label(uid string) string {
	if len(uid) <= maxLabelSize && !strings.Contains(uid, ellipsis) && utf8.ValidString(uid) {
		return uid
	}
	sum := sha256.Sum256([]byte(uid))
	tail := ellipsis + hex.EncodeToString(sum[:16])
	begin := uid[:min(len(uid), maxLabelSize-len(tail))]
	return strings.ToValidUTF8(begin, "") + tail
}

const ellipsis = "…"
