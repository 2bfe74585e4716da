package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/pipeline"
)

// deviceFlags are those of gstpeer devices.
type deviceFlags struct {
	JSON         bool `name:"json" help:"Print a line of JSON for each device. Default: a table."`
	cli.LogFlags `group:"Log"`
}

// listedDevice is what a line of JSON has of a device.
type listedDevice struct {
	What string `json:"what"`
	Name string `json:"name"`
	Flag string `json:"flag"`
	Use  string `json:"value"`
}

// runDevices lists what can be captured.
func runDevices(_ context.Context, args []string, stdout, stderr io.Writer) error {
	var f deviceFlags
	ok, err := cli.Parse(&f, "gstpeer devices", "Lists cameras, microphones and screens, with the flag to capture each.", "GSTPEER", args, stdout, stderr)
	if !ok || err != nil {
		return err
	}
	devices, err := pipeline.Devices(f.Logger(stderr))
	if err != nil {
		return err
	}
	if f.JSON {
		lines := json.NewEncoder(stdout)
		for _, d := range devices {
			if err := lines.Encode(listedDevice{d.What, d.Name, "--" + string(d.Kind), d.Source}); err != nil {
				return err
			}
		}
		return nil
	}
	if len(devices) == 0 {
		fmt.Fprintln(stdout, "No camera, microphone or screen is found. A camera has to be plugged in, and you in the group video (sudo adduser $USER video);")
		fmt.Fprintln(stdout, "a microphone wants the group audio, or PulseAudio or PipeWire running; a screen wants X11, with DISPLAY set. --video test needs none.")
		return nil
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, d := range devices {
		fmt.Fprintf(table, "%s\t%s\t--%s %s\n", d.What, d.Name, d.Kind, d.Source)
	}
	return table.Flush()
}
