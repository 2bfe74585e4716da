package webtest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"

	"github.com/gstpeer/gstpeer/signalling"
)

// sender is a full member of a room that sends a picture and a tone to every
// viewer, made of pion and of the protocol's plain words.
type sender struct {
	t      *testing.T
	uid    string
	room   string
	tracks []webrtc.TrackLocal // what viewers get

	// rewrite changes the descriptions that viewers get. pion by itself never
	// answers inactive.
	rewrite func(sdp string) string

	// ignored is how many more offers get no answer. It belongs to the reader.
	ignored int

	// crosses has the next offer of a viewer cross with one of ours. It belongs
	// to the reader.
	crosses bool

	member sync.WaitGroup // the reader of socket

	mu     sync.Mutex
	api    *webrtc.API        // guarded by mu
	socket *websocket.Conn    // guarded by mu, as are writes to it
	remote map[string]*remote // guarded by mu: the viewers by uid
}

// remote is a sender's side of the connection to one viewer.
type remote struct {
	connection *webrtc.PeerConnection
	offered    bool // by the sender

	mu        sync.Mutex
	described bool                      // guarded by mu
	early     []webrtc.ICECandidateInit // guarded by mu: ours, before our description
	waiting   []webrtc.ICECandidateInit // owned by the reader: theirs, before their description
}

// newSender makes a sender of the given tracks that is in no room yet.
func newSender(t *testing.T, uid, room string, tracks ...webrtc.TrackLocal) *sender {
	t.Helper()
	s := &sender{
		t: t, uid: uid, room: room, tracks: tracks,
		api:    webrtc.NewAPI(webrtc.WithSettingEngine(loopbackOnly())),
		remote: make(map[string]*remote),

		rewrite: func(sdp string) string { return sdp },
	}
	t.Cleanup(s.close)
	return s
}

func loopbackOnly() webrtc.SettingEngine {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(net.IP.IsLoopback)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	return settings
}

// useOneSocket puts the media of the connections to come on one socket. The
// function that it returns closes that socket under them, and gives later ones
// sockets of their own.
func (s *sender) useOneSocket() (vanish func()) {
	s.t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	quiet := logging.NewDefaultLeveledLoggerForScope("ice", logging.LogLevelDisabled, io.Discard)
	mux := webrtc.NewICEUDPMux(quiet, socket)
	s.t.Cleanup(func() { mux.Close() })
	settings := loopbackOnly()
	settings.SetICEUDPMux(mux)
	s.setAPI(webrtc.NewAPI(webrtc.WithSettingEngine(settings)))
	return func() {
		s.setAPI(webrtc.NewAPI(webrtc.WithSettingEngine(loopbackOnly())))
		socket.Close()
	}
}

func (s *sender) setAPI(api *webrtc.API) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.api = api
}

// join registers and enters the room. As the newcomer the sender offers to all
// whom it finds, unless it still has a connection to them.
func (s *sender) join(r *relay) {
	s.t.Helper()
	socket, response, err := websocket.DefaultDialer.Dial(r.webSocket(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	s.mu.Lock()
	s.socket = socket
	s.mu.Unlock()
	s.write("HELLO " + s.uid)
	s.expect("HELLO")
	s.write("ROOM " + s.room)
	viewers := strings.Fields(strings.TrimPrefix(s.expect("ROOM_OK"), "ROOM_OK"))
	s.member.Go(func() {
		for _, viewer := range viewers {
			s.offer(viewer)
		}
		s.read(socket)
	})
}

// leave ends the membership and nothing else: media goes on.
func (s *sender) leave() {
	s.mu.Lock()
	socket := s.socket
	s.mu.Unlock()
	if socket != nil {
		socket.Close()
	}
	s.member.Wait()
}

// hangUp ends all connections without a word to the relay.
func (s *sender) hangUp() {
	s.mu.Lock()
	gone := s.remote
	s.remote = make(map[string]*remote)
	s.mu.Unlock()
	for _, r := range gone {
		r.connection.GracefulClose()
	}
}

func (s *sender) close() {
	s.leave()
	s.hangUp()
}

// offered tells whether the connection to the only viewer began with our offer.
func (s *sender) offered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.remote {
		return r.offered
	}
	return false
}

// viewer is the only one that we have a connection to.
func (s *sender) viewer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid := range s.remote {
		return uid
	}
	return ""
}

func (s *sender) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// An error here is the end of the socket, which its reader notices.
	s.socket.WriteMessage(websocket.TextMessage, []byte(text))
}

func (s *sender) expect(word string) string {
	s.t.Helper()
	_, text, err := s.socket.ReadMessage()
	if err != nil || !strings.HasPrefix(string(text), word) {
		s.t.Fatalf("relay: got %q, %v, want %s", text, err, word)
	}
	return string(text)
}

func (s *sender) read(socket *websocket.Conn) {
	for {
		_, text, err := socket.ReadMessage()
		if err != nil {
			return
		}
		words := strings.SplitN(string(text), " ", 3)
		if words[0] != "ROOM_PEER_MSG" {
			continue // a viewer that joins offers by itself, one that leaves is gone
		}
		if err := s.receive(words[1], words[2]); err != nil {
			s.t.Errorf("%s: %v", s.uid, err)
		}
	}
}

