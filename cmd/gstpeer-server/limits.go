package main

import (
	"fmt"
	"time"

	"github.com/gstpeer/gstpeer/server"
)

// limitFlags bound what the relay does for anybody.
type limitFlags struct {
	MaxConnections           int           `default:"20000" placeholder:"N" help:"Connections in all. Beyond it: HTTP 503. Default: ${default}."`
	MaxConnectionsPerAddress int           `default:"0" placeholder:"N" help:"Connections of one address, or one IPv6 network of 64 bits. Beyond it: HTTP 429. Recommended on the internet: 50. Default: 0, no limit."`
	MaxRooms                 int           `default:"10000" placeholder:"N" help:"Rooms at a time. Default: ${default}."`
	MaxRoomPeers             int           `default:"2000" placeholder:"N" help:"Members of a room. Default: ${default}."`
	MaxMessageBytes          int           `default:"1048576" placeholder:"BYTES" help:"Length of a message. Beyond it the sender is closed with 1009. Default: ${default}, 1 MiB."`
	QueueMessages            int           `default:"4096" placeholder:"N" help:"Messages that may wait for a peer that reads slowly. Beyond it that is closed with 1008. Default: ${default}."`
	QueueBytes               int           `default:"4194304" placeholder:"BYTES" help:"Bytes that may wait for it. Default: ${default}, 4 MiB."`
	QueueBytesInAll          int           `default:"1073741824" placeholder:"BYTES" help:"Bytes of memory for what waits for all peers together and for what has come of their unfinished messages, beyond 64 KiB each. Once they are used up, a peer that needs more is closed with 1008, or with 1013 for a message of its own. Default: ${default}, 1 GiB."`
	MessagesPerSecond        float64       `default:"0" placeholder:"N" help:"Messages of a peer per second, over 10 s. Beyond it the peer is closed with 1008. Recommended on the internet: 100. Default: 0, no limit."`
	BytesPerSecond           float64       `default:"0" placeholder:"BYTES" help:"Bytes of a peer per second, over 10 s. Recommended on the internet: 262144. Default: 0, no limit."`
	TimeToHeaders            time.Duration `default:"10s" placeholder:"DURATION" help:"From a connection to its complete HTTP request. Default: ${default}."`
	TimeToHello              time.Duration `default:"10s" placeholder:"DURATION" help:"From there to HELLO. Default: ${default}."`
}

func (f *limitFlags) check() error {
	for _, limit := range []struct {
		flag  string
		value int
	}{
		{"max-connections", f.MaxConnections}, {"max-rooms", f.MaxRooms}, {"max-room-peers", f.MaxRoomPeers},
		{"max-message-bytes", f.MaxMessageBytes}, {"queue-messages", f.QueueMessages}, {"queue-bytes", f.QueueBytes},
		{"queue-bytes-in-all", f.QueueBytesInAll},
	} {
		if limit.value < 1 {
			return fmt.Errorf("--%s wants 1 or more, got %d", limit.flag, limit.value)
		}
	}
	for _, limit := range []struct {
		flag  string
		value float64
	}{
		{"max-connections-per-address", float64(f.MaxConnectionsPerAddress)},
		{"messages-per-second", f.MessagesPerSecond}, {"bytes-per-second", f.BytesPerSecond},
	} {
		if !(limit.value >= 0) { // nor NaN
			return fmt.Errorf("--%s wants 1 or more, or 0 for no limit, got %v", limit.flag, limit.value)
		}
	}
	for _, limit := range []struct {
		flag  string
		value time.Duration
	}{{"time-to-headers", f.TimeToHeaders}, {"time-to-hello", f.TimeToHello}} {
		if limit.value <= 0 {
			return fmt.Errorf("--%s wants more than 0, such as 10s, got %v", limit.flag, limit.value)
		}
	}
	return nil
}

func (f *limitFlags) limits() server.Limits {
	return server.Limits{
		MaxConnections:           f.MaxConnections,
		MaxConnectionsPerAddress: f.MaxConnectionsPerAddress,
		MaxRooms:                 f.MaxRooms,
		MaxRoomPeers:             f.MaxRoomPeers,
		MaxMessageBytes:          f.MaxMessageBytes,
		QueuedMessages:           f.QueueMessages,
		QueuedBytes:              f.QueueBytes,
		QueuedBytesInAll:         f.QueueBytesInAll,
		MessagesPerSecond:        f.MessagesPerSecond,
		BytesPerSecond:           f.BytesPerSecond,
		TimeToHeaders:            f.TimeToHeaders,
		TimeToHello:              f.TimeToHello,
	}
}
