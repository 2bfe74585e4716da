package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// get asks for a page, which need not be a good one.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// monitored is the address that the program says it can be watched at.
func (p *program) monitored() string {
	p.t.Helper()
	return p.awaitOutput(`(?m)^The metrics are at (http://\S+/)metrics$`)[1]
}

// TestMetrics watches a stream with the built-in relay.
func TestMetrics(t *testing.T) {
	t.Parallel()
	p := startStreaming(t, "--metrics", "127.0.0.1:0")
	at := p.monitored()
	name := strings.Repeat("long", 50)
	v := newViewer(t, p.relay(), name)
	v.awaitTrack("cam", webrtc.RTPCodecTypeVideo).awaitFrames(t, 10)
	var said, missing string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s is not in\n%s", missing, said)
		}
	})
	holds := func(lines ...string) bool {
		_, said = get(t, at+"metrics")
		for _, line := range lines {
			if !strings.Contains(said, "\n"+line) {
				missing = line
				return false
			}
		}
		return true
	}
	stream := `{codec="vp8",direction="sent",kind="video",mline="`
	await(t, "metrics", func() bool {
		return holds("gstpeer_remote_frames_total"+stream, "gstpeer_remote_bitrate"+stream,
			"gstpeer_remote_keyframes_total"+stream, "gstpeer_remote_round_trip_seconds"+stream,
			"gstpeer_remote_nacks_total"+stream, "gstpeer_remote_plis_total"+stream, "gstpeer_remote_lost_packets"+stream,
			`gstpeer_remote_info{local_candidate="host",remote="longlong`, `gstpeer_remotes{state="connected"} 1`,
			`gstpeer_source_frames_total{kind="video"}`, `gstpeer_source_up{kind="video"} 1`, `gstpeer_encoder_seconds_count{codec="vp8",encoder="vp8enc"}`,
			"gstpeer_connect_seconds_count 1", `gstpeer_first_frame_seconds_count{direction="sent",kind="video"} 1`,
			"gstpeer_peers 2", "go_goroutines", "process_open_fds")
	})
	if strings.Contains(said, name) {
		t.Error("a label has no bound")
	}
	problems, err := promlint.New(strings.NewReader(said)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	v.close()
	await(t, "the viewer's series to end", func() bool {
		return holds(`gstpeer_remote_ends_total{reason="left"} 1`, `gstpeer_remotes{state="connected"} 0`) && !strings.Contains(said, "longlong")
	})
}

// TestReady asks whether the program is ready, before and after its relay is lost.
func TestReady(t *testing.T) {
	t.Parallel()
	address, stopRelay := startRelayAt(t, "127.0.0.1:0")
	p := startStreamingTo(t, "ws://"+address, "cam", "--metrics", "127.0.0.1:0")
	at := p.monitored()
	if status, body := get(t, at+"ready"); status != 200 || body != "OK\n" {
		t.Errorf("ready: %d %q, want 200", status, body)
	}
	stopRelay()
	await(t, "a refusal", func() bool {
		status, body := get(t, at+"ready")
		return status == 503 && body == "the relay is lost\n"
	})
	if status, body := get(t, at+"health"); status != 200 || body != "OK\n" {
		t.Errorf("health: %d %q, want 200", status, body)
	}
	startRelayAt(t, address)
	await(t, "readiness", func() bool {
		status, _ := get(t, at+"ready")
		return status == 200
	})
}