func (s *sender) receive(viewer, text string) error {
	message, err := signalling.ParseNegotiation(text)
	if err != nil {
		return err
	}
	switch {
	case message.Candidate != nil:
		return s.addCandidate(viewer, *message.Candidate)
	case message.Description.Type == signalling.Offer && s.ignored > 0:
		s.ignored--
		return nil
	case message.Description.Type == signalling.Offer && s.crosses:
		return s.cross(viewer, message.Description.SDP)
	case message.Description.Type == signalling.Offer:
		return s.answer(viewer, message.Description.SDP)
	default:
		r := s.lookUp(viewer)
		if r == nil {
			return fmt.Errorf("%s answers no offer", viewer)
		}
		if r.connection.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
			return nil // it answers an offer that one of the viewer's has overtaken
		}
		err := r.accept(webrtc.SDPTypeAnswer, message.Description.SDP)
		if errors.Is(err, webrtc.ErrUnsupportedCodec) {
			return nil // a viewer may refuse what we offer
		}
		return err
	}
}

// cross takes an offer as if ours had left just before it came: who has the
// smaller name gives way.
func (s *sender) cross(viewer, offer string) error {
	s.crosses = false
	if err := s.tryOffer(viewer); err != nil || s.uid > viewer {
		return err
	}
	return s.answer(viewer, offer)
}

func (s *sender) lookUp(viewer string) *remote {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remote[viewer]
}

// connect makes a connection to a viewer in place of any older one.
func (s *sender) connect(viewer string, offered bool) (*remote, error) {
	s.mu.Lock()
	api := s.api
	s.mu.Unlock()
	connection, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	r := &remote{connection: connection, offered: offered}
	connection.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate != nil {
			s.sendCandidate(viewer, r, candidate.ToJSON())
		}
	})
	s.mu.Lock()
	old := s.remote[viewer]
	s.remote[viewer] = r
	s.mu.Unlock()
	if old != nil {
		old.connection.GracefulClose()
	}
	return r, nil
}

func (s *sender) offer(viewer string) {
	if s.lookUp(viewer) != nil {
		return
	}
	if err := s.tryOffer(viewer); err != nil {
		s.t.Errorf("%s: cannot offer: %v", s.uid, err)
	}
}

func (s *sender) tryOffer(viewer string) error {
	r, err := s.connect(viewer, true)
	if err != nil {
		return err
	}
	for _, track := range s.tracks {
		init := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
		if _, err := r.connection.AddTransceiverFromTrack(track, init); err != nil {
			return err
		}
	}
	description, err := r.connection.CreateOffer(nil)
	if err != nil {
		return err
	}
	return s.describe(viewer, r, description)
}

func (s *sender) answer(viewer, offer string) error {
	r, err := s.connect(viewer, false)
	if err != nil {
		return err
	}
	for _, track := range s.tracks {
		if _, err := r.connection.AddTrack(track); err != nil {
			return err
		}
	}
	if err := r.accept(webrtc.SDPTypeOffer, offer); err != nil {
		return err
	}
	description, err := r.connection.CreateAnswer(nil)
	if err != nil {
		return err
	}
	return s.describe(viewer, r, description)
}

// describe sends our description first, and then the candidates that came
// before it was out.
func (s *sender) describe(viewer string, r *remote, description webrtc.SessionDescription) error {
	if err := r.connection.SetLocalDescription(description); err != nil {
		return err
	}
	s.send(viewer, signalling.Negotiation{Description: &signalling.Description{
		Type: signalling.SDPType(description.Type.String()), SDP: s.rewrite(description.SDP),
	}})
	r.mu.Lock()
	early := r.early
	r.early, r.described = nil, true
	r.mu.Unlock()
	for _, candidate := range early {
		s.sendCandidate(viewer, r, candidate)
	}
	return nil
}

func (s *sender) sendCandidate(viewer string, r *remote, candidate webrtc.ICECandidateInit) {
	r.mu.Lock()
	if !r.described {
		r.early = append(r.early, candidate)
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	s.send(viewer, signalling.Negotiation{Candidate: &signalling.Candidate{
		Candidate: candidate.Candidate, SDPMid: candidate.SDPMid, SDPMLineIndex: *candidate.SDPMLineIndex,
	}})
}

func (s *sender) send(viewer string, message signalling.Negotiation) {
	s.write("ROOM_PEER_MSG " + viewer + " " + message.String())
}

// accept sets the viewer's description, and then its candidates that came early.
func (r *remote) accept(kind webrtc.SDPType, sdp string) error {
	if err := r.connection.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: sdp}); err != nil {
		return err
	}
	for _, candidate := range r.waiting {
		if err := r.connection.AddICECandidate(candidate); err != nil {
			return err
		}
	}
	r.waiting = nil
	return nil
}

func (s *sender) addCandidate(viewer string, c signalling.Candidate) error {
	r := s.lookUp(viewer)
	if r == nil {
		return nil // of a connection that we ended
	}
	candidate := webrtc.ICECandidateInit{Candidate: c.Candidate, SDPMid: c.SDPMid, SDPMLineIndex: &c.SDPMLineIndex}
	if r.connection.RemoteDescription() == nil {
		r.waiting = append(r.waiting, candidate)
		return nil
	}
	return r.connection.AddICECandidate(candidate)
}
