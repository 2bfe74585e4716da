// Package rtsptest is a camera with RTSP, for tests.
package rtsptest

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"
)

// Camera is an RTSP server that sends a live H.264 picture to whoever asks, with
// the delays and the timestamps of a real encoder.
type Camera struct {
	Sound          bool   // G.711, as cameras have it
	UDP            bool   // offer UDP beside TCP
	User, Password string // none is asked for if they are empty
	Address        string // by default a free port of the loopback interface

	stop   func()
	stream *gortsplib.ServerStream
	ready  chan struct{} // closed when stream is there
}

// Start runs a camera until the test ends.
func Start(t testing.TB, c Camera) *Camera {
	t.Helper()
	c.ready = make(chan struct{})
	server := c.listen(t)
	media := []*description.Media{{
		Type:    description.MediaTypeVideo,
		Formats: []format.Format{&format.H264{PayloadTyp: 96, PacketizationMode: 1}},
	}}
	launch := []string{"videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=15/1 ! " +
		"x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay config-interval=-1 pt=96 mtu=1200"}
	if c.Sound {
		media = append(media, &description.Media{
			Type:    description.MediaTypeAudio,
			Formats: []format.Format{&format.G711{PayloadTyp: 8, SampleRate: 8000, ChannelCount: 1}},
		})
		launch = append(launch, "audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay pt=8")
	}
	c.stream = &gortsplib.ServerStream{Server: server, Desc: &description.Session{Medias: media}}
	if err := c.stream.Initialize(); err != nil {
		server.Close()
		t.Fatal(err)
	}
	c.stop = sync.OnceFunc(func() { c.stream.Close(); server.Close() })
	t.Cleanup(c.stop)
	close(c.ready)
	for i, m := range media {
		c.feed(t, m, launch[i])
	}
	return &c
}

// listen starts the server. RTP and RTCP want neighbouring ports, which may be
// taken.
func (c *Camera) listen(t testing.TB) *gortsplib.Server {
	t.Helper()
	var err error
	for range 20 {
		server := &gortsplib.Server{Handler: c, RTSPAddress: cmp.Or(c.Address, "127.0.0.1:0"), Listen: c.listenTCP}
		if c.UDP {
			port := 20000 + 2*rand.IntN(5000)
			server.UDPRTPAddress = fmt.Sprintf("127.0.0.1:%d", port)
			server.UDPRTCPAddress = fmt.Sprintf("127.0.0.1:%d", port+1)
		}
		if err = server.Start(); err == nil {
			return server
		}
	}
	t.Fatal(err)
	return nil
}

func (c *Camera) listenTCP(network, address string) (net.Listener, error) {
	listener, err := net.Listen(network, address)
	if err == nil {
		c.Address = listener.Addr().String()
	}
	return listener, err
}

// feed hands the RTP of a gst-launch fragment on to those who watch.
func (c *Camera) feed(t testing.TB, m *description.Media, launch string) {
	t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		buffer := make([]byte, 2048)
		for {
			n, _, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			packet := &rtp.Packet{}
			if err := packet.Unmarshal(append([]byte(nil), buffer[:n]...)); err != nil {
				t.Errorf("camera: %v", err)
				return
			}
			_ = c.stream.WritePacketRTP(m, packet) // fails for those who have just gone
		}
	})
	t.Cleanup(func() { socket.Close(); reader.Wait() })
	port := socket.LocalAddr().(*net.UDPAddr).Port
	encode(t, fmt.Sprintf("%s ! udpsink host=127.0.0.1 port=%d sync=false", launch, port))
}

// encode runs a gst-launch-1.0 pipeline until the test ends.
func encode(t testing.TB, pipeline string) {
	t.Helper()
	command := exec.Command("gst-launch-1.0", append([]string{"-q"}, strings.Fields(pipeline)...)...)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // unless it has ended
		_ = command.Wait()         // it is killed
		if t.Failed() {
			t.Logf("camera: %s", said.String())
		}
	})
}

// Stop hangs up on everybody. It may be called twice.
func (c *Camera) Stop() { c.stop() }

// URL is the camera's address as a user writes it.
func (c *Camera) URL(user, password string) string {
	u := url.URL{Scheme: "rtsp", Host: c.Address, Path: "/live"}
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

// OnDescribe is called when somebody asks what there is.
func (c *Camera) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return c.admit(ctx.Conn, ctx.Request)
}

// OnSetup is called when somebody wants a track.
func (c *Camera) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return c.admit(ctx.Conn, ctx.Request)
}

func (c *Camera) admit(conn *gortsplib.ServerConn, request *base.Request) (*base.Response, *gortsplib.ServerStream, error) {
	<-c.ready
	if c.User != "" && !conn.VerifyCredentials(request, c.User, c.Password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnPlay is called when somebody wants the stream to begin.
func (c *Camera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}
