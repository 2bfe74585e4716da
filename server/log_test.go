package server_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/internal/proctest"
	"github.com/gstpeer/gstpeer/server"
)

// TestLogOfConnection holds that a connection has a line when it starts and one
// when it ends, with all that an operator asks first and nothing that is secret.
func TestLogOfConnection(t *testing.T) {
	var log proctest.Output
	r := startRelay(t, server.Config{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, server.Patience{})
	witness := r.register(t, "witness")
	room := id("room")
	witness.enter(room)
	peer := r.dial(t, "/?role=viewer&token=hidden&resume="+secret)
	peer.hello("peer")
	peer.enter(room, witness)
	peer.tell(witness, "hidden")
	witness.want("ROOM_PEER_JOINED peer")
	witness.wantMessage(peer, "hidden")
	goodbye := websocket.FormatCloseMessage(4000, "hidden")
	if err := peer.ws.WriteMessage(websocket.CloseMessage, goodbye); err != nil {
		t.Fatal(err)
	}
	witness.want("ROOM_PEER_LEFT peer")
	peer.next()

	refused := r.dial(t, "/?token=hidden")
	refused.send("hidden")
	refused.wantError()
	refused.next()
	r.server.Close()

	said := "HELLO peer" + "ROOM " + room + "ROOM_PEER_MSG " + witness.uid + " hidden"
	heard := "HELLO" + "ROOM_OK " + witness.uid
	var got []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "hidden") || strings.Contains(line, secret) {
			t.Errorf("a secret is logged: %s", line)
		}
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry["remote"] == nil || entry["msg"] == "connection ended" && entry["after"] == nil {
			t.Errorf("no remote address or duration: %s", line)
		}
		if entry["level"] != "INFO" || entry["peer"] == witness.uid {
			continue
		}
		got = append(got, fmt.Sprint(entry["msg"], " ", entry["peer"], " ", entry["viewer"], " ", entry["reason"], " ",
			entry["received"], " ", entry["receivedBytes"], " ", entry["sent"], " ", entry["sentBytes"]))
	}
	want := []string{
		"registered peer true <nil> <nil> <nil> <nil> <nil>",
		fmt.Sprint("connection ended peer <nil> closed by the peer with 4000 3 ", len(said), " 2 ", len(heard)),
		fmt.Sprint("connection ended <nil> <nil> invalid protocol 1 ", len("hidden"), " 1 ", len("ERROR invalid protocol")),
	}
	slices.Sort(got) // the connections end at the same time
	slices.Sort(want)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
