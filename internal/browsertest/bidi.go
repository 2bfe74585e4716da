package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// errGone answers what was asked of a browser that is not there any more.
var errGone = errors.New("browsertest: the browser is gone")

// bidi is a connection to a browser that speaks WebDriver BiDi
// (https://w3c.github.io/webdriver-bidi/).
type bidi struct {
	socket *websocket.Conn
	event  func(method string, parameters json.RawMessage) // called by the reader
	reader sync.WaitGroup

	writing sync.Mutex // held by who writes to socket

	mu      sync.Mutex // guards the rest
	last    int
	waiting map[int]chan bidiMessage // by the command's id; nil after the end
}

// bidiMessage is an answer or an event.
type bidiMessage struct {
	ID         int             `json:"id"`
	Result     json.RawMessage `json:"result"`
	Error      string          `json:"error"`
	Message    string          `json:"message"`
	Method     string          `json:"method"`
	Parameters json.RawMessage `json:"params"`
}

func dialBiDi(ctx context.Context, url string, event func(method string, parameters json.RawMessage)) (*bidi, error) {
	socket, response, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	b := &bidi{socket: socket, event: event, waiting: make(map[int]chan bidiMessage)}
	b.reader.Go(b.read)
	return b, nil
}

func (b *bidi) close() {
	b.socket.Close()
	b.reader.Wait()
}

func (b *bidi) read() {
	for {
		var message bidiMessage
		if b.socket.ReadJSON(&message) != nil {
			b.end()
			return
		}
		if message.Method != "" {
			b.event(message.Method, message.Parameters)
			continue
		}
		b.mu.Lock()
		if answer, waits := b.waiting[message.ID]; waits {
			answer <- message
			delete(b.waiting, message.ID)
		}
		b.mu.Unlock()
	}
}

func (b *bidi) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, answer := range b.waiting {
		close(answer)
	}
	b.waiting = nil
}

// call sends a command and decodes what comes of it.
func call[T any](b *bidi, method string, parameters map[string]any) (T, error) {
	var result T
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	id, answer, err := b.send(method, parameters)
	if err != nil {
		return result, err
	}
	select {
	case message, open := <-answer:
		switch {
		case !open:
			return result, errGone
		case message.Error != "":
			return result, fmt.Errorf("%s: %s: %s", method, message.Error, message.Message)
		}
		return result, json.Unmarshal(message.Result, &result)
	case <-ctx.Done():
		b.forget(id)
		return result, fmt.Errorf("%s: no answer after %v", method, Patience)
	}
}

// send does not wait for longer than Patience for a browser that reads nothing.
func (b *bidi) send(method string, parameters map[string]any) (id int, answer <-chan bidiMessage, err error) {
	if id, answer, err = b.expect(); err != nil {
		return 0, nil, err
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	_ = b.socket.SetWriteDeadline(time.Now().Add(Patience)) // never fails
	err = b.socket.WriteJSON(map[string]any{"id": id, "method": method, "params": parameters})
	if err != nil {
		b.forget(id)
	}
	return id, answer, err
}

// expect gives the id for a command, and where its answer will come.
func (b *bidi) expect() (id int, answer <-chan bidiMessage, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		return 0, nil, errGone
	}
	b.last++
	waiting := make(chan bidiMessage, 1)
	b.waiting[b.last] = waiting
	return b.last, waiting, nil
}

func (b *bidi) forget(id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, id)
}
