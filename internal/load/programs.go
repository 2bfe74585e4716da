package load

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
)

// Programs that Serve can be: the relay of this module, the bare one that it is
// compared with, or a crowd of peers at a relay elsewhere.
const (
	ProgramRelay = "gstpeer"
	ProgramBare  = "bare"
	ProgramCrowd = "crowd"
)

// Serve is a whole program, until it is killed. The address is the one to listen
// on, or with ProgramCrowd the relay's, behind the number of peers and an @.
func Serve(program, address string) error {
	if program == ProgramCrowd {
		return serveCrowd(address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	switch program {
	case ProgramRelay:
		relay, err := server.New(server.Config{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		return relay.Serve(context.Background(), listener)
	case ProgramBare:
		return http.Serve(listener, &bareRelay{waiting: make(map[string]chan *websocket.Conn)})
	}
	return fmt.Errorf("load: unknown program %q, want %s or %s", program, ProgramRelay, ProgramBare)
}

// Original is GStreamer's simple_server.py at the path script.
func Original(script string) func(address string) *exec.Cmd {
	return func(address string) *exec.Cmd {
		host, port, _ := net.SplitHostPort(address) // it comes from a listener
		// Debian's python3-websockets is for Debian's Python.
		return exec.Command("/usr/bin/python3", script, "--disable-ssl", "--addr", host, "--port", port)
	}
}

// bareRelay is the least that carries messages with gorilla/websocket: read one,
// write it to the other end. It has no protocol, no queue and no limits.
type bareRelay struct {
	upgrader websocket.Upgrader

	mu      sync.Mutex
	waiting map[string]chan *websocket.Conn // the first of each pair, by path
}

func (b *bareRelay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	own, err := b.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer own.Close()
	other := b.meet(r.URL.Path, own)
	for {
		kind, message, err := own.ReadMessage()
		if err != nil || other.WriteMessage(kind, message) != nil {
			other.Close()
			return
		}
	}
}

// meet waits for the other connection of the pair.
func (b *bareRelay) meet(path string, own *websocket.Conn) (other *websocket.Conn) {
	b.mu.Lock()
	first, ok := b.waiting[path]
	if ok {
		delete(b.waiting, path)
		b.mu.Unlock()
		other = <-first
		first <- own
		return other
	}
	first = make(chan *websocket.Conn)
	b.waiting[path] = first
	b.mu.Unlock()
	first <- own
	return <-first
}
