package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// peer is a WebSocket client that costs the generator as little as can be, so
// that the relay is what is measured: it knows unfragmented frames only.
type peer struct {
	conn   net.Conn
	buffer []byte // what has been read; the next frame is at start
	start  int
}

const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	final   = 0x80
	masked  = 0x80
)

var mask = [4]byte{0x5a, 0xa5, 0x3c, 0xc3}

// dial connects from one of many loopback addresses: one alone has not enough
// ports for tens of thousands of connections.
func dial(ctx context.Context, r *Relay, path string) (*peer, error) {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+rand.IntN(250)))}
	dialer := websocket.Dialer{
		NetDialContext:   (&net.Dialer{LocalAddr: local}).DialContext,
		HandshakeTimeout: 30 * time.Second,
		ReadBufferSize:   256,
		WriteBufferSize:  256,
	}
	ws, _, err := dialer.DialContext(ctx, r.URL()+path, nil)
	if err != nil {
		return nil, fmt.Errorf("load: dial %s: %w", r.Name, err)
	}
	return &peer{conn: ws.NetConn()}, nil
}

// register connects and says HELLO.
func register(ctx context.Context, r *Relay, uid string) (*peer, error) {
	p, err := dial(ctx, r, "/")
	if err != nil {
		return nil, err
	}
	if err := p.ask("HELLO "+uid, "HELLO"); err != nil {
		p.conn.Close()
		return nil, err
	}
	return p, nil
}

// ask says something and waits for the answer, which must begin as told.
func (p *peer) ask(text, answer string) error {
	if err := p.say(text); err != nil {
		return err
	}
	got, err := p.next()
	if err == nil && !bytes.HasPrefix(got, []byte(answer)) {
		err = fmt.Errorf("%w: %q was answered with %q, want %q", errAnswer, text, got, answer)
	}
	return err
}

func (p *peer) say(text string) error {
	_, err := p.conn.Write(appendFrame(nil, opText, []byte(text)))
	return err
}

// appendFrame adds a client's frame of less than 64 KiB.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, final|op)
	if len(payload) < 126 {
		b = append(b, masked|byte(len(payload)))
	} else {
		b = append(b, masked|126)
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%len(mask)])
	}
	return b
}

var (
	errClosed = errors.New("load: the relay closed the connection")
	errAnswer = errors.New("load: wrong answer")
)

// next is the next text message, valid until the next call.
func (p *peer) next() ([]byte, error) {
	for {
		op, payload, ok := p.cut()
		switch {
		case !ok:
			if err := p.fill(); err != nil {
				return nil, err
			}
		case op == opText:
			return payload, nil
		case op == opClose:
			return nil, fmt.Errorf("%w: %q", errClosed, payload)
		case op == opPing:
			if _, err := p.conn.Write(appendFrame(nil, opPing+1, payload)); err != nil {
				return nil, err
			}
		}
	}
}

// cut takes a complete frame out of the buffer.
func (p *peer) cut() (op byte, payload []byte, ok bool) {
	b := p.buffer[p.start:]
	if len(b) < 2 {
		return 0, nil, false
	}
	length, header := int(b[1]), 2
	switch {
	case length == 126 && len(b) >= 4:
		length, header = int(binary.BigEndian.Uint16(b[2:])), 4
	case length == 127 && len(b) >= 10:
		length, header = int(binary.BigEndian.Uint64(b[2:])), 10
	case length >= 126:
		return 0, nil, false
	}
	if len(b) < header+length {
		return 0, nil, false
	}
	p.start += header + length
	return b[0] &^ final, b[header : header+length], true
}

// fill reads what is there, at least one byte.
func (p *peer) fill() error {
	p.buffer = append(p.buffer[:0], p.buffer[p.start:]...)
	p.start = 0
	if len(p.buffer) == cap(p.buffer) {
		p.buffer = append(p.buffer, make([]byte, max(512, len(p.buffer)))...)[:len(p.buffer)]
	}
	n, err := p.conn.Read(p.buffer[len(p.buffer):cap(p.buffer)])
	p.buffer = p.buffer[:len(p.buffer)+n]
	if n > 0 {
		return nil
	}
	return err
}

// leave says goodbye and waits for the answer and the end.
func (p *peer) leave() error {
	defer p.conn.Close()
	if err := p.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := p.conn.Write(appendFrame(nil, opClose, binary.BigEndian.AppendUint16(nil, 1000))); err != nil {
		return err
	}
	for {
		if _, err := p.next(); errors.Is(err, errClosed) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
