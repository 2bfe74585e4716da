package pipeline

/*
#cgo pkg-config: gstreamer-1.0 gstreamer-app-1.0 gstreamer-rtp-1.0 gstreamer-sdp-1.0
#include <stdlib.h>
#include "webrtcbin.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime/cgo"
	"time"
	"unsafe"

	"github.com/go-gst/go-gst/gst"

	"github.com/gstpeer/gstpeer/signalling"
)

// errNotSDP is for a description that GStreamer cannot read.
var errNotSDP = errors.New("pipeline: not SDP")

// connectionState is W3C's RTCPeerConnectionState, numbered as GStreamer does.
type connectionState int

const (
	stateNew connectionState = iota
	stateConnecting
	stateConnected
	stateDisconnected
	stateFailed
	stateClosed
)

func (s connectionState) String() string {
	return [...]string{"new", "connecting", "connected", "disconnected", "failed", "closed"}[s]
}

// direction is that of a transceiver of ours.
type direction C.int

const (
	inactive direction = C.WEBRTC_INACTIVE
	sendRecv direction = C.WEBRTC_SENDRECV
)

// webrtcbinOwner hears what a webrtcbin says. Its methods are called on threads
// of GStreamer: they post, or note, and wait for nothing.
type webrtcbinOwner interface {
	onCandidate(signalling.Candidate)
	onConnectionState(connectionState)
	onICEState(gathered, connected bool)
	onKeyframeWanted()
	onFrame(ssrc uint32, payload int, frame Frame)
	onText(string)
	onChannelOpen()
	onHeard()
	// onReport is for reports that are about nothing; onReception tells what others
	// are about.
	onReport()
	onReception(ssrc uint32, r reception)
	// onError tells what kind of element has failed, and why.
	onError(element string, err error)
}

// settings are what the webrtcbins of a process have in common.
type settings struct {
	clock    *gst.Clock
	baseTime gst.ClockTime
	network  Network
	servers  ICEServers
}

// webrtcbin is the pipeline of one remote peer. All its methods are for one
// goroutine, except feed.push.
type webrtcbin struct {
	peer *C.WebrtcPeer
}

// newWebrtcbin makes a webrtcbin that shares clock and base time with the
// source. Where there is no address but this machine's own it gathers that one,
// which libnice leaves out.
func newWebrtcbin(owner webrtcbinOwner, s settings) (*webrtcbin, error) {
	var strings cStrings
	defer strings.free()
	peer := C.webrtc_peer_new(C.uintptr_t(cgo.NewHandle(owner)), &C.WebrtcSettings{
		clock:        (*C.GstClock)(s.clock.Unsafe()),
		base_time:    C.GstClockTime(s.baseTime),
		loopback:     gboolean(onlyLoopback()),
		relay_only:   gboolean(s.network.RelayOnly),
		tcp:          gboolean(s.servers.needsTCP()),
		min_port:     C.uint(s.network.MinPort),
		max_port:     C.uint(s.network.MaxPort),
		latency:      C.uint(s.network.latency().Milliseconds()),
		stun_server:  strings.add(s.servers.stunURI()),
		turn_servers: strings.array(s.servers.turnURIs()),
	})
	if peer == nil {
		return nil, errors.New("pipeline: webrtcbin cannot be made")
	}
	w := &webrtcbin{peer: peer}
	if C.webrtc_peer_play(peer) == 0 {
		w.stop()
		w.free()
		return nil, errors.New("pipeline: webrtcbin does not start")
	}
	return w, nil
}

// cStrings owns memory of C for the time of a call.
type cStrings []unsafe.Pointer

func (s *cStrings) own(memory unsafe.Pointer) unsafe.Pointer {
	*s = append(*s, memory)
	return memory
}

// add gives NULL for an empty text.
func (s *cStrings) add(text string) *C.char {
	if text == "" {
		return nil
	}
	return (*C.char)(s.own(unsafe.Pointer(C.CString(text))))
}

// array gives texts with a NULL behind the last.
func (s *cStrings) array(texts []string) **C.char {
	size := C.size_t(len(texts)+1) * C.size_t(unsafe.Sizeof((*C.char)(nil)))
	array := (**C.char)(s.own(C.calloc(1, size)))
	for i, text := range texts {
		unsafe.Slice(array, len(texts)+1)[i] = s.add(text)
	}
	return array
}

func (s *cStrings) free() {
	for _, memory := range *s {
		C.free(memory)
	}
}

// stop ends its threads and lets every push return false.
func (w *webrtcbin) stop() { C.webrtc_peer_stop(w.peer) }

// free releases it after stop, when nobody pushes any more.
func (w *webrtcbin) free() { C.webrtc_peer_free(w.peer) }

// addTransceiver adds an m-line to the next offer, or a match for one of the
// remote offer to the next answer.
func (w *webrtcbin) addTransceiver(d direction, kind Kind, caps string) {
	text := C.CString(caps)
	defer C.free(unsafe.Pointer(text))
	C.webrtc_peer_add_transceiver(w.peer, C.int(d), text, gboolean(kind == Video))
}

// create makes an offer or an answer.
func (w *webrtcbin) create(ctx context.Context, t signalling.SDPType) (signalling.Description, error) {
	r := newReply()
	C.webrtc_peer_create(w.peer, sdpType(t), C.uintptr_t(r.handle))
	sdp, err := r.wait(ctx)
	if err == nil && sdp == "" {
		err = errors.New("webrtcbin gave an empty description")
	}
	if err != nil {
		return signalling.Description{}, fmt.Errorf("create %s: %w", t, err)
	}
	return signalling.Description{Type: t, SDP: sdp}, nil
}

func (w *webrtcbin) setLocal(ctx context.Context, d signalling.Description) error {
	return w.set(ctx, true, d)
}

func (w *webrtcbin) setRemote(ctx context.Context, d signalling.Description) error {
	return w.set(ctx, false, d)
}

func (w *webrtcbin) set(ctx context.Context, local bool, d signalling.Description) error {
	text := C.CString(d.SDP)
	defer C.free(unsafe.Pointer(text))
	r := newReply()
	if C.webrtc_peer_set(w.peer, gboolean(local), sdpType(d.Type), text, C.uintptr_t(r.handle)) == 0 {
		r.handle.Delete()
		return errNotSDP
	}
	if _, err := r.wait(ctx); err != nil {
		return fmt.Errorf("set %s: %w", d.Type, err)
	}
	return nil
}

func (w *webrtcbin) addCandidate(c signalling.Candidate) {
	text := C.CString(c.Candidate)
	defer C.free(unsafe.Pointer(text))
	C.webrtc_peer_add_candidate(w.peer, C.uint(c.SDPMLineIndex), text)
}

// remoteCertificate is what the remote has shown by DTLS, in DER form.
func (w *webrtcbin) remoteCertificate() ([]byte, error) {
	text := C.webrtc_peer_remote_certificate(w.peer)
	defer C.g_free(C.gpointer(text))
	return decodeCertificate(C.GoString(text))
}

// stats asks for statistics.
func (w *webrtcbin) stats(ctx context.Context) (statistics, error) {
	r := newReply()
	C.webrtc_peer_stats(w.peer, C.uintptr_t(r.handle))
	text, err := r.wait(ctx)
	if err != nil {
		return nil, fmt.Errorf("statistics: %w", err)
	}
	return parseStatistics(text), nil
}

// acceptNothing lets no media in. The methods after it say what may come all
// the same.
func (w *webrtcbin) acceptNothing() { C.webrtc_peer_accept_nothing(w.peer) }

// accept lets a payload type in. Of what comes frames are made by a fragment of
// gst-launch that ends in an appsink named "sink"; without one it is discarded.
func (w *webrtcbin) accept(payload int, depay string) {
	var strings cStrings
	defer strings.free()
	C.webrtc_peer_accept(w.peer, C.uint(payload), strings.add(depay))
}

func (w *webrtcbin) acceptSource(ssrc uint32) { C.webrtc_peer_accept_ssrc(w.peer, C.uint32_t(ssrc)) }

func (w *webrtcbin) acceptAnySource() { C.webrtc_peer_accept_any_ssrc(w.peer) }

// wantKeyframe asks the remote for a keyframe.
func (w *webrtcbin) wantKeyframe(ssrc uint32) { C.webrtc_peer_want_keyframe(w.peer, C.uint32_t(ssrc)) }

// openChannel opens our data channel, with the next negotiation if need be. It
// returns false where that cannot be.
func (w *webrtcbin) openChannel(label string) bool {
	var strings cStrings
	defer strings.free()
	return C.webrtc_peer_open_channel(w.peer, strings.add(label)) != 0
}

// sendText returns false when the channel takes no more for the time being.
func (w *webrtcbin) sendText(text string) bool {
	var strings cStrings
	defer strings.free()
	return C.webrtc_peer_send_text(w.peer, strings.add(text)) != 0
}

// feed is the way into a webrtcbin for the frames of one track.
type feed struct {
	appsrc *C.GstElement
}

// newFeed links a payloader to the pad of an m-line that was negotiated to send.
func (w *webrtcbin) newFeed(mline int, codec *Codec, payload int, ssrc uint32) (*feed, error) {
	launch := C.CString(fmt.Sprintf("appsrc name=feed caps=%q ! %s %s mtu=1200 pt=%d ssrc=%d ! capssetter caps=%q",
		codec.frameCaps, codec.payloader, codec.payloaderOptions, payload, ssrc, codec.payloaderCaps()))
	defer C.free(unsafe.Pointer(launch))
	var message *C.char
	appsrc := C.webrtc_peer_feed(w.peer, C.uint(mline), launch, &message)
	if appsrc == nil {
		defer C.g_free(C.gpointer(message))
		return nil, fmt.Errorf("send %s on m-line %d: %s", codec.Name, mline, C.GoString(message))
	}
	return &feed{appsrc: appsrc}, nil
}

// feedOf is the feed of any appsrc, which the caller keeps alive.
func feedOf(appsrc *gst.Element) *feed {
	return &feed{appsrc: (*C.GstElement)(appsrc.Unsafe())}
}

// push hands a frame to the payloader. It waits while the peer is behind, and
// returns false once the webrtcbin was stopped. Not after free.
func (f *feed) push(frame Frame) bool {
	duration := C.GstClockTime(C.GST_CLOCK_TIME_NONE)
	if frame.Duration > 0 {
		duration = C.GstClockTime(frame.Duration)
	}
	return C.webrtc_feed_push(f.appsrc, unsafe.Pointer(unsafe.SliceData(frame.Payload)), C.size_t(len(frame.Payload)),
		C.GstClockTime(frame.PTS), duration, gboolean(frame.Keyframe)) != 0
}

// forceKeyframe asks the encoder in front of a sink for a keyframe.
func forceKeyframe(sink *gst.Element) bool {
	return C.webrtc_force_keyframe((*C.GstElement)(sink.Unsafe())) != 0
}

// letThrough has GStreamer's log function called for what is at least so severe.
func letThrough(level gst.DebugLevel) {
	C.gst_debug_set_default_threshold(C.GstDebugLevel(level))
}

// webrtcbinsAlive is the number of webrtcbins that still hold memory.
func webrtcbinsAlive() int { return int(C.webrtc_peers_alive()) }

// reply is the far end of a promise.
type reply struct {
	handle cgo.Handle
	result chan promised // holds one, so that nobody waits for a reader
}

type promised struct {
	sdp string
	err error
}

func newReply() *reply {
	r := &reply{result: make(chan promised, 1)}
	r.handle = cgo.NewHandle(r)
	return r
}

func (r *reply) wait(ctx context.Context) (string, error) {
	select {
	case p := <-r.result:
		return p.sdp, p.err
	case <-ctx.Done():
		return "", fmt.Errorf("no reply from webrtcbin: %w", context.Cause(ctx))
	}
}

func sdpType(t signalling.SDPType) C.int {
	if t == signalling.Offer {
		return C.WEBRTC_SDP_OFFER
	}
	return C.WEBRTC_SDP_ANSWER
}

func gboolean(b bool) C.gboolean {
	if b {
		return 1
	}
	return 0
}

func ownerOf(handle C.uintptr_t) webrtcbinOwner {
	return cgo.Handle(handle).Value().(webrtcbinOwner)
}

//export goOwnerGone
func goOwnerGone(handle C.uintptr_t) { cgo.Handle(handle).Delete() }

//export goCandidate
func goCandidate(handle C.uintptr_t, mline C.uint, candidate *C.char) {
	ownerOf(handle).onCandidate(signalling.Candidate{Candidate: C.GoString(candidate), SDPMLineIndex: uint16(mline)})
}

//export goConnectionState
func goConnectionState(handle C.uintptr_t, state C.int) {
	ownerOf(handle).onConnectionState(connectionState(state))
}

//export goIceState
func goIceState(handle C.uintptr_t, gathering, connection C.int) {
	ownerOf(handle).onICEState(gathering == C.WEBRTC_GATHERED,
		connection == C.WEBRTC_ICE_CONNECTED || connection == C.WEBRTC_ICE_COMPLETED)
}

//export goKeyframeWanted
func goKeyframeWanted(handle C.uintptr_t) { ownerOf(handle).onKeyframeWanted() }

//export goFrame
func goFrame(handle C.uintptr_t, ssrc C.uint32_t, payload C.uint, data unsafe.Pointer, size C.size_t, pts C.GstClockTime, keyframe C.gboolean) {
	ownerOf(handle).onFrame(uint32(ssrc), int(payload), Frame{
		Payload: C.GoBytes(data, C.int(size)), PTS: time.Duration(pts), Keyframe: keyframe != 0,
	})
}

//export goText
func goText(handle C.uintptr_t, text *C.char) { ownerOf(handle).onText(C.GoString(text)) }

//export goChannelOpen
func goChannelOpen(handle C.uintptr_t) { ownerOf(handle).onChannelOpen() }

//export goHeard
func goHeard(handle C.uintptr_t) { ownerOf(handle).onHeard() }

//export goReport
func goReport(handle C.uintptr_t) { ownerOf(handle).onReport() }

//export goReception
func goReception(handle C.uintptr_t, ssrc, highest C.uint32_t, lost C.int32_t, jitter, lastReport, delay C.uint32_t) {
	ownerOf(handle).onReception(uint32(ssrc), reception{
		highest: uint32(highest), lost: int32(lost), jitter: uint32(jitter),
		roundTrip: roundTrip(time.Now(), uint32(lastReport), uint32(delay)),
	})
}

//export goPeerError
func goPeerError(handle C.uintptr_t, element, message *C.char) {
	ownerOf(handle).onError(C.GoString(element), errors.New(C.GoString(message)))
}

//export goReply
func goReply(handle C.uintptr_t, sdp, failure *C.char) {
	h := cgo.Handle(handle)
	r := h.Value().(*reply)
	h.Delete()
	p := promised{sdp: C.GoString(sdp)}
	if failure != nil {
		p.err = errors.New(C.GoString(failure))
	}
	r.result <- p
}
